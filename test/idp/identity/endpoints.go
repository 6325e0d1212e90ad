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

const (
	// StartPath is where logins begin.
	StartPath = "/oauth2/start"
	// CallbackParameter of StartPath asks for one of the callback paths.
	CallbackParameter = "callback"

	sessionCookie = "identity-session"
	loginCookie   = "login-" // and a digest of the state: one for each tab
)

// Page is what the service answers, as JSON.
type Page struct {
	// Backend is the name of the service that answers.
	Backend string `json:"backend"`
	// User is who is signed in, empty when nobody is.
	User    string `json:"user,omitempty"`
	Message string `json:"message"`
}

func (s *Service) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, http.StatusOK, "", "well") })
	mux.HandleFunc("GET "+StartPath, s.start)
	for _, path := range s.config.CallbackPaths {
		mux.HandleFunc("GET "+path, s.callback)
	}
	mux.HandleFunc("GET /{$}", s.home)
	return mux
}

func (s *Service) start(w http.ResponseWriter, r *http.Request) {
	callback := s.config.CallbackPaths[0]
	if asked := r.URL.Query().Get(CallbackParameter); asked != "" {
		if !s.knowsCallback(asked) {
			s.answer(w, http.StatusBadRequest, "", "no such callback path")
			return
		}
		callback = asked
	}
	s.starts.Add(1)
	state, l := s.begin()
	http.SetCookie(w, s.cookie(loginCookie+digest(state), l.binding))
	target := s.oauth2Config(r, callback).AuthCodeURL(state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier))
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// callback takes the authorization response: state first, then who answered,
// and only then the code.
func (s *Service) callback(w http.ResponseWriter, r *http.Request) {
	s.callbacks.Add(1)
	query := r.URL.Query()
	l, known := s.take(query.Get("state"))
	if !known {
		s.answer(w, http.StatusForbidden, "", s.config.Name+" did not start this login: its state is unknown here")
		return
	}
	if cookie, err := r.Cookie(loginCookie + digest(query.Get("state"))); err != nil || !equal(cookie.Value, l.binding) {
		s.answer(w, http.StatusForbidden, "", "another browser started this login")
		return
	}
	if query.Get("iss") != s.config.Issuer { // RFC 9207; this provider announces it
		s.answer(w, http.StatusForbidden, "", "the response is not from the provider that was asked")
		return
	}
	user, err := s.redeem(r.Context(), s.oauth2Config(r, r.URL.Path), query, l)
	if err != nil {
		s.answer(w, http.StatusForbidden, "", err.Error())
		return
	}
	s.finished.Add(1)
	http.SetCookie(w, s.cookie(sessionCookie, s.signIn(user)))
	s.answer(w, http.StatusOK, user, "signed in")
}

// redeem turns the code into a user. Its errors are constants, because those
// of the libraries hold what the provider sent.
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
	if !equal(idToken.Nonce, l.nonce) {
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
			s.answer(w, http.StatusOK, user, "signed in")
			return
		}
	}
	s.answer(w, http.StatusUnauthorized, "", "nobody is signed in")
}

func (s *Service) answer(w http.ResponseWriter, status int, user, message string) {
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

// cookie is without Secure, as the demo speaks plain HTTP on loopback.
func (s *Service) cookie(name, value string) *http.Cookie {
	return &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

func digest(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
