// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package owner

// token.go: the claims of a JWT that decide about its owner. Nothing is verified.

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// maxClaims bounds the payload of a token that is read, in bytes.
const maxClaims = 64 << 10

// token holds claims of a JWT (RFC 7519).
type token struct {
	Issuer   string    `json:"iss"`
	Audience audiences `json:"aud"`
}

func (t *token) isEmpty() bool { return t.Issuer == "" && len(t.Audience) == 0 }

// audiences is a claim that is a string or a list of strings.
type audiences []string

// UnmarshalJSON reads either form.
func (a *audiences) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*a = make(audiences, 1)
		return json.Unmarshal(data, &(*a)[0])
	}
	return json.Unmarshal(data, (*[]string)(a))
}

// parseToken reads the claims of a signed token. A token that is encrypted, malformed
// or too long has none.
func parseToken(text string) *token {
	_, rest, signed := strings.Cut(text, ".")
	payload, signature, complete := strings.Cut(rest, ".")
	if !signed || !complete || strings.IndexByte(signature, '.') >= 0 || len(payload) > maxClaims {
		return &token{}
	}
	claims, err := base64.RawURLEncoding.DecodeString(payload)
	if err != nil {
		return &token{}
	}
	var t token
	if json.Unmarshal(claims, &t) != nil {
		return &token{}
	}
	return &t
}
