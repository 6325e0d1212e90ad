// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// finding is what a look at a target found, and what is thought of the target
// after it: a state together with its reason.
type finding uint8

const (
	unmeasured finding = iota // nothing is known
	healthy
	unreachable   // no connection
	noAnswer      // a connection, and no HTTP answer
	badStatus     // a status that no healthy backend answers a check with
	pathNotServed // a status that says so
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

// target is an address that is looked at in one way, or, without an ask, only
// known from what was dialled. All but id and ask, which never change, and the
// atomic fields belongs to Checker.mu.
//
//	              1 success                  healthyThreshold successes
//	Unmeasured -----------------> Healthy <------------------------------+
//	     |                           |                                   |
//	     | unhealthyThreshold        | unhealthyThreshold failures of    |
//	     | failures in a row         | checks, or of dials, in a row     |
//	     +---------------------------+-----------------------------> Unhealthy
//
// Without an ask the only way is Unmeasured -> Unhealthy and, when something
// was reached or the time is over, back.
type target struct {
	id  string
	ask *ask
	// rests: every route that leads there is closed, so there is no ask either.
	rests bool
	// due is when it is looked at next, or when what is known of it is too old,
	// on the Checker's clock; queued is its place in its lane's queue plus 1, 0
	// for none.
	due    time.Duration
	queued int32
	lane   uint8

	found finding
	gone  bool // no table names it any more
	// fails and passes count checks in a row. They wrap around where nobody
	// asks any more: after the thresholds, which are 10 at most.
	fails, passes uint8

	// change is the number of its last change, 0 for none.
	change uint64

	// dialFails counts dials in a row that failed.
	dialFails atomic.Uint32
	// unhealthy says the same as found.
	unhealthy atomic.Bool
	// retry is when a callback may try an unhealthy target without an ask, as a
	// time.Duration on the Checker's clock.
	retry atomic.Int64
}

// learn returns what is thought of the target after a look at it.
func (t *target) learn(f finding) finding {
	if t.ask.preflight != nil {
		return f
	}
	if f == unmeasured {
		return t.found
	}
	if f == healthy {
		t.fails = 0
		t.passes++
		t.dialFails.Store(0)
		if t.found.isUnhealthy() && int32(t.passes) < t.ask.check.HealthyThreshold {
			return t.found
		}
		return healthy
	}
	t.passes = 0
	t.fails++
	if !t.found.isUnhealthy() && int32(t.fails) < t.ask.check.UnhealthyThreshold {
		return t.found
	}
	return f
}

// dialLimit is how many dials in a row must fail.
func (t *target) dialLimit() uint32 {
	if t.ask == nil {
		return passiveThreshold
	}
	return uint32(t.ask.check.UnhealthyThreshold) // #nosec G115 -- Validate allows 1 to 10
}

// interval is the time to the next look, without jitter. As long as nothing is
// known, looks follow faster, so that a verdict does not take several
// intervals.
func (t *target) interval() time.Duration {
	switch {
	case t.ask.preflight != nil && t.found == healthy:
		return preflightInterval
	case t.ask.preflight != nil:
		return preflightAgain
	case t.found == unmeasured:
		return min(t.ask.every(), hurry)
	}
	return t.ask.every()
}
