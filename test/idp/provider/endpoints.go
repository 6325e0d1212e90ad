// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// endpoints.go serves the provider's HTTP endpoints.

const (
	discoveryPath = "/.well-known/openid-configuration"
	authorizePath = "/authorize"
	loginPath     = "/login"
	tokenPath     = "/token"
	keysPath      = "/jwks"

	// sessionCookie marks a browser whose user is signed in at the provider.
	sessionCookie = "provider-session"
	// tokenSeconds is the lifetime of the tokens.
	tokenSeconds = 300
)

func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+discoveryPath, p.discovery)
	mux.HandleFunc("GET "+keysPath, p.keys)
	mux.HandleFunc("GET "+authorizePath, p.authorize)
	mux.HandleFunc("GET "+loginPath, p.login)
	mux.HandleFunc("POST "+tokenPath, p.token)
	return mux
}

// discovery is OpenID Connect Discovery 1.0, section 3.
func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         p.issuer,
		"authorization_endpoint":                         p.issuer + authorizePath,
		"token_endpoint":                                 p.issuer + tokenPath,
		"jwks_uri":                                       p.issuer + keysPath,
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{string(jose.RS256)},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic"},
		"scopes_supported":                               []string{"openid", "email"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.Public()}})
}

// authorize validates the request, makes sure that the user is signed in, and
// issues a code. An unknown client or redirect URI gets no redirect (RFC 6749,
// section 4.1.2.1).
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	redirectURI := query.Get("redirect_uri")
	if query.Get("client_id") != p.config.ClientID || !slices.Contains(p.config.RedirectURIs, redirectURI) {
		http.Error(w, "unknown client_id or redirect_uri", http.StatusBadRequest)
		return
	}
	response := url.Values{"iss": {p.issuer}, "state": {query.Get("state")}} // iss: RFC 9207
	if reason := authorizationError(query); reason != "" {
		response.Set("error", reason)
		redirect(w, r, redirectURI, response)
		return
	}
	if cookie, err := r.Cookie(sessionCookie); err != nil || !isEqual(cookie.Value, p.session) {
		http.Redirect(w, r, loginPath+"?"+r.URL.RawQuery, http.StatusSeeOther)
		return
	}
	response.Set("scope", query.Get("scope"))
	response.Set("code", p.grants.issue(grant{
		redirectURI: redirectURI, challenge: query.Get("code_challenge"),
		nonce: query.Get("nonce"), scope: query.Get("scope"), issued: p.config.Clock.Now(),
	}))
	p.codes.Add(1)
	redirect(w, r, redirectURI, response)
}

// authorizationError returns the error code for an authorization request of a
// known client; empty when there is none.
func authorizationError(query url.Values) string {
	switch {
	case query.Get("response_type") != "code":
		return "unsupported_response_type"
	case !slices.Contains(strings.Fields(query.Get("scope")), "openid"):
		return "invalid_scope"
	case query.Get("code_challenge_method") != "S256" || query.Get("code_challenge") == "":
		return "invalid_request"
	}
	return ""
}

// redirect sends the browser to a registered redirect URI. The response has
// these parameters and no others of the request.
func redirect(w http.ResponseWriter, r *http.Request, redirectURI string, response url.Values) {
	http.Redirect(w, r, redirectURI+"?"+response.Encode(), http.StatusSeeOther)
}

// login signs the user in without a form and returns to the authorization
// endpoint with the same query. The target is a constant path of the provider.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: p.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, authorizePath+"?"+r.URL.RawQuery, http.StatusSeeOther)
}

// token redeems a code for an ID token.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if !isEqual(id, url.QueryEscape(p.config.ClientID)) || !isEqual(secret, url.QueryEscape(p.config.ClientSecret)) {
		p.refuse(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	if r.PostFormValue("grant_type") != "authorization_code" {
		p.refuse(w, http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	granted, found := p.grants.take(r.PostFormValue("code"))
	if !found || !granted.isRedeemable(r.PostFormValue("redirect_uri"), r.PostFormValue("code_verifier"), p.config.Clock.Now()) {
		p.refuse(w, http.StatusBadRequest, "invalid_grant")
		return
	}
	idToken, err := p.idToken(granted)
	if err != nil {
		http.Error(w, "the ID token could not be signed", http.StatusInternalServerError)
		return
	}
	p.tokens.Add(1)
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, map[string]any{
		"access_token": rand.Text(), "token_type": "Bearer", "expires_in": tokenSeconds,
		"scope": granted.scope, "id_token": idToken,
	})
}

func (p *Provider) refuse(w http.ResponseWriter, status int, reason string) {
	p.refused.Add(1)
	writeJSON(w, status, map[string]string{"error": reason})
}

// idToken is OpenID Connect Core 1.0, section 2.
func (p *Provider) idToken(granted grant) (string, error) {
	now := p.config.Clock.Now()
	claims, err := json.Marshal(map[string]any{
		"iss": p.issuer, "sub": p.config.Subject, "aud": p.config.ClientID, "email": p.config.Email,
		"nonce": granted.nonce, "iat": now.Unix(), "auth_time": now.Unix(), "exp": now.Unix() + tokenSeconds,
	})
	if err != nil {
		return "", fmt.Errorf("encode the claims: %w", err)
	}
	signed, err := p.signer.Sign(claims)
	if err != nil {
		return "", fmt.Errorf("sign the ID token: %w", err)
	}
	return signed.CompactSerialize()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the response could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
