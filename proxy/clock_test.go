// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// timed is a rig whose second source of time was heard: the clock is right.
// Its route ends two days after the begin.
func timed(t *testing.T) (r *rig, end time.Time) {
	t.Helper()
	r = newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	end = begin.AddDate(0, 0, 2)
	r.serve(ending(end, nil))
	r.state.clock.Heard(begin)
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
	if told := r.state.Report(1, "", nil).ClockSuspect; told != (got == "1") {
		r.t.Errorf("clock suspect is %s and reported as %v", got, told)
	}
	return got
}

func (r *rig) expectDoubt() {
	r.t.Helper()
	if got := r.suspicion(); got != "1" {
		r.t.Errorf("clock suspect is %s", got)
	}
}

func (r *rig) expectTrust() {
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
		r.expectDoubt()
		r.state.clock.Heard(begin)
		r.expect("second source keeps to the held time", 200)
		r.clock.Jump(begin)
		r.expectTrust()
		r.clock.Jump(begin.Add(jump))
		r.state.clock.Heard(begin.Add(jump))
		r.expect("second source agrees", 410)
		r.expectTrust()
	}
}

// F44: less than the tolerance is the wall clock's own affair; the error is an
// hour at most.
func TestF44_AnHourIsFollowed(t *testing.T) {
	r, end := timed(t)
	r.clock.Set(end.Add(-time.Hour))
	r.clock.Jump(end.Add(-1))
	r.expect("an hour ahead, not yet there", 200)
	r.clock.Jump(end)
	r.expect("an hour ahead, there", 410)
	r.expectTrust()

	r, end = timed(t)
	r.clock.Set(end.Add(-time.Hour - 1))
	r.clock.Jump(end)
	r.expect("more than an hour ahead", 200)
	r.expectDoubt()
	r.clock.Set(end.Add(time.Hour + 1)) // the held time reaches the sunset
	r.expect("held time is there", 410)
}

// F44: a wall clock that is set back keeps no route open.
func TestF44_JumpBackKeepsNothingOpen(t *testing.T) {
	for _, jump := range []time.Duration{-2 * time.Hour, -10 * 365 * 24 * time.Hour} {
		r, end := timed(t)
		r.clock.Jump(begin.Add(jump))
		r.expectDoubt()
		r.expect("before the sunset", 200)
		r.clock.Set(end.Add(jump - 1))
		r.expect("just before", 200)
		r.clock.Set(end.Add(jump))
		r.expect("at the sunset", 410)
	}
}

// F44: what was closed stays closed, however far the clock goes back and
// whoever says so; another generation, or a hold, opens it.
func TestF44_NeverReopens(t *testing.T) {
	for _, back := range []time.Duration{time.Millisecond, time.Hour, 2 * time.Hour, 10 * 365 * 24 * time.Hour} {
		r, end := timed(t)
		r.clock.Set(end)
		r.state.clock.Heard(end)
		r.expect("at the sunset", 410)
		r.clock.Jump(end.Add(-back))
		r.expect("clock set back", 410)
		r.state.clock.Heard(end.Add(-back))
		r.expect("second source agrees", 410)
		r.serve(ending(end, nil), newRoute(func(r *routetable.Route) { r.UID, r.Name, r.Path = "uid2", "other", "/other" }))
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
		r.state.clock.Heard(back)
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
// is no reason for doubt: each proxy closes by its own.
func TestF44_Skew(t *testing.T) {
	for _, skew := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
		r, end := timed(t)
		r.state.clock.Heard(begin.Add(skew))
		r.expectTrust()
		r.clock.Set(end.Add(-time.Nanosecond))
		r.state.clock.Heard(end.Add(skew))
		r.expect("just before", 200)
		r.clock.Set(end)
		r.expect("at the sunset", 410)
	}
}

// F44: a start with a wrong clock decides by it until the second source is
// heard; what was closed till then was never over.
func TestF44_StartWithAWrongClock(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	r.serve(ending(begin, nil))
	r.expect("ahead", 410)
	r.state.clock.Heard(begin.AddDate(-1, 0, 0))
	r.expect("second source heard", 200)
	r.expectDoubt()
	r.state.clock.Heard(begin)
	r.expect("another word of it", 410)
	r.clock.Jump(begin.AddDate(-1, 0, 0))
	r.state.clock.Heard(begin.AddDate(-1, 0, 0))
	r.expect("it happens once", 410)
}

// T16: what a leadership's begin says of the time is kept while nobody else
// says anything, and an epoch that is no time says nothing.
func TestT16_StartBeforeTheConfigWasMade(t *testing.T) {
	r := newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	end := begin.AddDate(0, 0, 2)
	r.version.Epoch = end.Unix()
	r.serve(ending(end, nil))
	r.expect("made after the sunset", 410)
	r.expectDoubt()

	r = newRig(t)
	r.lead(blueAddress, newBackend(t, ok("fine")))
	r.version.Epoch = lastEpoch + 1
	r.serve(ending(end, nil))
	r.expect("no time", 200)
}

func TestF44_SaidOnce(t *testing.T) {
	r, _ := timed(t)
	for range 3 {
		r.clock.Jump(begin.AddDate(1, 0, 0))
		for range 3 {
			r.state.clock.watch()
		}
		r.clock.Jump(begin)
		r.state.clock.watch()
	}
	log := r.log.String()
	if suspect, trusted := strings.Count(log, "clock is suspect"), strings.Count(log, "clock is trusted again"); suspect != 3 || trusted != 3 {
		t.Errorf("said %d and %d times", suspect, trusted)
	}
}

// T16: a route that nobody asks for is closed within a second of its sunset,
// so that it stays closed when the clock is set back before anybody does.
func TestT16_ClosesWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state, key := newTestState()
		begin := time.Now().UTC()
		end := begin.Add(10 * time.Second)
		routes := []routetable.Route{
			newRoute(func(r *routetable.Route) { r.Sunset = end }),
			newRoute(func(r *routetable.Route) {
				r.Sunset, r.HeldUntil, r.UID, r.Name, r.Path = end, end.Add(10*time.Second), "held", "held", "/held"
			}),
			newRoute(func(r *routetable.Route) {
				r.Sunset, r.AfterSunset, r.UID, r.Name, r.Path = end, routetable.Warn, "warn", "warn", "/warn"
			}),
		}
		if refusal := state.Adopt(newOffer(t, v(1, 1), key, routetable.Settings{}, routes...)); refusal != nil {
			t.Fatalf("%+v", refusal)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go state.keepTime(ctx)
		early := sunset.Judgement{Now: begin}
		closed := func() string {
			synctest.Wait()
			var names []string
			table := state.Current().Table
			for i := range table.Routes {
				if route := &table.Routes[i]; state.Current().records[route].latch.isClosed(route, early) {
					names = append(names, route.Name)
				}
			}
			return fmt.Sprint(names)
		}
		for _, tc := range []struct {
			after time.Duration
			want  string
		}{{9 * time.Second, "[]"}, {11 * time.Second, "[acme-sso]"}, {21 * time.Second, "[acme-sso held]"}} {
			time.Sleep(time.Until(begin.Add(tc.after)))
			if got := closed(); got != tc.want {
				t.Errorf("after %s: %s, want %s", tc.after, got, tc.want)
			}
		}
		cancel()
		synctest.Wait()
	})
}

// What closes or opens by the clock alone is told, and told once.
func TestState_TellsOfTurns(t *testing.T) {
	clock := &clock{now: begin}
	state := NewState(slog.New(slog.DiscardHandler), NewMetrics(), clock.Now)
	state.clock.read = clock.reading
	told := []bool{}
	state.OnTurn = func() { told = append(told, state.IsClosed(&state.Current().Table.Routes[0])) }
	other := newRoute(nil)
	if state.IsClosed(&other) {
		t.Error("without a config a route is closed")
	}
	end := begin.AddDate(0, 0, 2)
	warned := newRoute(func(r *routetable.Route) {
		r.Sunset, r.AfterSunset, r.UID, r.Name, r.Path = end, routetable.Warn, "warn", "warn", "/warn"
	})
	if refusal := state.Adopt(newOffer(t, v(1, 1), make([]byte, 32), routetable.Settings{}, ending(end, nil), warned)); refusal != nil {
		t.Fatalf("%+v", refusal)
	}
	wants := func(when string, want ...bool) {
		t.Helper()
		for range 2 {
			state.sweep()
		}
		if !slices.Equal(told, want) {
			t.Errorf("%s: told %v, want %v", when, told, want)
		}
		if other.Sunset = end; state.IsClosed(&other) {
			t.Error("a route that is not served is closed")
		}
	}
	wants("open")
	clock.Set(end)
	wants("sunset", true)
	clock.Jump(begin)
	state.clock.Heard(begin)
	wants("it was a wrong clock", true, false)
	clock.Set(end)
	wants("sunset again", true, false, true)
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
	inFlight := make(chan answer, 1)
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
