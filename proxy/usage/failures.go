// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

// failures.go: the callbacks in a row that a backend did not answer.

import (
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// failureLife is FailureLife in the unit of the counts.
const failureLife = int64(routetable.FailureLife / time.Second)

// run is a row of callbacks that failed. It ends with a success, and begins anew
// after failureLife without a failure. The zero run is none.
type run struct {
	inRow int64
	// last are the last failures, the oldest first.
	last []failure
}

type failure struct {
	at     int64 // Unix seconds
	reason string
}

// add adds a failure. The order is that of the ends, so a callback that took long
// may be older than the last one.
func (r *run) add(f failure) {
	if n := len(r.last); n > 0 && f.at-r.last[n-1].at >= failureLife {
		*r = run{}
	}
	r.inRow++
	if len(r.last) == routetable.FailingAfter {
		r.last = append(r.last[:0], r.last[1:]...)
	}
	r.last = append(r.last, f)
}

func (r *run) report() []routetable.CallbackFailure {
	if r.inRow == 0 {
		return nil
	}
	failures := make([]routetable.CallbackFailure, len(r.last))
	for i, f := range r.last {
		failures[i] = routetable.CallbackFailure{Time: timeOf(f.at), Reason: f.reason}
	}
	return failures
}
