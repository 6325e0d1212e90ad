// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// BenchmarkPassThrough compares requests that a sidecar passes with the same
// sent to the application, and passed by a bare httputil.ReverseProxy. Client and application are in the same process and
// the same for both.
func BenchmarkPassThrough(b *testing.B) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "/home")
		w.WriteHeader(http.StatusFound)
	}))
	defer app.Close()
	s := newRig(b)
	s.standBefore(app.Listener.Addr())
	s.serve(newRoute(func(r *routetable.Route) { r.Callbacks[0].Path = "/other" }))
	bare := httptest.NewServer(&httputil.ReverseProxy{
		Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: app.Listener.Addr().String()})
			r.SetXForwarded()
		},
	})
	defer bare.Close()
	cpu := map[string]float64{}
	for _, way := range []struct{ name, address string }{
		{"direct", app.Listener.Addr().String()}, {"reverseproxy", bare.Listener.Addr().String()}, {"passed", s.address},
	} {
		b.Run(way.name, func(b *testing.B) { cpu[way.name] = run(b, way.address) })
	}
	if cpu["direct"] > 0 {
		fmt.Printf("CPU per request, client and application included: %.0f us passed, %.2f times direct, %.2f times a bare ReverseProxy\n",
			cpu["passed"], cpu["passed"]/cpu["direct"], cpu["passed"]/cpu["reverseproxy"])
	}
}
