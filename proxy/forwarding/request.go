// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package forwarding

// request.go: the field lines that the next server gets.

import (
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

// AppendCallback appends the field lines of a callback for its backend, in the
// order in which they came: those that belong to this connection and those that
// only a proxy may set are left out, and the proxy's own follow. It returns how
// many fields with an underscore in their name were dropped: a backend may read
// it as a hyphen, and so take the field for another one. From a trusted peer such
// a field is relayed if it would be with hyphens.
func AppendCallback(lines []string, r *http1.Request, o *Origin, via, requestID string) (all []string, dropped int) {
	named := optionsOf(r.Fields)
	for i := range r.Fields {
		f := &r.Fields[i]
		underscore := strings.IndexByte(f.Name, '_') >= 0
		passes := !underscore || o.Trusted
		switch fateOf(f.Name, underscore) {
		case relayed:
		case claim:
			passes = passes && o.Trusted && !isEnvoy(f.Name)
		case ours, traced, expect:
			passes = false
		}
		switch {
		case passes && !named.has(f.Name):
			lines = append(lines, f.Line)
		case !passes && underscore:
			dropped++
		}
	}
	lines = o.appendOwn(lines)
	return append(lines, "X-Request-Id: "+requestID, "Via: "+via), dropped
}

// AppendPassed appends the field lines of a request for the application behind a
// sidecar. The application's peer is now this process, so it cannot decide by the
// peer's address which fields it may trust: the proxy decides for it, by the same
// rules as for callbacks. If no proxies are declared, the proxy cannot decide:
// the application gets the peer's fields as it did without a sidecar, and the
// proxy's own only of a peer that states nothing. Fields that name another path are
// dropped: a client could name a callback in them.
func AppendPassed(lines []string, r *http1.Request, o *Origin) []string {
	named := optionsOf(r.Fields)
	stated := false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch fateOf(f.Name, true) {
		case ours:
			if line, states := o.passedOwn(f, r.Chunked); line != "" && !(states && named.has(f.Name)) {
				stated = stated || states
				lines = append(lines, line)
			}
			continue
		case claim:
			if !o.Trusted && (!o.Undeclared || namesPath(f.Name)) || isEnvoy(f.Name) {
				continue
			}
		case relayed, traced, expect:
		}
		if !named.has(f.Name) {
			lines = append(lines, f.Line)
		}
	}
	if stated {
		return lines
	}
	return o.appendOwn(lines)
}

// passedOwn returns the line that is passed of a field that is otherwise the proxy's
// own, empty when none is, and whether it states what the proxy would state.
func (o *Origin) passedOwn(f *http1.Field, chunked bool) (line string, states bool) {
	switch {
	case f.Is("te") && http1.HasToken(f.Value, "trailers"):
		return "TE: trailers", false
	case f.Is("trailer") && chunked:
		return f.Line, false
	case o.Undeclared && isForwarded(f.Name):
		return f.Line, true
	}
	return "", false
}

// AppendResponse appends the field lines of a response for the client, without
// those that belong to the connection to the server, and without those that
// replaced names.
func AppendResponse(lines []string, r *http1.Response, replaced ...string) []string {
	named := optionsOf(r.Fields)
	for i := range r.Fields {
		f := &r.Fields[i]
		if endsHere(f.Name) || named.has(f.Name) || isAny(f.Name, replaced) {
			continue
		}
		lines = append(lines, f.Line)
	}
	return lines
}

// endsHere reports whether a field of a response belongs to one connection.
func endsHere(name string) bool {
	switch fateOf(name, false) {
	case ours:
		return !http1.EqualFold(name, "host") && !isForwarded(name)
	case relayed, claim, traced, expect:
	}
	return false
}

func isForwarded(name string) bool {
	return http1.EqualFold(name, "forwarded") || len(name) > len("x-forwarded-") && http1.EqualFold(name[:len("x-forwarded-")], "x-forwarded-")
}

func isAny(name string, names []string) bool {
	for _, other := range names {
		if http1.EqualFold(name, other) {
			return true
		}
	}
	return false
}

// AppendTrailer appends the field lines of a trailer, but for those that would
// mean something in a head.
func AppendTrailer(lines []string, trailer http1.Fields) []string {
	for i := range trailer {
		if fateOf(trailer[i].Name, true) == relayed {
			lines = append(lines, trailer[i].Line)
		}
	}
	return lines
}
