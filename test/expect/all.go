// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package expect

import (
	"errors"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// All returns what contradicts itself in the statuses of an installation, which
// no waiting mends, and what is not about the present generation, which soon
// is.
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
