// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package provider is a real OpenID Provider for the demo: authorization code
// with PKCE (S256, required), signed ID tokens, discovery and JWKS, as
// implemented by ory/fosite. It has one client and one user, whom it signs in
// without asking. It listens on loopback, over plain HTTP, and keeps
// everything in memory.
package provider

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
	"k8s.io/utils/clock"
)

// codeLifespan is short as that of a careful provider (FAPI 2.0 says at most
// 60 s): whatever keeps a callback waiting shows.
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
	// Codes were issued; Tokens is how many of them were redeemed.
	Codes, Tokens int64
	// Refused are token requests that failed: a code presented twice, a wrong
	// PKCE verifier, a redirect_uri other than before.
	Refused int64
}

// Provider is a running OpenID Provider.
type Provider struct {
	config Config
	issuer string
	oauth2 fosite.OAuth2Provider
	key    *jose.JSONWebKey
	server *http.Server
	cookie string

	codes, tokens, refused atomic.Int64
}

// Start listens on addr, for example 127.0.0.1:0, and serves until Close.
func Start(ctx context.Context, addr string, c Config) (*Provider, error) {
	key, err := signingKey()
	if err != nil {
		return nil, err
	}
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("choose the provider's secret: %w", err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for the provider: %w", err)
	}
	p := &Provider{
		config: c, key: key,
		issuer: "http://" + listener.Addr().String(),
		cookie: rand.Text(),
	}
	p.oauth2 = newOAuth2(p.fositeConfig(secret), client, key)
	p.server = &http.Server{Handler: p.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

// Issuer is the issuer identifier, under which discovery is found.
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

func (c Config) client() (*fosite.DefaultClient, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(c.ClientSecret), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("hash the client's secret: %w", err)
	}
	return &fosite.DefaultClient{
		ID:            c.ClientID,
		Secret:        hash,
		RedirectURIs:  c.RedirectURIs,
		ResponseTypes: fosite.Arguments{"code"},
		GrantTypes:    fosite.Arguments{"authorization_code"},
		Scopes:        fosite.Arguments{"openid", "email"},
	}, nil
}

func (p *Provider) fositeConfig(secret []byte) *fosite.Config {
	return &fosite.Config{
		GlobalSecret:          secret,
		IDTokenIssuer:         p.issuer,
		TokenURL:              p.issuer + tokenPath,
		AuthorizeCodeLifespan: codeLifespan,
		EnforcePKCE:           true, // and fosite takes no method but S256
		// The names under .test have no certificates; a client's URIs are
		// compared whole in any case.
		RedirectSecureChecker: func(_ context.Context, uri *url.URL) bool {
			return slices.Contains(p.config.RedirectURIs, uri.String())
		},
	}
}

// newOAuth2 puts fosite together from the handlers of the one flow there is.
func newOAuth2(config *fosite.Config, client *fosite.DefaultClient, key *jose.JSONWebKey) fosite.OAuth2Provider {
	store := storage.NewMemoryStore()
	store.Clients[client.ID] = client
	getKey := func(context.Context) (any, error) { return key, nil }
	strategy := &compose.CommonStrategy{
		CoreStrategy:               compose.NewOAuth2HMACStrategy(config),
		OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(getKey, config),
		Signer:                     &jwt.DefaultSigner{GetPrivateKey: getKey},
	}
	return compose.Compose(config, store, strategy,
		compose.OAuth2AuthorizeExplicitFactory,
		compose.OpenIDConnectExplicitFactory,
		compose.OAuth2PKCEFactory,
	)
}
