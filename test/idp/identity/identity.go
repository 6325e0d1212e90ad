// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package identity is an identity service of the kind that gets migrated: an
// OpenID Connect relying party that keeps the logins it started, with their
// state, nonce and PKCE verifier, in its own memory. Two instances are blue and
// green. An instance refuses a callback for a login that another one started.
package identity

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"k8s.io/utils/clock"
)

// loginLifespan is how long a started login may take.
const loginLifespan = 10 * time.Minute

// Config names the service and its provider.
type Config struct {
	// Name is the service's name on its pages.
	Name string
	// Issuer is the provider's. Start reads its discovery document.
	Issuer                 string
	ClientID, ClientSecret string
	// CallbackPaths are where it accepts authorization responses. A login uses
	// the first one unless its start names another.
	CallbackPaths []string
	Clock         clock.PassiveClock
}

// Stats are counts since the service started.
type Stats struct {
	Starts, Callbacks, Logins int64
}

// Service is a running identity service.
type Service struct {
	config   Config
	verifier *oidc.IDTokenVerifier
	endpoint oauth2.Endpoint
	client   *http.Client // for the provider
	listener net.Listener
	server   *http.Server

	mu       sync.Mutex
	logins   map[string]login  // by state
	sessions map[string]string // user by session id

	starts, callbacks, finished atomic.Int64
}

// login is a login that was started and not finished.
type login struct {
	nonce, verifier string
	// binding is also in a cookie: only the browser that started the login can
	// finish it.
	binding string
	started time.Time
}

// Start reads the provider's discovery document, listens on addr, for example
// 127.0.0.1:0, and serves until Close.
func Start(ctx context.Context, addr string, c Config) (*Service, error) {
	s := &Service{
		config:   c,
		client:   &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{}},
		logins:   map[string]login{},
		sessions: map[string]string{},
	}
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, s.client), c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("read the provider's discovery document: %w", err)
	}
	s.endpoint = provider.Endpoint()
	// Without a fixed style the library presents a refused code a second time.
	s.endpoint.AuthStyle = oauth2.AuthStyleInHeader
	s.verifier = provider.Verifier(&oidc.Config{ClientID: c.ClientID, Now: c.Clock.Now})
	if s.listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", addr); err != nil {
		return nil, fmt.Errorf("listen for %s: %w", c.Name, err)
	}
	s.server = &http.Server{Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.server.Serve(s.listener) }()
	return s, nil
}

// Addr is host:port.
func (s *Service) Addr() string { return s.listener.Addr().String() }

// Stats returns the counts so far.
func (s *Service) Stats() Stats {
	return Stats{Starts: s.starts.Load(), Callbacks: s.callbacks.Load(), Logins: s.finished.Load()}
}

// Close ends the server and its connections.
func (s *Service) Close() error {
	s.client.CloseIdleConnections()
	if err := s.server.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", s.config.Name, err)
	}
	return nil
}

// beginLogin stores a new login and returns it with its state.
func (s *Service) beginLogin() (state string, l login) {
	state = rand.Text()
	l = login{
		nonce:    rand.Text(),
		verifier: oauth2.GenerateVerifier(),
		binding:  rand.Text(),
		started:  s.config.Clock.Now(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logins[state] = l
	return state, l
}

// takeLogin removes the login with this state, so it can finish only once.
func (s *Service) takeLogin(state string) (login, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, ok := s.logins[state]
	delete(s.logins, state)
	return l, ok && s.config.Clock.Since(l.started) < loginLifespan
}

func (s *Service) createSession(user string) (session string) {
	session = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[session] = user
	return session
}

func (s *Service) userOf(session string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user, ok := s.sessions[session]
	return user, ok
}

// oauth2Config returns the settings of one login. The redirect URI is built
// from the request, at the start and again at the callback; the provider
// compares the two (RFC 6749, section 4.1.3).
func (s *Service) oauth2Config(r *http.Request, callbackPath string) *oauth2.Config {
	scheme := "http"
	if r.Header.Get("X-Forwarded-Proto") == "https" {
		scheme = "https"
	}
	return &oauth2.Config{
		ClientID:     s.config.ClientID,
		ClientSecret: s.config.ClientSecret,
		Endpoint:     s.endpoint,
		RedirectURL:  scheme + "://" + r.Host + callbackPath,
		Scopes:       []string{oidc.ScopeOpenID, "email"},
	}
}

func (s *Service) hasCallback(path string) bool {
	return slices.Contains(s.config.CallbackPaths, path)
}
