// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// T16: a route without requests is closed within a second of its sunset, so that
// it stays closed when the clock is set back before its next request.
func TestT16_ClosesWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, key := newTestStore()
		begin := time.Now().UTC()
		end := begin.Add(10 * time.Second)
		routes := []routetable.Route{
			newRoute(func(r *routetable.Route) { r.Sunset = end }),
			newRoute(func(r *routetable.Route) {
				r.Sunset, r.HeldUntil, r.UID, r.Name, r.Callbacks[0].Path = end, end.Add(10*time.Second), "held", "held", "/held"
			}),
			newRoute(func(r *routetable.Route) {
				r.Sunset, r.AfterSunset, r.UID, r.Name, r.Callbacks[0].Path = end, routetable.Serve, "serve", "serve", "/serve"
			}),
		}
		if refusal := store.Adopt(newOffer(t, v(1, 1), key, routetable.Settings{}, routes...)); refusal != nil {
			t.Fatalf("%+v", refusal)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go store.Run(ctx)
		early := sunset.Judgement{Now: begin}
		closed := func() string {
			synctest.Wait()
			var names []string
			table := store.Current().Table
			for i := range table.Routes {
				if route := &table.Routes[i]; store.Current().CloseIfPassed(route, early) {
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

// A route that closes or reopens by the clock alone is published, once.
func TestStore_PublishesTheClocksChanges(t *testing.T) {
	reading := sunset.Reading{Wall: begin}
	clock := apitime.NewClockFrom(func() sunset.Reading { return reading }, nil)
	store, key := newTestStore(func(o *Options) { o.Clock = clock })
	set := func(t time.Time) { reading.Elapsed += t.Sub(reading.Wall); reading.Wall = t }
	closed := []bool{}
	end := begin.AddDate(0, 0, 2)
	other := newRoute(func(r *routetable.Route) { r.Sunset = end })
	if store.IsClosed(&other) {
		t.Error("without a config a route is closed")
	}
	serving := newRoute(func(r *routetable.Route) {
		r.Sunset, r.AfterSunset, r.UID, r.Name, r.Callbacks[0].Path = end, routetable.Serve, "serve", "serve", "/serve"
	})
	ending := newRoute(func(r *routetable.Route) { r.Sunset = end })
	if refusal := store.Adopt(newOffer(t, v(1, 1), key, routetable.Settings{}, ending, serving)); refusal != nil {
		t.Fatalf("%+v", refusal)
	}
	store.Subscribe(func(c Change) {
		if c.Before != c.After || c.Offer != nil {
			t.Errorf("change is %+v", c)
		}
		closed = append(closed, store.IsClosed(&c.After.Table.Routes[0]))
	})
	expect := func(when string, want ...bool) {
		t.Helper()
		for range 2 {
			store.sweep()
		}
		if !slices.Equal(closed, want) {
			t.Errorf("%s: published %v, want %v", when, closed, want)
		}
		if store.IsClosed(&other) {
			t.Error("a route that is not served is closed")
		}
	}
	expect("open")
	set(end)
	expect("sunset", true)
	reading.Wall = begin
	clock.Observe(begin)
	expect("it was a wrong clock", true, false)
	set(end)
	expect("sunset again", true, false, true)
}

// A clock that becomes suspect is logged once, by an update or by Run.
func TestF44_Store_LogsASuspectClockOnce(t *testing.T) {
	reading := sunset.Reading{Wall: begin}
	var log strings.Builder
	clock := apitime.NewClockFrom(func() sunset.Reading { return reading }, slog.New(slog.NewJSONHandler(&log, nil)))
	for range 3 {
		reading.Wall = begin.AddDate(1, 0, 0)
		for range 3 {
			clock.LogTransition()
		}
		reading.Wall = begin
		clock.LogTransition()
	}
	if suspect, trusted := strings.Count(log.String(), "clock is suspect"), strings.Count(log.String(), "clock is trusted again"); suspect != 3 || trusted != 3 {
		t.Errorf("logged %d and %d times", suspect, trusted)
	}
}
