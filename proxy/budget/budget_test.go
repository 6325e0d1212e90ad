// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package budget

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// request is one that holds memory.
type request struct {
	Share
	since int64
	shed  bool
}

func (r *request) ReadingSince() int64 { return r.since }

func (r *request) Shed() bool {
	if r.since == 0 {
		return false
	}
	r.since, r.shed = 0, true
	return true
}

// newRequest returns one that began to be read some time before the tests' time.
func newRequest(age time.Duration) *request {
	r := &request{since: begin.Add(-age).UnixNano()}
	r.Request = r
	return r
}

// whole returns one that is read to its end.
func whole() *request {
	r := &request{}
	r.Request = r
	return r
}

func newMemory(limit int64) *Memory {
	return NewMemory(limit, func() time.Time { return begin })
}

// F67: pressure sheds the request that has held most bytes for longest, and a small
// one on a slow line stays.
func TestF67_ShedsWhoHeldMostForLongest(t *testing.T) {
	m := newMemory(1000)
	slow, fresh, stalled := newRequest(20*time.Second), newRequest(time.Millisecond), newRequest(5*time.Second)
	for r, bytes := range map[*request]int64{slow: 100, fresh: 450, stalled: 450} {
		if !m.Hold(&r.Share, bytes) {
			t.Fatalf("no room for %d bytes", bytes)
		}
	}
	next := newRequest(0)
	if !m.Hold(&next.Share, 300) || !stalled.shed || slow.shed || fresh.shed || next.shed {
		t.Errorf("shed are: stalled %v, slow %v, fresh %v, next %v", stalled.shed, slow.shed, fresh.shed, next.shed)
	}
	if m.Held() != 850 {
		t.Errorf("%d bytes are held", m.Held())
	}
	// The one that was shed cannot take more before it is released.
	if m.Hold(&stalled.Share, 1) || m.Assign(&stalled.Share, "a") {
		t.Error("a request that was shed holds memory")
	}
	m.Release(&stalled.Share)
	stalled.since = begin.UnixNano()
	if !m.Hold(&stalled.Share, 50) || m.Held() != 900 {
		t.Errorf("%d bytes are held after the release", m.Held())
	}
}

// F67: one route has half of the memory, and its pressure sheds its own requests.
func TestF67_OneRouteHasHalf(t *testing.T) {
	m := newMemory(1000)
	other := newRequest(time.Hour)
	m.Hold(&other.Share, 100)
	m.Assign(&other.Share, "b")
	first, second := newRequest(2*time.Second), newRequest(time.Second)
	for _, r := range []*request{first, second} {
		if !m.Assign(&r.Share, "a") || !m.Hold(&r.Share, 250) {
			t.Fatal("no room")
		}
	}
	third := newRequest(0)
	if !m.Hold(&third.Share, 10) || !m.Assign(&third.Share, "a") {
		t.Error("a request of which the head is held has no room on its route")
	}
	if !first.shed || second.shed || other.shed {
		t.Errorf("shed are: first %v, second %v, of another route %v", first.shed, second.shed, other.shed)
	}
}

// F67: requests that were read to their end stay, so that the one that comes last is
// the one that is refused.
func TestF67_WholeRequestsStay(t *testing.T) {
	m := newMemory(1000)
	for range 2 {
		r := whole()
		m.Assign(&r.Share, "a")
		if !m.Hold(&r.Share, 250) {
			t.Fatal("no room")
		}
	}
	for _, r := range []*request{newRequest(0), whole()} {
		m.Assign(&r.Share, "a")
		if m.Hold(&r.Share, 1) {
			t.Error("a route holds more than half")
		}
	}
	if m.Held() != 500 {
		t.Errorf("%d bytes are held", m.Held())
	}
	elsewhere := newRequest(0)
	if !m.Hold(&elsewhere.Share, 400) {
		t.Error("another route has no room")
	}
}

// checkLimits compares what is counted with what the requests hold, and with the
// limits.
func checkLimits(t *rapid.T, m *Memory, requests []*request) {
	var total int64
	routes := map[string]int64{}
	for _, r := range requests {
		total += r.bytes
		routes[r.route] += r.bytes
	}
	if total != m.Held() || total > 1000 || routes["a"] > 500 || routes["b"] > 500 {
		t.Fatalf("%d bytes are held, %d counted, by route %v", total, m.Held(), routes)
	}
}

// Any order of calls: the limits hold after each, and at the end nothing is held.
func TestMemory_LimitsHoldInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory(1000)
		requests := make([]*request, 8)
		for i := range requests {
			requests[i] = newRequest(time.Duration(rapid.IntRange(0, 100).Draw(t, "age")) * time.Second)
		}
		for range rapid.IntRange(0, 60).Draw(t, "calls") {
			r := requests[rapid.IntRange(0, len(requests)-1).Draw(t, "request")]
			switch rapid.IntRange(0, 3).Draw(t, "call") {
			case 0:
				m.Assign(&r.Share, rapid.SampledFrom([]string{"a", "b"}).Draw(t, "route"))
			case 1:
				m.Release(&r.Share)
				r.since, r.shed = begin.UnixNano(), false
			case 2:
				r.since = 0 // whole
			default:
				bytes := int64(rapid.IntRange(0, 700).Draw(t, "bytes"))
				if ok := m.Hold(&r.Share, bytes); ok && r.shed || !ok && r.bytes != 0 {
					t.Fatalf("Hold is %v of a request that is shed (%v) and holds %d", ok, r.shed, r.bytes)
				}
			}
			checkLimits(t, m, requests)
		}
		for _, r := range requests {
			m.Release(&r.Share)
		}
		if m.Held() != 0 || len(m.shares) != 0 || len(m.routes) != 0 {
			t.Fatalf("%d bytes, %d shares, %d routes are left", m.Held(), len(m.shares), len(m.routes))
		}
	})
}
