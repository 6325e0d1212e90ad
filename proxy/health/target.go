// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

// target.go: the state of one target.

import (
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// finding is the result of a probe, and the state of a target after it: a state
// together with its reason.
type finding uint8

const (
	unmeasured finding = iota // no result yet
	healthy
	unreachable   // no connection
	noAnswer      // a connection, and no HTTP response
	badStatus     // a status that is no success of a check
	pathNotServed // a status that means it
)

// reasons are those of unhealthy targets.
var reasons = [...]string{
	unreachable: routetable.TargetUnreachable, noAnswer: routetable.TargetNoAnswer,
	badStatus: routetable.TargetBadStatus, pathNotServed: routetable.TargetPathNotServed,
}

func (f finding) isUnhealthy() bool { return f >= unreachable }

func (f finding) state() routetable.TargetState {
	switch {
	case f.isUnhealthy():
		return routetable.TargetUnhealthy
	case f == healthy:
		return routetable.TargetHealthy
	}
	return routetable.TargetUnmeasured
}

func (f finding) reason() string {
	if f.isUnhealthy() {
		return reasons[f]
	}
	return ""
}

// String names a finding in metrics.
func (f finding) String() string {
	if f.isUnhealthy() {
		return reasons[f]
	}
	return string(f.state())
}

// target is an address that is probed in one way, or, without a probe, only
// observed by the dials of callbacks. All but id and probe, which never change,
// and the atomic fields belongs to Checker.mu.
//
//	              1 success                  healthyThreshold successes
//	Unmeasured -----------------> Healthy <------------------------------+
//	     |                           |                                   |
//	     | unhealthyThreshold        | unhealthyThreshold failures of    |
//	     | failures in a row         | checks, or of dials, in a row     |
//	     +---------------------------+-----------------------------> Unhealthy
//
// Without a probe the only way is Unmeasured -> Unhealthy and, after a dial that
// reached it or when the time is over, back.
type target struct {
	probe *probe
	// entry is its place in the log of changes.
	entry changelog.Entry[*target]

	// timer fires when the target is due: for its next probe, or for the end of a
	// finding that no probe renews. It is nil during a probe. Each schedule has a
	// turn of its own.
	timer *time.Timer
	turn  uint32
	due   time.Duration // on the Checker's clock
	lane  uint8

	found finding
	gone  bool // no table names it any more
	// fails and passes count checks in a row. They wrap around where they are not
	// read any more: after the thresholds, which are 10 at most.
	fails, passes uint8

	// dialFails counts dials in a row that failed.
	dialFails atomic.Uint32
	// unhealthy is the same as found.isUnhealthy().
	unhealthy atomic.Bool
	// retry is when a callback may dial an unhealthy target without a probe, as a
	// time.Duration on the Checker's clock.
	retry atomic.Int64
}

func newTarget(id string, p *probe) *target {
	t := &target{probe: p}
	t.entry.Key, t.entry.Value = id, t
	return t
}

// apply returns the finding of the target after a probe.
func (t *target) apply(f finding) finding {
	if t.probe.path != nil {
		return f
	}
	if f == unmeasured {
		return t.found
	}
	if f == healthy {
		t.fails = 0
		t.passes++
		t.dialFails.Store(0)
		if t.found.isUnhealthy() && int32(t.passes) < t.probe.check.HealthyThreshold {
			return t.found
		}
		return healthy
	}
	t.passes = 0
	t.fails++
	if !t.found.isUnhealthy() && int32(t.fails) < t.probe.check.UnhealthyThreshold {
		return t.found
	}
	return f
}

// dialLimit is how many dials in a row must fail.
func (t *target) dialLimit() uint32 {
	if t.probe == nil {
		return passiveThreshold
	}
	return uint32(t.probe.check.UnhealthyThreshold) // #nosec G115 -- Validate allows 1 to 10
}

// interval is the time to the next probe, without jitter. Until the first finding
// probes follow faster, so that it does not take several intervals.
func (t *target) interval() time.Duration {
	switch {
	case t.probe.path != nil && t.found == healthy:
		return pathInterval
	case t.probe.path != nil:
		return pathRetry
	case t.found == unmeasured:
		return min(t.probe.every(), firstInterval)
	}
	return t.probe.every()
}
