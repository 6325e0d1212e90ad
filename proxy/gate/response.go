// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// response.go: rules for the parameters of an authorization response.

import (
	"net/http"
	"strings"
	"unsafe"
)

// Protocol is whose responses are looked for.
type Protocol int

// The protocols. A request of an Opaque route is not inspected.
const (
	Opaque Protocol = iota
	OAuth
	SAML
)

// Response is a request that may be an authorization response.
type Response struct {
	Protocol Protocol
	// Query is the raw query.
	Query string
	// ContentType and ContentEncoding are the fields' values, empty when
	// absent.
	ContentType     string
	ContentEncoding string
	Body            []byte
	// Values are, after CheckResponse, the raw values of what a response is worth
	// (a code, a token, an assertion) with its state, in a fixed order; nil when
	// there is none. They are parts of Query and Body.
	Values []string

	// found are, after CheckResponse, the known parameters.
	found parameters
}

// Value returns the raw value of a parameter by its exact name, and whether it is
// there, once. Parameters that decide are those that CheckResponse found.
func (r *Response) Value(name string) (raw string, once bool) {
	if i, is := index[name]; is && i < deciding && r.Protocol != Opaque {
		bit := uint32(1) << i
		return r.found.values[i], r.found.once&bit != 0 && r.found.twice&bit == 0
	}
	count := 0
	note := func(form string) {
		for pairs := newPairs(form); pairs.next(); {
			if pairs.name == name {
				raw = pairs.value
				count++
			}
		}
	}
	note(r.Query)
	if IsForm(r.ContentType) && isReadable(r.ContentType, r.ContentEncoding) {
		note(textOf(r.Body))
	}
	return raw, count == 1
}

// textOf returns a body as text, without a copy: it is not changed while the
// Response is used.
func textOf(body []byte) string {
	return unsafe.String(unsafe.SliceData(body), len(body)) //nolint:gosec // see above
}

// CheckResponse finds the parameters of a request, and reports whether it is a
// response of the protocol. It refuses a response in which a parameter that
// decides is repeated: one party could act on the first value, and another on the
// last. A request that is no response is no login, and is not refused.
func CheckResponse(r *Response) (is bool, refusal *Refusal) {
	if r.Protocol == Opaque {
		return false, nil
	}
	r.found = parameters{}
	found := &r.found
	found.scan(r.Query)
	if IsForm(r.ContentType) && len(r.Body) > 0 {
		if !isReadable(r.ContentType, r.ContentEncoding) {
			return false, &Refusal{http.StatusBadRequest, BodyNotForm}
		}
		found.scan(textOf(r.Body))
	}
	if !found.isResponse(r.Protocol) {
		return false, nil
	}
	if found.repeats() {
		return true, &Refusal{http.StatusBadRequest, ParameterRepeated}
	}
	r.Values = found.worth()
	return true, nil
}

// IsForm reports whether a body of a media type has parameters.
func IsForm(contentType string) bool {
	media, _ := cutParameter(strings.TrimSpace(contentType))
	media, _, _ = strings.Cut(media, " ")
	return strings.EqualFold(media, "application/x-www-form-urlencoded")
}

// cutParameter cuts at the first semicolon or comma: PHP and Rack end a media
// type at either, PHP also at a blank.
func cutParameter(contentType string) (before, after string) {
	if i := strings.IndexAny(contentType, ";,"); i >= 0 {
		return strings.TrimSpace(contentType[:i]), contentType[i+1:]
	}
	return strings.TrimSpace(contentType), ""
}

// isReadable reports whether the bytes of a form are what its reader decodes: it
// is not compressed, and in a charset in which ASCII is ASCII.
func isReadable(contentType, contentEncoding string) bool {
	if contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity") {
		return false
	}
	for rest := contentType; rest != ""; {
		var parameter string
		parameter, rest = cutParameter(rest)
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "charset") {
			continue
		}
		switch strings.ToLower(strings.Trim(value, ` "`)) {
		case "utf-8", "utf8", "us-ascii", "iso-8859-1", "windows-1252":
		default:
			return false
		}
	}
	return true
}

// known are the parameters of authorization responses. Those before decides
// decide about a login: they may be there once.
var known = [...]string{
	"code", "state", "iss", "error", "response", "id_token", "access_token",
	"SAMLResponse", "SAMLRequest", "SAMLart", "RelayState", "SigAlg", "Signature",
	// These may be repeated.
	"error_description", "error_uri", "token_type", "expires_in", "scope", "session_state",
	// Responses of other protocols: CAS, WS-Federation, and codes by another name.
	"ticket", "wresult", "auth_code", "logout_token",
}

// deciding is how many of the known parameters decide.
const deciding = 13

// parameters are the known parameters of a request, as bits.
type parameters struct {
	once, twice uint32
	// alike are deciding parameters by a name that some framework takes for theirs.
	alike uint32
	// values are the raw values of those that decide.
	values [deciding]string
}

// credentials are the parameters that can be spent.
var credentials = setOf("code", "response", "id_token", "access_token", "SAMLResponse", "SAMLart")

// worth returns the values that make a response the one it is.
func (p *parameters) worth() []string {
	if p.once&credentials == 0 {
		return nil
	}
	worth := make([]string, 0, 6)
	state := index["state"]
	for i, value := range p.values {
		if p.once&(1<<i) != 0 && (credentials&(1<<i) != 0 || uint(i) == state) {
			worth = append(worth, known[i], value)
		}
	}
	return worth
}

var (
	others         = setOf("ticket", "wresult", "auth_code", "logout_token")
	oauthResponses = setOf("code", "error", "id_token", "access_token", "response") | others
	samlResponses  = setOf("SAMLResponse", "SAMLart", "SAMLRequest") | others
)

func setOf(names ...string) (set uint32) {
	for _, name := range names {
		set |= 1 << index[name]
	}
	return set
}

func (p *parameters) isResponse(protocol Protocol) bool {
	if protocol == SAML {
		return p.once&samlResponses != 0
	}
	return p.once&oauthResponses != 0
}

// repeats reports whether a deciding parameter is there twice, or also by a name
// that a framework takes for its name.
func (p *parameters) repeats() bool {
	const decide = 1<<deciding - 1
	return (p.twice|p.once&p.alike)&decide != 0
}

// scan notes the parameters of a query or a form.
func (p *parameters) scan(form string) {
	for pairs := newPairs(form); pairs.next(); {
		if len(pairs.name) < minName {
			continue
		}
		if i, is := find(pairs.name); is {
			p.twice |= p.once & (1 << i)
			p.once |= 1 << i
			if i < deciding {
				p.values[i] = pairs.value
			}
			continue
		}
		if i, is := findAlike(pairs.name); is {
			p.alike |= 1 << i
		}
	}
}

// Parameters returns for the log which known parameters a query has, and how many
// others: names alone, and only those that are constants of this package.
func Parameters(query string) (present []string, unknown int) {
	var seen uint32
	for pairs := newPairs(query); pairs.next(); {
		if pairs.name == "" {
			continue
		}
		i, is := find(pairs.name)
		switch {
		case !is:
			unknown++
		case seen&(1<<i) == 0:
			seen |= 1 << i
			present = append(present, known[i])
		}
	}
	return present, unknown
}
