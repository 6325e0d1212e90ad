// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"iter"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// ask is how a target is looked at.
type ask struct {
	address string
	check   routetable.HealthCheck
	// preflight is nil for a check.
	preflight *preflight
}

// preflight is what a backend's callback path is asked.
type preflight struct {
	protocol routetable.Protocol
	path     string
	host     string // that the backend sees
	external string // on which the callback is registered
}

// kind names the ask in metrics.
func (a *ask) kind() string {
	if a.preflight != nil {
		return "preflight"
	}
	return "check"
}

// every is the interval between two looks.
func (a *ask) every() time.Duration {
	if a.preflight != nil {
		return preflightInterval
	}
	return time.Duration(a.check.IntervalSeconds) * time.Second
}

// asks goes through what a table says is to be looked at, by ID, with a
// function that makes the ask: nil for addresses without a check. The same ID
// may come several times. Those of closed routes come last, and without such a
// function: their backends are to be left alone.
func asks(table *routetable.Table, isClosed func(*routetable.Route) bool) iter.Seq2[string, func() *ask] {
	return func(yield func(string, func() *ask) bool) {
		rests := func(id string, _ func() *ask) bool { return yield(id, nil) }
		var closed []*routetable.Route
		for i := range table.Routes {
			r := &table.Routes[i]
			if isClosed(r) {
				closed = append(closed, r)
			} else if !asksOf(r, yield) {
				return
			}
		}
		for _, r := range closed {
			if !asksOf(r, rests) {
				return
			}
		}
	}
}

func asksOf(r *routetable.Route, yield func(string, func() *ask) bool) bool {
	for i := range r.Backends {
		if !asksOfBackend(r, &r.Backends[i], yield) {
			return false
		}
	}
	return true
}

func asksOfBackend(r *routetable.Route, b *routetable.Backend, yield func(string, func() *ask) bool) bool {
	for _, address := range b.Addresses {
		check := func() *ask {
			if b.Check == nil {
				return nil
			}
			return &ask{address: address, check: *b.Check}
		}
		if !yield(routetable.TargetID(address, b.Check), check) {
			return false
		}
		if !r.Preflight {
			continue
		}
		if !yield(routetable.PreflightID(address, r, b), func() *ask { return preflightOf(address, r, b) }) {
			return false
		}
	}
	return true
}

func preflightOf(address string, r *routetable.Route, b *routetable.Backend) *ask {
	p := &preflight{protocol: r.Protocol, path: r.Path, host: r.Hostnames[0], external: r.Hostnames[0]}
	if b.Path != "" {
		p.path = b.Path
	}
	if b.Host != "" {
		p.host = b.Host
	}
	return &ask{address: address, preflight: p}
}
