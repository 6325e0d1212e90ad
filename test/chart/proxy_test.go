// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

// proxy_test.go: the settings that a release passes on to its CallbackProxy.

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

func TestProxy_PassesSettingsOn(t *testing.T) {
	for name, tc := range map[string]struct{ values, want string }{
		"defaults": {"", `{listener: {port: 8080}, forwarding: {externalScheme: https, hostFrom: Host, trustedProxies: [10.0.0.0/8]}}`},
		"all": {`
  listener: {port: 9000, healthPath: /healthz, proxyProtocol: Required}
  limits: {headerKiB: 128, targetKiB: 256, bodyKiB: 16384, connections: 100000, inFlightPerRoute: 10000}
  pages: {product: Acme Login, supportURL: "mailto:help@acme.test"}
  forwarding: {externalScheme: http, hostFrom: XForwardedHost}`, `{
  pages: {product: Acme Login, supportURL: "mailto:help@acme.test"},
  listener: {port: 9000, healthPath: /healthz, proxyProtocol: Required},
  limits: {headerKiB: 128, targetKiB: 256, bodyKiB: 16384, connections: 100000, inFlightPerRoute: 10000},
  forwarding: {externalScheme: http, hostFrom: XForwardedHost}}`},
		"one limit, and values of an older release": {`
  limits: {bodyKiB: 1}
  pages: null
  forwarding: {externalScheme: null, hostFrom: null}`, `{listener: {port: 8080}, limits: {bodyKiB: 1}}`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			values := "proxy:\n  enabled: true\n  hosts: [{hostname: sso.acme.test}]" + tc.values
			if tc.values == "" {
				values += "\n  forwarding: {trustedProxies: [10.0.0.0/8]}"
			}
			objects := ofKind(render(t, values, rendering.CallbackProxy), "CallbackProxy")
			g.Expect(objects).To(HaveLen(1))
			spec := objects[0].Object["spec"].(map[string]any)
			for _, other := range []string{"mode", "hosts"} {
				delete(spec, other)
			}
			want := parse(t, tc.want)
			delete(want, "image") // parse adds it
			g.Expect(spec).To(BeComparableTo(want))
		})
	}
}
