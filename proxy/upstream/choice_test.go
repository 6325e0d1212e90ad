// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// choosing is a plan with two backends, and what was told of its dials.
func choosing(total time.Duration, told *[]string, addresses ...[]string) *Plan {
	p := &Plan{Total: total, Dialled: func(choice, address int, reached bool) {
		*told = append(*told, fmt.Sprint(choice, address, reached))
	}}
	for i, list := range addresses {
		r := callback()
		r.Target = fmt.Sprintf("/choice%d", i)
		p.Choices = append(p.Choices, Choice{Addresses: list, Request: r})
	}
	return p
}

// What is sent is the request of the choice that was reached, once.
func TestAttempt_OtherChoiceOnlyWhenTheFirstCannotBeDialled(t *testing.T) {
	for name, tc := range map[string]struct {
		choices [][]string
		told    []string
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
			good, other := newBackend(t, says(fine)), newBackend(t, says(fine))
			c := newTestClient(map[string]string{first: refusing(t), second: good.address(), third: other.address()})
			var told []string
			response, err := c.Attempt(t.Context(), choosing(time.Minute, &told, tc.choices...))
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if !slices.Equal(told, tc.told) {
				t.Errorf("told %q, want %q", told, tc.told)
			}
			if seen := good.seen(); len(seen) != 1 || !strings.HasPrefix(seen[0], "POST "+tc.target) || len(other.seen()) != 0 {
				t.Errorf("backends saw %q and %q", seen, other.seen())
			}
		})
	}
}

// The error is that of the first choice: its callback it is.
func TestAttempt_NobodyReached(t *testing.T) {
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
			var told []string
			c := newTestClient(map[string]string{first: refusing(t)})
			_, err := c.Attempt(t.Context(), choosing(time.Minute, &told, tc.choices...))
			wants(t, err, tc.want)
			for _, line := range told {
				if strings.HasSuffix(line, "true") {
					t.Errorf("told %q", told)
				}
			}
		})
	}
}

// Once something was written, whatever follows ends the attempt.
func TestF35_NoOtherChoiceAfterAByteWasWritten(t *testing.T) {
	good := newBackend(t, says(fine))
	for name, answer := range map[string]string{
		"nothing": "", "half a head": "HTTP/1.1 200 OK\r\nA", "no HTTP": "hello\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			bad := newBackend(t, says(answer))
			c := newTestClient(map[string]string{first: bad.address(), second: good.address()})
			var told []string
			_, err := c.Attempt(t.Context(), choosing(time.Minute, &told, []string{first, second}, []string{second}))
			if err == nil || len(bad.seen()) != 1 || !slices.Equal(told, []string{"0 0 true"}) {
				t.Errorf("error %v, %d requests, told %q", err, len(bad.seen()), told)
			}
		})
	}
	if len(good.seen()) != 0 {
		t.Errorf("another backend saw %d requests", len(good.seen()))
	}
}

func TestAttempt_RefusesTheWholePlanForOneBadRequest(t *testing.T) {
	good := newBackend(t, says(fine))
	c := newTestClient(map[string]string{first: good.address()})
	var told []string
	p := choosing(time.Minute, &told, []string{first}, []string{first})
	p.Choices[1].Request = &Request{Method: http.MethodGet, Target: "/a b", Host: "h"}
	_, err := c.Attempt(t.Context(), p)
	wants(t, err, Error{Reason: BadRequest, NotDelivered: true})
	if len(told)+len(good.seen()) != 0 {
		t.Errorf("told %q, backend saw %q", told, good.seen())
	}
}

// F33: all dialling shares the budget, and the first choice has the larger
// part of it: enough for a SYN that was lost once.
func TestF33_ChoicesShareTheDialBudget(t *testing.T) {
	good := newBackend(t, says(fine))
	hole := blackhole(t)
	c := newTestClient(map[string]string{first: hole, second: good.address()})
	for name, tc := range map[string]struct {
		choices  [][]string
		status   int
		min, max time.Duration
	}{
		"one choice":         {[][]string{{first}}, 0, DialBudget * 9 / 10, DialBudget},
		"other one is there": {[][]string{{first}, {second}}, 200, 1100 * time.Millisecond, 1700 * time.Millisecond},
		"nobody is there":    {[][]string{{first, first}, {first, first}}, 0, DialBudget * 9 / 10, DialBudget},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []string
			start := time.Now()
			response, err := c.Attempt(t.Context(), choosing(time.Minute, &told, tc.choices...))
			took, status := time.Since(start), 0
			if err == nil {
				status = response.StatusCode
				_ = response.Body.Close()
			}
			if status != tc.status || took < tc.min || took > tc.max+500*time.Millisecond {
				t.Errorf("answer is %d %v after %s", status, err, took)
			}
		})
	}
}

func TestReach(t *testing.T) {
	good := newBackend(t, says(fine))
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

// Who left, or what this process lacks, says nothing about an address.
func TestDialled_TellsOnlyOfAddresses(t *testing.T) {
	good := newBackend(t, says(fine))
	c := newTestClient(map[string]string{first: good.address()})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var told []string
	_, err := c.Attempt(ctx, choosing(time.Minute, &told, []string{first}, []string{first}))
	wants(t, err, Error{Reason: Canceled, NotDelivered: true})
	if len(told) != 0 {
		t.Errorf("told %q", told)
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
