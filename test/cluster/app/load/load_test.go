// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/cluster/app/load"
	"github.com/callbackproxy/callback-operator/test/cluster/app/record"
)

// rig is a backend behind a server that does as it likes with every tenth
// request.
func rig(t *testing.T, tenth func(w http.ResponseWriter, r *http.Request, pass http.Handler)) load.Outcome {
	t.Helper()
	backend := httptest.NewServer(record.New("green", []string{"/callback"}).Handler(http.NotFoundHandler()))
	t.Cleanup(backend.Close)
	to, _ := url.Parse(backend.URL)
	pass := httputil.NewSingleHostReverseProxy(to)
	var n atomic.Int64
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			tenth(w, r, pass)
			return
		}
		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	l, err := load.New(t.Context(), load.Options{
		Name: "test", Target: strings.TrimPrefix(front.URL, "http://"), Host: "auth.acme.test", Path: "/callback",
		Rate: 200, Backends: map[string]string{"green": strings.TrimPrefix(backend.URL, "http://")},
	})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	return l.Run(ctx)
}

func TestLoad_IsCleanWhenNobodyDoesAnything(t *testing.T) {
	g := NewWithT(t)
	o := rig(t, func(w http.ResponseWriter, r *http.Request, pass http.Handler) { pass.ServeHTTP(w, r) })
	g.Expect(o.Clean()).To(BeTrue(), "%+v", o)
	g.Expect(o.Sent).To(BeNumerically("~", 200, 40))
	g.Expect(o.Fresh).To(BeNumerically("~", o.Sent/2, 1))
	g.Expect(o.Backends).To(HaveKeyWithValue("green", o.Sent))
}

func TestLoad_CountsWhatIsDoneToCallbacks(t *testing.T) {
	for name, c := range map[string]struct {
		tenth func(w http.ResponseWriter, r *http.Request, pass http.Handler)
		count func(o load.Outcome) int
	}{
		"refused": {
			func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusServiceUnavailable)
			},
			func(o load.Outcome) int { return o.Failed },
		},
		"connection closed without an answer": {
			func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
			func(o load.Outcome) int { return o.Failed },
		},
		"answered without delivery": {
			func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				_, _ = w.Write([]byte(`{"backend":"green"}`))
			},
			func(o load.Outcome) int { return o.Lied },
		},
		"a byte changed": {
			func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
				r.URL.RawQuery += "&x=1"
				pass.ServeHTTP(w, r)
			},
			func(o load.Outcome) int { return o.Corrupted },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := rig(t, c.tenth)
			g.Expect(o.Clean()).To(BeFalse())
			g.Expect(c.count(o)).To(Equal(o.Sent/10), "%+v", o)
		})
	}
}
