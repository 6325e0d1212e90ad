// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// timed is a rig whose second source of time was observed: the clock is right.
// Its route ends two days after the begin.
func timed(t *testing.T) (r *rig, end time.Time) {
	t.Helper()
	r = newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	end = begin.AddDate(0, 0, 2)
	r.serve(ending(end, nil))
	r.clockJudge.Observe(begin)
	return r, end
}

func (r *rig) expect(what string, status int) {
	r.t.Helper()
	if got := r.get("/cb?code=1").status; got != status {
		r.t.Errorf("%s: %d, want %d", what, got, status)
	}
}

// suspicion returns the metric, which the report agrees with.
func (r *rig) suspicion() string {
	r.t.Helper()
	got := counted(r.t, r.metrics, "callbackproxy_clock_suspect")
	if reported := r.newReport("").ClockSuspect; reported != (got == "1") {
		r.t.Errorf("clock suspect is %s and reported as %v", got, reported)
	}
	return got
}

func (r *rig) expectSuspect() {
	r.t.Helper()
	if got := r.suspicion(); got != "1" {
		r.t.Errorf("clock suspect is %s", got)
	}
}

func (r *rig) expectTrusted() {
	r.t.Helper()
	if got := r.suspicion(); got != "0" {
		r.t.Errorf("clock suspect is %s", got)
	}
}

// F44: a jump of the wall clock, of an hour or ten years, closes nothing early
// unless the second source agrees.
func TestF44_JumpForwardClosesNothingEarly(t *testing.T) {
	for _, jump := range []time.Duration{48 * time.Hour, 49 * time.Hour, 10 * 365 * 24 * time.Hour} {
		r, _ := timed(t)
		r.clock.Jump(begin.Add(jump))
		r.expect("after the jump", 200)
		r.expectSuspect()
		r.clockJudge.Observe(begin)
		r.expect("second source keeps to the held time", 200)
		r.clock.Jump(begin)
		r.expectTrusted()
		r.clock.Jump(begin.Add(jump))
		r.clockJudge.Observe(begin.Add(jump))
		r.expect("second source agrees", 410)
		r.expectTrusted()
	}
}

// F44: within the tolerance the wall clock is followed; the error is an hour at
// most.
func TestF44_AnHourIsFollowed(t *testing.T) {
	r, end := timed(t)
	r.clock.Set(end.Add(-time.Hour))
	r.clock.Jump(end.Add(-1))
	r.expect("an hour ahead, not yet there", 200)
	r.clock.Jump(end)
	r.expect("an hour ahead, there", 410)
	r.expectTrusted()

	r, end = timed(t)
	r.clock.Set(end.Add(-time.Hour - 1))
	r.clock.Jump(end)
	r.expect("more than an hour ahead", 200)
	r.expectSuspect()
	r.clock.Set(end.Add(time.Hour + 1)) // the held time reaches the sunset
	r.expect("held time is there", 410)
}

// F44: a wall clock that is set back keeps no route open.
func TestF44_JumpBackKeepsNothingOpen(t *testing.T) {
	for _, jump := range []time.Duration{-2 * time.Hour, -10 * 365 * 24 * time.Hour} {
		r, end := timed(t)
		r.clock.Jump(begin.Add(jump))
		r.expectSuspect()
		r.expect("before the sunset", 200)
		r.clock.Set(end.Add(jump - 1))
		r.expect("just before", 200)
		r.clock.Set(end.Add(jump))
		r.expect("at the sunset", 410)
	}
}

// F44: a closed route stays closed, however far any clock goes back; another
// generation, or a hold, opens it.
func TestF44_NeverReopens(t *testing.T) {
	for _, back := range []time.Duration{time.Millisecond, time.Hour, 2 * time.Hour, 10 * 365 * 24 * time.Hour} {
		r, end := timed(t)
		r.clock.Set(end)
		r.clockJudge.Observe(end)
		r.expect("at the sunset", 410)
		r.clock.Jump(end.Add(-back))
		r.expect("clock set back", 410)
		r.clockJudge.Observe(end.Add(-back))
		r.expect("second source agrees", 410)
		r.serve(ending(end, nil), newRoute(func(r *routetable.Route) { r.UID, r.Name, r.Callbacks[0].Path = "uid2", "other", "/other" }))
		r.expect("another config", 410)
		r.serve(ending(end, func(r *routetable.Route) { r.HeldUntil = end.Add(time.Hour) }))
		r.expect("held", 200)
		r.serve(ending(end.Add(time.Hour), func(r *routetable.Route) { r.Generation = 2 }))
		r.expect("later sunset", 200)
	}
}

// F44: a hold that ended and is taken back, or cut short, opens nothing when
// the clock has gone back meanwhile; a longer one does.
func TestF44_EndedHoldOpensNothing(t *testing.T) {
	const hold = 24 * time.Hour
	held := func(end time.Time, d time.Duration) routetable.Route {
		return ending(end, func(r *routetable.Route) { r.HeldUntil = end.Add(d) })
	}
	for name, next := range map[string]func(end time.Time) routetable.Route{
		"taken back": func(end time.Time) routetable.Route { return ending(end, nil) },
		"cut short":  func(end time.Time) routetable.Route { return held(end, hold-time.Second) },
	} {
		r, end := timed(t)
		r.serve(held(end, hold))
		r.clock.Set(end.Add(hold - 1))
		r.expect("held", 200)
		r.clock.Set(end.Add(hold))
		r.expect("at the end of the hold", 410)
		back := end.Add(-time.Minute)
		r.clock.Jump(back)
		r.clockJudge.Observe(back)
		r.expect("clock set back", 410)
		r.serve(next(end))
		r.expect(name, 410)
		r.serve(held(end, hold))
		r.expect("the same again", 410)
		r.serve(held(end, hold+time.Second))
		r.expect("a longer one", 200)
	}
}

// F44: skew between the controller's, the API server's and the proxy's clock
// makes no clock suspect: each proxy closes by its own.
func TestF44_Skew(t *testing.T) {
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		r, end := timed(t)
		r.clockJudge.Observe(begin.Add(skew))
		r.expectTrusted()
		r.clock.Set(end.Add(-time.Nanosecond))
		r.clockJudge.Observe(end.Add(skew))
		r.expect("just before", 200)
		r.clock.Set(end)
		r.expect("at the sunset", 410)
	}
}

// F44: a start with a wrong clock decides by it until the second source is
// observed; a route that was closed until then is judged anew.
func TestF44_StartWithAWrongClock(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	r.serve(ending(begin, nil))
	r.expect("ahead", 410)
	r.clockJudge.Observe(begin.AddDate(-1, 0, 0))
	r.expect("second source observed", 200)
	r.expectSuspect()
	r.clockJudge.Observe(begin)
	r.expect("its next date", 410)
	r.clock.Jump(begin.AddDate(-1, 0, 0))
	r.clockJudge.Observe(begin.AddDate(-1, 0, 0))
	r.expect("it happens once", 410)
}

// T16: the begin of a leadership bounds the time while there is no second source,
// and an epoch that is no time does not.
func TestT16_StartBeforeTheConfigWasMade(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	end := begin.AddDate(0, 0, 2)
	r.version.Epoch = end.Unix()
	r.serve(ending(end, nil))
	r.expect("made after the sunset", 410)
	r.expectSuspect()

	r = newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	r.version.Epoch = 253402300799 + 1
	r.serve(ending(end, nil))
	r.expect("no time", 200)
}

// F45: on a real server with the system's own clock, a request that is in
// flight at the sunset finishes, one that comes a millisecond after it gets
// 410, and none before does.
func TestF45_SystemClock(t *testing.T) {
	r := newRig(t)
	r.clock.Follow()
	finish := make(chan struct{})
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, request string) {
		if strings.Contains(request, "slow") {
			<-finish
		}
		ok("fine")(conn, request)
	}))
	end := time.Now().UTC().Truncate(time.Second).Add(2 * time.Second)
	r.serve(ending(end, nil))
	inFlight := make(chan response, 1)
	go func() { inFlight <- r.get("/cb?code=slow") }()

	before, after := 0, 0
	for after < 100 {
		sent := time.Now()
		got := r.get("/cb?code=1")
		switch answered := time.Now(); {
		case answered.Before(end):
			before++
			if got.status != 200 {
				t.Fatalf("%s before the sunset: %d", end.Sub(sent), got.status)
			}
		case sent.After(end.Add(time.Millisecond)):
			after++
			if got.status != 410 {
				t.Fatalf("%s after the sunset: %d", sent.Sub(end), got.status)
			}
		}
	}
	close(finish)
	if got := <-inFlight; got.status != 200 || got.body != "fine" {
		t.Errorf("in flight: %d %q", got.status, got.body)
	}
	t.Logf("%d before, %d after", before, after)
}
