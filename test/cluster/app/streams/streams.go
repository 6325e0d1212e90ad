// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package streams is both ends of what an application does besides callbacks:
// echoes, WebSockets, server-sent events, large uploads, trailers and answers
// that take their time. A sidecar must not be noticed in any of them.
package streams

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Prefix is that of all paths that this package serves.
const Prefix = "/app/"

const (
	echoPath    = Prefix + "echo"
	socketPath  = Prefix + "socket"
	eventsPath  = Prefix + "events"
	uploadPath  = Prefix + "upload"
	trailerPath = Prefix + "trailers"
	slowPath    = Prefix + "slow"

	digestTrailer = "X-Digest"
	eventGap      = 200 * time.Millisecond
	maxSocket     = 1 << 20
)

// echo is the answer of echoPath.
type echo struct {
	Method string `json:"method"`
	Target string `json:"target"`
	Host   string `json:"host"`
	Body   string `json:"body"`
	Length int64  `json:"length"`
}

// Handler is the application.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(echoPath, serveEcho)
	mux.HandleFunc(socketPath, serveSocket)
	mux.HandleFunc(eventsPath, serveEvents)
	mux.HandleFunc(uploadPath, serveUpload)
	mux.HandleFunc(trailerPath, serveTrailers)
	mux.HandleFunc(slowPath, serveSlow)
	return mux
}

func serveEcho(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	answer, err := json.Marshal(echo{
		Method: r.Method, Target: r.RequestURI, Host: r.Host, Body: string(body), Length: r.ContentLength,
	})
	if err != nil {
		http.Error(w, "the echo could not be encoded", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// serveSocket sends back each message as it came.
func serveSocket(w http.ResponseWriter, r *http.Request) {
	socket, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = socket.CloseNow() }()
	socket.SetReadLimit(maxSocket)
	for {
		kind, message, err := socket.Read(r.Context())
		if err != nil {
			return
		}
		if err := socket.Write(r.Context(), kind, message); err != nil {
			return
		}
	}
}

// serveEvents sends as many events as "n", with a gap between two.
func serveEvents(w http.ResponseWriter, r *http.Request) {
	n, _ := strconv.Atoi(r.URL.Query().Get("n"))
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flusher := http.NewResponseController(w)
	for i := range min(n, 1000) {
		if i > 0 && !pause(r.Context(), eventGap) {
			return
		}
		if _, err := fmt.Fprintf(w, "data: %d\n\n", i); err != nil {
			return
		}
		_ = flusher.Flush()
	}
}

// serveUpload answers with the length and the digest of what came.
func serveUpload(w http.ResponseWriter, r *http.Request) {
	digest := sha256.New()
	n, err := io.Copy(digest, r.Body)
	if err != nil {
		return
	}
	_, _ = fmt.Fprintf(w, "%d %s", n, hex.EncodeToString(digest.Sum(nil)))
}

// serveTrailers reads the digest that the request ends with and ends the
// answer with it.
func serveTrailers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Trailer", digestTrailer)
	if _, err := io.Copy(w, r.Body); err != nil {
		return
	}
	w.Header().Set(digestTrailer, r.Trailer.Get(digestTrailer))
}

// serveSlow responds after "seconds" seconds.
func serveSlow(w http.ResponseWriter, r *http.Request) {
	seconds, _ := strconv.Atoi(r.URL.Query().Get("seconds"))
	if pause(r.Context(), time.Duration(seconds)*time.Second) {
		_, _ = io.WriteString(w, "at last")
	}
}

// pause returns whether it was not cut short.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
