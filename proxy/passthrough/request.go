// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package passthrough

// request.go: the request that the application gets.

import (
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/gate"
)

// rewrite turns the copy of ReverseProxy (without hop-by-hop fields) into the
// application's request: the target byte for byte, the Host, and the client's
// fields without those that only a proxy may set.
func (a *Application) rewrite(r *httputil.ProxyRequest) {
	p := r.In.Context().Value(passageKey{}).(*passage)
	path, query, found := gate.SplitTarget(r.In.RequestURI)
	u := r.Out.URL
	u.Scheme, u.Host, u.User = "http", a.address, nil
	u.RawQuery, u.ForceQuery = query, found
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path // sent as it is; two slashes would make a host of it
	}
	r.Out.Host = r.In.Host
	setForwarding(r.Out.Header, r.In, p.snapshot)
	if !isWebSocket(r.In.Header) {
		// In h2c, or in any other protocol that is switched to, callbacks could
		// pass unseen.
		for _, name := range []string{"Connection", "Upgrade", "Http2-Settings"} {
			r.Out.Header.Del(name)
		}
	}
	sendOnce(r.Out)
	if p.upload != nil && r.In.ContentLength < 0 {
		r.Out.TransferEncoding = []string{"chunked"} // also when it turns out to be empty
		if r.Out.Trailer == nil {
			r.Out.Trailer = http.Header{}
		}
		p.upload.trailer = r.Out.Trailer
	}
}

// isWebSocket reports whether a request is for the one protocol that may be
// switched to.
func isWebSocket(h http.Header) bool {
	values := h["Upgrade"]
	return len(values) == 1 && strings.EqualFold(values[0], "websocket")
}

// setForwarding sets the fields about the client, by the rules for callbacks:
// the application's peer is now this process, so the application cannot decide
// by the peer's address which fields it may trust. A trusted proxy's fields are
// kept and its address is added; those of other peers are dropped.
func setForwarding(to http.Header, r *http.Request, s *config.Snapshot) {
	from := forwarding.OriginOf(r, s.Trusts)
	for name := range to {
		if !from.Trusted && forwarding.IsAboutClient(name) {
			delete(to, name)
		}
	}
	delete(to, "Proxy") // CGI makes an HTTP_PROXY variable of it
	host, proto := []string{r.Host}, []string{from.Proto}
	if from.Trusted {
		for _, kept := range []struct {
			name  string
			value *[]string
		}{{"X-Forwarded-Host", &host}, {"X-Forwarded-Proto", &proto}} {
			if values := r.Header[kept.name]; len(values) > 0 {
				*kept.value = values
			}
		}
		if values := r.Header["Forwarded"]; len(values) > 0 {
			to["Forwarded"] = values
		}
	}
	to["X-Forwarded-For"] = []string{from.For}
	to["X-Forwarded-Host"], to["X-Forwarded-Proto"] = host, proto
}

// sendOnce keeps http.Transport from sending a request again when a connection
// that was used before turns out to be dead: it does so for what it takes to
// be idempotent, and a GET may well be the second half of a login. A request
// with a body that cannot be read again is not repeated; neither is one without
// an idempotency key.
func sendOnce(out *http.Request) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if values, found := out.Header[name]; found {
			delete(out.Header, name)
			out.Header[strings.ToLower(name)] = values
		}
	}
	switch out.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		if out.Body == nil {
			out.Body = emptyBody{}
			out.TransferEncoding = []string{"identity"} // no length, no chunks: as it came
		}
	}
}

// emptyBody is a body without bytes that net/http does not recognise as empty.
type emptyBody struct{}

// Read is at the end.
func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }

// WriteTo saves the buffer that copying would take.
func (emptyBody) WriteTo(io.Writer) (int64, error) { return 0, nil }

// Close has nothing to do.
func (emptyBody) Close() error { return nil }

// upload is the body of a request while it is passed.
type upload struct {
	io.ReadCloser
	from    *http.Request
	read    int64
	trailer http.Header // what the application gets; nil when there is none
	ended   atomic.Bool // it was read whole, or cannot be read on
	reading sync.Mutex
}

// Read hands the trailers on when the body ends: net/http knows them then, and
// sends them after this Read.
func (u *upload) Read(p []byte) (int, error) {
	u.reading.Lock()
	defer u.reading.Unlock()
	n, err := u.ReadCloser.Read(p)
	u.read += int64(n)
	if errors.Is(err, io.EOF) {
		for name, values := range u.from.Trailer {
			if u.trailer != nil && !forwarding.IsAboutClient(name) {
				u.trailer[name] = values
			}
		}
	}
	if err != nil || u.read == u.from.ContentLength {
		u.ended.Store(true)
	}
	return n, err
}

// lingerTime is how long a client may go on sending a body that is not read any
// more, so that it sees the response before the end of its connection; as in
// net/http.
const lingerTime = 500 * time.Millisecond

// release ends a Read that still waits for the client when the response is
// complete, and bounds those with which the server looks for the end of the
// body before it closes the connection. The second deadline only holds when no
// Read is under way: the server aborts that one, and lifts the deadline then.
func (u *upload) release(control *http.ResponseController, now time.Time) {
	if u.ended.Load() {
		return
	}
	_ = control.SetReadDeadline(time.Unix(1, 0))
	u.reading.Lock()
	defer u.reading.Unlock()
	_ = control.SetReadDeadline(now.Add(lingerTime))
}
