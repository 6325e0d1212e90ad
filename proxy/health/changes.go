// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package health

import (
	"cmp"
	"slices"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// changes are what was thought of targets, in order. Only the last change of a
// target counts, and none of one that is gone.
type changes struct {
	last uint64
	list []change
}

type change struct {
	number uint64
	target *target
}

func (e change) counts() bool { return !e.target.gone && e.target.change == e.number }

// add notes a change of a target. What does not count any more is swept out
// once it is the larger part, so a change costs the same however many there
// were.
func (c *changes) add(t *target, targets int) {
	const small = 64
	if len(c.list) >= max(small, 2*targets) {
		c.list = slices.DeleteFunc(c.list, func(e change) bool { return !e.counts() })
	}
	c.last++
	t.change = c.last
	c.list = append(c.list, change{c.last, t})
}

func (c *changes) after(since uint64, most int) (entries []routetable.TargetReport, next uint64, more bool) {
	if since > c.last {
		since = 0
	}
	next = since
	begin, _ := slices.BinarySearchFunc(c.list, since+1, func(e change, n uint64) int { return cmp.Compare(e.number, n) })
	for _, e := range c.list[begin:] {
		if !e.counts() {
			continue
		}
		if len(entries) >= most {
			return entries, next, true
		}
		found := e.target.found
		entries = append(entries, routetable.TargetReport{ID: e.target.id, State: found.state(), Reason: found.reason()})
		next = e.number
	}
	return entries, c.last, false
}
