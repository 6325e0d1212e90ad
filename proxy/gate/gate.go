// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gate decides whether a request may be delivered. In: the head and the
// body of a request, as bytes; out: nothing, or a Refusal. Bytes are compared and
// never rewritten. Pure, stdlib only.
package gate

// gate.go: rules for the head of a request.

import (
	"net/http"
	"strings"
)

// Reason names the rule that a request breaks. It is constant text, so it may be
// a label of a metric.
type Reason string

// The reasons. The parser of heads has others.
const (
	TargetForm        Reason = "targetForm"
	MethodNotAllowed  Reason = "methodNotAllowed"
	HeaderTwice       Reason = "headerTwice"
	NoLength          Reason = "noLength"
	BodyTooLarge      Reason = "bodyTooLarge"
	BodyNotAllowed    Reason = "bodyNotAllowed"
	Expectation       Reason = "expectation"
	PathNotCanonical  Reason = "pathNotCanonical"
	QueryBytes        Reason = "queryBytes"
	Prefetch          Reason = "prefetch"
	BodyNotForm       Reason = "bodyNotForm"
	ParameterRepeated Reason = "parameterRepeated"
	Repeated          Reason = "repeated"
)

// Refusal is the response to a request that may not be delivered.
type Refusal struct {
	// Status is the HTTP status code.
	Status int
	Reason Reason
}

// Head is the head of a request, as far as the gate has rules about it.
type Head struct {
	Method string
	// Target is the request target as it stood in the request line.
	Target string
	// PathDeclared: the raw path is that of an Exact callback of the host, so it
	// has one reading only, in any spelling.
	PathDeclared bool
	// Length is the declared length of the body; -1: none. Chunked: the body comes
	// in chunks.
	Length  int64
	Chunked bool
	// MaxLength bounds the body.
	MaxLength int64
	// Expects is the value of Expect, or "".
	Expects string
	// Purpose is the value of Sec-Purpose, or that of Purpose or X-Moz.
	Purpose string
	// Twice: a field is repeated whose first value some servers take, and others
	// the last.
	Twice bool
}

// onlyOnce are fields of which servers take the first value or the last.
var onlyOnce = [...]string{"content-type", "content-encoding", "authorization", "origin", "referer", "sec-purpose"}

// Once notes field names. It finds those that may be there only once and are
// repeated.
type Once struct {
	seen  uint8
	Twice bool
}

// Note notes a field name.
func (o *Once) Note(name string) {
	for i, once := range onlyOnce {
		if len(name) == len(once) && strings.EqualFold(name, once) {
			o.Twice = o.Twice || o.seen&(1<<i) != 0
			o.seen |= 1 << i
			return
		}
	}
}

// headRules are tried in this order.
var headRules = [...]func(*Head) *Refusal{checkTargetForm, checkMethod, checkTwice, checkBody, checkExpectation, checkTargetBytes, checkPurpose}

// CheckHead applies the rules to a head; nil: all are kept.
func CheckHead(h *Head) *Refusal {
	for _, rule := range headRules {
		if refusal := rule(h); refusal != nil {
			return refusal
		}
	}
	return nil
}

// SplitTarget splits a request target at its first question mark, and reports
// whether there is one.
func SplitTarget(target string) (path, query string, found bool) {
	return strings.Cut(target, "?")
}

// checkTargetForm refuses all but the origin form (RFC 9112 section 3.2.1): in
// any other a server may take the host from the target.
func checkTargetForm(h *Head) *Refusal {
	if h.Target == "" || h.Target[0] != '/' {
		return &Refusal{http.StatusBadRequest, TargetForm}
	}
	return nil
}

// checkMethod refuses methods that are no request for a resource: CONNECT makes
// a tunnel, TRACE sends the request back, cookies included.
func checkMethod(h *Head) *Refusal {
	if h.Method == http.MethodConnect || h.Method == http.MethodTrace {
		return &Refusal{http.StatusMethodNotAllowed, MethodNotAllowed}
	}
	return nil
}

func checkTwice(h *Head) *Refusal {
	if h.Twice {
		return &Refusal{http.StatusBadRequest, HeaderTwice}
	}
	return nil
}

// checkBody refuses a GET with a body, which servers read or leave on the
// connection, and a POST that does not declare one.
func checkBody(h *Head) *Refusal {
	switch {
	case h.Method == http.MethodPost && h.Length < 0 && !h.Chunked:
		return &Refusal{http.StatusLengthRequired, NoLength}
	case (h.Method == http.MethodGet || h.Method == http.MethodHead) && (h.Length > 0 || h.Chunked):
		return &Refusal{http.StatusBadRequest, BodyNotAllowed}
	case h.Length > h.MaxLength:
		return &Refusal{http.StatusRequestEntityTooLarge, BodyTooLarge}
	}
	return nil
}

func checkExpectation(h *Head) *Refusal {
	if h.Expects != "" && !strings.EqualFold(h.Expects, "100-continue") {
		return &Refusal{http.StatusExpectationFailed, Expectation}
	}
	return nil
}

// checkPurpose refuses requests that no person made: a code that is delivered
// ahead of the person's own request is spent then.
func checkPurpose(h *Head) *Refusal {
	for token := range strings.SplitSeq(h.Purpose, ";") {
		if strings.EqualFold(strings.TrimSpace(token), "prefetch") {
			return &Refusal{http.StatusForbidden, Prefetch}
		}
	}
	return nil
}
