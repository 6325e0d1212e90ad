// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

// request.go: what the rules read of a request.

import (
	"net/url"
	"slices"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Parameters are those of a query and a form.
type Parameters interface {
	// Value returns the raw value of a parameter by its exact name, and whether it is
	// there, once.
	Value(name string) (raw string, once bool)
}

// Request is what is known of a request when its backend is decided. The values for a
// rule are read when the first such rule is tried.
type Request struct {
	// IsResponse: the request is an authorization response (or a callback of
	// protocol Opaque).
	IsResponse bool
	// PathInfo is the raw path behind that of a Prefix callback.
	PathInfo string
	// Cookies are the values of the Cookie fields.
	Cookies    []string
	Parameters Parameters

	// token and message are what was read already.
	token   *token
	message *message
}

// match reports whether a rule matches, and the backend that it names then.
func (r *Request) match(rule *routetable.OwnershipRule) (backend string, matches bool) {
	switch rule.Type {
	case routetable.RuleCookie:
		return rule.Backend, hasCookie(r.Cookies, rule.Cookie)
	case routetable.RuleState:
		return rule.Backend, matchState(r.state(rule.State.Source), rule.State)
	case routetable.RuleIssuer:
		return rule.Backend, r.issuer() == rule.Value
	case routetable.RuleAudience:
		return rule.Backend, slices.Contains(r.audiences(), rule.Value)
	case routetable.RuleConnection:
		return findConnection(rule.Connection, r.connection(rule.Connection))
	}
	return "", false
}

// parameter returns the decoded value of a parameter; empty when it is absent,
// repeated or badly encoded.
func (r *Request) parameter(name string) string {
	raw, once := r.Parameters.Value(name)
	if !once {
		return ""
	}
	if strings.IndexByte(raw, '%') < 0 && strings.IndexByte(raw, '+') < 0 {
		return raw
	}
	value, err := url.QueryUnescape(raw)
	if err != nil {
		return ""
	}
	return value
}

// state returns the value by which a service finds a login again.
func (r *Request) state(source routetable.StateSource) string {
	switch source {
	case routetable.SourceState:
		return r.parameter("state")
	case routetable.SourceRelayState:
		return r.parameter("RelayState")
	case routetable.SourceInResponseTo:
		return r.readMessage().inResponseTo
	}
	return ""
}

// issuer returns who issued the response: the parameter of RFC 9207, else the claim
// of the response's token, else the Issuer of a SAML message.
func (r *Request) issuer() string {
	if issuer := r.parameter("iss"); issuer != "" {
		return issuer
	}
	if issuer := r.readToken().Issuer; issuer != "" {
		return issuer
	}
	return r.readMessage().issuer
}

// audiences returns for whom the response is.
func (r *Request) audiences() []string {
	if audience := r.readToken().Audience; len(audience) > 0 {
		return audience
	}
	return r.readMessage().audiences
}

// readToken reads the JWT of a response: all of it in response (JARM), or an ID token.
func (r *Request) readToken() *token {
	if r.token == nil {
		r.token = parseToken(r.parameter("response"))
		if r.token.isEmpty() {
			r.token = parseToken(r.parameter("id_token"))
		}
	}
	return r.token
}

// readMessage reads the SAML message of a response or a request.
func (r *Request) readMessage() *message {
	if r.message == nil {
		raw, once := r.Parameters.Value("SAMLResponse")
		if !once {
			raw, _ = r.Parameters.Value("SAMLRequest")
		}
		r.message = parseMessage(raw)
	}
	return r.message
}

// connection returns the value that a map of connections is about.
func (r *Request) connection(m *routetable.ConnectionMap) string {
	if m.Parameter != "" {
		return r.parameter(m.Parameter)
	}
	return segmentOf(r.PathInfo, int(m.PathSegment))
}

// segmentOf returns a segment of a path, counted from 1, as it is.
func segmentOf(path string, number int) string {
	rest := strings.TrimPrefix(path, "/")
	for ; number > 1; number-- {
		var more bool
		if _, rest, more = strings.Cut(rest, "/"); !more {
			return ""
		}
	}
	segment, _, _ := strings.Cut(rest, "/")
	return segment
}

// findConnection returns the backend of a value.
func findConnection(m *routetable.ConnectionMap, value string) (backend string, found bool) {
	if value == "" {
		return "", false
	}
	for i := range m.Backends {
		if _, found := slices.BinarySearch(m.Backends[i].Values, value); found {
			return m.Backends[i].Name, true
		}
	}
	return "", false
}

// hasCookie reports whether a cookie matches. The fields are read as RFC 6265 section
// 4.2 has them; a cookie that does not fit is no cookie.
func hasCookie(fields []string, m *routetable.CookieMatch) bool {
	for _, field := range fields {
		for pair := range strings.SplitSeq(field, ";") {
			name, value, is := strings.Cut(strings.Trim(pair, " \t"), "=")
			if !is || name == "" {
				continue
			}
			if name == m.Name || m.NamePrefix != "" && strings.HasPrefix(name, m.NamePrefix) {
				if strings.HasPrefix(strings.TrimPrefix(value, `"`), m.ValuePrefix) {
					return true
				}
			}
		}
	}
	return false
}

// matchState reports whether a value has the prefix, or the length and alphabet.
func matchState(value string, m *routetable.StateMatch) bool {
	if m.Prefix != "" {
		return strings.HasPrefix(value, m.Prefix)
	}
	if value == "" || len(value) != int(m.Length) {
		return false
	}
	for i := range len(value) {
		if !isIn(value[i], m.Alphabet) {
			return false
		}
	}
	return true
}

func isIn(c byte, a routetable.Alphabet) bool {
	digit, letter := c-'0' < 10, c|0x20-'a' < 26
	switch a {
	case routetable.AlphabetDigits:
		return digit
	case routetable.AlphabetHex:
		return digit || c|0x20-'a' < 6
	case routetable.AlphabetAlphanumeric:
		return digit || letter
	case routetable.AlphabetBase64:
		return digit || letter || c == '+' || c == '/' || c == '='
	case routetable.AlphabetBase64URL:
		return digit || letter || c == '-' || c == '_'
	}
	return false
}
