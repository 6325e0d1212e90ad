// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// endpoints.go serves the pages of a login.

const (
	// StartPath is where logins start.
	StartPath = "/oauth2/start"
	// CallbackParameter of StartPath chooses one of the callback paths.
	CallbackParameter = "callback"

	sessionCookie = "identity-session"
)

// Page is a response of the service, as JSON.
type Page struct {
	// Backend is the name of the service.
	Backend string `json:"backend"`
	// User is the signed-in user; empty when there is none.
	User    string `json:"user,omitempty"`
	Message string `json:"message"`
}

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.respond(w, http.StatusOK, "", "healthy") })
	mux.HandleFunc("GET "+StartPath, s.start)
	for _, path := range s.config.CallbackPaths {
		mux.HandleFunc("GET "+path, s.callback)
	}
	mux.HandleFunc("GET /{$}", s.home)
	return mux
}

func (s *Service) start(w http.ResponseWriter, r *http.Request) {
	callback := s.config.CallbackPaths[0]
	if chosen := r.URL.Query().Get(CallbackParameter); chosen != "" {
		if !s.hasCallback(chosen) {
			s.respond(w, http.StatusBadRequest, "", "no such callback path")
			return
		}
		callback = chosen
	}
	s.starts.Add(1)
	state, l := s.beginLogin()
	http.SetCookie(w, s.cookie(s.loginCookie(state), l.binding))
	target := s.oauth2Config(r, callback).AuthCodeURL(state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier))
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// callback handles the authorization response. It checks the state, then the
// issuer, and only then redeems the code.
func (s *Service) callback(w http.ResponseWriter, r *http.Request) {
	s.callbacks.Add(1)
	query := r.URL.Query()
	l, known := s.takeLogin(query.Get("state"))
	if !known {
		s.respond(w, http.StatusForbidden, "", s.config.Name+" did not start this login: its state is unknown here")
		return
	}
	if cookie, err := r.Cookie(s.loginCookie(query.Get("state"))); err != nil || !isEqual(cookie.Value, l.binding) {
		s.respond(w, http.StatusForbidden, "", "another browser started this login")
		return
	}
	if query.Get("iss") != s.config.Issuer { // RFC 9207; the provider's discovery document announces it
		s.respond(w, http.StatusForbidden, "", "the response comes from another provider")
		return
	}
	user, err := s.redeem(r.Context(), s.oauth2Config(r, r.URL.Path), query, l)
	if err != nil {
		s.respond(w, http.StatusForbidden, "", err.Error())
		return
	}
	s.finished.Add(1)
	http.SetCookie(w, s.cookie(sessionCookie, s.createSession(user)))
	s.respond(w, http.StatusOK, user, "signed in")
}

// redeem exchanges the code for a user. Its errors are constants, because the
// libraries' errors contain the provider's response.
func (s *Service) redeem(ctx context.Context, config *oauth2.Config, query url.Values, l login) (string, error) {
	if query.Has("error") {
		return "", errors.New("the provider refused the login")
	}
	ctx = oidc.ClientContext(ctx, s.client)
	token, err := config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(l.verifier))
	if err != nil {
		return "", errors.New("the provider did not accept the code")
	}
	raw, _ := token.Extra("id_token").(string)
	idToken, err := s.verifier.Verify(ctx, raw)
	if err != nil {
		return "", errors.New("the ID token is not valid")
	}
	if !isEqual(idToken.Nonce, l.nonce) {
		return "", errors.New("the ID token is for another login")
	}
	var claims struct {
		Email string `json:"email"`
	}
	if err := idToken.Claims(&claims); err != nil || claims.Email == "" {
		return "", errors.New("the ID token names no user")
	}
	return claims.Email, nil
}

func (s *Service) home(w http.ResponseWriter, r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		if user, ok := s.userOf(cookie.Value); ok {
			s.respond(w, http.StatusOK, user, "signed in")
			return
		}
	}
	s.respond(w, http.StatusUnauthorized, "", "not signed in")
}

func (s *Service) respond(w http.ResponseWriter, status int, user, message string) {
	body, err := json.Marshal(Page{Backend: s.config.Name, User: user, Message: message})
	if err != nil {
		http.Error(w, "the page could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// cookie has no Secure attribute, because the service uses plain HTTP on loopback.
func (s *Service) cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// LoginCookiePrefix begins the names of the cookies that a service of a name sets
// when a login begins there.
func LoginCookiePrefix(name string) string { return name + "-login-" }

// loginCookie has a digest of the state in its name, so each tab has its own.
func (s *Service) loginCookie(state string) string {
	return LoginCookiePrefix(s.config.Name) + digest(state)
}

func digest(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

func isEqual(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
