// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

// all.go: the rules for all objects of an installation.

import (
	"errors"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// All returns the contradictions in the statuses of an installation, which
// waiting does not resolve, and the statuses that do not describe the present
// generation yet.
func All(routes []callbackv1alpha1.CallbackRoute, proxies []callbackv1alpha1.CallbackProxy) (contradictions, late error) {
	var sound, consistent []error
	for i := range routes {
		sound, consistent = append(sound, SoundRoute(&routes[i])), append(consistent, ConsistentRoute(&routes[i]))
	}
	for i := range proxies {
		sound, consistent = append(sound, SoundProxy(&proxies[i])), append(consistent, ConsistentProxy(&proxies[i]))
	}
	return errors.Join(sound...), errors.Join(consistent...)
}
