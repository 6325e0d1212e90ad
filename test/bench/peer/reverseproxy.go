// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// reverseproxy.go: what a few lines of the standard library do.

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// newReverseProxy returns a proxy that keeps Host and sets X-Forwarded-*, as the
// other proxies do.
func newReverseProxy(backend string, keep bool) *http.Server {
	target := &url.URL{Scheme: "http", Host: backend}
	return &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: &httputil.ReverseProxy{
			Transport: &http.Transport{DisableKeepAlives: !keep, DisableCompression: true, MaxIdleConnsPerHost: 256},
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(target)
				r.SetXForwarded()
				r.Out.Host, r.Out.URL.RawQuery = r.In.Host, r.In.URL.RawQuery
			},
		},
	}
}
