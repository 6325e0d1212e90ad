// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// choosing is a plan with two backends, which records its dials.
func choosing(total time.Duration, dials *[]string, addresses ...[]string) *Plan {
	p := callback(total)
	p.Choices = nil
	p.Dialled = func(choice, address int, reached bool) {
		*dials = append(*dials, fmt.Sprint(choice, address, reached))
	}
	for i, list := range addresses {
		p.Choices = append(p.Choices, Choice{Addresses: list, Target: fmt.Sprintf("/choice%d", i), Host: fmt.Sprintf("host%d", i)})
	}
	return p
}

// The request of the choice that was reached is sent, once.
func TestAttempt_OtherChoiceOnlyWhenTheFirstCannotBeDialled(t *testing.T) {
	for name, tc := range map[string]struct {
		choices [][]string
		dials   []string
		target  string
	}{
		"first":            {[][]string{{second}, {third}}, []string{"0 0 true"}, "/choice0 "},
		"first's second":   {[][]string{{first, second}, {third}}, []string{"0 0 false", "0 1 true"}, "/choice0 "},
		"second":           {[][]string{{first}, {second}}, []string{"0 0 false", "1 0 true"}, "/choice1 "},
		"no address":       {[][]string{{}, {second}}, []string{"1 0 true"}, "/choice1 "},
		"forbidden":        {[][]string{{"127.0.0.1:80"}, {second}}, []string{"0 0 false", "1 0 true"}, "/choice1 "},
		"third, if it has": {[][]string{{first}, {}, {second}}, []string{"0 0 false", "2 0 true"}, "/choice2 "},
	} {
		t.Run(name, func(t *testing.T) {
			good, other := newBackend(t, responds(fine)), newBackend(t, responds(fine))
			c := newTestClient(map[string]string{first: refusing(t), second: good.address(), third: other.address()})
			var dials []string
			response, err := c.Attempt(t.Context(), choosing(time.Minute, &dials, tc.choices...))
			if err != nil {
				t.Fatal(err)
			}
			response.Close()
			if !slices.Equal(dials, tc.dials) {
				t.Errorf("dials %q, want %q", dials, tc.dials)
			}
			if seen := good.seen(); len(seen) != 1 || !strings.HasPrefix(seen[0], "POST "+tc.target+"HTTP/1.1\r\nHost: host"+tc.target[len("/choice"):len("/choice")+1]+"\r\n") || len(other.seen()) != 0 {
				t.Errorf("backends saw %q and %q", seen, other.seen())
			}
		})
	}
}

// The error is that of the first choice: its callback it is.
func TestAttempt_NoneReached(t *testing.T) {
	for name, tc := range map[string]struct {
		choices [][]string
		want    Error
	}{
		"refused":    {[][]string{{first}, {}}, Error{Reason: DialFailed, NotDelivered: true}},
		"no address": {[][]string{{}, {first}}, Error{Reason: NoAddress, NotDelivered: true}},
		"forbidden":  {[][]string{{"127.0.0.1:1"}, {first}}, Error{Reason: ForbiddenAddress, NotDelivered: true}},
		"no choice":  {nil, Error{Reason: NoAddress, NotDelivered: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var dials []string
			c := newTestClient(map[string]string{first: refusing(t)})
			_, err := c.Attempt(t.Context(), choosing(time.Minute, &dials, tc.choices...))
			wants(t, err, tc.want)
			for _, line := range dials {
				if strings.HasSuffix(line, "true") {
					t.Errorf("dials %q", dials)
				}
			}
		})
	}
}

// Once something was written, whatever follows ends the attempt.
func TestF35_NoOtherChoiceAfterAByteWasWritten(t *testing.T) {
	good := newBackend(t, responds(fine))
	for name, answer := range map[string]string{
		"nothing": "", "half a head": "HTTP/1.1 200 OK\r\nA", "no HTTP": "hello\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bad := newBackend(t, responds(answer))
			c := newTestClient(map[string]string{first: bad.address(), second: good.address()})
			var dials []string
			_, err := c.Attempt(t.Context(), choosing(time.Minute, &dials, []string{first, second}, []string{second}))
			if err == nil || len(bad.seen()) != 1 || !slices.Equal(dials, []string{"0 0 true"}) {
				t.Errorf("error %v, %d requests, dials %q", err, len(bad.seen()), dials)
			}
		})
	}
	if len(good.seen()) != 0 {
		t.Errorf("another backend saw %d requests", len(good.seen()))
	}
}

func TestAttempt_RefusesTheWholePlanForOneBadRequest(t *testing.T) {
	good := newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: good.address()})
	var dials []string
	p := choosing(time.Minute, &dials, []string{first}, []string{first})
	p.Choices[1].Target = "/a b"
	_, err := c.Attempt(t.Context(), p)
	wants(t, err, Error{Reason: BadRequest, NotDelivered: true})
	if len(dials)+len(good.seen()) != 0 {
		t.Errorf("dials %q, backend saw %q", dials, good.seen())
	}
}

// F33: all dialling shares the budget, and the first choice has the larger
// part of it: enough for a SYN that was lost once.
func TestF33_ChoicesShareTheDialBudget(t *testing.T) {
	good := newBackend(t, responds(fine))
	hole := blackhole(t)
	c := newTestClient(map[string]string{first: hole, second: good.address()})
	for name, tc := range map[string]struct {
		choices  [][]string
		status   int
		min, max time.Duration
	}{
		"one choice":         {[][]string{{first}}, 0, DialBudget * 9 / 10, DialBudget},
		"other one is there": {[][]string{{first}, {second}}, 200, 1100 * time.Millisecond, 1700 * time.Millisecond},
		"none is there":      {[][]string{{first, first}, {first, first}}, 0, DialBudget * 9 / 10, DialBudget},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var dials []string
			start := time.Now()
			response, err := c.Attempt(t.Context(), choosing(time.Minute, &dials, tc.choices...))
			took, status := time.Since(start), 0
			if err == nil {
				status = response.Status
				response.Close()
			}
			if status != tc.status || took < tc.min || took > tc.max+500*time.Millisecond {
				t.Errorf("answer is %d %v after %s", status, err, took)
			}
		})
	}
}

func TestReach(t *testing.T) {
	good := newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: good.address(), second: refusing(t), third: blackhole(t)})
	if err := c.Reach(t.Context(), first, time.Second); err != nil {
		t.Error(err)
	}
	wants(t, c.Reach(t.Context(), second, time.Second), Error{Reason: DialFailed, NotDelivered: true})
	wants(t, c.Reach(t.Context(), "127.0.0.1:1", time.Second), Error{Reason: ForbiddenAddress, NotDelivered: true})
	start := time.Now()
	wants(t, c.Reach(t.Context(), third, 100*time.Millisecond), Error{Reason: DialFailed, NotDelivered: true, Timeout: true})
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %s", took)
	}
}

// A proxy that stops, or a process without descriptors, is no finding about an
// address.
func TestDialled_IsCalledForAddressesOnly(t *testing.T) {
	good := newBackend(t, responds(fine))
	c := newTestClient(map[string]string{first: good.address()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var dials []string
	_, err := c.Attempt(ctx, choosing(time.Minute, &dials, []string{first}, []string{first}))
	wants(t, err, Error{Reason: Canceled, NotDelivered: true})
	if len(dials) != 0 {
		t.Errorf("dials %q", dials)
	}
	for errno, ours := range map[error]bool{
		syscall.EMFILE: true, syscall.ENFILE: true, syscall.EADDRNOTAVAIL: true, syscall.ENOBUFS: true,
		syscall.ECONNREFUSED: false, syscall.EHOSTUNREACH: false, os.ErrDeadlineExceeded: false,
	} {
		e := explainDial(t.Context(), fmt.Errorf("dial: %w", &os.SyscallError{Syscall: "connect", Err: errno}))
		if e.Ours != ours || e.Reason != DialFailed || !e.NotDelivered {
			t.Errorf("%v is %+v", errno, e)
		}
	}
}
