// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider is a small OpenID Provider for tests and the demo: the
// authorization code flow with PKCE (S256, required), signed ID tokens,
// discovery and JWKS. It has one client and one user, and signs that user in
// without a form. It serves plain HTTP and keeps everything in memory. Its
// relying parties verify what it issues with a library of their own.
package provider

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
	"k8s.io/utils/clock"
)

// codeLifespan is as short as FAPI 2.0 requires (at most 60 s), so a delayed
// callback fails here as it does at a strict provider.
const codeLifespan = 60 * time.Second

// Config is the provider's one client and one user.
type Config struct {
	ClientID, ClientSecret string
	// RedirectURIs are compared as whole strings.
	RedirectURIs []string
	// Subject and Email are the user's.
	Subject, Email string
	Clock          clock.PassiveClock
}

// Stats count what the provider did since it started.
type Stats struct {
	// Codes is the number of issued codes, Tokens how many of them were redeemed.
	Codes, Tokens int64
	// Refused is the number of failed token requests: a code presented twice, a
	// wrong PKCE verifier, another redirect_uri than in the authorization request.
	Refused int64
}

// Provider is a running OpenID Provider.
type Provider struct {
	config  Config
	issuer  string
	key     jose.JSONWebKey
	signer  jose.Signer
	server  *http.Server
	session string // the cookie of the user's session
	grants  grants

	codes, tokens, refused atomic.Int64
}

// Start listens on addr, for example 127.0.0.1:0, and serves until Close.
func Start(ctx context.Context, addr string, c Config) (*Provider, error) {
	key, err := newSigningKey()
	if err != nil {
		return nil, err
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("create the signer: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the provider: %w", err)
	}
	p := &Provider{
		config: c, key: key, signer: signer,
		issuer:  "http://" + listener.Addr().String(),
		session: rand.Text(),
		grants:  grants{byCode: map[string]grant{}},
	}
	p.server = &http.Server{Handler: p.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Issuer returns the issuer identifier, the base of the discovery URL.
func (p *Provider) Issuer() string { return p.issuer }

// Stats returns the counts so far.
func (p *Provider) Stats() Stats {
	return Stats{Codes: p.codes.Load(), Tokens: p.tokens.Load(), Refused: p.refused.Load()}
}

// Close ends the server and its connections.
func (p *Provider) Close() error {
	if err := p.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close the provider: %w", err)
	}
	return nil
}

func newSigningKey() (jose.JSONWebKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return jose.JSONWebKey{}, fmt.Errorf("generate the signing key: %w", err)
	}
	return jose.JSONWebKey{
		Key: key, KeyID: strings.ToLower(rand.Text()), Algorithm: string(jose.RS256), Use: "sig",
	}, nil
}
