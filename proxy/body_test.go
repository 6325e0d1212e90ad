// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Bodies use memory of other requests again. Many at once, of lengths around the
// bounds of the pools, arrive as they were sent.
func TestBodies_OfConcurrentRequestsStayApart(t *testing.T) {
	r := newRig(t)
	r.serve(newRoute(nil))
	r.lead(blueAddress, newBackend(t, func(conn net.Conn, request string) {
		_, body, _ := strings.Cut(request, "\r\n\r\n")
		sum := sha256.Sum256([]byte(body))
		digest := hex.EncodeToString(sum[:])
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: "+strconv.Itoa(len(digest))+"\r\n\r\n"+digest)
	}))
	lengths := []int{100, ownBody, ownBody + 1, formBody, formBody + 1, firstBody, firstBody + 1, 3 * firstBody}
	var clients sync.WaitGroup
	for client := range 16 {
		clients.Go(func() {
			for round := range 8 {
				length := lengths[(client+round)%len(lengths)]
				body := "code=" + strings.Repeat(string(rune('a'+client)), length-len("code="))
				sum := sha256.Sum256([]byte(body))
				if got := r.post("/cb", body); got.status != 200 || got.body != hex.EncodeToString(sum[:]) {
					t.Errorf("a body of %d bytes: %d %q %v", length, got.status, got.body, got.err)
				}
			}
		})
	}
	clients.Wait()
}
