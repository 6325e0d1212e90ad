// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// fixedHealth is a Health with fixed findings, which records the dials.
type fixedHealth struct {
	mu          sync.Mutex
	unreachable map[string]bool // by target
	dials       []string
}

// unreachableAt returns a fixedHealth that finds these addresses unreachable.
func unreachableAt(addresses ...string) *fixedHealth {
	h := &fixedHealth{unreachable: map[string]bool{}}
	for _, address := range addresses {
		h.unreachable[routetable.TargetID(address, nil)] = true
	}
	return h
}

func (h *fixedHealth) TryAcquire(target string) bool { return !h.unreachable[target] }

func (h *fixedHealth) Dialled(target string, reached bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dials = append(h.dials, fmt.Sprint(target, reached))
}

// Each backend is "name address address...", the first one is the primary, the
// second one its failover; the choice is "name address address" in the order of
// the dials.
func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		backends    []string
		unreachable string
		want        []string
	}{
		"alone":                              {[]string{"a 1"}, "", []string{"a 1"}},
		"alone and unreachable":              {[]string{"a 1"}, "1", []string{"a 1"}},
		"alone and without addresses":        {[]string{"a"}, "", []string{"a"}},
		"with a failover":                    {[]string{"a 1", "b 2", "c 3"}, "", []string{"a 1", "b 2"}},
		"primary unreachable":                {[]string{"a 1", "b 2", "c 3"}, "1", []string{"b 2", "a 1"}},
		"failover unreachable":               {[]string{"a 1", "b 2", "c 3"}, "2", []string{"a 1", "b 2"}},
		"both unreachable":                   {[]string{"a 1", "b 2", "c 3"}, "1,2", []string{"a 1", "b 2"}},
		"primary without addresses":          {[]string{"a", "b 2"}, "", []string{"b 2", "a"}},
		"failover without addresses":         {[]string{"a 1", "b"}, "1", []string{"a 1", "b"}},
		"two addresses at most":              {[]string{"a 1 2 3 4"}, "", []string{"a 2 3"}},
		"reachable addresses first":          {[]string{"a 1 2 3 4"}, "2,3", []string{"a 4 1"}},
		"one reachable address":              {[]string{"a 1 2 3 4"}, "1,2,4", []string{"a 3 2"}},
		"one reachable address is enough":    {[]string{"a 1 2", "b 3"}, "1", []string{"a 2 1", "b 3"}},
		"none reachable: two in turn":        {[]string{"a 1 2 3 4"}, "1,2,3,4", []string{"a 2 3"}},
		"none reachable: failover, in turns": {[]string{"a 1 2 3", "b 4 5 6"}, "1,2,3", []string{"b 6 4", "a 2 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &routetable.Route{}
			for _, text := range tc.backends {
				fields := strings.Fields(text)
				r.Backends = append(r.Backends, routetable.Backend{Name: fields[0], Addresses: fields[1:]})
			}
			r.Backends[0].Weight = 1
			if len(r.Backends) > 1 {
				r.Backends[0].Failover = &routetable.Failover{Backend: r.Backends[1].Name}
			}
			h := &Handler{health: unreachableAt(strings.Split(tc.unreachable, ",")...)}
			var got []string
			for _, c := range h.choose(r, r.Primary()) {
				got = append(got, strings.Join(append([]string{c.backend.Name}, c.addresses...), " "))
				for i, address := range c.addresses {
					if c.targets[i] != routetable.TargetID(address, nil) {
						t.Errorf("%s has target %s", address, c.targets[i])
					}
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("choice is %q, want %q", got, tc.want)
			}
		})
	}
}

// Addresses take turns, also without health checks.
func TestChoose_AddressesTakeTurns(t *testing.T) {
	r := &routetable.Route{Backends: []routetable.Backend{{Name: "a", Weight: 1, Addresses: []string{"1", "2", "3"}}}}
	for name, health := range map[string]Health{"unknown": nil, "reachable": unreachableAt(), "unreachable": unreachableAt("1", "2", "3")} {
		t.Run(name, func(t *testing.T) {
			h := &Handler{health: health}
			first := map[string]int{}
			for range 300 {
				first[h.choose(r, r.Primary())[0].addresses[0]]++
			}
			if first["1"] != 100 || first["2"] != 100 || first["3"] != 100 {
				t.Errorf("first were %v", first)
			}
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	route := newFailoverRoute()
	for i := range route.Backends {
		route.Backends[i].Check = &routetable.HealthCheck{
			Path: "/healthz", Host: "a.example", IntervalSeconds: 10, TimeoutSeconds: 1, UnhealthyThreshold: 3, HealthyThreshold: 2,
		}
	}
	h := &Handler{health: unreachableAt()}
	b.ReportAllocs()
	for b.Loop() {
		h.choose(&route, route.Primary())
	}
}

// The IDs that are remembered are those of package routetable, also when there
// are more of them than are remembered.
func TestTargetIDs(t *testing.T) {
	var ids targetIDs
	check := routetable.HealthCheck{Path: "/healthz", Host: "a.example", IntervalSeconds: 10, TimeoutSeconds: 1, UnhealthyThreshold: 3, HealthyThreshold: 2}
	other := check
	other.Host = "b.example"
	for _, c := range []*routetable.HealthCheck{nil, {}, &check, &other} {
		for range 2 {
			if got, want := ids.of("10.0.0.1:80", c), routetable.TargetID("10.0.0.1:80", c); got != want {
				t.Errorf("the ID with check %+v is %s, want %s", c, got, want)
			}
		}
	}
	for i := range maxTargetIDs {
		ids.of(fmt.Sprint(i), nil)
	}
	if n := len(ids.ids); n == 0 || n > maxTargetIDs {
		t.Errorf("%d IDs are remembered", n)
	}
}
