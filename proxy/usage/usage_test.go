// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestCounters_TombstoneOfAnEndedRoute(t *testing.T) {
	c := NewCounters()
	counted, silent := c.Start("counted"), c.Start("silent")
	c.Count(counted, &Request{Kind: Callback, Arrival: begin, Backend: "blue"})
	entries, cursor, more, ok := c.Changes(changelog.Cursor{}, 10)
	if len(entries) != 1 || entries[0].UID != "counted" || entries[0].Callbacks != 1 || more || !ok {
		t.Fatalf("entries are %+v, more %v, ok %v", entries, more, ok)
	}
	c.End(counted)
	c.End(silent)
	c.Count(counted, &Request{Kind: Callback, Arrival: begin})
	entries, _, _, ok = c.Changes(cursor, 10)
	if len(entries) != 1 || !entries[0].Gone || entries[0].UID != "counted" || entries[0].Callbacks != 0 || !ok {
		t.Errorf("entries are %+v", entries)
	}
	if entries, _, _, _ := c.Changes(changelog.Cursor{}, 10); entries != nil {
		t.Errorf("a full list is %+v", entries)
	}
}

// A repeat counts once it is handed to a backend.
func TestCounters_Repeats(t *testing.T) {
	c := NewCounters()
	r := c.Start("uid")
	for _, request := range []Request{
		{Kind: Callback, Backend: "blue"},
		{Kind: Callback, Backend: "blue", Repeat: true},
		{Kind: Callback, Backend: "green", Repeat: true},
		{Kind: Callback, Repeat: true},
		{Kind: Rejected, Repeat: true},
	} {
		request.Arrival = begin
		c.Count(r, &request)
	}
	if entries, _, _, _ := c.Changes(changelog.Cursor{}, 10); len(entries) != 1 || entries[0].Repeats != 2 || entries[0].Callbacks != 4 || entries[0].Refused != 1 {
		t.Errorf("entries are %+v", entries)
	}
}

func TestCounters_RefuseACursorOfAnotherLog(t *testing.T) {
	c := NewCounters()
	if entries, _, _, ok := c.Changes(changelog.Cursor{Position: 99}, 10); ok || entries != nil {
		t.Errorf("entries are %+v", entries)
	}
}

func TestCounters_RetainBackends(t *testing.T) {
	c := NewCounters()
	r := c.Start("uid")
	for _, backend := range []string{"blue", "green"} {
		c.Count(r, &Request{Kind: Callback, Arrival: begin, Backend: backend})
	}
	_, cursor, _, _ := c.Changes(changelog.Cursor{}, 10)
	both := &routetable.Route{Backends: []routetable.Backend{{Name: "blue"}, {Name: "green"}}}
	c.RetainBackends(r, both)
	if entries, _, _, _ := c.Changes(cursor, 10); entries != nil {
		t.Errorf("nothing changed, and entries are %+v", entries)
	}
	c.RetainBackends(r, &routetable.Route{Backends: both.Backends[:1]})
	if entries, _, _, _ := c.Changes(cursor, 10); len(entries) != 1 || entries[0].Callbacks != 2 || len(entries[0].Backends) != 1 {
		t.Errorf("entries are %+v", entries)
	}
}

func TestCounters_CountingAllocatesNothing(t *testing.T) {
	c := NewCounters()
	r := c.Start("uid")
	request := &Request{Kind: Callback, Arrival: begin, Backend: "blue", Tried: "blue", Succeeded: true, Browser: Browser{1, 2}}
	c.Count(r, request)
	if n := testing.AllocsPerRun(100, func() { c.Count(r, request) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func newBenchCounters(routes int) (*Counters, []*Record) {
	c := NewCounters()
	records := make([]*Record, routes)
	for i := range records {
		records[i] = c.Start(fmt.Sprint(i))
	}
	return c, records
}

func BenchmarkCount(b *testing.B) {
	c, records := newBenchCounters(10_000)
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for i := 0; p.Next(); i++ {
			c.Count(records[i%len(records)], &Request{Kind: Callback, Arrival: begin, Backend: "blue"})
		}
	})
}

func BenchmarkChanges(b *testing.B) {
	c, records := newBenchCounters(routetable.MaxReportEntries)
	for _, record := range records {
		c.Count(record, &Request{Kind: Callback, Arrival: begin, Backend: "blue"})
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Changes(changelog.Cursor{}, routetable.MaxReportEntries)
	}
}
