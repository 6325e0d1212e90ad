// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

// signals.go: what a callback shows beyond itself: of its backend, of its browser
// and of the proxies in front.

import (
	"errors"
	"hash/maphash"
	"strings"
	"syscall"

	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/upstream"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// failureOf returns what a failed attempt says against its backend; nothing when
// this process is the cause.
func failureOf(e *upstream.Error) string {
	switch {
	case e.Ours || e.Reason == upstream.Canceled || e.Reason == upstream.BadRequest:
		return ""
	case e.NotDelivered && e.Detail == syscall.ECONNREFUSED.Error():
		return routetable.FailureRefused
	case e.NotDelivered:
		return routetable.FailureNoConnection
	case e.Timeout:
		return routetable.FailureTimeout
	case e.Reason == upstream.ReadFailed || e.Reason == upstream.WriteFailed:
		return routetable.FailureReset
	}
	return routetable.FailureMalformed
}

// truncationOf returns what a body that broke off says against its backend.
func truncationOf(err error) string {
	if e, is := errors.AsType[*upstream.Error](err); is && e.Reason == upstream.Canceled {
		return ""
	}
	return routetable.FailureTruncated
}

// observeClient notes what a callback shows of the proxies in front, and which
// browser the login is in.
func (x *exchange) observeClient() {
	x.h.usage.Claims.Count(x.arrival.Now, x.c.Peer.Addr(), !x.trusted && forwarding.ClaimsHTTPS(&x.c.Request))
	if x.route.Protocol != routetable.Opaque {
		x.browser = x.browserOf()
	}
}

// browserSeed keys the hashes of browsers, so that they mean nothing elsewhere.
var browserSeed = maphash.MakeSeed()

// browserOf identifies the browser of a request by its address and User-Agent. The
// address is the first one of X-Forwarded-For, from any peer: nothing is decided by
// it, and behind a front that is not trusted all clients would be one. Each browser
// calls itself Mozilla; clients that do not are none.
func (x *exchange) browserOf() usage.Browser {
	agent := x.c.Fields.Get("user-agent")
	if !strings.HasPrefix(agent, "Mozilla/") {
		return usage.Browser{}
	}
	address, _, _ := strings.Cut(x.c.Fields.Get("x-forwarded-for"), ",")
	if address == "" {
		address = x.peer()
	}
	return usage.Browser{Address: hash32(address), Agent: hash32(agent)}
}

// hash32 returns a hash that is not 0, which stands for none.
func hash32(s string) uint32 {
	return max(uint32(maphash.String(browserSeed, s)), 1) //nolint:gosec // the lower half is meant
}
