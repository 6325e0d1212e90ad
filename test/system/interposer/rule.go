// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package interposer

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rule is a fault. Its fields may be combined; several rules may match a call,
// and then each does its part, in order.
type Rule struct {
	// Match chooses the calls; nil: all.
	Match Match
	// Delay is the time before anything else happens to a call, or until the
	// rules are replaced.
	Delay time.Duration
	// Refuse answers in the API server's place and returns the status.
	Refuse func(http.ResponseWriter, Call) int
	// Before runs before a call is sent on, After when it was answered and the
	// client does not know yet. When one returns false, the client's stream
	// ends there: for Before nothing is sent on.
	Before, After func(Call) bool
	// ListAt makes a list one of the past: it returns the resource version.
	// The API server keeps versions of the last minutes.
	ListAt func() string
	// CutAfter ends a watch so long after its begin.
	CutAfter time.Duration

	// The following also act on answers that flow already.

	// Rate is the pace of each answer's body in bytes per second.
	Rate int
	// Lag is how much later than the API server sent it a part of an answer
	// reaches the client.
	Lag time.Duration
	// Stall lets nothing of an answer's body through, and says nothing about it.
	Stall bool
}

func (r *Rule) matches(c Call) bool { return r.Match == nil || r.Match(c) }

// chosen returns the rules that act on a call.
func chosen(rules []Rule, call Call) []*Rule {
	var acting []*Rule
	for i := range rules {
		if rules[i].matches(call) {
			acting = append(acting, &rules[i])
		}
	}
	return acting
}

// Conflict responds with 409 as the API server does after another write.
func Conflict(w http.ResponseWriter, c Call) int {
	return status(w, http.StatusConflict, metav1.StatusReasonConflict,
		"Operation cannot be fulfilled on "+c.Resource+" \""+c.Name+"\": the object has been modified; please apply your changes to the latest version and try again", nil)
}

// TooManyRequests answers 429 and says when to come back.
func TooManyRequests(after time.Duration) func(http.ResponseWriter, Call) int {
	seconds := int32(after / time.Second)
	return func(w http.ResponseWriter, _ Call) int {
		w.Header().Set("Retry-After", strconv.Itoa(int(seconds)))
		return status(w, http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests,
			"The server has received too many requests and has asked us to try again later", &metav1.StatusDetails{RetryAfterSeconds: seconds})
	}
}

// Gone answers a watch in both ways of an API server whose history is gone:
// half of them with status 410, half with an event that says so.
func Gone(w http.ResponseWriter, c Call) int {
	const message = "too old resource version"
	if c.N%2 == 0 {
		return status(w, http.StatusGone, metav1.StatusReasonExpired, message, nil)
	}
	event := map[string]any{"type": "ERROR", "object": body(http.StatusGone, metav1.StatusReasonExpired, message, nil)}
	w.Header().Set("Content-Type", "application/json")
	write(w, event)
	return http.StatusOK
}

// NoWatchList refuses lists in the form of a watch, as API servers before
// 1.32 do: clients then list and watch.
func NoWatchList(w http.ResponseWriter, _ Call) int {
	return status(w, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid, "sendInitialEvents is forbidden for watch", nil)
}

func status(w http.ResponseWriter, code int, reason metav1.StatusReason, message string, details *metav1.StatusDetails) int {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	write(w, body(code, reason, message, details))
	return code
}

// write sends a response of the interposer. A client that left gets none.
func write(w io.Writer, answer any) {
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func body(code int, reason metav1.StatusReason, message string, details *metav1.StatusDetails) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: message, Details: details,
	}
}
