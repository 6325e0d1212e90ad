// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"encoding/json"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// A config of any bytes, with hashes that fit, is refused, or it is the encoding of
// the valid table that it decodes to.
func FuzzDecode(f *testing.F) {
	encoded := mustEncode(f, withHolds(plainTable(2), 1), DefaultShardBytes)
	f.Add(encoded.Shards[0].Data)
	for _, tc := range invalidRoutes {
		route := plainRoute(1)
		tc.change(&route)
		if data, err := json.Marshal(shard{Format: format, Routes: []Route{route}}); err == nil {
			f.Add(string(data))
		}
	}
	f.Add(`{"format":2,"routes":[{}]}`)
	f.Add(`{"format":2,"routes":null}`)
	f.Add(`{"format":2,"holds":[{}]}`)
	f.Fuzz(func(t *testing.T, data string) {
		hash := HashOf(data)
		for counts := range 6 { // up to two routes and one hold
			ix, err := marshal(index{Format: format, Settings: Settings{ListenerPort: 1}, Routes: counts % 3, Holds: counts / 3, Shards: []string{hash}})
			if err != nil {
				t.Fatal(err)
			}
			table, err := Decode(Payload{Hash: HashOf(string(ix)), Data: string(ix)}, store{hash: data}.lookup)
			if err != nil {
				if table != nil {
					t.Fatal("an error and a table")
				}
				continue
			}
			if err := table.Validate(); err != nil {
				t.Fatalf("adopted an invalid table: %v", err)
			}
			if err := judgeJSON([]byte(data)); err != nil {
				t.Fatalf("adopted %v", err)
			}
			again := mustEncode(t, table, maxPayloadBytes)
			if back, err := Decode(again.Index, storeOf(again).lookup); err != nil || !reflect.DeepEqual(back, table) {
				t.Fatalf("the adopted table has another encoding: %v", err)
			}
		}
	})
}

func FuzzDecodeIndex(f *testing.F) {
	encoded := mustEncode(f, plainTable(2), DefaultShardBytes)
	f.Add(encoded.Index.Data)
	f.Add(`{"format":2,"settings":{"listenerPort":1},"routes":0,"shards":[]}`)
	f.Add(`{"format":1,"settings":{"listenerPort":1},"routes":0,"shards":[]}`)
	shards := storeOf(encoded)
	f.Fuzz(func(t *testing.T, data string) {
		payload := Payload{Hash: HashOf(data), Data: data}
		table, err := Decode(payload, shards.lookup)
		if err == nil && (table.Validate() != nil || judgeJSON([]byte(data)) != nil) {
			t.Fatalf("adopted %q", data)
		}
		if hashes, err := ShardHashes(payload); err == nil && len(hashes) > 0 && !strings.Contains(data, hashes[0]) {
			t.Fatalf("hashes %q are not in %q", hashes, data)
		}
	})
}

// B2: the matcher and the naive one agree on any request.
func FuzzMatch(f *testing.F) {
	table := randomTable(rand.New(rand.NewPCG(3, 3)), 120)
	table.Routes = append(table.Routes, plainRoute(1000))
	table.Holds = append(table.Holds, plainHold(1000))
	matcher := NewMatcher(table)
	random := rand.New(rand.NewPCG(4, 4))
	for range 50 {
		host, path, query := randomRequest(random, table)
		f.Add(host, path, query)
	}
	f.Fuzz(func(t *testing.T, host, path, query string) {
		got, _ := matcher.Match(host, path, query)
		if want := naiveMatch(table, host, path, query); got != want {
			t.Fatalf("Match(%q, %q, %q) = %s, want %s", host, path, query, describe(got), describe(want))
		}
	})
}

func FuzzCanonicalHost(f *testing.F) {
	for _, host := range []string{"a.example", "A.EXAMPLE.:80", "[::1]:80", "127.0.0.1", "b\u00fccher.de", "a..b", "-a", strings.Repeat("a", 64)} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		host, ok := CanonicalHost(raw)
		if !ok {
			return
		}
		if naiveHost(raw) != host {
			t.Fatalf("CanonicalHost(%q) = %q, another host", raw, host)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			t.Fatalf("CanonicalHost(%q) = %q, an address", raw, host)
		}
		if strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" || len(host) > 253 {
			t.Fatalf("CanonicalHost(%q) = %q", raw, host)
		}
	})
}

// A valid path or info URL may stand in a request line, a header and a page.
func FuzzRouteTexts(f *testing.F) {
	f.Add("/oauth2/callback", "https://wiki.example/x", "a.b.svc:80")
	f.Add("/a\r\nX: y", "https://a/\"><script>", "a\r\n")
	f.Add("/a/..", "javascript:alert(1)", "[::1]")
	f.Fuzz(func(t *testing.T, path, infoURL, host string) {
		route := plainRoute(1)
		route.Callbacks[0].Path, route.InfoURL, route.Backends[1].Host = path, infoURL, host
		if route.Validate() != nil {
			return
		}
		// An Exact path may be spelled in any way that a request line can carry.
		if strings.ContainsAny(path, "?#") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || path[0] != '/' {
			t.Fatalf("valid with path %q", path)
		}
		for _, text := range []string{infoURL, host} {
			if strings.ContainsAny(text, "\r\n\x00 \t\"'<>\\`{}|^") || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
				t.Fatalf("valid with %q", text)
			}
		}
		becomePrefix(&route, path)
		if route.Validate() == nil && (strings.ContainsAny(path, "%;?#") || strings.Contains(path+"/", "/../") || strings.Contains(path+"/", "/./") || strings.Contains(path, "//")) {
			t.Fatalf("valid with Prefix path %q", path)
		}
	})
}

// An address that passes is none of the forbidden kinds, and neither is the
// IPv4 address in it.
func FuzzCheckAddress(f *testing.F) {
	for _, v4 := range forbiddenIPv4 {
		for _, spelling := range spellingsOf(v4) {
			f.Add(netip.MustParseAddr(spelling).AsSlice())
		}
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		addr, ok := netip.AddrFromSlice(bytes)
		if !ok || CheckAddress(addr) != nil {
			return
		}
		judged := []netip.Addr{addr.Unmap()}
		if inner, found := Embedded(addr); found {
			judged = append(judged, inner)
		}
		for _, a := range judged {
			if a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsMulticast() || a.IsUnspecified() ||
				a.IsInterfaceLocalMulticast() {
				t.Fatalf("CheckAddress(%s) allows it", addr)
			}
		}
	})
}
