// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package observe

// This file refuses reports that no proxy makes. Pure.

import (
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

const (
	// maxReasonBytes and maxMessageBytes bound the text of an instance that may
	// reach a status.
	maxReasonBytes  = 64
	maxMessageBytes = 512
	// maxCount leaves room for sums.
	maxCount = 1 << 50
	// maxBackends is how many backends of a route may have got callbacks: twice
	// what a route can have, as a route may just be changing.
	maxBackends = 16
	// maxNameBytes is the longest name of a backend.
	maxNameBytes = 63
)

// validate refuses a report that no proxy makes, and bounds the text in it that
// may reach a status: a compromised instance can only misreport itself.
func validate(r *routetable.Report) error {
	if !isInRange(r) {
		return errors.New("report is out of range")
	}
	if refused := r.Refused; refused != nil {
		if !isHash(refused.Hash) {
			refused.Hash = ""
		}
		// The clones keep nothing of the rest in memory.
		refused.Reason = strings.Clone(compile.Clip(refused.Reason, maxReasonBytes))
		refused.Message = strings.Clone(compile.Clip(refused.Message, maxMessageBytes))
	}
	for i := range r.Targets {
		if err := validateTarget(&r.Targets[i]); err != nil {
			return err
		}
	}
	for i := range r.Routes {
		if !isRouteUse(&r.Routes[i]) {
			return errors.New("report has impossible counts")
		}
	}
	if !isForwardingUse(&r.Forwarding) {
		return errors.New("report has impossible claims of peers")
	}
	return nil
}

func isInRange(r *routetable.Report) bool {
	return r.ListenerPort >= 1 && r.ListenerPort <= 65535 && r.Epoch >= 0 && r.Generation >= 0 && isHash(r.Hash) &&
		r.Boot != "" && len(r.Boot) <= maxReasonBytes && len(r.Cursor) <= 2*maxReasonBytes &&
		len(r.Targets)+len(r.Routes) <= routetable.MaxReportEntries
}

// isHash returns whether a status accepts the hash: empty, or SHA-256 in
// lower-case hexadecimal digits.
func isHash(hash string) bool {
	return hash == "" || len(hash) == 64 && strings.Trim(hash, "0123456789abcdef") == ""
}

func validateTarget(t *routetable.TargetReport) error {
	if t.ID == "" || len(t.ID) > maxReasonBytes {
		return errors.New("report names an impossible target")
	}
	switch t.State {
	case routetable.TargetHealthy, routetable.TargetUnmeasured:
		t.Reason = ""
	case routetable.TargetUnhealthy:
		if _, known := targetReasons[t.Reason]; !known {
			t.Reason = routetable.TargetUnreachable
		}
	default:
		t.State, t.Reason = routetable.TargetUnmeasured, ""
	}
	return nil
}

// targetReasons are the reasons that may appear in a status.
var targetReasons = map[string]struct{}{
	routetable.TargetUnreachable: {}, routetable.TargetNoAnswer: {}, routetable.TargetBadStatus: {}, routetable.TargetPathNotServed: {},
}

func isRouteUse(u *routetable.RouteUse) bool {
	for _, n := range []int64{u.Callbacks, u.AfterSunset, u.Repeats, u.Other, u.Refused} {
		if n < 0 || n > maxCount {
			return false
		}
	}
	for i := range u.Backends {
		if !isBackendUse(&u.Backends[i]) {
			return false
		}
	}
	return len(u.UID) <= maxReasonBytes && len(u.Backends) <= maxBackends && isCallbackTime(u.Last) &&
		isCallbackTime(u.LastLoop) && isCallbackTime(u.LastRefused) && isWord(u.RefusedReason)
}

func isBackendUse(b *routetable.BackendUse) bool {
	for _, f := range b.Failures {
		if !isWord(f.Reason) || f.Reason == "" || f.Time.Unix() < 0 {
			return false
		}
	}
	return b.Name != "" && len(b.Name) <= maxNameBytes && b.Callbacks >= 0 && b.Callbacks <= maxCount && isCallbackTime(b.Last) &&
		isCallbackTime(b.LastSuccess) && b.InRow >= int64(len(b.Failures)) && b.InRow <= maxCount && len(b.Failures) <= routetable.FailingAfter
}

// isForwardingUse also keeps an instance from suggesting a network for trust that
// is not private.
func isForwardingUse(u *routetable.ForwardingUse) bool {
	for _, text := range u.Networks {
		network, err := netip.ParsePrefix(text)
		if err != nil || network.String() != text {
			return false
		}
		if private, is := routetable.PrivateNetwork(network.Addr()); !is || private != network {
			return false
		}
	}
	return u.Callbacks >= 0 && u.Callbacks <= maxCount && u.Claims >= 0 && u.Claims <= u.Callbacks &&
		isCallbackTime(u.LastMost) && len(u.Networks) <= routetable.MaxForwardingNetworks
}

// isWord returns whether a text is one of a proxy's reasons, or empty: letters
// alone, so that it means nothing else in a status.
func isWord(text string) bool {
	return len(text) <= maxReasonBytes &&
		strings.IndexFunc(text, func(r rune) bool { return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z') }) < 0
}

// isCallbackTime returns whether the API can store the time of a callback; the
// zero time means that there was none.
func isCallbackTime(t time.Time) bool { return t.IsZero() || t.Unix() >= 0 }
