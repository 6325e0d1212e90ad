// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package changelog answers "what changed since this cursor". In: entries that
// change and end; out: pages of them in the order of their last change, with a
// tombstone for each entry that ended. Pure.
package changelog

import (
	"container/list"
	"sync"
)

// Entry is one thing that changes. An Entry that was never touched is in no
// page.
type Entry[V any] struct {
	// Key names the entry in its tombstone.
	Key   string
	Value V

	sequence uint64 // of its last change
	ended    bool
	element  *list.Element
}

// IsTombstone reports whether the entry ended. Its Value is the zero value then.
func (e *Entry[V]) IsTombstone() bool { return e.ended }

// Cursor is how far a reader has read. The zero Cursor reads the full list.
type Cursor struct {
	// Position is the sequence of the last entry that was read.
	Position uint64
	// Base is the sequence at which a full list began that is not read to its
	// end; tombstones up to it are of no use to its reader.
	Base uint64
}

// Log holds entries in the order of their last change. Its user has a lock
// around all calls.
type Log[V any] struct {
	sequence uint64
	// forgotten is the sequence of the newest tombstone that was dropped: a
	// cursor before it would miss that one.
	forgotten  uint64
	live, gone list.List // of *Entry[V], by sequence
	tombstones int       // how many are kept
}

// New returns a Log that keeps that many tombstones.
func New[V any](tombstones int) *Log[V] {
	return &Log[V]{sequence: 1, tombstones: tombstones} // so that the cursor of an empty log is not zero
}

// Touch records a change of an entry. It adds an entry that is new.
func (l *Log[V]) Touch(e *Entry[V]) {
	if e.ended {
		return
	}
	l.sequence++
	e.sequence = l.sequence
	if e.element == nil {
		e.element = l.live.PushBack(e)
	} else {
		l.live.MoveToBack(e.element)
	}
}

// End replaces an entry by its tombstone. It is final: an entry that comes back
// is a new Entry.
func (l *Log[V]) End(e *Entry[V]) {
	if e.ended {
		return
	}
	var none V
	e.ended, e.Value = true, none
	if e.element == nil {
		return // no reader knows it
	}
	l.live.Remove(e.element)
	l.sequence++
	e.sequence = l.sequence
	e.element = l.gone.PushBack(e)
	if l.gone.Len() > l.tombstones {
		oldest := l.gone.Remove(l.gone.Front()).(*Entry[V])
		l.forgotten = oldest.sequence
	}
}

// All yields the entries that did not end, in the order of their last change.
func (l *Log[V]) All(yield func(*Entry[V]) bool) {
	for e := l.live.Front(); e != nil; e = e.Next() {
		if !yield(e.Value.(*Entry[V])) {
			return
		}
	}
}

// Has reports whether a page can begin at a cursor. It cannot where the cursor
// is not of this log, or too old; the zero Cursor always can.
func (l *Log[V]) Has(c Cursor) bool {
	return c == Cursor{} || c.Position <= l.sequence && c.Base <= l.sequence && max(c.Position, c.Base) >= l.forgotten
}

// Page visits what changed after a cursor that Has accepts, at most that many
// entries, and returns the cursor of the next page; more reports that some
// entries had no room. An entry that changes between two pages is in both.
func (l *Log[V]) Page(c Cursor, most int, visit func(*Entry[V])) (next Cursor, more bool) {
	if (c == Cursor{}) {
		c.Base = l.sequence
	}
	live, gone := firstAfter[V](&l.live, c.Position), firstAfter[V](&l.gone, max(c.Position, c.Base))
	for live != nil || gone != nil {
		if most == 0 {
			return c, true
		}
		from := &live
		if live == nil || gone != nil && sequenceOf[V](gone) < sequenceOf[V](live) {
			from = &gone
		}
		e := (*from).Value.(*Entry[V])
		visit(e)
		c.Position, most = e.sequence, most-1
		*from = (*from).Next()
	}
	return Cursor{Position: l.sequence}, false
}

// chunk is how many entries Read visits in one critical section.
const chunk = 128

// Read visits a Page with the user's lock held for a chunk of it at a time, so
// that a long page delays no change. It reports false, and has visited some
// entries or none, for a cursor that needs a full list instead.
func (l *Log[V]) Read(lock sync.Locker, c Cursor, most int, visit func(*Entry[V])) (next Cursor, more, ok bool) {
	for {
		room := min(most, chunk)
		if c, more, ok = l.readChunk(lock, c, room, visit); !ok {
			return c, false, false
		}
		if most -= room; !more || most == 0 {
			return c, more, true
		}
	}
}

func (l *Log[V]) readChunk(lock sync.Locker, c Cursor, most int, visit func(*Entry[V])) (next Cursor, more, ok bool) {
	lock.Lock()
	defer lock.Unlock()
	if !l.Has(c) {
		return c, false, false
	}
	next, more = l.Page(c, most, visit)
	return next, more, true
}

// firstAfter walks from the end: readers have read most of a list.
func firstAfter[V any](entries *list.List, sequence uint64) (first *list.Element) {
	for e := entries.Back(); e != nil && sequenceOf[V](e) > sequence; e = e.Prev() {
		first = e
	}
	return first
}

func sequenceOf[V any](e *list.Element) uint64 { return e.Value.(*Entry[V]).sequence }
