// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"context"
	"fmt"
	"maps"
	"strings"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// This file wires the controller's watches.

// workers is the number of CallbackProxies that are deployed at the same time.
const workers = 2

// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=rolebindings,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=callback-proxy,verbs=bind
// +kubebuilder:rbac:groups=apps,resources=deployments,namespace=callback-system,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services;serviceaccounts,namespace=callback-system,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=policy,resources=poddisruptionbudgets,namespace=callback-system,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.k8s.io,resources=networkpolicies,namespace=callback-system,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=autoscaling,resources=horizontalpodautoscalers,namespace=callback-system,verbs=get;list;watch

// SetupWithManager adds the controller to a manager whose cache was made with
// kube.CacheOptions of the same scope. A manager that runs no proxies
// watches RoleBindings alone, because it may not list the other kinds.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	changed := builder.WithPredicates(objectChanged)
	controlled := ctrl.NewControllerManagedBy(mgr).
		Named("deploy").
		For(&kube.Proxy{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(kube.NewOwned(kube.KindRoleBinding), changed).
		WithOptions(controller.Options{MaxConcurrentReconciles: workers})
	if len(c.scope.ProxyNamespaces) > 0 {
		controlled.Watches(&autoscalingv2.HorizontalPodAutoscaler{}, handler.EnqueueRequestsFromMapFunc(proxyOfAutoscaler),
			builder.WithPredicates(targetChanged))
		for _, kind := range []schema.GroupVersionKind{
			kube.KindDeployment, kube.KindService, kube.KindServiceAccount, kube.KindBudget, kube.KindNetworkPolicy,
		} {
			controlled.Owns(kube.NewOwned(kind), changed)
		}
	}
	if err := controlled.Complete(c); err != nil {
		return fmt.Errorf("set up deploy controller: %w", err)
	}
	return nil
}

// proxyOfAutoscaler finds the CallbackProxy whose Deployment is scaled.
func proxyOfAutoscaler(_ context.Context, object client.Object) []reconcile.Request {
	autoscaler, is := object.(*autoscalingv2.HorizontalPodAutoscaler)
	if !is {
		return nil
	}
	name, found := strings.CutPrefix(autoscaler.Spec.ScaleTargetRef.Name, workload.Name(""))
	if !found {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: autoscaler.Namespace, Name: name}}}
}

// objectChanged passes every change of an owned object except that of its status:
// where there is a generation, it distinguishes the two.
var objectChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld, e.ObjectNew
		if before.GetUID() != after.GetUID() || after.GetGeneration() == 0 {
			return before.GetResourceVersion() != after.GetResourceVersion()
		}
		return before.GetGeneration() != after.GetGeneration() ||
			before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() ||
			!maps.Equal(before.GetLabels(), after.GetLabels()) ||
			!apiequality.Semantic.DeepEqual(before.GetOwnerReferences(), after.GetOwnerReferences())
	},
}

// targetChanged passes changes of the target of an autoscaler, which writes its
// status often.
var targetChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, was := e.ObjectOld.(*autoscalingv2.HorizontalPodAutoscaler)
		after, is := e.ObjectNew.(*autoscalingv2.HorizontalPodAutoscaler)
		return !was || !is || before.Spec.ScaleTargetRef != after.Spec.ScaleTargetRef
	},
}
