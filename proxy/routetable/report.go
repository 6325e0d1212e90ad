// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// ReportPath is where a proxy's admin port answers the controller.
const ReportPath = "/report"

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
