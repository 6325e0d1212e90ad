// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package scenario

// shuffle.go changes the order of everything whose order must not matter.

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Shuffle returns the scenario with another order of every list.
func (s *Scenario) Shuffle(random *rand.Rand) *Scenario {
	other := *s
	other.Fleet = shuffled(s.Fleet, random)
	other.Snapshot.Routes = shuffled(s.Snapshot.Routes, random)
	other.Snapshot.Grants = shuffled(s.Snapshot.Grants, random)
	other.Snapshot.Forbidden = shuffled(s.Snapshot.Forbidden, random)
	other.Snapshot.EndpointSlices = maps.Clone(s.Snapshot.EndpointSlices)
	for key, list := range other.Snapshot.EndpointSlices {
		list = shuffled(list, random)
		for i := range list {
			list[i].Endpoints = shuffled(list[i].Endpoints, random)
			list[i].Ports = shuffled(list[i].Ports, random)
		}
		other.Snapshot.EndpointSlices[key] = list
	}
	if s.Snapshot.Proxy != nil {
		other.Snapshot.Proxy = s.Snapshot.Proxy.DeepCopy()
		other.Snapshot.Proxy.Spec.Hosts = shuffled(s.Snapshot.Proxy.Spec.Hosts, random)
		other.Snapshot.Proxy.Spec.Forwarding.TrustedProxies = shuffled(s.Snapshot.Proxy.Spec.Forwarding.TrustedProxies, random)
		other.Snapshot.Proxy.Spec.Policy.SunsetWarningDays = shuffled(s.Snapshot.Proxy.Spec.Policy.SunsetWarningDays, random)
		other.Snapshot.Proxy.Spec.Policy.AllowedAfterSunset = shuffled(s.Snapshot.Proxy.Spec.Policy.AllowedAfterSunset, random)
	}
	return &other
}

func shuffled[T any](list []T, random *rand.Rand) []T {
	list = slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}
