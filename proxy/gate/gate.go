// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package gate holds the raw-byte rules that a callback must keep before
// anything is decided about it. In: the bytes of a request as they came; out:
// nil, or the reason of a refusal. A request that passes means the same to
// every parser behind it. Pure, stdlib only.
package gate

import (
	"net/http"
	"strings"
)

// The limits of a request, in bytes.
const (
	MaxTargetBytes = 16 << 10
	MaxHeaderBytes = 32 << 10
	MaxBodyBytes   = 1 << 20
)

// AllowedMethods is the value of the Allow header of a 405.
const AllowedMethods = "GET, POST"

// Reason names the rule that a request broke. It is constant text, so it may
// be a metric label: no byte of the request is ever in it.
type Reason string

// The reasons.
const (
	TargetTooLong     Reason = "targetTooLong"
	TargetForm        Reason = "targetForm"
	HeaderTooLarge    Reason = "headerTooLarge"
	MethodNotAllowed  Reason = "methodNotAllowed"
	HeaderName        Reason = "headerName"
	HeaderTwice       Reason = "headerTwice"
	NoHost            Reason = "noHost"
	TransferEncoding  Reason = "transferEncoding"
	NoLength          Reason = "noLength"
	BodyTooLarge      Reason = "bodyTooLarge"
	BodyNotAllowed    Reason = "bodyNotAllowed"
	PathNotCanonical  Reason = "pathNotCanonical"
	QueryBytes        Reason = "queryBytes"
	BodyNotForm       Reason = "bodyNotForm"
	ParameterRepeated Reason = "parameterRepeated"
)

// Refusal is the response to a request that broke a rule.
type Refusal struct {
	// Status is the HTTP status code.
	Status int
	Reason Reason
}

// Head is what is known of a request before its body was read.
type Head struct {
	Method string
	// Target is the request target as it stood in the request line.
	Target string
	Host   string
	// Header holds the fields by their canonical names, without Host.
	Header map[string][]string
	// TransferEncoding is set apart from Header, as net/http does.
	TransferEncoding []string
	// ContentLength is -1 when unknown. The field in Header shows whether it was
	// declared.
	ContentLength int64
	// PathDeclared: the raw path is that of an Exact callback of the host, so it
	// has one reading only, in any spelling.
	PathDeclared bool
}

// headRules apply in this order; the first refusal counts.
var headRules = []func(*Head) *Refusal{
	checkTargetLength, checkHeaderSize, checkTargetForm, checkMethod, checkHeaderNames, checkHost,
	checkFraming, checkTargetBytes,
}

// CheckHead returns why a request is refused whatever its route, or nil.
func CheckHead(h *Head) *Refusal {
	for _, rule := range headRules {
		if refusal := rule(h); refusal != nil {
			return refusal
		}
	}
	return nil
}

// SplitTarget parts a target at its first question mark. The mark itself
// belongs to neither; found reports whether there was one.
func SplitTarget(target string) (path, query string, found bool) {
	return strings.Cut(target, "?")
}

func checkTargetLength(h *Head) *Refusal {
	if len(h.Target) > MaxTargetBytes {
		return &Refusal{http.StatusRequestURITooLong, TargetTooLong}
	}
	return nil
}

// checkHeaderSize counts each field as the line it was: name, value, colon,
// space and line end.
func checkHeaderSize(h *Head) *Refusal {
	const perLine = len(": \r\n")
	size := len("Host") + len(h.Host) + perLine
	for name, values := range h.Header {
		for _, value := range values {
			size += len(name) + len(value) + perLine
		}
	}
	if size > MaxHeaderBytes {
		return &Refusal{http.StatusRequestHeaderFieldsTooLarge, HeaderTooLarge}
	}
	return nil
}

// checkTargetForm accepts the origin form of RFC 9112 section 3.2.1 alone: in
// the others a host may stand that contradicts the Host field.
func checkTargetForm(h *Head) *Refusal {
	if h.Target == "" || h.Target[0] != '/' {
		return &Refusal{http.StatusBadRequest, TargetForm}
	}
	return nil
}

func checkMethod(h *Head) *Refusal {
	if h.Method != http.MethodGet && h.Method != http.MethodPost {
		return &Refusal{http.StatusMethodNotAllowed, MethodNotAllowed}
	}
	return nil
}

// onlyOnce are the fields of which two would let two parsers disagree about the
// client, or about the body.
var onlyOnce = [...]string{
	"Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Authorization", "Origin",
}

// checkHeaderNames refuses names with an underscore, which many servers read
// as a hyphen: a field that was stripped under one spelling would arrive under
// the other (CVE-2025-64484).
func checkHeaderNames(h *Head) *Refusal {
	for name := range h.Header {
		if strings.IndexByte(name, '_') >= 0 {
			return &Refusal{http.StatusBadRequest, HeaderName}
		}
	}
	for _, name := range onlyOnce {
		if len(h.Header[name]) > 1 {
			return &Refusal{http.StatusBadRequest, HeaderTwice}
		}
	}
	return nil
}

func checkHost(h *Head) *Refusal {
	if len(h.Header["Host"]) > 0 {
		return &Refusal{http.StatusBadRequest, HeaderTwice}
	}
	if h.Host == "" {
		return &Refusal{http.StatusBadRequest, NoHost}
	}
	return nil
}

// checkFraming accepts Content-Length as the only framing of a body. Browsers
// never send a form in chunks; attempts to desynchronise servers do.
func checkFraming(h *Head) *Refusal {
	if len(h.TransferEncoding) > 0 || len(h.Header["Transfer-Encoding"]) > 0 {
		return &Refusal{http.StatusLengthRequired, TransferEncoding}
	}
	declared := len(h.Header["Content-Length"]) > 0
	switch {
	case h.ContentLength < 0 || h.Method == http.MethodPost && !declared:
		return &Refusal{http.StatusLengthRequired, NoLength}
	case h.Method == http.MethodGet && h.ContentLength > 0:
		return &Refusal{http.StatusBadRequest, BodyNotAllowed}
	case h.ContentLength > MaxBodyBytes:
		return &Refusal{http.StatusRequestEntityTooLarge, BodyTooLarge}
	}
	return nil
}
