// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/cluster/app/record"
)

func TestJudge_TellsWhatAClientOrABackendWouldNotice(t *testing.T) {
	got := func(backend string, sums ...string) record.Deliveries {
		return record.Deliveries{Backend: backend, Deliveries: map[string]record.Delivery{"s": {Sums: sums}}}
	}
	none := func(backend string) record.Deliveries { return record.Deliveries{Backend: backend} }
	served := answer{state: "s", sum: "x", status: 200, backend: "green"}
	unanswered := answer{state: "s", sum: "x"}
	refused := answer{state: "s", sum: "x", status: 503}
	for name, c := range map[string]struct {
		answer  answer
		records []record.Deliveries
		want    func(o *Outcome)
	}{
		"clean":                                {served, []record.Deliveries{got("green", "x"), none("blue")}, func(*Outcome) {}},
		"refused":                              {refused, []record.Deliveries{none("green"), none("blue")}, func(o *Outcome) { o.Failed = 1 }},
		"unanswered, and delivered":            {unanswered, []record.Deliveries{got("green", "x"), none("blue")}, func(o *Outcome) { o.Failed, o.Unknown = 1, 1 }},
		"twice at one backend":                 {served, []record.Deliveries{got("green", "x", "x")}, func(o *Outcome) { o.Duplicates = 1 }},
		"once at each of two, one not meant":   {served, []record.Deliveries{got("green", "x"), got("blue", "x")}, func(o *Outcome) { o.Duplicates, o.Wrong = 1, 1 }},
		"answered by who has no record":        {served, []record.Deliveries{none("green"), none("blue")}, func(o *Outcome) { o.Lied = 1 }},
		"answered by one, recorded at another": {served, []record.Deliveries{none("green"), got("blue", "x")}, func(o *Outcome) { o.Lied, o.Wrong = 1, 1 }},
		"other bytes":                          {served, []record.Deliveries{got("green", "y")}, func(o *Outcome) { o.Corrupted = 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := judge([]answer{c.answer}, c.records, []string{"green"})
			var want Outcome
			c.want(&want)
			g.Expect([]int{o.Failed, o.Unknown, o.Duplicates, o.Wrong, o.Lied, o.Corrupted}).To(
				Equal([]int{want.Failed, want.Unknown, want.Duplicates, want.Wrong, want.Lied, want.Corrupted}))
			g.Expect(o.Clean()).To(Equal(name == "clean"))
		})
	}
}

func TestJudge_NothingSentIsNotClean(t *testing.T) {
	g := NewWithT(t)
	o := judge(nil, nil, nil)
	g.Expect(o.Clean()).To(BeFalse())
}
