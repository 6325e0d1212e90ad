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

// opinion is a Health with a fixed opinion, which writes down what it is told.
type opinion struct {
	mu       sync.Mutex
	unusable map[string]bool // by target
	told     []string
}

// doubting returns an opinion that these addresses cannot be used.
func doubting(addresses ...string) *opinion {
	o := &opinion{unusable: map[string]bool{}}
	for _, address := range addresses {
		o.unusable[routetable.TargetID(address, nil)] = true
	}
	return o
}

func (o *opinion) Usable(target string) bool { return !o.unusable[target] }

func (o *opinion) Dialled(target string, reached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.told = append(o.told, fmt.Sprint(target, reached))
}

// Each backend is "name weight address address...", and what is chosen is
// "name address address" in the order of the tries.
func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		backends []string
		unusable string
		want     []string
	}{
		"alone":                             {[]string{"a 1 1"}, "", []string{"a 1"}},
		"alone and unusable":                {[]string{"a 1 1"}, "1", []string{"a 1"}},
		"alone and without addresses":       {[]string{"a 1"}, "", []string{"a"}},
		"highest first":                     {[]string{"a 1 1", "b 5 2", "c 3 3"}, "", []string{"b 2", "c 3"}},
		"first declared among equals":       {[]string{"a 9 1", "b 5 2", "c 5 3"}, "", []string{"a 1", "b 2"}},
		"second among equals":               {[]string{"a 9 1", "b 5 2", "c 5 3"}, "2", []string{"a 1", "c 3"}},
		"weight 0 never":                    {[]string{"a 1 1", "b 0 2"}, "", []string{"a 1"}},
		"weight 0 never, whoever is down":   {[]string{"a 1 1", "b 0 2"}, "1", []string{"a 1"}},
		"active unusable":                   {[]string{"a 3 1", "b 2 2", "c 1 3"}, "1", []string{"b 2", "c 3"}},
		"active usable alone":               {[]string{"a 3 1", "b 2 2", "c 1 3"}, "2,3", []string{"a 1", "b 2"}},
		"last one usable alone":             {[]string{"a 3 1", "b 2 2", "c 1 3"}, "1,2", []string{"c 3", "a 1"}},
		"nobody usable":                     {[]string{"a 3 1", "b 2 2", "c 1 3"}, "1,2,3", []string{"a 1", "b 2"}},
		"active without addresses":          {[]string{"a 3", "b 2 2", "c 1 3"}, "", []string{"b 2", "c 3"}},
		"the others without addresses":      {[]string{"a 3 1", "b 2", "c 1"}, "1", []string{"a 1"}},
		"nobody has addresses":              {[]string{"a 3", "b 2", "c 1"}, "", []string{"a"}},
		"two addresses at most":             {[]string{"a 1 1 2 3 4"}, "", []string{"a 2 3"}},
		"usable addresses first":            {[]string{"a 1 1 2 3 4"}, "2,3", []string{"a 4 1"}},
		"one usable address":                {[]string{"a 1 1 2 3 4"}, "1,2,4", []string{"a 3 2"}},
		"one usable address is enough":      {[]string{"a 2 1 2", "b 1 3"}, "1", []string{"a 2 1", "b 3"}},
		"none usable: two in turn":          {[]string{"a 1 1 2 3 4"}, "1,2,3,4", []string{"a 2 3"}},
		"none usable: the others, in turns": {[]string{"a 2 1 2 3", "b 1 4 5 6"}, "1,2,3", []string{"b 6 4", "a 2 3"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &routetable.Route{}
			for _, text := range tc.backends {
				fields := strings.Fields(text)
				b := routetable.Backend{Name: fields[0], Addresses: fields[2:]}
				_, _ = fmt.Sscan(fields[1], &b.Weight)
				r.Backends = append(r.Backends, b)
			}
			h := &Handler{health: doubting(strings.Split(tc.unusable, ",")...)}
			var got []string
			for _, c := range h.choose(r) {
				got = append(got, strings.Join(append([]string{c.backend.Name}, c.addresses...), " "))
				for i, address := range c.addresses {
					if c.targets[i] != routetable.TargetID(address, nil) {
						t.Errorf("%s has target %s", address, c.targets[i])
					}
				}
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("chosen are %q, want %q", got, tc.want)
			}
		})
	}
}

// Addresses take turns, also without anybody who knows their health.
func TestChoose_AddressesTakeTurns(t *testing.T) {
	r := &routetable.Route{Backends: []routetable.Backend{{Name: "a", Weight: 1, Addresses: []string{"1", "2", "3"}}}}
	for name, health := range map[string]Health{"unknown": nil, "usable": doubting(), "unusable": doubting("1", "2", "3")} {
		t.Run(name, func(t *testing.T) {
			h := &Handler{health: health}
			first := map[string]int{}
			for range 300 {
				first[h.choose(r)[0].addresses[0]]++
			}
			if first["1"] != 100 || first["2"] != 100 || first["3"] != 100 {
				t.Errorf("first were %v", first)
			}
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	route := newStandbyRoute()
	h := &Handler{health: doubting()}
	b.ReportAllocs()
	for b.Loop() {
		h.choose(&route)
	}
}
