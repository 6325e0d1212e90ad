// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

// queue.go: entries in the order of their age. An entry is in three queues at
// once, and holds its links in each: package container/list allocates for each.

// order is which of its links an entry uses in a queue.
type order int

const (
	byAge order = iota
	byRoute
	byNamespace
	orders // how many there are
)

// queue holds entries, the oldest first.
type queue struct {
	by order
	// name is its key in a map of queues.
	name        string
	first, last *entry
	length      int
}

// link is the place of an entry in a queue; nil: nothing is there.
type link struct{ before, after *entry }

// queueOf returns the queue of a name. It makes one that is absent.
func queueOf(queues map[string]*queue, name string, by order) *queue {
	q := queues[name]
	if q == nil {
		q = &queue{by: by, name: name}
		queues[name] = q
	}
	return q
}

func (q *queue) push(e *entry) {
	e.links[q.by] = link{before: q.last}
	if q.last == nil {
		q.first = e
	} else {
		q.last.links[q.by].after = e
	}
	q.last = e
	q.length++
}

// remove takes out an entry that is in the queue.
func (q *queue) remove(e *entry) {
	l := e.links[q.by]
	if l.before == nil {
		q.first = l.after
	} else {
		l.before.links[q.by].after = l.after
	}
	if l.after == nil {
		q.last = l.before
	} else {
		l.after.links[q.by].before = l.before
	}
	e.links[q.by] = link{}
	q.length--
}
