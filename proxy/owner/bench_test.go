// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

import (
	"fmt"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var greenCookies = routetable.CookieMatch{NamePrefix: "g_"}

// BenchmarkDecide measures a ladder of which the last rule matches, with 10 and
// 10,000 connections.
func BenchmarkDecide(b *testing.B) {
	for _, connections := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("connections=%d", connections), func(b *testing.B) {
			values := make([]string, connections)
			for i := range values {
				values[i] = fmt.Sprintf("tenant-%05d", i)
			}
			route := &routetable.Route{
				Backends: []routetable.Backend{{Name: "blue", Weight: 1}, {Name: "green"}},
				Ownership: &routetable.Ownership{
					Rules: []routetable.OwnershipRule{
						{Type: routetable.RuleCookie, Backend: "green", Cookie: &greenCookies},
						{Type: routetable.RuleState, Backend: "green", State: &routetable.StateMatch{Source: routetable.SourceState, Prefix: "g~"}},
						{Type: routetable.RuleIssuer, Backend: "green", Value: "https://new.idp.example"},
						{Type: routetable.RuleConnection, Connection: &routetable.ConnectionMap{
							Parameter: "connection", Backends: []routetable.ConnectionBackend{{Name: "green", Values: values}},
						}},
					},
					Unowned: routetable.Unowned{Type: routetable.UnownedBackend, Backend: "blue"},
				},
			}
			parameters := form("code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj&iss=https%3A%2F%2Fold.idp.example&connection=" + values[connections/3])
			cookies := []string{"session=31d4d96e407aad42; theme=dark; consent=1; blue_oidc_af0=1"}
			b.ReportAllocs()
			for b.Loop() {
				d := Decide(route, &Request{IsResponse: true, Cookies: cookies, Parameters: parameters})
				if d.Rung != Rung(routetable.RuleConnection) {
					b.Fatal(d.Rung)
				}
			}
		})
	}
}
