// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	. "github.com/onsi/gomega"
	"golang.org/x/oauth2"
	"k8s.io/utils/clock"

	"github.com/callbackproxy/callback-operator/test/idp/provider"
)

const (
	redirectURI = "http://auth.acme.test:8080/oauth2/callback"
	state       = "a-state-of-some-length"
	nonce       = "a-nonce-of-some-length"
)

// world is a provider and an HTTP client for it.
type world struct {
	*provider.Provider
	oidc   *oidc.Provider
	config *oauth2.Config
	client *http.Client
}

func newWorld(t *testing.T) world {
	t.Helper()
	g := NewWithT(t)
	p, err := provider.Start(t.Context(), "127.0.0.1:0", provider.Config{
		ClientID: "acme", ClientSecret: "not a secret", RedirectURIs: []string{redirectURI},
		Subject: "ada", Email: "ada@acme.test", Clock: clock.RealClock{},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(p.Close()).To(Succeed()) })
	discovered, err := oidc.NewProvider(t.Context(), p.Issuer())
	g.Expect(err).NotTo(HaveOccurred())
	jar, err := cookiejar.New(nil)
	g.Expect(err).NotTo(HaveOccurred())
	return world{
		Provider: p,
		oidc:     discovered,
		config: &oauth2.Config{
			ClientID: "acme", ClientSecret: "not a secret", RedirectURL: redirectURI,
			Endpoint: discovered.Endpoint(), Scopes: []string{"openid", "email"},
		},
		// It stops at the redirect to the client.
		client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if r.URL.Host == "auth.acme.test:8080" {
				return http.ErrUseLastResponse
			}
			return nil
		}},
	}
}

// authorize returns the authorization response's parameters.
func (w world) authorize(t *testing.T, options ...oauth2.AuthCodeOption) url.Values {
	t.Helper()
	g := NewWithT(t)
	response, err := w.client.Get(w.config.AuthCodeURL(state, append(options, oidc.Nonce(nonce))...))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.Body.Close()).To(Succeed())
	location, err := response.Location()
	g.Expect(err).NotTo(HaveOccurred(), response.Status)
	g.Expect(strings.HasPrefix(location.String(), redirectURI+"?")).To(BeTrue(), "it goes to the registered URI")
	return location.Query()
}

func TestProvider_IssuesAnIDTokenForACode(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	verifier := oauth2.GenerateVerifier()
	response := w.authorize(t, oauth2.S256ChallengeOption(verifier))
	g.Expect(response.Get("state")).To(Equal(state))
	g.Expect(response.Get("iss")).To(Equal(w.Issuer()))

	token, err := w.config.Exchange(t.Context(), response.Get("code"), oauth2.VerifierOption(verifier))
	g.Expect(err).NotTo(HaveOccurred())
	idToken, err := w.oidc.Verifier(&oidc.Config{ClientID: "acme"}).Verify(t.Context(), token.Extra("id_token").(string))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(idToken.Subject).To(Equal("ada"))
	g.Expect(idToken.Nonce).To(Equal(nonce))
	g.Expect(w.Stats()).To(Equal(provider.Stats{Codes: 1, Tokens: 1}))
}

func TestProvider_RedeemsACodeOnce(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	verifier := oauth2.GenerateVerifier()
	code := w.authorize(t, oauth2.S256ChallengeOption(verifier)).Get("code")
	_, err := w.config.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = w.config.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	g.Expect(err).To(MatchError(ContainSubstring("invalid_grant")))
	g.Expect(w.Stats()).To(Equal(provider.Stats{Codes: 1, Tokens: 1, Refused: 1}))
}

func TestProvider_RefusesAtTheTokenEndpoint(t *testing.T) {
	verifier := oauth2.GenerateVerifier()
	for name, redeem := range map[string]func(context.Context, world, string) error{
		"a wrong verifier": func(ctx context.Context, w world, code string) error {
			_, err := w.config.Exchange(ctx, code, oauth2.VerifierOption(oauth2.GenerateVerifier()))
			return err
		},
		"no verifier": func(ctx context.Context, w world, code string) error {
			_, err := w.config.Exchange(ctx, code)
			return err
		},
		"another redirect_uri": func(ctx context.Context, w world, code string) error {
			w.config.RedirectURL = "http://auth.acme.test/oauth2/callback"
			_, err := w.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
			return err
		},
		"a wrong client secret": func(ctx context.Context, w world, code string) error {
			w.config.ClientSecret = "guessed"
			_, err := w.config.Exchange(ctx, code, oauth2.VerifierOption(verifier))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t)
			code := w.authorize(t, oauth2.S256ChallengeOption(verifier)).Get("code")
			g.Expect(redeem(t.Context(), w, code)).To(HaveOccurred())
			g.Expect(w.Stats().Tokens).To(BeZero())
			g.Expect(w.Stats().Refused).NotTo(BeZero())
		})
	}
}

func TestProvider_RequiresPKCEWithS256(t *testing.T) {
	for name, options := range map[string][]oauth2.AuthCodeOption{
		"none": nil,
		"plain": {
			oauth2.SetAuthURLParam("code_challenge", oauth2.GenerateVerifier()),
			oauth2.SetAuthURLParam("code_challenge_method", "plain"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t)
			response := w.authorize(t, options...)
			g.Expect(response.Get("error")).To(Equal("invalid_request"))
			g.Expect(response.Has("code")).To(BeFalse())
		})
	}
}

func TestProvider_RefusesAnUnregisteredRedirectURI(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	w.config.RedirectURL = redirectURI + "/more"
	response, err := w.client.Get(w.config.AuthCodeURL(state, oauth2.S256ChallengeOption(oauth2.GenerateVerifier())))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.Body.Close()).To(Succeed())
	g.Expect(response.StatusCode).To(Equal(http.StatusBadRequest))
	g.Expect(response.Header.Get("Location")).To(BeEmpty())
}
