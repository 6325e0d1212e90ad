// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package browser_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/idp/browser"
)

func serve(t *testing.T, handler http.HandlerFunc) *browser.Browser {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	b, err := browser.New(func(*url.URL) string { return server.Listener.Addr().String() })
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return b
}

func TestBrowser_FollowsRedirectsAndKeepsCookies(t *testing.T) {
	g := NewWithT(t)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: r.Host, Path: "/"})
			http.Redirect(w, r, "/end?code=SECRET&flag", http.StatusFound)
			return
		}
		w.Header().Set("Sunset", "soon")
		w.WriteHeader(http.StatusGone)
		cookie, err := r.Cookie("seen")
		if err == nil {
			_, _ = w.Write([]byte(cookie.Value + " " + r.URL.RawQuery))
		}
	})
	page, err := b.Open(t.Context(), "http://auth.acme.test:8080/start")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(page.Status).To(Equal(http.StatusGone))
	g.Expect(page.Header.Get("Sunset")).To(Equal("soon"))
	g.Expect(string(page.Body)).To(Equal("auth.acme.test:8080 code=SECRET&flag"))
	g.Expect(page.Hops).To(HaveLen(2))
	g.Expect(page.Hops[1].String()).To(MatchRegexp(
		`^GET auth\.acme\.test:8080/end\?code=…&flag=… \(at 127\.0\.0\.1:\d+\): 410$`))
}

func TestBrowser_KeepsValuesOutOfErrors(t *testing.T) {
	g := NewWithT(t)
	nowhere, err := browser.New(func(*url.URL) string { return "127.0.0.1:1" })
	g.Expect(err).NotTo(HaveOccurred())
	for _, target := range []string{
		"http://auth.acme.test/callback?code=SECRET&state=SECRET",
		"http://auth.acme.test/%zz?code=SECRET",
	} {
		_, err = nowhere.Open(t.Context(), target)
		g.Expect(err).To(HaveOccurred())
		g.Expect(err.Error()).NotTo(ContainSubstring("SECRET"))
	}
	b := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "http://auth.acme.test/%zz?code=SECRET")
		w.WriteHeader(http.StatusFound)
	})
	_, err = b.Open(t.Context(), "http://auth.acme.test/")
	g.Expect(err).To(MatchError("follow a redirect: its Location does not parse"))
}

func TestBrowser_StopsInALoop(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/again", http.StatusSeeOther) })
	_, err := b.Open(t.Context(), "http://auth.acme.test/")
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("more than 12 redirects")))
}
