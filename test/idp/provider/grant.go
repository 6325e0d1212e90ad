// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"sync"
	"time"
)

// grant.go holds the issued authorization codes and the rules for redeeming one.

// grant is what an authorization code stands for.
type grant struct {
	redirectURI, challenge, nonce, scope string
	issued                               time.Time
}

// grants are the codes that were issued and not presented yet.
type grants struct {
	mu     sync.Mutex
	byCode map[string]grant
}

// issue returns a new code for a grant.
func (g *grants) issue(granted grant) (code string) {
	code = rand.Text()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.byCode[code] = granted
	return code
}

// take returns the grant of a code and removes it: a code is presented once,
// whether or not the token request succeeds (RFC 6749, section 4.1.2).
func (g *grants) take(code string) (grant, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	granted, found := g.byCode[code]
	delete(g.byCode, code)
	return granted, found
}

// isRedeemable applies RFC 6749, section 4.1.3, and RFC 7636, section 4.6.
func (g grant) isRedeemable(redirectURI, verifier string, now time.Time) bool {
	sum := sha256.Sum256([]byte(verifier))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	return now.Sub(g.issued) < codeLifespan &&
		redirectURI == g.redirectURI &&
		isEqual(challenge, g.challenge)
}

func isEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
