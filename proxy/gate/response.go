// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gate

// response.go: rules for the parameters of an authorization response.

import (
	"net/http"
	"strings"
)

// Response is an authorization response, to be checked once its route is known.
type Response struct {
	// Opaque: the request is no authorization response, and is not checked.
	Opaque bool
	Method string
	// Query is the raw query.
	Query string
	// ContentType and ContentEncoding are the fields' values, empty when
	// absent.
	ContentType     string
	ContentEncoding string
	Body            []byte
}

// CheckResponse returns why an authorization response is refused, or nil and the
// response parameters it has; none for an opaque one.
func CheckResponse(r *Response) (ParameterSet, *Refusal) {
	if r.Opaque {
		return 0, nil
	}
	seen, once := ParameterSet(0).with(r.Query)
	if r.Method == http.MethodPost {
		if !isPlainForm(r.ContentType, r.ContentEncoding) {
			return 0, &Refusal{http.StatusBadRequest, BodyNotForm}
		}
		if once {
			seen, once = seen.with(string(r.Body))
		}
	}
	if !once {
		return 0, &Refusal{http.StatusBadRequest, ParameterRepeated}
	}
	return seen, nil
}

// isPlainForm accepts urlencoded forms in a charset that agrees with ASCII.
// In another charset, or compressed, a backend would see other parameters
// than the ones compared here.
func isPlainForm(contentType, contentEncoding string) bool {
	if contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity") {
		return false
	}
	media, parameters, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return false
	}
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(parameter), "=")
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

// responseParameters are the parameters of OAuth 2.0 (RFC 6749, RFC 9207),
// OpenID Connect and SAML 2.0 bindings that may stand in a response once.
// Parsers differ in which of two they take, so a second one lets someone show
// one value here and another to the backend.
var responseParameters = [...]string{
	"code", "state", "iss", "error", "error_description", "error_uri",
	"response", "id_token", "access_token", "token_type", "expires_in", "scope", "session_state",
	"SAMLResponse", "SAMLRequest", "SAMLart", "RelayState", "SigAlg", "Signature",
}

var parameterIndex = func() map[string]uint {
	index := make(map[string]uint, len(responseParameters))
	for i, name := range responseParameters {
		index[name] = uint(i)
	}
	return index
}()

// maxEncodedName is the longest spelling of a response parameter: every byte
// of "error_description" escaped.
const maxEncodedName = 3 * len("error_description")

// ParameterSet holds which response parameters were seen, one bit each.
type ParameterSet uint32

// The parameters of which every authorization response has at least one:
// RFC 6749 section 4.1.2 and 4.2.2, OpenID Connect Core section 3.3.2.5 and
// JARM section 2.3; SAML 2.0 Bindings sections 3.4 to 3.6. SAMLRequest is the
// provider's request to log out, which comes to the same address.
var (
	oauthResponses = setOf("code", "error", "id_token", "access_token", "response")
	samlResponses  = setOf("SAMLResponse", "SAMLart", "SAMLRequest")
)

func setOf(names ...string) ParameterSet {
	var s ParameterSet
	for _, name := range names {
		s |= 1 << parameterIndex[name]
	}
	return s
}

// IsOAuth reports whether the parameters make a response of OAuth 2.0 or OpenID
// Connect.
func (s ParameterSet) IsOAuth() bool { return s&oauthResponses != 0 }

// IsSAML reports whether the parameters make a message of SAML.
func (s ParameterSet) IsSAML() bool { return s&samlResponses != 0 }

// with adds the response parameters of a form and reports whether each is there
// once. A form is split at "&" and at ";": some parsers split at both.
func (s ParameterSet) with(form string) (all ParameterSet, once bool) {
	for name := range names(form) {
		i, known := parameterIndex[name]
		if !known {
			continue
		}
		if s&(1<<i) != 0 {
			return s, false
		}
		s |= 1 << i
	}
	return s, true
}

// Parameters returns the response parameters that a raw query names, in the
// order of first appearance, and how many others it holds. The names come
// from a fixed set, so they may be logged; the others may be secrets
// themselves.
func Parameters(query string) (known []string, others int) {
	var seen ParameterSet
	for name := range names(query) {
		i, isKnown := parameterIndex[name]
		switch {
		case !isKnown:
			others++
		case seen&(1<<i) == 0:
			seen |= 1 << i
			known = append(known, responseParameters[i])
		}
	}
	return known, others
}

// names yields the decoded name of each pair of a form. Names that are too
// long to be known ones are yielded as they are.
func names(form string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for form != "" {
			pair := form
			if end := strings.IndexAny(form, "&;"); end >= 0 {
				pair, form = form[:end], form[end+1:]
			} else {
				form = ""
			}
			if pair == "" {
				continue
			}
			name, _, _ := strings.Cut(pair, "=")
			if len(name) <= maxEncodedName && strings.ContainsAny(name, "%+") {
				name = decode(name)
			}
			if !yield(name) {
				return
			}
		}
	}
}

// decode resolves escapes and plus signs. A percent sign without two digits stays as it is.
func decode(s string) string {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			out = append(out, ' ')
		case s[i] == '%' && i+2 < len(s):
			high, okHigh := unhex(s[i+1])
			low, okLow := unhex(s[i+2])
			if !okHigh || !okLow {
				out = append(out, s[i])
				continue
			}
			out = append(out, high<<4|low)
			i += 2
		default:
			out = append(out, s[i])
		}
	}
	return string(out)
}
