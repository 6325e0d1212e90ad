// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"strings"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// Deployed is what came of making the objects that run a fleet. Its zero value
// says that all is well, or that there is nothing to make.
type Deployed struct {
	// Unmanaged says that the operator was not given the namespace, and Managed
	// which ones it was given, by name.
	Unmanaged bool
	Managed   []string
	// NoImage says that the operator does not know the proxies' image.
	NoImage bool
	// Taken are objects that are somebody else's and in the way, as kind and
	// name.
	Taken []string
	// Refused are the objects that the API server did not take, as kind and
	// name, and what it said.
	Refused []Refused
}

// Refused is an object that the API server did not take.
type Refused struct {
	Object  string
	Message string
}

// accepted says why the fleet cannot be run as it is declared; nil when it can.
func (d *Deployed) accepted(proxy *callbackv1alpha1.CallbackProxy) *Finding {
	switch {
	case d.Unmanaged:
		others := "leave spec.mode out and run the proxies yourself"
		if len(d.Managed) > 0 {
			others = "create this CallbackProxy in one that it was given: " + enumerate(d.Managed)
		}
		return &Finding{
			Reason: callbackv1alpha1.ReasonNamespaceNotManaged,
			Message: fmt.Sprintf("the operator was not given namespace %s to run proxies in: add it to the manager's --proxy-namespaces and bind the manager's Role there, or %s",
				proxy.Namespace, others),
		}
	case d.NoImage:
		return &Finding{
			Reason:  callbackv1alpha1.ReasonNamespaceNotManaged,
			Message: "the operator was not told which image to run proxies from: set the manager's --proxy-image",
		}
	case len(d.Taken) > 0:
		return &Finding{
			Reason: callbackv1alpha1.ReasonNameTaken,
			Message: fmt.Sprintf("objects with the names that this fleet needs are not its own, and are left alone: %s; delete them, or give this CallbackProxy another name",
				enumerate(d.Taken)),
		}
	}
	return nil
}

// programmed says what the API server did not take; nil when it took all.
func (d *Deployed) programmed() *Finding {
	if len(d.Refused) == 0 {
		return nil
	}
	said := make([]string, len(d.Refused))
	for i, r := range d.Refused {
		said[i] = r.Object + ": " + r.Message
	}
	return &Finding{
		Reason:  callbackv1alpha1.ReasonNotDeployed,
		Message: "the API server refused what this fleet is made of: " + strings.Join(said, "; "),
	}
}
