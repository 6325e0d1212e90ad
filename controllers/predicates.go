// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// changed lets pass what a pass must look at: every change of a spec or of the
// hold, and every write to a status that is not our own last one, so that a
// status that somebody else wrote is put right.
func (r *Reconciler) changed() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld, e.ObjectNew
			return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration() ||
				before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() || holdOf(before) != holdOf(after) ||
				r.isForeign(before, after)
		},
		DeleteFunc: func(e event.DeleteEvent) bool {
			r.pace.gone(e.Object.GetUID())
			return true
		},
	}
}

// isForeign says whether an object is otherwise than it was, and not by our own
// last write. With another CRD the same stored object may read differently.
func (r *Reconciler) isForeign(before, after client.Object) bool {
	if before.GetResourceVersion() == after.GetResourceVersion() {
		return !apiequality.Semantic.DeepEqual(specOf(before), specOf(after))
	}
	return !r.pace.isOwn(after.GetUID(), after.GetResourceVersion())
}

func specOf(object client.Object) any {
	switch o := object.(type) {
	case *kube.Route:
		return &o.Spec
	case *kube.Proxy:
		return &o.Spec
	}
	return nil
}

// unexpected lets pass changes of configs that are not what was published: a
// pass puts them right.
func (r *Reconciler) unexpected() predicate.Predicate {
	isNews := func(object client.Object, there bool) bool {
		part, is := object.(*callbackv1alpha1.CallbackProxyConfig)
		return !is || !r.Publisher.Expects(part, there)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return isNews(e.Object, true) },
		UpdateFunc: func(e event.UpdateEvent) bool { return isNews(e.ObjectNew, true) },
		DeleteFunc: func(e event.DeleteEvent) bool { return isNews(e.Object, false) },
	}
}

// hold is the annotation that holds a sunset, and whether it is there.
type hold struct {
	value string
	there bool
}

func holdOf(o client.Object) hold {
	value, there := o.GetAnnotations()[callbackv1alpha1.HoldAnnotation]
	return hold{value, there}
}

// endpointsChanged lets pass what is dialled, or whether there is anything to
// dial.
var endpointsChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, was := e.ObjectOld.(*discoveryv1.EndpointSlice)
		after, is := e.ObjectNew.(*discoveryv1.EndpointSlice)
		return !was || !is || !apiequality.Semantic.DeepEqual(before.Endpoints, after.Endpoints) ||
			!apiequality.Semantic.DeepEqual(before.Ports, after.Ports) || before.Labels[discoveryv1.LabelServiceName] != after.Labels[discoveryv1.LabelServiceName]
	},
}
