// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import "time"

// ReportPath is where a proxy's admin port answers the controller.
const ReportPath = "/report"

// ReportSince is the query parameter of a request for a report: the Cursor of
// the last one. What has not changed since is left out.
const ReportSince = "since"

// ReportAudience is the audience ("aud") of the JSON Web Token (EdDSA) that a
// request for /report carries as Bearer token. It holds the address that is
// asked (IP:port), so that a token sent to one pod opens no other.
func ReportAudience(address string) string {
	return "callbackproxy.io/report@" + address
}

// Report is what a proxy instance says of itself, as JSON.
type Report struct {
	Version
	// Hash is the index hash of the config it runs; empty when it runs none.
	Hash string `json:"hash,omitempty"`
	// ListenerPort is where it accepts callbacks.
	ListenerPort int32 `json:"listenerPort"`
	// Refused is the config it was offered last and did not adopt; nil once
	// it adopted a newer one.
	Refused *Refusal `json:"refused,omitempty"`
	// ClockSuspect is true while it doubts its clock.
	ClockSuspect bool `json:"clockSuspect,omitempty"`

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
	// their last change. What never changed is not listed.
	Targets []TargetReport `json:"targets,omitempty"`
	Routes  []RouteUse     `json:"routes,omitempty"`
}

// MaxReportEntries is how many Targets and Routes a report holds together.
const MaxReportEntries = 4096

// TargetState is what an instance thinks of a target.
type TargetState string

// The states. A target that was not looked at yet, or of which an instance
// knew something that is too old, is Unmeasured.
const (
	TargetHealthy    TargetState = "Healthy"
	TargetUnhealthy  TargetState = "Unhealthy"
	TargetUnmeasured TargetState = "Unmeasured"
)

// TargetReport is what an instance thinks of one target.
type TargetReport struct {
	// ID is a TargetID or PreflightID.
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
	// TargetNoAnswer: a connection, and no HTTP answer in time.
	TargetNoAnswer = "NoAnswer"
	// TargetBadStatus: an answer with another status than 200 to 399.
	TargetBadStatus = "BadStatus"
	// TargetPathNotServed: the preflight was answered with 404, 405 or 5xx.
	TargetPathNotServed = "CallbackPathNotServed"
)

// RouteUse is what came for a route since the instance started, or the route
// became known to it.
type RouteUse struct {
	UID string `json:"uid"`
	// Gone marks a tombstone: the route left the table, and its counts with it.
	// All else is empty then.
	Gone bool `json:"gone,omitempty"`
	// Last is when the last well-formed callback came, in whole seconds.
	Last time.Time `json:"last,omitzero"`
	// Callbacks counts well-formed callbacks, AfterSunset those of them that
	// came after a sunset of the route, Other what came to the path and is none,
	// Refused what broke a rule once the route was known.
	Callbacks   int64 `json:"callbacks,omitempty"`
	AfterSunset int64 `json:"afterSunset,omitempty"`
	Other       int64 `json:"other,omitempty"`
	Refused     int64 `json:"refused,omitempty"`
	// Backends are those that got any, by name.
	Backends []BackendUse `json:"backends,omitempty"`
}

// BackendUse is what a backend got: callbacks whose first byte was sent to it.
type BackendUse struct {
	Name      string    `json:"name"`
	Callbacks int64     `json:"callbacks"`
	Last      time.Time `json:"last,omitzero"`
}

// Refusal names a config that was not adopted, and why.
type Refusal struct {
	Version
	Hash string `json:"hash"`
	// Reason is one of the RefusedXxx constants.
	Reason string `json:"reason"`
	// Message says more, without any content of the config.
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
