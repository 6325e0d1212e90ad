// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// origin_test.go: the client as the next server gets it, and loops.

import (
	"net/netip"
	"strings"
	"testing"
)

func TestOriginOf(t *testing.T) {
	sent := []string{
		"X-Forwarded-For: 203.0.113.7, 10.1.1.1", "x-forwarded-for:10.2.2.2", "X-Forwarded-Proto: https", "X-Forwarded-Host: front.example",
		"Forwarded: for=203.0.113.7", "forwarded: for=\"[2001:db8::1]\";proto=https",
	}
	for name, tc := range map[string]struct {
		peer, scheme string
		trusted      bool
		sent         []string
		want         string
	}{
		"IPv4":         {"192.0.2.1", "http", false, nil, `192.0.2.1 auth.acme.com http for=192.0.2.1;host="auth.acme.com";proto=http`},
		"IPv6":         {"2001:db8::2", "https", false, nil, `2001:db8::2 auth.acme.com https for="[2001:db8::2]";host="auth.acme.com";proto=https`},
		"IPv4 in IPv6": {"::ffff:192.0.2.1", "http", false, nil, `192.0.2.1 auth.acme.com http for=192.0.2.1;host="auth.acme.com";proto=http`},
		"zone":         {"fe80::1%eth0", "http", false, nil, `fe80::1 auth.acme.com http for="[fe80::1]";host="auth.acme.com";proto=http`},
		"no peer":      {"", "http", false, nil, `unknown auth.acme.com http for=unknown;host="auth.acme.com";proto=http`},
		"untrusted":    {"192.0.2.1", "http", false, sent, `192.0.2.1 auth.acme.com http for=192.0.2.1;host="auth.acme.com";proto=http`},
		"trusted":      {"192.0.2.1", "http", true, nil, `192.0.2.1 auth.acme.com http for=192.0.2.1;host="auth.acme.com";proto=http`},
		"trusted, says": {"192.0.2.1", "http", true, sent, `203.0.113.7, 10.1.1.1, 10.2.2.2, 192.0.2.1 front.example https ` +
			`for=203.0.113.7, for="[2001:db8::1]";proto=https, for=192.0.2.1;host="auth.acme.com";proto=https`},
		"trusted, empty": {
			"192.0.2.1", "https", true,
			[]string{"X-Forwarded-For:", "X-Forwarded-Proto: ", "X-Forwarded-Host:\t", "Forwarded:"},
			`192.0.2.1 auth.acme.com https for=192.0.2.1;host="auth.acme.com";proto=https`,
		},
		"two hosts": {
			"192.0.2.1", "http", true,
			[]string{"X-Forwarded-Host: a.example", "X-Forwarded-Host: b.example"},
			`192.0.2.1 a.example, b.example http for=192.0.2.1;host="auth.acme.com";proto=http`,
		},
		"underscores": {
			"192.0.2.1", "http", true,
			[]string{"X_Forwarded_For: 1.1.1.1", "X_Forwarded_Proto: https", "X-Forwarded_Host: x"},
			`192.0.2.1 auth.acme.com http for=192.0.2.1;host="auth.acme.com";proto=http`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := netip.ParseAddr(tc.peer)
			r := requestOf(tc.sent...)
			o := OriginOf(r, addr, tc.trusted, tc.scheme, r.Host)
			if got := strings.Join([]string{o.For, o.Host, o.Proto, o.forwarded}, " "); got != tc.want || o.Trusted != tc.trusted {
				t.Errorf("origin is\n%s, want\n%s", got, tc.want)
			}
			lines := strings.Join(o.appendOwn(nil), "|")
			if want := "X-Forwarded-For: " + o.For + "|X-Forwarded-Host: " + o.Host + "|X-Forwarded-Proto: " + o.Proto + "|Forwarded: " + o.forwarded; lines != want {
				t.Errorf("lines are %s, want %s", lines, want)
			}
		})
	}
}

// W2: the first proxy of a chain saw the client's scheme. It is read in any case,
// in one line or in several.
func TestW2_FirstSchemeOfATrustedPeer(t *testing.T) {
	for _, tc := range []struct {
		sent []string
		want string
	}{
		{[]string{"https"}, "https"},
		{[]string{"HTTPS"}, "https"},
		{[]string{"https,http"}, "https"},
		{[]string{"Https , http"}, "https"},
		{[]string{"http,https"}, "http"},
		{[]string{"https", "http"}, "https"},
		{[]string{"http", "https"}, "http"},
		{[]string{"", "https"}, "https"},
		// No scheme that the proxy can mean: what it knows itself.
		{[]string{"wss"}, "known"},
		{[]string{"wss", "https"}, "known"},
		{[]string{"https ftp"}, "known"},
		{[]string{",https"}, "known"},
		{[]string{"https\xa0"}, "known"},
		{[]string{""}, "known"},
		{nil, "known"},
	} {
		var lines []string
		for _, value := range tc.sent {
			lines = append(lines, "x-forwarded-proto:"+value)
		}
		if o := OriginOf(requestOf(lines...), peer, true, "known", ""); o.Proto != tc.want || !strings.HasSuffix(o.forwarded, ";proto="+tc.want) {
			t.Errorf("%q becomes %s and %s, want %s", tc.sent, o.Proto, o.forwarded, tc.want)
		}
		if o := OriginOf(requestOf(lines...), peer, false, "known", ""); o.Proto != "known" {
			t.Errorf("%q of any peer becomes %s", tc.sent, o.Proto)
		}
	}
}

func TestViaOf(t *testing.T) {
	self := Pseudonym("ns", "edge")
	if self != "edge.ns.callbackproxy" {
		t.Fatalf("pseudonym is %s", self)
	}
	others := func(n int) string { return strings.Repeat("1.1 a.b.callbackproxy, ", n) }
	for name, tc := range map[string]struct {
		sent []string
		want string // "": the request is a loop
	}{
		"none":               {nil, "1.1 " + self},
		"empty":              {[]string{"", ",,"}, "1.1 " + self},
		"another fleet":      {[]string{"1.1 other.ns.callbackproxy"}, "1.1 other.ns.callbackproxy, 1.1 " + self},
		"not ours":           {[]string{"1.1 cdn.example (secret), 1.1 other.ns.callbackproxy", "2 x"}, "1.1 other.ns.callbackproxy, 1.1 " + self},
		"order":              {[]string{"1.0 a.b.callbackproxy", "1.1 c.d.callbackproxy (x)"}, "1.1 a.b.callbackproxy, 1.1 c.d.callbackproxy, 1.1 " + self},
		"no name":            {[]string{"1.1", "1.1 .", self}, "1.1 " + self},
		"bad bytes":          {[]string{"1.1 A.ns.callbackproxy, 1.1 a\"b.callbackproxy,1.1 \xe9.callbackproxy"}, "1.1 " + self},
		"too long":           {[]string{"1.1 " + strings.Repeat("a", 300) + ".callbackproxy"}, "1.1 " + self},
		"end of another":     {[]string{"1.1 x" + self}, "1.1 x" + self + ", 1.1 " + self},
		"eight":              {[]string{others(8)}, others(8) + "1.1 " + self},
		"nine":               {[]string{others(9)}, ""},
		"nine in lines":      {[]string{others(5), others(4)}, ""},
		"itself":             {[]string{"1.1 " + self}, ""},
		"itself, commented":  {[]string{"1.0 a, 1.1 " + self + " (x)"}, ""},
		"itself, last":       {[]string{"1.1 other.ns.callbackproxy,1.1\t" + self}, ""},
		"itself, other line": {[]string{"1.1 cdn", "HTTP/1.1 " + self}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, value := range tc.sent {
				lines = append(lines, "vIa: "+value)
			}
			got, ok := ViaOf(requestOf(lines...), self)
			if got != tc.want || ok != (tc.want != "") {
				t.Errorf("Via is %q %t, want %q", got, ok, tc.want)
			}
		})
	}
}
