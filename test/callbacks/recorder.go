// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package callbacks

// recorder.go: what reached one backend, in this process or as JSON.

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// RecordPath serves the deliveries: GET, with the query parameter "prefix"
	// for those of one load.
	RecordPath = "/record"
	// maxBody is more than the proxy lets through.
	maxBody = 1 << 20
)

// Delivery is one request of a load that reached a backend.
type Delivery struct {
	ID   string `json:"id"`
	Path string `json:"path"`
	// Sum is the digest of method, raw query and body.
	Sum string `json:"sum"`
	// Fields is the digest of the field lines, in their order and spelling; empty
	// where they are not known.
	Fields string `json:"fields,omitempty"`
}

// Deliveries are all that one backend received of a load.
type Deliveries struct {
	Backend    string     `json:"backend"`
	Deliveries []Delivery `json:"deliveries"`
}

// Source returns the deliveries of the load with a prefix.
type Source interface {
	Deliveries(ctx context.Context, prefix string) (Deliveries, error)
}

// Recorder is the handler of one backend: it records each request and then
// responds.
type Recorder struct {
	name    string
	respond http.Handler

	mu       sync.Mutex
	count    int
	received []string // raw targets, in order of arrival
	load     []Delivery
}

// NewRecorder returns a recorder that responds by a handler, in which the body
// can be read again; when it is nil, with status 200 and the name as the body.
func NewRecorder(name string, respond http.Handler) *Recorder {
	if respond == nil {
		respond = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) })
	}
	return &Recorder{name: name, respond: respond}
}

// ServeHTTP records before it responds.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	conn := connOf(in.Context())
	if conn != nil {
		defer conn.forget()
	}
	if in.URL.Path == RecordPath {
		r.serveRecord(w, in)
		return
	}
	body, err := io.ReadAll(io.LimitReader(in.Body, maxBody))
	if err != nil {
		http.Error(w, "the body ended early", http.StatusBadRequest)
		return
	}
	fields := ""
	if conn != nil {
		fields = sumFields(conn.head())
	}
	r.record(in, body, fields)
	in.Body = io.NopCloser(bytes.NewReader(body))
	r.respond.ServeHTTP(w, in)
}

func (r *Recorder) record(in *http.Request, body []byte, fields string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	id := idOf(in.URL.RawQuery)
	if id == "" {
		r.received = append(r.received, in.RequestURI)
		return
	}
	path, _, _ := strings.Cut(in.RequestURI, "?") // as it came, escapes included
	r.load = append(r.load, Delivery{ID: id, Path: path, Sum: sum(in.Method, in.URL.RawQuery, body), Fields: fields})
}

// Received returns the raw targets of the requests that no load sent, in order
// of arrival.
func (r *Recorder) Received() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.received)
}

// Count is the number of recorded requests, those of loads included.
func (r *Recorder) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Forget drops all records.
func (r *Recorder) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count, r.received, r.load = 0, nil, nil
}

// Deliveries returns the record of the load with a prefix.
func (r *Recorder) Deliveries(_ context.Context, prefix string) (Deliveries, error) {
	out := Deliveries{Backend: r.name}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.load {
		if strings.HasPrefix(d.ID, prefix) {
			out.Deliveries = append(out.Deliveries, d)
		}
	}
	return out, nil
}

func (r *Recorder) serveRecord(w http.ResponseWriter, in *http.Request) {
	deliveries, _ := r.Deliveries(in.Context(), in.URL.Query().Get("prefix"))
	body, err := json.Marshal(deliveries)
	if err != nil {
		http.Error(w, "the record cannot be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// Remote is the record of a backend in another process.
type Remote struct {
	// Name must be the one that the backend has there.
	Name string
	// Address is host:port.
	Address string
}

// Deliveries reads the record, several times if need be: what a test just did
// may still concern the backend.
func (r Remote) Deliveries(ctx context.Context, prefix string) (Deliveries, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		deliveries, err := r.read(ctx, prefix)
		if err == nil {
			return deliveries, nil
		}
		select {
		case <-ctx.Done():
			return deliveries, fmt.Errorf("read the record of %s: %w", r.Name, err)
		case <-time.After(time.Second):
		}
	}
}

func (r Remote) read(ctx context.Context, prefix string) (d Deliveries, err error) {
	target := url.URL{Scheme: "http", Host: r.Address, Path: RecordPath, RawQuery: url.Values{"prefix": {prefix}}.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return d, err
	}
	response, err := single.Transport.RoundTrip(request)
	if err != nil {
		return d, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return d, fmt.Errorf("the status is %d", response.StatusCode)
	}
	if err := json.NewDecoder(response.Body).Decode(&d); err != nil {
		return d, fmt.Errorf("decode: %w", err)
	}
	if d.Backend != r.Name {
		return d, fmt.Errorf("its name is %s", d.Backend)
	}
	return d, nil
}
