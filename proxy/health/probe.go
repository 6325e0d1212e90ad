// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

// probe.go: the probes that a table defines.

import (
	"iter"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// probe is how a target is probed: by its health check, or for one callback.
type probe struct {
	address string
	check   routetable.HealthCheck
	// path is nil for a health check.
	path *pathProbe
}

// pathProbe is the request for a callback's path.
type pathProbe struct {
	protocol routetable.Protocol
	path     string
	query    routetable.Query // that distinguishes the callback
	host     string           // that the backend gets
	external string           // on which the callback is registered
	scheme   string           // with which it is
}

// kind names the probe in metrics.
func (p *probe) kind() string {
	if p.path != nil {
		return "pathProbe"
	}
	return "check"
}

// every is the interval between two probes.
func (p *probe) every() time.Duration {
	if p.path != nil {
		return pathInterval
	}
	return time.Duration(p.check.IntervalSeconds) * time.Second
}

// probesOf yields the targets of a table by ID, each with a function that makes
// its probe: it returns nil for an address without a check. An ID may come
// several times. Backends of closed routes are left alone.
func probesOf(table *routetable.Table, isClosed func(*routetable.Route) bool) iter.Seq2[string, func() *probe] {
	return func(yield func(string, func() *probe) bool) {
		for i := range table.Routes {
			if r := &table.Routes[i]; !isClosed(r) && !probesOfRoute(r, table.Settings.Forwarding.Scheme(), yield) {
				return
			}
		}
	}
}

func probesOfRoute(r *routetable.Route, scheme string, yield func(string, func() *probe) bool) bool {
	for i := range r.Backends {
		b := &r.Backends[i]
		for _, address := range b.Addresses {
			if !probesOfAddress(address, scheme, r, b, yield) {
				return false
			}
		}
	}
	return true
}

func probesOfAddress(address, scheme string, r *routetable.Route, b *routetable.Backend, yield func(string, func() *probe) bool) bool {
	check := func() *probe {
		if b.Check == nil {
			return nil
		}
		return &probe{address: address, check: *b.Check}
	}
	if !yield(routetable.TargetID(address, b.Check), check) {
		return false
	}
	for i := range r.Callbacks {
		c := &r.Callbacks[i]
		if c.PathProbe && !yield(routetable.PathProbeID(address, scheme, r, c, b), func() *probe { return newPathProbe(address, scheme, r, c, b) }) {
			return false
		}
	}
	return true
}

func newPathProbe(address, scheme string, r *routetable.Route, c *routetable.Callback, b *routetable.Backend) *probe {
	p := &pathProbe{protocol: r.Protocol, path: c.Path, query: c.Query, host: r.Hostnames[0], external: r.Hostnames[0], scheme: scheme}
	if path := b.PathOf(c.Name); path != "" {
		p.path = path
	}
	if b.Host != "" {
		p.host = b.Host
	}
	return &probe{address: address, path: p}
}
