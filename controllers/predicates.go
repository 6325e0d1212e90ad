// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// This file leaves out the changes that need no pass.

import (
	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
)

// changed lets the changes pass that a pass must look at: those of a spec, of the
// hold, and the end of an object. Writes of a status need no pass.
func (r *Reconciler) changed() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld, e.ObjectNew
			return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration() ||
				before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() || holdOf(before) != holdOf(after) ||
				isDecodedOtherwise(before, after)
		},
		DeleteFunc: func(e event.DeleteEvent) bool {
			r.Statuses.Forget(e.Object)
			return true
		},
	}
}

// isDecodedOtherwise returns whether the same stored object has another spec than
// before, as under a CRD with other defaults.
func isDecodedOtherwise(before, after client.Object) bool {
	return before.GetResourceVersion() == after.GetResourceVersion() && !apiequality.Semantic.DeepEqual(specOf(before), specOf(after))
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

// unexpected lets the changes of configs pass that the Publisher did not make: a
// pass corrects them.
func (r *Reconciler) unexpected() predicate.Predicate {
	isUnexpected := func(object client.Object, there bool) bool {
		part, is := object.(*callbackv1alpha1.CallbackProxyConfig)
		return !is || !r.Publisher.Expects(part, there)
	}
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return isUnexpected(e.Object, true) },
		UpdateFunc: func(e event.UpdateEvent) bool { return isUnexpected(e.ObjectNew, true) },
		DeleteFunc: func(e event.DeleteEvent) bool { return isUnexpected(e.Object, false) },
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

// endpointsChanged lets the changes pass that concern dialling.
var endpointsChanged = predicate.Funcs{
	UpdateFunc: func(e event.UpdateEvent) bool {
		before, was := e.ObjectOld.(*discoveryv1.EndpointSlice)
		after, is := e.ObjectNew.(*discoveryv1.EndpointSlice)
		return !was || !is || !apiequality.Semantic.DeepEqual(before.Endpoints, after.Endpoints) ||
			!apiequality.Semantic.DeepEqual(before.Ports, after.Ports) || before.Labels[discoveryv1.LabelServiceName] != after.Labels[discoveryv1.LabelServiceName]
	},
}
