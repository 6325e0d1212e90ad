// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"slices"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func TestDecide(t *testing.T) {
	blue := routetable.Backend{Name: "blue", Weight: 1}
	withFailover := blue
	withFailover.Failover = &routetable.Failover{Backend: "blue-dr"}
	others := []routetable.Backend{{Name: "green"}, {Name: "blue-dr"}}
	for _, tc := range []struct {
		name      string
		primary   routetable.Backend
		reachable string
		want      []string
	}{
		{"no failover", blue, "blue green blue-dr", []string{"blue Primary"}},
		{"no failover, unreachable", blue, "green blue-dr", []string{"blue Primary"}},
		{"both reachable", withFailover, "blue green blue-dr", []string{"blue Primary", "blue-dr Failover"}},
		{"primary unreachable", withFailover, "green blue-dr", []string{"blue-dr Failover", "blue Primary"}},
		{"failover unreachable", withFailover, "blue green", []string{"blue Primary", "blue-dr Failover"}},
		{"both unreachable", withFailover, "green", []string{"blue Primary", "blue-dr Failover"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			route := &routetable.Route{Backends: append(slices.Clone(others), tc.primary)}
			reachable := strings.Fields(tc.reachable)
			var got []string
			for _, c := range Decide(route, Request{Reachable: func(b *routetable.Backend) bool { return slices.Contains(reachable, b.Name) }}) {
				got = append(got, c.Backend.Name+" "+string(c.Rung))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("choices are %v, want %v", got, tc.want)
			}
		})
	}
}
