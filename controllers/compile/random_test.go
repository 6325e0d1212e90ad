// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package compile

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// randomFleet is up to four instances, of which some are behind, silent, of a
// suspect clock or refuse, and each of which sees backends in its own way.
func randomFleet(random *rand.Rand, s *scenario) []instance {
	fleet := make([]instance, random.IntN(5))
	for i := range fleet {
		one := instance{Pod: fmt.Sprint("edge-", i), Generation: published.Generation, Sees: map[string]string{}}
		switch random.IntN(8) {
		case 0:
			one.Generation = int64(random.IntN(9))
		case 1:
			one.Unreachable, one.LastHeard = true, randomTime(random, s.Now)
		case 2:
			one.Refused = "decode index: format 2"
		case 3:
			one.Suspect = true
		case 4:
			one.Port = 9090
		}
		for _, route := range s.snapshot.Routes {
			for _, backend := range route.Object.Spec.Backends {
				one.look(random, route.Object.Namespace+"/"+route.Object.Name+"/"+backend.Name)
			}
		}
		fleet[i] = one
	}
	return fleet
}

// look makes an instance see a backend, or not.
func (i *instance) look(random *rand.Rand, backend string) {
	healthy := string(routetable.TargetHealthy)
	switch random.IntN(5) {
	case 0, 1:
		i.Sees[backend] = healthy
	case 2:
		i.Sees[backend] = []string{routetable.TargetUnreachable, routetable.TargetNoAnswer, routetable.TargetBadStatus}[random.IntN(3)]
	case 3:
		i.Sees[backend] = string(routetable.TargetUnmeasured)
	}
	switch random.IntN(4) {
	case 0:
		i.Sees["preflight "+backend] = healthy
	case 1:
		i.Sees["preflight "+backend] = routetable.TargetPathNotServed
	}
}

// randomUse is what may have come for a route, to backends that it has and to
// one that it has not any more.
func randomUse(random *rand.Rand, route *callbackv1alpha1.CallbackRoute, now time.Time) Use {
	if random.IntN(3) == 0 {
		return Use{}
	}
	use := Use{Last: randomTime(random, now), Callbacks: 1 + random.Int64N(1000), Backends: map[string]BackendUse{}}
	if random.IntN(2) == 0 {
		use.AfterSunset = random.Int64N(use.Callbacks + 1)
		use.Other, use.Refused = random.Int64N(3), random.Int64N(3)
	}
	for _, backend := range append(slices.Clone(route.Spec.Backends), callbackv1alpha1.Backend{Name: "gone"}) {
		if random.IntN(2) == 0 {
			use.Backends[backend.Name] = BackendUse{Callbacks: 1 + random.Int64N(10), Last: randomTime(random, now)}
		}
	}
	return use
}

// randomTime is within three hours, and not within three seconds of the moment
// at which quiet begins: a second pass a second later says the same.
func randomTime(random *rand.Rand, now time.Time) time.Time {
	return now.Add(-time.Duration(random.IntN(180))*time.Minute + -30*time.Second + time.Duration(random.IntN(1e9)))
}

// randomHold annotates a route, or not.
func randomHold(random *rand.Rand, route *callbackv1alpha1.CallbackRoute) {
	if random.IntN(2) == 0 {
		return
	}
	reasons := []string{"partner moves in January", " x ", "", " ", "a\nb", "\u202eevil", "\x00", string(make([]byte, 300)), "ü"}
	route.Annotations = map[string]string{callbackv1alpha1.HoldAnnotation: reasons[random.IntN(len(reasons))]}
}
