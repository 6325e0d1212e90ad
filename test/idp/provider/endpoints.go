// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/go-jose/go-jose/v3"
	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/token/jwt"
)

const (
	discoveryPath = "/.well-known/openid-configuration"
	authorizePath = "/authorize"
	loginPath     = "/login"
	tokenPath     = "/token"
	keysPath      = "/jwks"

	// sessionCookie says that the browser's user signed in here.
	sessionCookie = "provider-session"
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
	writeJSON(w, map[string]any{
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
	writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.key.Public()}})
}

// authorize checks the request before anything else happens, then makes sure
// that the user is signed in, then issues a code.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.oauth2.NewAuthorizeRequest(ctx, r)
	if err != nil {
		p.oauth2.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	if cookie, err := r.Cookie(sessionCookie); err != nil || cookie.Value != p.cookie {
		http.Redirect(w, r, loginPath+"?"+r.URL.RawQuery, http.StatusSeeOther)
		return
	}
	for _, scope := range request.GetRequestedScopes() {
		request.GrantScope(scope) // consent is not what the demo is about
	}
	response, err := p.oauth2.NewAuthorizeResponse(ctx, request, p.session())
	if err != nil {
		p.oauth2.WriteAuthorizeError(ctx, w, request, err)
		return
	}
	response.AddParameter("iss", p.issuer) // RFC 9207
	p.codes.Add(1)
	p.oauth2.WriteAuthorizeResponse(ctx, w, request, response)
}

// login signs the demo's user in, without a form, and goes back with the same
// query. The target is a constant, so this redirects to nowhere else.
func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{
		Name: sessionCookie, Value: p.cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, authorizePath+"?"+r.URL.RawQuery, http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	request, err := p.oauth2.NewAccessRequest(ctx, r, p.session())
	if err == nil {
		var response fosite.AccessResponder
		if response, err = p.oauth2.NewAccessResponse(ctx, request); err == nil {
			p.tokens.Add(1)
			p.oauth2.WriteAccessResponse(ctx, w, request, response)
			return
		}
	}
	p.refused.Add(1)
	p.oauth2.WriteAccessError(ctx, w, request, err)
}

// session is what ends up in the ID token. For a token request fosite replaces
// it by the one that was stored with the code.
func (p *Provider) session() *openid.DefaultSession {
	now := p.config.Clock.Now()
	return &openid.DefaultSession{
		Subject: p.config.Subject,
		Claims: &jwt.IDTokenClaims{
			Subject: p.config.Subject, AuthTime: now, RequestedAt: now,
			Extra: map[string]any{"email": p.config.Email},
		},
		Headers: &jwt.Headers{Extra: map[string]any{"kid": p.key.KeyID}},
	}
}

func signingKey() (*jose.JSONWebKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("generate the signing key: %w", err)
	}
	return &jose.JSONWebKey{
		Key: key, KeyID: strings.ToLower(rand.Text()), Algorithm: string(jose.RS256), Use: "sig",
	}, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "the answer could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}
