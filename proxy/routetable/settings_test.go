// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// settings_test.go: the settings that a proxy refuses, and those at their edges
// that it accepts.

import (
	"strings"
	"testing"
)

// invalidSettings breaks one rule each.
var invalidSettings = []struct {
	name   string
	change func(*Settings)
	want   string
}{
	{"no port", func(s *Settings) { s.ListenerPort = 0 }, "port 0"},
	{"port that is too large", func(s *Settings) { s.ListenerPort = 65536 }, "port 65536"},
	{"trusted proxy that is an address", func(s *Settings) { s.Forwarding.TrustedProxies = []string{"10.0.0.1"} }, "not a network"},
	{"trusted proxy with host bits", func(s *Settings) { s.Forwarding.TrustedProxies = []string{"10.0.0.1/8"} }, "without host bits"},
	{"trusted proxy in another spelling", func(s *Settings) { s.Forwarding.TrustedProxies = []string{"FD00::/8"} }, "not a network"},
	{"trusted proxy that is nothing", func(s *Settings) { s.Forwarding.TrustedProxies = []string{""} }, "not a network"},
	{"scheme of another protocol", func(s *Settings) { s.Forwarding.ExternalScheme = "ws" }, `external scheme "ws" is neither http nor https`},
	{"scheme in capitals", func(s *Settings) { s.Forwarding.ExternalScheme = "HTTPS" }, `external scheme "HTTPS"`},
	{"scheme with a line", func(s *Settings) { s.Forwarding.ExternalScheme = "http\r\nX: y" }, "external scheme"},
	{"host from an unknown field", func(s *Settings) { s.Forwarding.HostFrom = "Forwarded" }, `hostFrom "Forwarded" is not known`},
	{"host from a field in another spelling", func(s *Settings) { s.Forwarding.HostFrom = "host" }, `hostFrom "host" is not known`},
	{"health path without a slash", func(s *Settings) { s.HealthPath = "healthz" }, "health path: a path begins with /"},
	{"health path with a query", func(s *Settings) { s.HealthPath = "/healthz?a" }, "health path: byte '?' is not allowed"},
	{"health path with a fragment", func(s *Settings) { s.HealthPath = "/healthz#a" }, "health path: byte '#' is not allowed"},
	{"health path with a space", func(s *Settings) { s.HealthPath = "/a b" }, "health path: byte ' ' is not allowed"},
	{"health path with a line", func(s *Settings) { s.HealthPath = "/a\r\nX: y" }, "health path: byte"},
	{"health path that is too long", func(s *Settings) { s.HealthPath = "/" + strings.Repeat("a", maxPathBytes) }, "at most 1024 bytes"},
	{"negative limit of the header", func(s *Settings) { s.Limits.HeaderKiB = -1 }, "limit headerKiB is -1, 1 to 1024 are allowed"},
	{"header without a limit", func(s *Settings) { s.Limits.HeaderKiB = 1025 }, "limit headerKiB is 1025"},
	{"negative limit of the target", func(s *Settings) { s.Limits.TargetKiB = -1 }, "limit targetKiB is -1, 1 to 256 are allowed"},
	{"target without a limit", func(s *Settings) { s.Limits.TargetKiB = 257 }, "limit targetKiB is 257"},
	{"negative limit of the body", func(s *Settings) { s.Limits.BodyKiB = -1 }, "limit bodyKiB is -1, 1 to 16384 are allowed"},
	{"body without a limit", func(s *Settings) { s.Limits.BodyKiB = 16385 }, "limit bodyKiB is 16385"},
	{"negative number of connections", func(s *Settings) { s.Limits.Connections = -1 }, "limit connections is -1, 1 to 100000 are allowed"},
	{"too many connections", func(s *Settings) { s.Limits.Connections = 100_001 }, "limit connections is 100001"},
	{"negative number in flight", func(s *Settings) { s.Limits.InFlightPerRoute = -1 }, "limit inFlightPerRoute is -1, 1 to 10000 are allowed"},
	{"too many in flight", func(s *Settings) { s.Limits.InFlightPerRoute = 10_001 }, "limit inFlightPerRoute is 10001"},
	{"product of two lines", func(s *Settings) { s.Pages.Product = "Acme\nLogin" }, "a product is words"},
	{"product with two spaces", func(s *Settings) { s.Pages.Product = "Acme  Login" }, "a product is words"},
	{"product that begins with a space", func(s *Settings) { s.Pages.Product = " Acme" }, "a product is words"},
	{"product that changes the direction", func(s *Settings) { s.Pages.Product = "Acme\u202elogin" }, "a product is words"},
	{"product with a line of Unicode", func(s *Settings) { s.Pages.Product = "Acme\u2028Login" }, "a product is words"},
	{"product that is no text", func(s *Settings) { s.Pages.Product = "Acme\xff" }, "a product is UTF-8"},
	{"product that is too long", func(s *Settings) { s.Pages.Product = strings.Repeat("ü", 65) }, "at most 64 characters"},
	{"support of a script", func(s *Settings) { s.Pages.SupportURL = "javascript:alert(1)" }, "a support URL begins with https://"},
	{"support without TLS", func(s *Settings) { s.Pages.SupportURL = "http://a" }, "a support URL begins with https://"},
	{"support with a quote", func(s *Settings) { s.Pages.SupportURL = `https://a/"` }, "byte '\"' is not allowed in a support URL"},
	{"support that is too long", func(s *Settings) { s.Pages.SupportURL = "https://a/" + strings.Repeat("a", 503) }, "at most 512 bytes"},
	{"mail without a domain", func(s *Settings) { s.Pages.SupportURL = "mailto:help@" }, "holds one address"},
	{"mail without a name", func(s *Settings) { s.Pages.SupportURL = "mailto:@acme.com" }, "holds one address"},
	{"mail with a copy", func(s *Settings) { s.Pages.SupportURL = "mailto:help@acme.com?cc=a@b" }, "holds one address"},
	{"mail to two", func(s *Settings) { s.Pages.SupportURL = "mailto:a@b,c@d" }, "holds one address"},
	{"mail with a line", func(s *Settings) { s.Pages.SupportURL = "mailto:a@b\r\nX: y" }, "holds one address"},
}

func TestSettings_RefusesEachBrokenRule(t *testing.T) {
	for _, tc := range invalidSettings {
		t.Run(tc.name, func(t *testing.T) {
			table := plainTable(1)
			if err := table.Validate(); err != nil {
				t.Fatalf("before the change: %v", err)
			}
			tc.change(&table.Settings)
			if err := table.Validate(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Validate = %v, want %q in it", err, tc.want)
			}
		})
	}
}

func TestSettings_AcceptsTheEdges(t *testing.T) {
	for name, change := range map[string]func(*Settings){
		"nothing but a port":    func(s *Settings) { *s = Settings{ListenerPort: 65535} },
		"http":                  func(s *Settings) { s.Forwarding.ExternalScheme = "http" },
		"the field Host":        func(s *Settings) { s.Forwarding.HostFrom = FromHost },
		"the root as a health":  func(s *Settings) { s.HealthPath = "/" },
		"escapes in the health": func(s *Settings) { s.HealthPath = "/a%2Fb//c/../;d" },
		"longest health path":   func(s *Settings) { s.HealthPath = "/" + strings.Repeat("a", maxPathBytes-1) },
		"lowest limits": func(s *Settings) {
			s.Limits = Limits{HeaderKiB: 1, TargetKiB: 1, BodyKiB: 1, Connections: 1, InFlightPerRoute: 1}
		},
		"highest limits": func(s *Settings) {
			s.Limits = Limits{HeaderKiB: 1024, TargetKiB: 256, BodyKiB: 16384, Connections: 100_000, InFlightPerRoute: 10_000}
		},
		"longest product":      func(s *Settings) { s.Pages.Product = strings.Repeat("ü", 64) },
		"product with joiners": func(s *Settings) { s.Pages.Product = "می\u200cخواهم \U0001f468\u200d\U0001f469 <b>&\"'" },
		"support page":         func(s *Settings) { s.Pages.SupportURL = "https://help.acme.com/sso?a=1&b=2#c" },
		"support by mail":      func(s *Settings) { s.Pages.SupportURL = "mailto:sso_help+x.y-z@mail.acme-login.com" },
	} {
		t.Run(name, func(t *testing.T) {
			table := plainTable(1)
			change(&table.Settings)
			if err := table.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}
