// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

// loops.go: browsers that come to one route with one login after the other, as
// they do when the backend that gets the callback cannot complete the login and
// sends them to begin again.

import "time"

const (
	// loopLength is how many callbacks of one browser are a loop, with loopPause
	// between one and the next at most. Chromium and Firefox give up after 20
	// redirects, of which a login takes three or four.
	loopLength = 5
	loopPause  = 5 * time.Second
	// sharedLife is how long an address counts as one of several browsers after two
	// were seen there: their logins cannot be distinguished then.
	sharedLife = 10 * time.Minute
	// loopSlots is how many addresses are remembered for a route: less than 1 KiB.
	loopSlots = 32
)

// Browser identifies a browser on this instance: keyed hashes of its address and
// of its User-Agent. They are never reported and never written. The zero Browser
// is none.
type Browser struct{ Address, Agent uint32 }

// loops remembers the last browsers of a route. Each address has one slot, and
// takes it from another one: a loop that is missed so is found with the next
// browser.
type loops [loopSlots]loopSlot

type loopSlot struct {
	browser Browser
	// last is when it came last, in Unix milliseconds.
	last int64
	// shared is when another browser last had its address, in Unix seconds; 0: never.
	shared uint32
	count  uint8
}

// add reports whether a callback of a browser is one of a loop.
func (l *loops) add(b Browser, at time.Time) bool {
	slot := &l[b.Address%loopSlots]
	if slot.browser.Address != b.Address {
		*slot = loopSlot{browser: b}
	}
	seconds := uint32(at.Unix()) //nolint:gosec // until the year 2106
	if slot.browser.Agent != b.Agent {
		slot.browser, slot.shared, slot.count = b, seconds, 0
	}
	if pause := at.UnixMilli() - slot.last; pause < 0 || pause > loopPause.Milliseconds() {
		slot.count = 0
	}
	slot.last = at.UnixMilli()
	if slot.shared != 0 && seconds-slot.shared < uint32(sharedLife/time.Second) {
		return false
	}
	slot.count = min(slot.count+1, loopLength)
	return slot.count == loopLength
}
