// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// deployed.go reports why the instances of a CallbackProxy could not be deployed.

import (
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
)

// Deployed is the result of applying the objects that run a fleet. The zero value
// means that every object is applied, or that there is none to apply.
type Deployed struct {
	// Unmanaged is set when the operator may not deploy to the namespace. Managed
	// names the namespaces that it may deploy to.
	Unmanaged bool
	Managed   []string
	// Taken names objects of other owners that have the names of the fleet's own,
	// as kind and name.
	Taken []string
	// Refused lists the objects that the API server refused.
	Refused []RefusedObject
}

// RefusedObject is an object that the API server refused.
type RefusedObject struct {
	// Object is its kind and name.
	Object  string
	Message string
}

// accepted returns why the fleet cannot run as declared; nil when it can.
func (d *Deployed) accepted(proxy *callbackv1alpha1.CallbackProxy) *compile.Finding {
	switch {
	case d.Unmanaged:
		others := "set spec.mode to External and run the proxies yourself"
		if len(d.Managed) > 0 {
			others = "create this CallbackProxy in one of: " + compile.Enumerate(d.Managed)
		}
		return new(compile.False(callbackv1alpha1.ReasonNamespaceNotManaged,
			"the operator may not run proxies in namespace %s: add it to the manager's --proxy-namespaces and bind the manager's Role there, or %s",
			proxy.Namespace, others))
	case len(d.Taken) > 0:
		return new(compile.False(callbackv1alpha1.ReasonNameTaken,
			"objects of other owners have the names that this fleet needs: %s; delete them, or give this CallbackProxy another name",
			compile.Enumerate(d.Taken)))
	}
	return nil
}

// programmed returns the refusals of the API server; nil without any.
func (d *Deployed) programmed() *compile.Finding {
	if len(d.Refused) == 0 {
		return nil
	}
	refusals := make([]string, len(d.Refused))
	for i, r := range d.Refused {
		refusals[i] = r.Object + ": " + r.Message
	}
	return new(compile.False(callbackv1alpha1.ReasonNotDeployed, "the API server refused objects of this fleet: %s", strings.Join(refusals, "; ")))
}
