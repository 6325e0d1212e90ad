// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/callbackproxy/callback-operator/test/cluster/app/record"
)

// answer is one request and what its client saw.
type answer struct {
	state, sum string
	sent       time.Time
	took       time.Duration
	fresh      bool
	status     int    // 0: no answer, or not a whole one
	backend    string // who says that it answered
	err        string // of the connection, without a URL
}

// Outcome is what became of a load. Failed, Duplicates, Wrong, Lied and
// Corrupted are the oracle: all are 0 when nobody noticed anything.
type Outcome struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Sent    int     `json:"sent"`
	// Fresh were sent over connections of their own, the others over kept ones.
	Fresh int `json:"fresh"`
	// Failed got no answer, or another than 200.
	Failed int `json:"failed"`
	// Duplicates reached backends more than once.
	Duplicates int `json:"duplicates"`
	// Wrong reached a backend that was not to get any.
	Wrong int `json:"wrong"`
	// Lied were answered with 200 in the name of a backend that has no record
	// of them.
	Lied int `json:"lied"`
	// Corrupted arrived with other bytes than were sent.
	Corrupted int `json:"corrupted"`
	// Unknown failed, and yet reached a backend.
	Unknown int `json:"unknown"`
	// Backends counts the deliveries of each.
	Backends map[string]int `json:"backends"`
	Statuses map[int]int    `json:"statuses"`
	P50      float64        `json:"p50Millis"`
	P99      float64        `json:"p99Millis"`
	Max      float64        `json:"maxMillis"`
	// First are the first failures, in words.
	First []string `json:"first,omitempty"`
	// Error says why there is no comparison.
	Error string `json:"error,omitempty"`
}

// Clean says whether nobody noticed anything.
func (o *Outcome) Clean() bool {
	return o.Error == "" && o.Sent > 0 &&
		o.Failed+o.Duplicates+o.Wrong+o.Lied+o.Corrupted+o.Unknown == 0
}

// maxFirst is how many failures are told one by one.
const maxFirst = 8

// judge compares what clients saw with what reached the backends. expected are
// the names of those that were to get callbacks; without records only the
// answers are judged.
func judge(answers []answer, records []record.Deliveries, expected []string) Outcome {
	o := Outcome{Sent: len(answers), Backends: map[string]int{}, Statuses: map[int]int{}}
	delivered := map[string][]string{} // names by state
	sums := map[string][]string{}
	for _, r := range records {
		for state, d := range r.Deliveries {
			o.Backends[r.Backend] += len(d.Sums)
			for _, sum := range d.Sums {
				delivered[state] = append(delivered[state], r.Backend)
				sums[state] = append(sums[state], sum)
			}
		}
	}
	var took []time.Duration
	for _, a := range answers {
		o.Statuses[a.status]++
		if a.fresh {
			o.Fresh++
		}
		if a.status == 200 {
			took = append(took, a.took)
		} else {
			o.Failed++
			o.tell(a)
		}
		if len(records) > 0 {
			o.compare(a, delivered[a.state], sums[a.state], expected)
		}
	}
	slices.Sort(took)
	o.P50, o.P99, o.Max = millis(quantile(took, 50)), millis(quantile(took, 99)), millis(quantile(took, 100))
	return o
}

func (o *Outcome) compare(a answer, reached, sums, expected []string) {
	if len(reached) > 1 {
		o.Duplicates++
	}
	if slices.ContainsFunc(reached, func(name string) bool { return !slices.Contains(expected, name) }) {
		o.Wrong++
	}
	if slices.ContainsFunc(sums, func(sum string) bool { return sum != a.sum }) {
		o.Corrupted++
	}
	switch {
	case a.status == 200 && !slices.Contains(reached, a.backend):
		o.Lied++
	case a.status != 200 && len(reached) > 0:
		o.Unknown++
	}
}

func (o *Outcome) tell(a answer) {
	if len(o.First) >= maxFirst {
		return
	}
	connection := "kept"
	if a.fresh {
		connection = "fresh"
	}
	o.First = append(o.First, fmt.Sprintf("%s at %s over a %s connection: status %d after %s: %s", a.state,
		a.sent.UTC().Format("15:04:05.000"), connection, a.status, a.took.Round(time.Millisecond), cmp.Or(a.err, "-")))
}

// quantile of sorted durations, in percent.
func quantile(sorted []time.Duration, percent int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
