// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// api is as much of an API server as a Reflector talks to.
type api struct {
	t      testing.TB
	server *httptest.Server
	// streams: the initial list is available as a watch.
	streams bool

	mu       sync.Mutex
	version  int
	objects  map[string]string // JSON by name
	watchers map[chan string]struct{}
	lists    int
	// down refuses everything.
	down bool
}

const collection = "/apis/callbackproxy.io/v1alpha1/namespaces/edge-system/callbackproxyconfigs"

func newAPI(t testing.TB, streams bool) *api {
	t.Helper()
	a := &api{t: t, streams: streams, version: 1, objects: map[string]string{}, watchers: map[chan string]struct{}{}}
	a.server = httptest.NewServer(a)
	t.Cleanup(func() { a.dropWatches(); a.server.Close() })
	return a
}

func (a *api) config() *rest.Config { return &rest.Config{Host: a.server.URL} }

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	a.mu.Lock()
	down := a.down
	a.mu.Unlock()
	switch {
	case down:
		status(w, http.StatusServiceUnavailable, "ServiceUnavailable")
	case r.URL.Path != collection || r.Method != http.MethodGet || query.Get("labelSelector") != "callbackproxy.io/proxy=edge":
		a.t.Errorf("asked for %s %s with selector %q", r.Method, r.URL.Path, query.Get("labelSelector"))
		status(w, http.StatusForbidden, "Forbidden")
	case query.Get("watch") == "":
		a.list(w)
	case query.Get("sendInitialEvents") == "true" && !a.streams:
		status(w, http.StatusUnprocessableEntity, "Invalid")
	default:
		a.watch(w, r, query)
	}
}

func status(w http.ResponseWriter, code int, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d}`, reason, code)
}

func (a *api) list(w http.ResponseWriter) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	items := strings.Join(slices.Collect(maps.Values(a.objects)), ",")
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"kind":"CallbackProxyConfigList","apiVersion":"callbackproxy.io/v1alpha1","metadata":{"resourceVersion":"%d"},"items":[%s]}`,
		a.version, items)
}

func (a *api) watch(w http.ResponseWriter, r *http.Request, query url.Values) {
	initial, from := query.Get("sendInitialEvents") == "true", query.Get("resourceVersion")
	events := make(chan string, 1000)
	a.mu.Lock()
	if since, _ := strconv.Atoi(from); !initial && since < a.version {
		a.mu.Unlock()
		status(w, http.StatusGone, "Expired")
		return
	}
	if initial {
		for _, object := range a.objects {
			events <- event("ADDED", object)
		}
		events <- a.bookmark(`,"annotations":{"k8s.io/initial-events-end":"true"}`)
	}
	a.watchers[events] = struct{}{}
	a.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	flush := w.(http.Flusher).Flush
	flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case e, open := <-events:
			if !open {
				return
			}
			_, _ = fmt.Fprintln(w, e)
			flush()
		}
	}
}

func event(kind, object string) string {
	return fmt.Sprintf(`{"type":%q,"object":%s}`, kind, object)
}

func (a *api) bookmark(metadata string) string {
	return event("BOOKMARK", fmt.Sprintf(
		`{"kind":"CallbackProxyConfig","apiVersion":"callbackproxy.io/v1alpha1","metadata":{"resourceVersion":"%d"%s},"spec":{}}`, a.version, metadata))
}

// put writes an object with a spec as JSON.
func (a *api) put(name, spec string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object := fmt.Sprintf(`{"kind":"CallbackProxyConfig","apiVersion":"callbackproxy.io/v1alpha1",`+
		`"metadata":{"name":%q,"namespace":"edge-system","resourceVersion":"%d","labels":{"callbackproxy.io/proxy":"edge"}},"spec":%s}`,
		name, a.version, spec)
	kind := "ADDED"
	if _, found := a.objects[name]; found {
		kind = "MODIFIED"
	}
	a.objects[name] = object
	a.send(event(kind, object))
}

func (a *api) remove(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.version++
	object := a.objects[name]
	delete(a.objects, name)
	a.send(event("DELETED", object))
}

func (a *api) send(e string) {
	for events := range a.watchers {
		events <- e
	}
}

// dropWatches ends all watches.
func (a *api) dropWatches() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for events := range a.watchers {
		close(events)
		delete(a.watchers, events)
	}
}

func asJSON(t testing.TB, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
