// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// oracle.go: the comparison of what clients saw with what reached the backends.

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Outcome is the result of a load. In a system that keeps its promises all
// counts of [Outcome.Broken] are 0; during a fault Failed alone may be above 0.
type Outcome struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Sent    int     `json:"sent"`
	// Fresh were sent over connections of their own.
	Fresh int `json:"fresh"`
	// Failed got another response than the expected one, or none, or were sent more
	// than once.
	Failed int `json:"failed"`
	// Repeated were sent more than once, as browsers and fronts do when a connection
	// ends without a response.
	Repeated int `json:"repeated"`
	// Misrouted reached a backend that was not declared for them.
	Misrouted int `json:"misrouted"`
	// Duplicated reached backends more than once.
	Duplicated int `json:"duplicated"`
	// Redelivered are those of Duplicated that their client sent at least as often
	// as they reached backends: each sending was delivered once.
	Redelivered int `json:"redelivered"`
	// Contradicted got a response that the backends contradict: a backend's
	// response without a delivery to it, or "not delivered" after a delivery.
	Contradicted int `json:"contradicted"`
	// Corrupted reached a backend in other bytes than were sent.
	Corrupted int `json:"corrupted"`
	// Undetermined reached a backend, and the response left that open. They
	// failed as well, and break no promise.
	Undetermined int `json:"undetermined"`
	// Deliveries are counted by backend, Statuses by status.
	Deliveries map[string]int `json:"deliveries"`
	Statuses   map[int]int    `json:"statuses"`
	// Latencies of the accepted responses.
	P50 float64 `json:"p50Millis"`
	P99 float64 `json:"p99Millis"`
	Max float64 `json:"maxMillis"`
	// First describes the first callbacks that were counted above as wrong.
	First []string `json:"first,omitempty"`
	// Error is the reason why a backend's record is missing.
	Error string `json:"error,omitempty"`
}

// maxFirst is how many callbacks are described one by one.
const maxFirst = 8

// Broken is how many callbacks broke a promise. A failed callback is none.
func (o *Outcome) Broken() int { return o.Misrouted + o.Duplicated + o.Contradicted + o.Corrupted }

// IsClean reports whether callbacks were sent and no user noticed anything.
func (o *Outcome) IsClean() bool { return o.Error == "" && o.Sent > 0 && o.Failed+o.Broken() == 0 }

// String has all counts in one line.
func (o *Outcome) String() string {
	return fmt.Sprintf("%d of %d callbacks failed, %d misrouted, %d duplicated, %d contradicted, %d corrupted",
		o.Failed, o.Sent, o.Misrouted, o.Duplicated, o.Contradicted, o.Corrupted)
}

// Add adds the counts of another outcome.
func (o *Outcome) Add(other *Outcome) {
	o.Sent += other.Sent
	o.Fresh += other.Fresh
	o.Failed += other.Failed
	o.Repeated += other.Repeated
	o.Misrouted += other.Misrouted
	o.Duplicated += other.Duplicated
	o.Redelivered += other.Redelivered
	o.Contradicted += other.Contradicted
	o.Corrupted += other.Corrupted
	o.Undetermined += other.Undetermined
	o.First = append(o.First, other.First...)
	o.First = o.First[:min(len(o.First), maxFirst)]
	if o.Error == "" {
		o.Error = other.Error
	}
}

// Judge ends a load and compares the responses with the deliveries at the
// backends. A backend must respond with its name as the body and status 200.
// Without backends only the responses are judged.
func (l *Load) Judge(ctx context.Context, backends ...Source) *Outcome {
	responses := l.Stop()
	var delivered map[string][]delivery // nil without backends
	if len(backends) > 0 {
		delivered = map[string][]delivery{}
	}
	var unread error
	for _, backend := range backends {
		record, err := backend.Deliveries(ctx, l.prefix)
		if err != nil && unread == nil {
			unread = err
		}
		for _, d := range record.Deliveries {
			delivered[d.ID] = append(delivered[d.ID], delivery{backend: record.Backend, Delivery: d})
		}
	}
	o := l.judge(responses, delivered)
	if unread != nil {
		o.Error = unread.Error()
	}
	return o
}

type delivery struct {
	backend string
	Delivery
}

func (l *Load) judge(responses []Response, delivered map[string][]delivery) *Outcome {
	o := &Outcome{Name: l.o.Name, Seconds: l.lasted.Seconds(), Sent: len(responses), Deliveries: map[string]int{}, Statuses: map[int]int{}}
	for _, all := range delivered {
		for _, d := range all {
			o.Deliveries[d.backend]++
		}
	}
	var took []time.Duration
	for _, r := range responses {
		o.Statuses[r.Status]++
		if r.Fresh {
			o.Fresh++
		}
		if r.Sendings > 1 {
			o.Repeated++
		}
		wrong := !l.o.Accept(r) || r.Sendings > 1
		if wrong {
			o.Failed++
		} else {
			took = append(took, r.Done.Sub(r.Sent))
		}
		if delivered != nil {
			before := o.Broken()
			l.compare(o, r, delivered[r.id])
			delete(delivered, r.id)
			wrong = wrong || o.Broken() > before
		}
		if wrong {
			o.describe(r)
		}
	}
	// The rest has an identity of this load that no client sent.
	for unsent := range delivered {
		o.Corrupted++
		if len(o.First) < maxFirst {
			o.First = append(o.First, unsent+" reached a backend and was never sent")
		}
	}
	slices.Sort(took)
	o.P50, o.P99, o.Max = millis(quantile(took, 50)), millis(quantile(took, 99)), millis(quantile(took, 100))
	return o
}

func (l *Load) compare(o *Outcome, r Response, reached []delivery) {
	if len(reached) > 1 {
		o.Duplicated++
		if len(reached) <= r.Sendings {
			o.Redelivered++
		}
	}
	if slices.ContainsFunc(reached, func(d delivery) bool { return !slices.Contains(l.o.Backends, d.backend) }) {
		o.Misrouted++
	}
	if slices.ContainsFunc(reached, func(d delivery) bool { return !l.isSame(r, d) }) {
		o.Corrupted++
	}
	switch r.Status {
	case http.StatusOK:
		if !slices.ContainsFunc(reached, func(d delivery) bool { return d.backend == r.Body }) {
			o.Contradicted++
		}
	case 0, http.StatusBadGateway, http.StatusGatewayTimeout: // the proxy leaves open whether it delivered
		if len(reached) > 0 {
			o.Undetermined++
		}
	default:
		switch {
		case len(reached) == 0:
		case r.Sendings == 1:
			o.Contradicted++
		default: // the response is about its own sending
			o.Undetermined++
		}
	}
}

// isSame reports whether a backend received the bytes that were sent.
func (l *Load) isSame(r Response, d delivery) bool {
	return d.Path == l.o.DeliveredPath && d.Sum == r.digests.request && (len(l.o.Fields) == 0 || d.Fields == r.digests.fields)
}

// describe names a callback by its identity: the rest of it is secret in a
// cluster.
func (o *Outcome) describe(r Response) {
	if len(o.First) >= maxFirst {
		return
	}
	connection := "kept"
	if r.Fresh {
		connection = "fresh"
	}
	o.First = append(o.First, fmt.Sprintf("%s %s to target %d at %s over a %s connection: status %d after %s and %d sendings, %.80q",
		r.method, r.id, r.Target, r.Sent.UTC().Format("15:04:05.000"), connection, r.Status,
		r.Done.Sub(r.Sent).Round(time.Millisecond), r.Sendings, r.Body))
}

// quantile of sorted durations, in percent.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
