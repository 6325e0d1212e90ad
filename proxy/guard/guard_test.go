// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var begin = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func key(code string) Key { return KeyOf("uid", "GET", "/cb", []string{code, "state"}) }

func TestF78_ARepeatAfterEachResult(t *testing.T) {
	for _, tc := range []struct {
		name   string
		result Result
		want   Verdict
	}{
		{"not delivered", NotDelivered, First}, {"complete", Complete, Repeat}, {"open", Open, Refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := New()
			ticket, verdict := g.Begin("a", "uid", key("1"), begin)
			if verdict != First {
				t.Fatalf("the first is %d", verdict)
			}
			if _, verdict := g.Begin("a", "uid", key("1"), begin); verdict != Refused {
				t.Errorf("in flight a repeat is %d", verdict)
			}
			ticket.End(tc.result)
			if _, verdict := g.Begin("a", "uid", key("1"), begin.Add(Memory-1)); verdict != tc.want {
				t.Errorf("a repeat is %d, want %d", verdict, tc.want)
			}
			if _, verdict := g.Begin("a", "uid", key("1"), begin.Add(2*Memory)); verdict != First {
				t.Errorf("later it is %d", verdict)
			}
		})
	}
}

// A repeat that could not be delivered leaves the first answer complete.
func TestF78_ARepeatThatIsNotDelivered(t *testing.T) {
	g := New()
	for _, result := range []Result{Complete, NotDelivered, Complete} {
		ticket, verdict := g.Begin("a", "uid", key("1"), begin)
		if ticket == nil {
			t.Fatalf("refused: %d", verdict)
		}
		ticket.End(result)
	}
	if _, verdict := g.Begin("a", "uid", key("1"), begin); verdict != Repeat {
		t.Errorf("then it is %d", verdict)
	}
}

// Requests that differ in any part are not confused.
func TestF78_KeysDiffer(t *testing.T) {
	seen := map[Key]string{}
	for _, uid := range []string{"uid", "uid2", "ui"} {
		for _, method := range []string{"GET", "POST", "dGET"} {
			for _, path := range []string{"/cb", "/cb/", "/CB"} {
				for _, values := range [][]string{{"a", "b"}, {"ab", ""}, {"", "ab"}, {"ab"}, {"a", "b", ""}, nil} {
					k, name := KeyOf(uid, method, path, values), fmt.Sprint(uid, method, path, values)
					if other, found := seen[k]; found {
						t.Errorf("%q and %q have one key", name, other)
					}
					seen[k] = name
				}
			}
		}
	}
}

// A tenant that fills the guard, over many routes, loses only its own entries.
func TestF78_AFullGuardEvictsTheTenantThatFillsIt(t *testing.T) {
	g := New()
	for i := range 100 {
		ticket, _ := g.Begin("calm", "calm", key(fmt.Sprint("calm", i)), begin)
		ticket.End(Open)
	}
	for i := range 3 * MaxEntries {
		ticket, verdict := g.Begin("flood", fmt.Sprint("flood", i%100), key(fmt.Sprint(i)), begin.Add(time.Second))
		if verdict != First {
			t.Fatalf("entry %d is %d", i, verdict)
		}
		ticket.End(Complete)
		if n := g.Len(); n > MaxEntries {
			t.Fatalf("%d entries", n)
		}
	}
	for i := range 100 {
		if _, verdict := g.Begin("calm", "calm", key(fmt.Sprint("calm", i)), begin.Add(2*time.Second)); verdict != Refused {
			t.Fatalf("entry %d of the other tenant is forgotten: %d", i, verdict)
		}
	}
}

func TestF78_OneRouteIsBounded(t *testing.T) {
	g := New()
	for i := range 2 * MaxPerRoute {
		ticket, _ := g.Begin("a", "uid", key(fmt.Sprint(i)), begin)
		ticket.End(Open)
	}
	if n := g.Len(); n != MaxPerRoute {
		t.Errorf("%d entries", n)
	}
	if _, verdict := g.Begin("a", "uid", key("0"), begin); verdict != First {
		t.Error("the oldest is remembered")
	}
}

// The guard agrees with a plain model of it, in any order of events.
func TestF78_AgreesWithAModel(t *testing.T) {
	type memory struct {
		begun                  time.Time
		inFlight, open, repeat bool
	}
	rapid.Check(t, func(t *rapid.T) {
		g, model, now := New(), map[string]*memory{}, begin
		tickets := map[string]*Ticket{}
		for range rapid.IntRange(1, 60).Draw(t, "events") {
			code := rapid.SampledFrom([]string{"1", "2", "3"}).Draw(t, "code")
			now = now.Add(time.Duration(rapid.IntRange(0, 200).Draw(t, "seconds")) * time.Second)
			for c, m := range model {
				if now.Sub(m.begun) >= Memory {
					delete(model, c)
				}
			}
			if ticket := tickets[code]; ticket != nil && rapid.Bool().Draw(t, "end") {
				result := Result(rapid.IntRange(0, 2).Draw(t, "result"))
				ticket.End(result)
				delete(tickets, code)
				if m := model[code]; m != nil {
					m.inFlight, m.open, m.repeat = false, result == Open, m.repeat || result == Complete
					if result == NotDelivered && !m.repeat {
						delete(model, code)
					}
				}
				continue
			}
			want := First
			switch m := model[code]; {
			case m == nil:
				model[code] = &memory{begun: now, inFlight: true}
			case m.inFlight || m.open:
				want = Refused
			default:
				m.inFlight, want = true, Repeat
			}
			ticket, verdict := g.Begin("a", "uid", key(code), now)
			if verdict != want {
				t.Fatalf("%s is %d, want %d", code, verdict, want)
			}
			if ticket != nil {
				tickets[code] = ticket
			}
		}
	})
}

func BenchmarkGuard(b *testing.B) {
	g := New()
	values := []string{"4/0AX4XfWh", "af0ifjsldkj"}
	b.ReportAllocs()
	for i := range b.N {
		values[0] = fmt.Sprint(i)
		ticket, _ := g.Begin("a", fmt.Sprint(i&31), KeyOf("uid", "GET", "/cb", values), begin)
		ticket.End(Complete)
	}
}
