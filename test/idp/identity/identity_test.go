// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package identity_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/callbackproxy/callback-operator/test/idp/browser"
	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
)

const host = "auth.acme.test:8080"

// world is a provider with two services behind one name. The browser's route
// decides which service gets a request.
type world struct {
	provider    *provider.Provider
	blue, green *identity.Service
	clock       *clocktesting.FakePassiveClock
}

func newWorld(t *testing.T) *world {
	t.Helper()
	g := NewWithT(t)
	w := &world{clock: clocktesting.NewFakePassiveClock(clock.RealClock{}.Now())}
	var err error
	w.provider, err = provider.Start(t.Context(), "127.0.0.1:0", provider.Config{
		ClientID: "acme", ClientSecret: "not a secret", Subject: "ada", Email: "ada@acme.test", Clock: clock.RealClock{},
		RedirectURIs: []string{"http://" + host + "/oauth2/callback", "http://" + host + "/partner/callback"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(w.provider.Close()).To(Succeed()) })
	w.blue, w.green = w.service(t, "blue"), w.service(t, "green")
	return w
}

func (w *world) service(t *testing.T, name string) *identity.Service {
	t.Helper()
	s, err := identity.Start(t.Context(), "127.0.0.1:0", identity.Config{
		Name: name, Issuer: w.provider.Issuer(), ClientID: "acme", ClientSecret: "not a secret",
		CallbackPaths: []string{"/oauth2/callback", "/partner/callback"}, Clock: w.clock,
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { NewWithT(t).Expect(s.Close()).To(Succeed()) })
	return s
}

// via returns a route that sends callbacks to one service and all other
// requests of the host to another.
func via(start, callback *identity.Service) browser.Route {
	return func(u *url.URL) string {
		switch {
		case u.Hostname() != "auth.acme.test":
			return u.Host
		case strings.HasSuffix(u.Path, "/callback"):
			return callback.Addr()
		default:
			return start.Addr()
		}
	}
}

func open(t *testing.T, b *browser.Browser, target string) (int, identity.Page, []browser.Hop) {
	t.Helper()
	g := NewWithT(t)
	opened, err := b.Open(t.Context(), "http://"+host+target)
	g.Expect(err).NotTo(HaveOccurred())
	var page identity.Page
	g.Expect(json.Unmarshal(opened.Body, &page)).To(Succeed())
	return opened.Status, page, opened.Hops
}

func newBrowser(t *testing.T, route browser.Route) *browser.Browser {
	t.Helper()
	b, err := browser.New(route)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return b
}

func TestLogin(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	b := newBrowser(t, via(w.blue, w.blue))

	status, page, hops := open(t, b, identity.StartPath)
	g.Expect(status).To(Equal(http.StatusOK))
	g.Expect(page).To(Equal(identity.Page{Backend: "blue", User: "ada@acme.test", Message: "signed in"}))
	var targets []string
	for _, hop := range hops {
		targets = append(targets, hop.Target)
	}
	parameters := "?client_id=…&code_challenge=…&code_challenge_method=…&nonce=…&redirect_uri=…&response_type=…&scope=…&state=…"
	g.Expect(targets).To(Equal([]string{
		"/oauth2/start", "/authorize" + parameters, "/login" + parameters, "/authorize" + parameters,
		"/oauth2/callback?code=…&iss=…&scope=…&state=…",
	}))

	_, page, _ = open(t, b, "/")
	g.Expect(page.User).To(Equal("ada@acme.test"), "the session is in the browser's cookies")
	g.Expect(w.blue.Stats()).To(Equal(identity.Stats{Starts: 1, Callbacks: 1, Logins: 1}))
	g.Expect(w.green.Stats()).To(Equal(identity.Stats{}))
	g.Expect(w.provider.Stats()).To(Equal(provider.Stats{Codes: 1, Tokens: 1}))
}

func TestLogin_UsesTheChosenCallback(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	b := newBrowser(t, via(w.blue, w.blue))
	status, _, hops := open(t, b, identity.StartPath+"?callback=/partner/callback")
	g.Expect(status).To(Equal(http.StatusOK))
	g.Expect(hops[len(hops)-1].Target).To(HavePrefix("/partner/callback?"))

	status, page, _ := open(t, b, identity.StartPath+"?callback=//elsewhere.test/")
	g.Expect(status).To(Equal(http.StatusBadRequest))
	g.Expect(page.Message).To(Equal("no such callback path"))
}

func TestCallback_IsRefusedByTheBackendThatDidNotStartTheLogin(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	status, page, _ := open(t, newBrowser(t, via(w.blue, w.green)), identity.StartPath)
	g.Expect(status).To(Equal(http.StatusForbidden))
	g.Expect(page.Message).To(Equal("green did not start this login: its state is unknown here"))
	g.Expect(w.provider.Stats().Tokens).To(BeZero(), "the code was not spent")
}

func TestCallback_IsRefusedWithAnUnknownState(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	status, page, _ := open(t, newBrowser(t, via(w.blue, w.blue)), "/oauth2/callback?code=c&state=invented")
	g.Expect(status).To(Equal(http.StatusForbidden))
	g.Expect(page.Message).To(ContainSubstring("state is unknown here"))
	g.Expect(w.blue.Stats()).To(Equal(identity.Stats{Callbacks: 1}))
}

// interrupt starts a login and returns the callback that would finish it.
func interrupt(t *testing.T, b *browser.Browser, reached *string) string {
	t.Helper()
	_, err := b.Open(t.Context(), "http://"+host+identity.StartPath)
	NewWithT(t).Expect(err).To(HaveOccurred(), "the callback's address refuses connections")
	return *reached
}

// diverted returns a route that records the callback and sends it to a closed
// port until through is true.
func diverted(s *identity.Service, reached *string, through *bool) browser.Route {
	direct := via(s, s)
	return func(u *url.URL) string {
		if u.Path == "/oauth2/callback" && !*through {
			*reached = u.RequestURI()
			return "127.0.0.1:1"
		}
		return direct(u)
	}
}

func TestCallback_EndsALoginOnce(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var callback string
	var through bool
	b := newBrowser(t, diverted(w.blue, &callback, &through))
	interrupt(t, b, &callback)
	through = true

	status, _, _ := open(t, b, callback)
	g.Expect(status).To(Equal(http.StatusOK))
	status, page, _ := open(t, b, callback)
	g.Expect(status).To(Equal(http.StatusForbidden))
	g.Expect(page.Message).To(ContainSubstring("state is unknown here"))
	g.Expect(w.provider.Stats()).To(Equal(provider.Stats{Codes: 1, Tokens: 1}))
}

func TestCallback_IsRefusedInAnotherBrowser(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var callback string
	var through bool
	interrupt(t, newBrowser(t, diverted(w.blue, &callback, &through)), &callback)
	status, page, _ := open(t, newBrowser(t, via(w.blue, w.blue)), callback)
	g.Expect(status).To(Equal(http.StatusForbidden))
	g.Expect(page.Message).To(Equal("another browser started this login"))
}

func TestCallback_IsRefusedWhenTheLoginTookTooLong(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var callback string
	var through bool
	b := newBrowser(t, diverted(w.blue, &callback, &through))
	interrupt(t, b, &callback)
	through = true
	w.clock.SetTime(w.clock.Now().Add(10 * time.Minute))
	status, _, _ := open(t, b, callback)
	g.Expect(status).To(Equal(http.StatusForbidden))
}

// A proxy that does not preserve Host breaks the login, as it does with any
// provider: the token request then has another redirect_uri.
func TestCallback_IsRefusedWhenTheHostIsNotThatOfTheStart(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var callback string
	var through bool
	b := newBrowser(t, diverted(w.blue, &callback, &through))
	interrupt(t, b, &callback)
	through = true
	opened, err := b.Open(t.Context(), "http://auth.acme.test"+callback) // cookies are shared between ports
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(opened.Status).To(Equal(http.StatusForbidden))
	g.Expect(string(opened.Body)).To(ContainSubstring("the provider did not accept the code"))
	g.Expect(w.provider.Stats()).To(Equal(provider.Stats{Codes: 1, Refused: 1}))
}

// A response of another provider is not redeemed (RFC 9207).
func TestCallback_IsRefusedFromAnotherIssuer(t *testing.T) {
	g := NewWithT(t)
	w := newWorld(t)
	var callback string
	var through bool
	b := newBrowser(t, diverted(w.blue, &callback, &through))
	interrupt(t, b, &callback)
	through = true
	status, page, _ := open(t, b, strings.Replace(callback, "iss=http", "iss=https", 1))
	g.Expect(status).To(Equal(http.StatusForbidden))
	g.Expect(page.Message).To(Equal("the response comes from another provider"))
	g.Expect(w.provider.Stats()).To(Equal(provider.Stats{Codes: 1}))
}
