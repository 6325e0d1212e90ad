// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// report.go: the report of an instance to the controller.

import "time"

// ReportPath is the path of the report on a proxy's admin port.
const ReportPath = "/report"

// ReportSince is the query parameter of a request for a report: the Cursor of
// the last one. Entries without a change since then are left out.
const ReportSince = "since"

// ReportAudience is the audience ("aud") of the JSON Web Token (EdDSA) that a
// request for /report carries as Bearer token. It holds the address of the request
// (IP:port), so that a token sent to one pod opens no other.
func ReportAudience(address string) string {
	return "callbackproxy.io/report@" + address
}

// Report is the state of a proxy instance, as JSON.
type Report struct {
	Version
	// Hash is the index hash of the config it runs; empty when it runs none.
	Hash string `json:"hash,omitempty"`
	// ListenerPort is where it accepts callbacks.
	ListenerPort int32 `json:"listenerPort"`
	// Refused is the config that it refused last; nil once it adopted a newer one.
	Refused *Refusal `json:"refused,omitempty"`
	// ClockSuspect is true while its clock contradicts the API server's.
	ClockSuspect bool `json:"clockSuspect,omitempty"`
	// Forwarding is what the callbacks of the last minutes claimed of the proxies
	// in front.
	Forwarding ForwardingUse `json:"forwarding,omitzero"`

	// Boot names this run of the process. Another one voids all that was
	// reported before.
	Boot string `json:"boot"`
	// Full is true on the first page of a full list: it voids all that was
	// reported before, and an entry that the list lacks is gone. An unknown
	// cursor, or one that is too old, gets a full list.
	Full bool `json:"full,omitempty"`
	// Cursor goes into the next request, see ReportSince.
	Cursor string `json:"cursor"`
	// More is true when some entries had no room: the next page follows at once.
	More bool `json:"more,omitempty"`
	// Targets are the results of health checks, and Routes the counts of
	// requests; both as far as they changed since the cursor, in the order of
	// their last change. An entry that never changed is not listed.
	Targets []TargetReport `json:"targets,omitempty"`
	Routes  []RouteUse     `json:"routes,omitempty"`
}

// MaxReportEntries is how many Targets and Routes a report holds together.
const MaxReportEntries = 4096

// TargetState is the finding of an instance about a target.
type TargetState string

// The states. A target is Unmeasured before the first result of its probes, and
// after its last finding expired.
const (
	TargetHealthy    TargetState = "Healthy"
	TargetUnhealthy  TargetState = "Unhealthy"
	TargetUnmeasured TargetState = "Unmeasured"
)

// TargetReport is the finding of an instance about one target.
type TargetReport struct {
	// ID is a TargetID or PathProbeID.
	ID string `json:"id"`
	// Gone marks a tombstone: the instance does not check the target any more.
	// State and Reason are empty then.
	Gone  bool        `json:"gone,omitempty"`
	State TargetState `json:"state,omitempty"`
	// Reason is one of the TargetXxx reasons for an unhealthy one.
	Reason string `json:"reason,omitempty"`
}

// The reasons of an unhealthy target.
const (
	// TargetUnreachable: no connection.
	TargetUnreachable = "Unreachable"
	// TargetNoAnswer: a connection, and no HTTP response in time.
	TargetNoAnswer = "NoAnswer"
	// TargetBadStatus: a response with another status than 200 to 399.
	TargetBadStatus = "BadStatus"
	// TargetPathNotServed: the path probe got 404, 405 or 5xx.
	TargetPathNotServed = "CallbackPathNotServed"
)

// ForwardingWindow is the time that the counts of a ForwardingUse cover.
const ForwardingWindow = 5 * time.Minute

// MaxForwardingNetworks is how many networks a ForwardingUse names.
const MaxForwardingNetworks = 8

// ForwardingUse counts callbacks, and those of them that claim https in
// X-Forwarded-Proto or Forwarded and come from a peer that is no trusted proxy.
type ForwardingUse struct {
	// Callbacks and Claims are the counts of the last ForwardingWindow.
	Callbacks int64 `json:"callbacks,omitempty"`
	Claims    int64 `json:"claims,omitempty"`
	// LastMost is when the claims were last more than half of the callbacks.
	LastMost time.Time `json:"lastMost,omitzero"`
	// Networks are those of the peers that claimed in the last 15 minutes, as CIDR,
	// where PrivateNetwork has one; the latest ones, sorted.
	Networks []string `json:"networks,omitempty"`
}

// RouteUse counts the requests of a route since it came into the table of this
// instance.
type RouteUse struct {
	UID string `json:"uid"`
	// Gone marks a tombstone: the route left the table, and its counts with it.
	// All else is empty then.
	Gone bool `json:"gone,omitempty"`
	// Last is when the last well-formed callback came, in whole seconds.
	Last time.Time `json:"last,omitzero"`
	// Callbacks counts well-formed callbacks, AfterSunset those of them after a
	// sunset of the route, Repeats those of them that were handed to a backend again
	// after a complete answer, Other the requests for a path of it that are no
	// callbacks, Refused those that broke a rule and named the route.
	Callbacks   int64 `json:"callbacks,omitempty"`
	AfterSunset int64 `json:"afterSunset,omitempty"`
	Repeats     int64 `json:"repeats,omitempty"`
	Other       int64 `json:"other,omitempty"`
	Refused     int64 `json:"refused,omitempty"`
	// LastRefused is when the last request was refused, and RefusedReason the rule
	// that it broke: the label reason of callbackproxy_refused_total.
	LastRefused   time.Time `json:"lastRefused,omitzero"`
	RefusedReason string    `json:"refusedReason,omitempty"`
	// LastLoop is when a browser last came with one more login in a loop.
	LastLoop time.Time `json:"lastLoop,omitzero"`
	// Backends are those that callbacks were meant for.
	Backends []BackendUse `json:"backends,omitempty"`
}

// BackendUse counts the callbacks whose first byte was sent to a backend, and
// those that failed at it.
type BackendUse struct {
	Name      string    `json:"name"`
	Callbacks int64     `json:"callbacks"`
	Last      time.Time `json:"last,omitzero"`
	// LastSuccess is when the last callback came that got a complete response.
	LastSuccess time.Time `json:"lastSuccess,omitzero"`
	// InRow is how many callbacks failed since then, with less than FailureLife
	// between one and the next. Failures are the last of them, at most
	// FailingAfter, the oldest first.
	InRow    int64             `json:"inRow,omitempty"`
	Failures []CallbackFailure `json:"failures,omitempty"`
}

const (
	// FailingAfter is how many callbacks in a row fail before a backend counts as
	// failing.
	FailingAfter = 5
	// FailureLife is the time after which a failure of a callback means nothing.
	FailureLife = 5 * time.Minute
)

// CallbackFailure is a callback that a backend did not answer.
type CallbackFailure struct {
	// Time is when the callback came.
	Time time.Time `json:"time"`
	// Reason is one of the FailureXxx reasons.
	Reason string `json:"reason"`
}

// The reasons of a CallbackFailure. With the first two it is certain that nothing
// was sent to the backend: no client can provoke them.
const (
	// FailureRefused: the connection was refused.
	FailureRefused = "ConnectionRefused"
	// FailureNoConnection: no connection for another reason.
	FailureNoConnection = "NoConnection"
	// FailureReset: the connection ended before a response.
	FailureReset = "ConnectionReset"
	// FailureTimeout: no response in time.
	FailureTimeout = "Timeout"
	// FailureMalformed: a response that is not HTTP/1.1, or that cannot be relayed.
	FailureMalformed = "MalformedResponse"
	// FailureTruncated: a response that ended early.
	FailureTruncated = "TruncatedResponse"
)

// Refusal names a config that was not adopted, and the reason.
type Refusal struct {
	Version
	Hash string `json:"hash"`
	// Reason is one of the RefusedXxx constants.
	Reason string `json:"reason"`
	// Message has the details, without any content of the config.
	Message string `json:"message"`
}

// The reasons of a refusal.
const (
	// RefusedOlder: the config would go back in (epoch, generation).
	RefusedOlder = "Older"
	// RefusedIncomplete: a shard that the index names is missing.
	RefusedIncomplete = "Incomplete"
	// RefusedInvalid: it cannot be decoded, or must not be served.
	RefusedInvalid = "Invalid"
)
