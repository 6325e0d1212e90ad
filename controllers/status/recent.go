// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status

// recent.go judges what the callbacks of the last minutes show: backends that do
// not answer them, and browsers whose logins do not complete.

import (
	"fmt"
	"slices"
	"strings"
	"time"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/compile"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Recent is what the ready instances report of a route's last callbacks. The zero
// value shows nothing.
type Recent struct {
	// LastLoop is when a browser last came with one more login in a loop.
	LastLoop time.Time
	// Backends holds the backends that callbacks failed at, by name.
	Backends map[string]RecentBackend
}

// RecentBackend is how the last callbacks ended at one backend.
type RecentBackend struct {
	// LastSuccess is the last one at any instance.
	LastSuccess time.Time
	// Rows are the failures of each instance that has some.
	Rows []FailureRow
}

// FailureRow are callbacks that failed in a row at one instance: how many there
// were, and the last of them, the oldest first.
type FailureRow struct {
	InRow    int64
	Failures []routetable.CallbackFailure
}

// failing is a row of failures over all instances.
type failing struct {
	count     int64
	reporters int
	// reasons are the different ones, sorted.
	reasons []string
	// unreached is true when nothing was sent to the backend in any of them. No
	// client can provoke that.
	unreached bool
	// until is when the row means nothing any more, if no failure follows.
	until time.Time
}

// judge returns the row of failures since the last success at any instance; nil
// when it is shorter than FailingAfter, or too old.
//
//	nil ----> FailingAfter failures in a row
//	nil <---- a success, or FailureLife without a failure
func (b *RecentBackend) judge(now time.Time) *failing {
	begin, until := b.rowOfAll()
	if until.IsZero() || !now.Before(until) {
		return nil
	}
	f := &failing{unreached: true, until: until}
	counted := 0
	for _, row := range b.Rows {
		in := 0
		for _, failure := range row.Failures {
			if !b.counts(&failure, begin) {
				continue
			}
			in++
			f.unreached = f.unreached && isUnreached(failure.Reason)
			if text := describeFailure(failure.Reason); !slices.Contains(f.reasons, text) {
				f.reasons = append(f.reasons, text)
			}
		}
		counted += in
		switch {
		case in == 0:
			continue
		case in == len(row.Failures): // those that are not listed belong to it too
			f.count += max(row.InRow, int64(in))
		default:
			f.count += int64(in)
		}
		f.reporters++
	}
	if counted < routetable.FailingAfter {
		return nil
	}
	slices.Sort(f.reasons)
	return f
}

// rowOfAll returns the time of the first failure of the row over all instances, and
// the end of the row's life; zero without one.
func (b *RecentBackend) rowOfAll() (begin, until time.Time) {
	var times []time.Time
	for _, row := range b.Rows {
		for i := range row.Failures {
			if b.counts(&row.Failures[i], time.Time{}) {
				times = append(times, row.Failures[i].Time)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	for i, at := range times {
		if i == 0 || at.Sub(times[i-1]) >= routetable.FailureLife {
			begin = at
		}
		until = at.Add(routetable.FailureLife)
	}
	return begin, until
}

// counts returns whether a failure came after the last success, and not before the
// begin of the row.
func (b *RecentBackend) counts(f *routetable.CallbackFailure, begin time.Time) bool {
	return f.Time.After(b.LastSuccess) && !f.Time.Before(begin)
}

func isUnreached(reason string) bool {
	return reason == routetable.FailureRefused || reason == routetable.FailureNoConnection
}

// failureTexts are the reasons of failures in words.
var failureTexts = map[string]string{
	routetable.FailureRefused:      "connection refused",
	routetable.FailureNoConnection: "no connection",
	routetable.FailureReset:        "connection ended before a response",
	routetable.FailureTimeout:      "no response in time",
	routetable.FailureMalformed:    "response is no HTTP/1.1 that can be relayed",
	routetable.FailureTruncated:    "response ended early",
}

// describeFailure returns a reason in words; one that is not known as it is.
func describeFailure(reason string) string {
	if text, known := failureTexts[reason]; known {
		return text
	}
	return reason
}

// describe explains the failures of a backend.
func (f *failing) describe(backend string, instances int) string {
	return fmt.Sprintf("backend %s did not answer the last %d callbacks (%s), at %d of %s: see its log, and that it speaks HTTP on the port of its Service",
		backend, f.count, strings.Join(f.reasons, ", "), f.reporters, plural(int64(instances), "instance"))
}

// loopLife is how long a route counts as looping after the last loop.
const loopLife = 15 * time.Minute

// loginsLooping computes the condition LoginsLooping; nil without a loop in
// loopLife.
func loginsLooping(v *compile.Verdict, r *Recent, now time.Time) *compile.Finding {
	if v.Entry == nil || v.HasEnded() || r.LastLoop.IsZero() || now.Sub(r.LastLoop) >= loopLife {
		return nil
	}
	primary := v.Entry.Primary().Name
	var others []string
	for i := range v.Entry.Backends {
		if name := v.Entry.Backends[i].Name; name != primary {
			others = append(others, name)
		}
	}
	begin := "another service"
	if len(others) > 0 {
		begin = "another backend (" + compile.Enumerate(others) + ")"
	}
	return new(compile.True(callbackv1alpha1.ReasonLoginsLooping,
		"browsers come with one login after the other within seconds: callbacks go to backend %s, which does not complete these logins; "+
			"most often logins still begin at %s: let them begin at %s too, or move the weight back; the guide Both flips shows how to see it",
		primary, begin, primary))
}

// nextRecent returns when a finding about the last callbacks ends though nothing
// more comes; zero when none does.
func nextRecent(r *Recent, now time.Time) time.Time {
	var next time.Time
	for name := range r.Backends {
		b := r.Backends[name]
		if f := b.judge(now); f != nil {
			next = compile.Earlier(next, f.until)
		}
	}
	if end := r.LastLoop.Add(loopLife); !r.LastLoop.IsZero() && now.Before(end) {
		next = compile.Earlier(next, end)
	}
	return next
}
