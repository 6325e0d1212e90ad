// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/callbacks"
)

// deliver sends a request's body to a backend with a raw target, and returns
// the backend's response.
type deliver func(backend, target string) string

// startRelay starts a proxy with one fault.
func startRelay(t *testing.T, fault func(w http.ResponseWriter, r *http.Request, deliver deliver)) (target string, backends []callbacks.Source) {
	t.Helper()
	addresses := map[string]string{}
	for _, name := range []string{"blue", "green"} {
		backend := startBackend(t, name, nil)
		addresses[name] = backend.Address()
		backends = append(backends, backend)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fault(w, r, func(backend, target string) string {
			request, err := http.NewRequest(r.Method, "http://"+addresses[backend]+target, strings.NewReader(string(body)))
			if err != nil {
				return err.Error()
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				return err.Error()
			}
			defer func() { _ = response.Body.Close() }()
			content, _ := io.ReadAll(response.Body)
			return string(content)
		})
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), backends
}

// The oracle counts each kind of broken promise, and none where there is none.
func TestLoad_JudgesWhatBecameOfCallbacks(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request, deliver)
		// want sets all counts of n callbacks.
		want func(o *callbacks.Outcome, n int)
	}{
		"no fault": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				_, _ = io.WriteString(w, d("blue", r.RequestURI))
			},
			func(*callbacks.Outcome, int) {},
		},
		"refused": {
			func(w http.ResponseWriter, _ *http.Request, _ deliver) { w.WriteHeader(http.StatusServiceUnavailable) },
			func(o *callbacks.Outcome, n int) { o.Failed = n },
		},
		"refused after the delivery": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				d("blue", r.RequestURI)
				w.WriteHeader(http.StatusServiceUnavailable)
			},
			func(o *callbacks.Outcome, n int) { o.Failed, o.Contradicted = n, n },
		},
		"left open after the delivery": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				d("blue", r.RequestURI)
				w.WriteHeader(http.StatusBadGateway)
			},
			func(o *callbacks.Outcome, n int) { o.Failed, o.Undetermined = n, n },
		},
		"no response": {
			func(http.ResponseWriter, *http.Request, deliver) { panic(http.ErrAbortHandler) },
			func(o *callbacks.Outcome, n int) { o.Failed = n },
		},
		"a response without a delivery": {
			func(w http.ResponseWriter, _ *http.Request, _ deliver) { _, _ = io.WriteString(w, "blue") },
			func(o *callbacks.Outcome, n int) { o.Contradicted = n },
		},
		"another backend": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				_, _ = io.WriteString(w, d("green", r.RequestURI))
			},
			func(o *callbacks.Outcome, n int) { o.Misrouted = n },
		},
		"one backend responds for the other": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				d("green", r.RequestURI)
				_, _ = io.WriteString(w, "blue")
			},
			func(o *callbacks.Outcome, n int) { o.Misrouted, o.Contradicted = n, n },
		},
		"twice": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				d("blue", r.RequestURI)
				_, _ = io.WriteString(w, d("blue", r.RequestURI))
			},
			func(o *callbacks.Outcome, n int) { o.Duplicated = n },
		},
		"other bytes": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				_, _ = io.WriteString(w, d("blue", strings.ReplaceAll(r.RequestURI, "%7e", "~")))
			},
			func(o *callbacks.Outcome, n int) { o.Corrupted = n },
		},
		"another path": {
			func(w http.ResponseWriter, r *http.Request, d deliver) {
				_, _ = io.WriteString(w, d("blue", strings.Replace(r.RequestURI, "/c%2fb", "/c/b", 1)))
			},
			func(o *callbacks.Outcome, n int) { o.Corrupted = n },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			target, backends := startRelay(t, tc.fault)
			l := callbacks.Start(callbacks.Options{
				Targets: []string{target}, Host: "auth.acme.test", Path: "/c%2fb", Rate: 200, Backends: []string{"blue"}, KeepAlive: true, Timeout: time.Minute,
			})
			g.Eventually(l.Sent, time.Minute, time.Millisecond).Should(BeNumerically(">=", 20))
			o := l.Judge(t.Context(), backends...)
			g.Expect(o.Sent).To(BeNumerically(">=", 20))
			g.Expect(o.Fresh).To(BeNumerically("~", o.Sent/2, 1))

			want := &callbacks.Outcome{Sent: o.Sent}
			tc.want(want, o.Sent)
			counts := func(o *callbacks.Outcome) []int {
				return []int{o.Sent, o.Failed, o.Misrouted, o.Duplicated, o.Contradicted, o.Corrupted, o.Undetermined}
			}
			g.Expect(counts(o)).To(Equal(counts(want)), "%v", o.First)
			g.Expect(o.IsClean()).To(Equal(name == "no fault"))
			hasExamples := len(o.First) > 0
			g.Expect(hasExamples).To(Equal(name != "no fault"))
			for _, line := range o.First {
				g.Expect(line).NotTo(ContainSubstring("code="), "the parameters are secret in a cluster")
			}
		})
	}
}

func TestLoad_WithoutACallbackIsNotClean(t *testing.T) {
	g := NewWithT(t)
	o := callbacks.Start(callbacks.Options{Targets: []string{"127.0.0.1:1"}, Path: "/cb", Rate: 1}).Judge(t.Context())
	g.Expect(o.Sent).To(BeZero())
	g.Expect(o.IsClean()).To(BeFalse())
}

func TestLoad_AvoidsTargetsThatAreOut(t *testing.T) {
	g := NewWithT(t)
	in, backends := startRelay(t, func(w http.ResponseWriter, r *http.Request, d deliver) {
		_, _ = io.WriteString(w, d("blue", r.RequestURI))
	})
	l := callbacks.Start(callbacks.Options{Targets: []string{"127.0.0.1:1", in}, Path: "/cb", Rate: 200, Backends: []string{"blue"}, Timeout: time.Minute})
	l.Avoid(func(target int) bool { return target == 0 })
	g.Eventually(l.Sent, time.Minute, time.Millisecond).Should(BeNumerically(">=", 20))
	o := l.Judge(t.Context(), backends...)
	g.Expect(o.IsClean()).To(BeTrue(), "%s %v", o, o.First)
}

// F62: a proxy that delivers and then closes the connection without a status line
// makes browsers and fronts send a callback again, and the oracle counts that.
func TestF62_LoadFindsWhatClientsRepeat(t *testing.T) {
	g := NewWithT(t)
	silent := func(w http.ResponseWriter, r *http.Request, d deliver) {
		if callbacks.IsCallback(r) {
			d("blue", r.RequestURI)
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "warm")
	}
	target, backends := startRelay(t, silent)
	l := callbacks.Start(callbacks.Options{
		Targets: []string{target, target}, Host: "auth.acme.test", Path: "/cb", Rate: 200, Backends: []string{"blue"},
		KeepAlive: true, Warm: "/warm", Timeout: time.Minute,
	})
	g.Eventually(l.Sent, time.Minute, time.Millisecond).Should(BeNumerically(">=", 40))
	o := l.Judge(t.Context(), backends...)
	t.Logf("%s, %d repeated", o, o.Repeated)
	// Among eight callbacks the browsers repeat four, and the fronts their two GETs.
	g.Expect(o.Failed).To(Equal(o.Sent))
	g.Expect(o.Duplicated).To(BeNumerically("~", o.Sent*6/8, 4), "%v", o.First)
	g.Expect(o.Repeated).To(Equal(o.Duplicated))
}

// A connection that ends before its request was sent costs no delivery: a front
// goes on to the next target, and the callback counts as failed.
func TestLoad_FrontsGoOnToTheNextTarget(t *testing.T) {
	g := NewWithT(t)
	in, backends := startRelay(t, func(w http.ResponseWriter, r *http.Request, d deliver) {
		_, _ = io.WriteString(w, d("blue", r.RequestURI))
	})
	l := callbacks.Start(callbacks.Options{Targets: []string{"127.0.0.1:1", in}, Path: "/cb", Rate: 200, Backends: []string{"blue"}, Timeout: time.Minute})
	g.Eventually(l.Sent, time.Minute, time.Millisecond).Should(BeNumerically(">=", 20))
	o := l.Judge(t.Context(), backends...)
	g.Expect(o.Broken()).To(BeZero(), "%v", o.First)
	g.Expect(o.Statuses).To(Equal(map[int]int{http.StatusOK: o.Sent}))
	g.Expect(o.Failed).To(And(Equal(o.Repeated), BeNumerically("~", o.Sent/2, 2)))
}
