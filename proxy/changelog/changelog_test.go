// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package changelog

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// reader keeps what a reader of pages knows.
type reader struct {
	cursor Cursor
	known  map[string]int
	fulls  int
}

func (r *reader) page(t *rapid.T, l *Log[int], most int) (more bool) {
	if !l.Has(r.cursor) {
		r.cursor = Cursor{}
	}
	if (r.cursor == Cursor{}) {
		r.known = map[string]int{}
		r.fulls++
	}
	entries := 0
	before := r.cursor
	r.cursor, more = l.Page(r.cursor, most, func(e *Entry[int]) {
		entries++
		if e.IsTombstone() {
			delete(r.known, e.Key)
		} else {
			r.known[e.Key] = e.Value
		}
	})
	if entries > most || more && entries < most || r.cursor.Position < before.Position || !l.Has(r.cursor) {
		t.Fatalf("%d entries of at most %d, more %v, cursor %v to %v", entries, most, more, before, r.cursor)
	}
	return more
}

// A reader of pages, at any pace, ends with what the log has, also when more
// entries end than tombstones are kept.
func TestLog_ReaderMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New[int](rapid.IntRange(0, 4).Draw(t, "tombstones"))
		entries, want := map[string]*Entry[int]{}, map[string]int{}
		r := &reader{}
		for step := range rapid.IntRange(0, 60).Draw(t, "steps") {
			key := fmt.Sprint(rapid.IntRange(0, 5).Draw(t, "key"))
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				r.page(t, l, rapid.IntRange(1, 3).Draw(t, "most"))
			case 1:
				if e := entries[key]; e != nil {
					l.End(e)
					delete(entries, key)
					delete(want, key)
				}
			default:
				e := entries[key]
				if e == nil {
					e = &Entry[int]{Key: key}
					entries[key] = e
				}
				e.Value, want[key] = step, step
				l.Touch(e)
			}
		}
		for more := true; more; {
			more = r.page(t, l, 2)
		}
		if !maps.Equal(r.known, want) {
			t.Fatalf("the reader knows %v, the log has %v", r.known, want)
		}
	})
}

func TestLog_TombstoneOfAKnownEntryOnly(t *testing.T) {
	l := New[int](10)
	known, untouched := &Entry[int]{Key: "known", Value: 1}, &Entry[int]{Key: "untouched"}
	l.Touch(known)
	cursor, _ := l.Page(Cursor{}, 10, func(*Entry[int]) {})
	l.End(known)
	l.End(untouched)
	l.Touch(known) // an ended entry stays ended
	var keys []string
	next, more := l.Page(cursor, 10, func(e *Entry[int]) {
		if !e.IsTombstone() || e.Value != 0 {
			t.Errorf("%+v is no tombstone", e)
		}
		keys = append(keys, e.Key)
	})
	if !slices.Equal(keys, []string{"known"}) || more {
		t.Errorf("page is %v, more %v", keys, more)
	}
	l.Page(next, 10, func(e *Entry[int]) { t.Errorf("%s did not change", e.Key) })
	l.Page(Cursor{}, 10, func(e *Entry[int]) { t.Errorf("%s is in a full list", e.Key) })
}

// A full list ends even when tombstones are dropped while it is read.
func TestLog_FullListEnds(t *testing.T) {
	l := New[int](1)
	for i := range 6 {
		e := &Entry[int]{Key: fmt.Sprint("gone", i)}
		l.Touch(e)
		l.End(e)
		l.Touch(&Entry[int]{Key: fmt.Sprint("live", i)})
	}
	cursor, pages := Cursor{}, 0
	for more := true; more; pages++ {
		if !l.Has(cursor) {
			t.Fatalf("cursor %v of page %d is not accepted", cursor, pages)
		}
		cursor, more = l.Page(cursor, 2, func(e *Entry[int]) {
			if e.IsTombstone() {
				t.Errorf("%s is in a full list", e.Key)
			}
		})
	}
	if pages != 3 {
		t.Errorf("%d pages", pages)
	}
}

func TestLog_Has(t *testing.T) {
	l := New[int](1)
	for i := range 3 {
		e := &Entry[int]{Key: fmt.Sprint(i)}
		l.Touch(e)
		l.End(e)
	}
	for cursor, want := range map[Cursor]bool{
		{}:                     true,
		{Position: 7}:          true,
		{Position: 8}:          false, // never given out
		{Position: 1, Base: 9}: false,
		{Position: 5}:          true,  // the second tombstone, the last one dropped
		{Position: 4}:          false, // too old
		{Position: 4, Base: 6}: true,
	} {
		if got := l.Has(cursor); got != want {
			t.Errorf("%+v: %v", cursor, got)
		}
	}
}
