// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/callbackproxy/callback-operator/proxy/changelog"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// W41: a row of failures grows until a success, or until nothing failed for five
// minutes; the last five of it are reported.
func TestW41_FailuresInARow(t *testing.T) {
	c := NewCounters()
	r := c.Start("uid")
	at := begin
	expect := func(why string, inRow int64, reasons ...string) {
		t.Helper()
		entries, _, _, _ := c.Changes(changelog.Cursor{}, 10)
		b := entries[0].Backends[0]
		var got []string
		for _, f := range b.Failures {
			got = append(got, f.Reason)
		}
		if b.InRow != inRow || !slices.Equal(got, reasons) {
			t.Errorf("%s: %d in a row, %v", why, b.InRow, got)
		}
	}
	count := func(after time.Duration, failure string) {
		at = at.Add(after)
		c.Count(r, &Request{Kind: Callback, Arrival: at, Tried: "blue", Failure: failure, Succeeded: failure == ""})
	}
	for i := range 7 {
		count(time.Minute, fmt.Sprint(i))
	}
	expect("seven", 7, "2", "3", "4", "5", "6")
	count(time.Minute, "")
	expect("after a success", 0)
	count(time.Minute, "a")
	count(routetable.FailureLife-time.Second, "b")
	expect("in time", 2, "a", "b")
	count(routetable.FailureLife, "c")
	expect("too late", 1, "c")
	c.Count(r, &Request{Kind: Callback, Arrival: at, Tried: "blue"})
	c.Count(r, &Request{Kind: Unrelated, Arrival: at, Tried: "blue", Succeeded: true})
	expect("neither a failure nor a success", 1, "c")
}

// W1: the claims of the last five minutes.
func TestW1_ClaimsOfAWindow(t *testing.T) {
	var c Claims
	peer := netip.MustParseAddr("10.1.2.3")
	add := func(after time.Duration, callbacks int, claims bool) {
		for range callbacks {
			c.Count(begin.Add(after), peer, claims)
		}
	}
	add(0, 10, false)
	add(time.Minute, 9, true)
	expect := func(after time.Duration, callbacks, claims int64) routetable.ForwardingUse {
		t.Helper()
		got := c.Report(begin.Add(after))
		if got.Callbacks != callbacks || got.Claims != claims {
			t.Errorf("after %s: %+v", after, got)
		}
		return got
	}
	if got := expect(time.Minute, 19, 9); !got.LastMost.IsZero() {
		t.Errorf("not most of them: %+v", got)
	}
	add(2*time.Minute, 2, true)
	if got := expect(2*time.Minute, 21, 11); !got.LastMost.Equal(begin.Add(2*time.Minute)) || !slices.Equal(got.Networks, []string{"10.1.2.0/24"}) {
		t.Errorf("most of them: %+v", got)
	}
	expect(5*time.Minute, 11, 11)
	if got := expect(8*time.Minute, 0, 0); got.LastMost.IsZero() || len(got.Networks) != 1 {
		t.Errorf("the last time is forgotten: %+v", got)
	}
	if got := expect(17*time.Minute, 0, 0); got.Networks != nil {
		t.Errorf("networks are %v", got.Networks)
	}
	// Under a clock that was ahead by years nothing would ever leave the window.
	add(5*365*24*time.Hour, 30, false)
	add(20*time.Minute, 1, false)
	expect(20*time.Minute, 1, 0)
}

// W1: private networks are named, a bounded number of them, and public ones never.
func TestW1_NetworksOfPeers(t *testing.T) {
	for peer, want := range map[string]string{
		"10.1.2.3": "10.1.2.0/24", "172.31.0.9": "172.31.0.0/24", "192.168.7.7": "192.168.7.0/24", "::ffff:10.1.2.3": "10.1.2.0/24",
		"100.64.3.4": "100.64.3.0/24", "127.0.0.6": "127.0.0.0/24", "169.254.1.1": "169.254.1.0/24", "fd00:1:2:3::4": "fd00:1:2:3::/64", "fe80::1%eth0": "fe80::/64",
		"8.8.8.8": "", "172.32.0.1": "", "100.128.0.1": "", "2001:db8::1": "",
	} {
		var c Claims
		c.Count(begin, netip.MustParseAddr(peer), true)
		if got := c.Report(begin).Networks; !slices.Equal(got, slices.DeleteFunc([]string{want}, func(s string) bool { return s == "" })) {
			t.Errorf("%s is in %v", peer, got)
		}
	}
	var c Claims
	for i := range 3 * routetable.MaxForwardingNetworks {
		c.Count(begin.Add(time.Duration(i)*time.Second), netip.AddrFrom4([4]byte{10, 0, byte(i), 1}), true)
	}
	if got := c.Report(begin).Networks; len(got) != routetable.MaxForwardingNetworks || !slices.Contains(got, "10.0.23.0/24") || slices.Contains(got, "10.0.0.0/24") {
		t.Errorf("networks are %v", got)
	}
}

// W24: what is remembered of browsers is small, whatever comes.
func TestW24_LoopsAreBounded(t *testing.T) {
	if size := unsafe.Sizeof(loops{}); size > 1<<10 {
		t.Errorf("a route takes %d bytes", size)
	}
	c := NewCounters()
	r := c.Start("uid")
	request := &Request{Kind: Callback, Arrival: begin}
	found := 0
	for i := range uint32(10_000) {
		request.Browser = Browser{Address: i + 1, Agent: 1}
		if c.Count(r, request).InLoop {
			found++
		}
	}
	// The same kind of browser at addresses that take one slot from each other.
	var l loops
	l.add(Browser{Address: 7, Agent: 1}, begin)
	for i := range uint32(6) {
		if l.add(Browser{Address: 7 + loopSlots*(i+1), Agent: 1}, begin.Add(sharedLife)) {
			found++
		}
	}
	if found != 0 {
		t.Errorf("%d loops of browsers that came once", found)
	}
}

// W24: an address with two browsers shows no loop for ten minutes: their logins
// cannot be distinguished.
func TestW24_SharedAddresses(t *testing.T) {
	var l loops
	one, other := Browser{Address: 7, Agent: 1}, Browser{Address: 7, Agent: 2}
	at := begin
	five := func(b Browser) (looped bool) {
		for range 5 {
			at = at.Add(time.Second)
			looped = l.add(b, at)
		}
		return looped
	}
	if !five(one) {
		t.Error("control: no loop")
	}
	if five(other) {
		t.Error("a loop at an address that two browsers share")
	}
	at = at.Add(sharedLife)
	if !five(other) {
		t.Error("no loop long after the other browser")
	}
}
