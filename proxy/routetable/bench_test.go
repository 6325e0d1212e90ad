// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func BenchmarkMatch(b *testing.B) {
	for _, routes := range []int{1, 100, 10_000, 50_000} {
		b.Run(fmt.Sprint(routes), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 1))
			table := randomTable(random, routes)
			matcher := NewMatcher(table)
			type request struct{ host, path, query string }
			requests := make([]request, 1024)
			for i := range requests {
				requests[i].host, requests[i].path, requests[i].query = randomRequest(random, table)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				r := &requests[i%len(requests)]
				matcher.Match(r.host, r.path, r.query)
			}
		})
	}
}

// The most that one lookup can cost: a path of many segments, as long as the gate
// allows.
func BenchmarkMatch_HostilePath(b *testing.B) {
	table := plainTable(2)
	becomePrefix(&table.Routes[1], "/saml/acs")
	matcher := NewMatcher(table)
	path := strings.Repeat("/a", 8<<10)
	b.ReportAllocs()
	for b.Loop() {
		matcher.Match("h1.example.com", path, "")
	}
}

// The most that a query can cost: as many pairs as a target has room for, on a path
// with as many callbacks as the compiler accepts.
func BenchmarkMatch_HostileQuery(b *testing.B) {
	route := plainRoute(1)
	route.Callbacks = nil
	for i := range 256 {
		route.Callbacks = append(route.Callbacks, Callback{PathType: Exact, Path: "/cb", Query: Query(fmt.Sprintf("action=%d&x%d=y", i, i))})
	}
	matcher := NewMatcher(&Table{Routes: []Route{route}})
	query := strings.Repeat("x1&", 10<<10)
	b.ReportAllocs()
	for b.Loop() {
		matcher.Match("h1.example.com", "/cb", query)
	}
}

func BenchmarkEncode(b *testing.B) {
	table := plainTable(10_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(table, DefaultShardBytes); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	encoded := mustEncode(b, plainTable(10_000), DefaultShardBytes)
	shards := storeOf(encoded)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(encoded.Index, shards.lookup); err != nil {
			b.Fatal(err)
		}
	}
}
