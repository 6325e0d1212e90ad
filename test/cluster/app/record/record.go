// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package record remembers which callbacks of a load reached an identity
// service, and lets every other request pass to it. In: HTTP requests; out:
// what was delivered, as JSON, for the comparison with what clients saw.
package record

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

const (
	// Path is where the deliveries are read: GET, with the query parameter
	// "prefix" for those of one load.
	Path = "/record"
	// StatePrefix marks the states of a load. No login has one like it.
	StatePrefix = "load-"
	// maxBody is more than the proxy lets through.
	maxBody = 1 << 20
)

// Delivery is what one state brought.
type Delivery struct {
	// Sums has one entry for each time it came: that of Sum.
	Sums []string `json:"sums"`
}

// Deliveries are all that one backend got.
type Deliveries struct {
	Backend    string              `json:"backend"`
	Deliveries map[string]Delivery `json:"deliveries"` // by state
}

// Page is the answer to a callback of a load.
type Page struct {
	Backend string `json:"backend"`
}

// Sum is what must arrive unchanged: the method, the raw query and the body.
func Sum(method, rawQuery string, body []byte) string {
	digest := sha256.New()
	for _, part := range []string{method, "\n", rawQuery, "\n"} {
		_, _ = io.WriteString(digest, part)
	}
	_, _ = digest.Write(body)
	return hex.EncodeToString(digest.Sum(nil))
}

// Book is the record of one backend.
type Book struct {
	backend string
	paths   []string

	mu  sync.Mutex
	got map[string][]string
}

// New returns an empty book of the backend with this name, which takes
// callbacks at these paths.
func New(backend string, paths []string) *Book {
	return &Book{backend: backend, paths: paths, got: map[string][]string{}}
}

// Handler answers callbacks of a load and requests for the record; next gets
// the rest. A callback is recorded before it is answered.
func (b *Book) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == Path:
			b.tell(w, r)
		case slices.Contains(b.paths, r.URL.Path) && b.take(w, r):
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// take records and answers a callback of a load. Of others it reads nothing
// that next would miss: form posts of real logins are not part of any story.
func (b *Book) take(w http.ResponseWriter, r *http.Request) bool {
	form := r.URL.RawQuery
	var body []byte
	if r.Method == http.MethodPost {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, maxBody)); err != nil {
			http.Error(w, "the body ended early", http.StatusBadRequest)
			return true
		}
		form = string(body)
	}
	values, err := url.ParseQuery(form)
	state := values.Get("state")
	if err != nil || !strings.HasPrefix(state, StatePrefix) {
		return false
	}
	b.mu.Lock()
	b.got[state] = append(b.got[state], Sum(r.Method, r.URL.RawQuery, body))
	b.mu.Unlock()
	writeJSON(w, Page{Backend: b.backend})
	return true
}

func (b *Book) tell(w http.ResponseWriter, r *http.Request) {
	prefix := r.URL.Query().Get("prefix")
	answer := Deliveries{Backend: b.backend, Deliveries: map[string]Delivery{}}
	b.mu.Lock()
	for state, sums := range b.got {
		if strings.HasPrefix(state, prefix) {
			answer.Deliveries[state] = Delivery{Sums: slices.Clone(sums)}
		}
	}
	b.mu.Unlock()
	writeJSON(w, answer)
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
