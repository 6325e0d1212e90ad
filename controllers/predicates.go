// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// This file leaves out the changes that need no pass.

import (
	"maps"

	discoveryv1 "k8s.io/api/discovery/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
)

// changed lets the changes pass that a pass must look at: those of a spec, of the
// hold, which is the only annotation that the cache keeps, and the end of an
// object. Writes of a status need no pass. An object that is listed anew with the
// same version may have another spec, as under a CRD with other defaults.
func (r *Reconciler) changed() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld, e.ObjectNew
			return before.GetUID() != after.GetUID() || before.GetGeneration() != after.GetGeneration() ||
				before.GetDeletionTimestamp().IsZero() != after.GetDeletionTimestamp().IsZero() ||
				!maps.Equal(before.GetAnnotations(), after.GetAnnotations()) || before.GetResourceVersion() == after.GetResourceVersion()
		},
		DeleteFunc: func(e event.DeleteEvent) bool {
			r.Statuses.Forget(e.Object)
			return true
		},
	}
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
