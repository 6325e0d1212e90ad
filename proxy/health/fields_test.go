// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// W1: a probe differs from a callback by its User-Agent and its state alone:
// the scheme, Host and all fields that the proxy adds are those of a callback.
func TestW1_PathProbeHasTheFieldsOfACallback(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		route := &routetable.Route{Hostnames: []string{"auth.acme.com"}, Protocol: routetable.OIDC}
		a := newPathProbe(address, scheme, route, &routetable.Callback{Name: "login", Path: "/cb"}, &routetable.Backend{Host: "idp.svc"})
		got := a.path.plan(address, "edge.edge-system.callbackproxy", "id", time.Now()).Lines
		callback := &http1.Request{Fields: http1.Fields{{Line: "Accept: */*", Name: "Accept", Value: "*/*"}}}
		origin := forwarding.OriginOf(callback, netip.MustParseAddr("10.0.0.9"), false, scheme, "auth.acme.com")
		want, _ := forwarding.AppendCallback([]string{"User-Agent: callbackproxy-probe"}, callback, &origin, "1.1 edge.edge-system.callbackproxy", "id")
		for i := range want {
			want[i] = strings.ReplaceAll(want[i], "10.0.0.9", "unknown")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: fields are\n%s\nwant\n%s", scheme, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// W38: a callback that query parameters tell apart is probed with them.
func TestW38_PathProbe_HasTheQuery(t *testing.T) {
	for protocol, want := range map[routetable.Protocol]string{
		routetable.OIDC: "/ajax?action=a&b=%20&error=temporarily_unavailable&", routetable.SAML: "/ajax?action=a&b=%20",
	} {
		route := &routetable.Route{Hostnames: []string{"auth.acme.com"}, Protocol: protocol}
		callback := &routetable.Callback{Name: "login", Path: "/ajax", Query: "action=a&b=%20"}
		got := newPathProbe(address, "https", route, callback, &routetable.Backend{}).path.plan(address, "edge", "x", time.Now()).Choices[0].Target
		if !strings.HasPrefix(got, want) || protocol == routetable.SAML && got != want {
			t.Errorf("%s: the target is %s", protocol, got)
		}
		plain := *callback
		plain.Query = ""
		if routetable.PathProbeID(address, "https", route, callback, &routetable.Backend{}) == routetable.PathProbeID(address, "https", route, &plain, &routetable.Backend{}) {
			t.Errorf("%s: two callbacks share a probe", protocol)
		}
	}
}
