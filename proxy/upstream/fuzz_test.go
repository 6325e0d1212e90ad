// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// With any response of a backend the exchange ends, and its error is constant text.
func FuzzExchange(f *testing.F) {
	for _, seed := range []string{
		fine, "HTTP/1.1 100 Continue\r\n\r\n" + fine, "HTTP/1.1 101 X\r\n\r\n", "HTTP/1.0 200\r\n\r\nabc",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nabcde",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		near, far := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = readRequest(far)
			_, _ = io.WriteString(far, answer)
			_ = far.Close()
		}()
		p := callback(time.Minute, first)
		deadline := time.Now().Add(10 * time.Second)
		x := newExchange(t.Context(), near, deadline)
		response, err := x.run(p, &p.Choices[0], deadline)
		if err == nil {
			if response.Status < http.StatusOK || response.Status == http.StatusSwitchingProtocols {
				t.Fatalf("status %d is handed on", response.Status)
			}
			_, err = io.Copy(io.Discard, response)
		} else {
			err = x.explain(err)
		}
		x.close()
		<-done
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.NotDelivered || e.Timeout || strings.Contains(err.Error(), "CANARY")) {
			t.Fatalf("error is %v", err)
		}
	})
}
