// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package streams

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// uploadSize is what the upload sends.
const uploadSize = 64 << 20

// Check is one thing that was tried.
type Check struct {
	Name string `json:"name"`
	// Saw is what there was to see; Error why it was not enough.
	Saw   string `json:"saw"`
	Error string `json:"error,omitempty"`
}

// Client tries everything that Handler serves.
type Client struct {
	// Base is http://host:port; Host is the header.
	Base, Host string
	HTTP       *http.Client
}

// Checks tries everything, one after the other, and goes on after failures.
func (c *Client) Checks(ctx context.Context) []Check {
	var checks []Check
	for _, try := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"echo", c.echo},
		{"websocket", c.socket},
		{"server-sent events", c.events},
		{"upload of 64 MiB", c.upload},
		{"trailers", c.trailers},
		{"slow answer", c.slow},
	} {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		saw, err := try.do(ctx)
		cancel()
		check := Check{Name: try.name, Saw: saw}
		if err != nil {
			check.Error = err.Error()
		}
		checks = append(checks, check)
	}
	return checks
}

func (c *Client) request(ctx context.Context, method, target string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.Base+target, body)
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	request.Host = c.Host
	response, err := c.HTTP.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		_ = response.Body.Close()
		return nil, fmt.Errorf("the status is %d", response.StatusCode)
	}
	return response, nil
}

// echo wants the target, in its spelling, and the body unchanged.
func (c *Client) echo(ctx context.Context) (string, error) {
	const target = echoPath + "?b=%2F%2f&a=;x&a=1"
	response, err := c.request(ctx, http.MethodPut, target, strings.NewReader("some body"))
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var got echo
	if err := json.NewDecoder(response.Body).Decode(&got); err != nil {
		return "", fmt.Errorf("decode the echo: %w", err)
	}
	want := echo{Method: http.MethodPut, Target: target, Host: c.Host, Body: "some body", Length: 9}
	if got != want {
		return "", fmt.Errorf("got %+v, want %+v", got, want)
	}
	return "method, target, host and body unchanged", nil
}

func (c *Client) socket(ctx context.Context) (string, error) {
	socket, response, err := websocket.Dial(ctx, c.Base+socketPath, &websocket.DialOptions{Host: c.Host, HTTPClient: c.HTTP})
	if err != nil {
		return "", err
	}
	if response.Body != nil {
		defer func() { _ = response.Body.Close() }()
	}
	defer func() { _ = socket.CloseNow() }()
	socket.SetReadLimit(maxSocket)
	const messages = 200
	for i := range messages {
		sent := bytes.Repeat([]byte{byte(i)}, i*100)
		if err := socket.Write(ctx, websocket.MessageBinary, sent); err != nil {
			return "", fmt.Errorf("write message %d: %w", i, err)
		}
		_, got, err := socket.Read(ctx)
		if err != nil {
			return "", fmt.Errorf("read message %d: %w", i, err)
		}
		if !bytes.Equal(sent, got) {
			return "", fmt.Errorf("message %d came back changed", i)
		}
	}
	return fmt.Sprintf("%d messages came back", messages), socket.Close(websocket.StatusNormalClosure, "")
}

// events wants each event when it was sent, not all at the end.
func (c *Client) events(ctx context.Context) (string, error) {
	const events = 5
	response, err := c.request(ctx, http.MethodGet, fmt.Sprintf("%s?n=%d", eventsPath, events), http.NoBody)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	var first, last time.Time
	n := 0
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if lines.Text() != fmt.Sprintf("data: %d", n) {
			continue
		}
		if last = time.Now(); n == 0 {
			first = last
		}
		n++
	}
	if n != events {
		return "", fmt.Errorf("%d of %d events came", n, events)
	}
	if spread := last.Sub(first); spread < (events-1)*eventGap/2 {
		return "", fmt.Errorf("they came within %s: a server on the way buffered them", spread)
	}
	return fmt.Sprintf("%d events, each when it was sent", n), nil
}

func (c *Client) upload(ctx context.Context) (string, error) {
	// Before, not meanwhile: an answer may come while the body is still sent.
	digest := sha256.New()
	if _, err := io.Copy(digest, io.LimitReader(&pattern{}, uploadSize)); err != nil {
		return "", fmt.Errorf("hash the body: %w", err)
	}
	response, err := c.request(ctx, http.MethodPost, uploadPath, io.LimitReader(&pattern{}, uploadSize))
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if want := fmt.Sprintf("%d %s", uploadSize, hex.EncodeToString(digest.Sum(nil))); string(got) != want {
		return "", fmt.Errorf("got %s, want %s", got, want)
	}
	return fmt.Sprintf("%d bytes, chunked, arrived unchanged", uploadSize), nil
}

// trailers wants the trailer of the request back as one of the answer.
func (c *Client) trailers(ctx context.Context) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Base+trailerPath, io.MultiReader(strings.NewReader("a body")))
	if err != nil {
		return "", fmt.Errorf("make the request: %w", err)
	}
	request.Host = c.Host
	request.Trailer = http.Header{digestTrailer: {"the-digest"}}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", fmt.Errorf("read the answer: %w", err)
	}
	if string(body) != "a body" || response.Trailer.Get(digestTrailer) != "the-digest" {
		return "", errors.New("the trailer or the body did not come back")
	}
	return "went there and came back", nil
}

// slow is slower than callbacks are waited for on the way in.
func (c *Client) slow(ctx context.Context) (string, error) {
	response, err := c.request(ctx, http.MethodGet, slowPath+"?seconds=3", http.NoBody)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil || string(got) != "at last" {
		return "", fmt.Errorf("got %q: %w", got, errors.Join(err, errors.New("want: at last")))
	}
	return "an answer after 3 s", nil
}

// pattern is endless.
type pattern struct{ at int }

// Read fills p.
func (r *pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.at * 7)
		r.at++
	}
	return len(p), nil
}
