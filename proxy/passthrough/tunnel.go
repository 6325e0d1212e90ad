// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package passthrough

// tunnel.go: a WebSocket, after the application agreed to it.

import (
	"io"
	"net"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/http1"
)

// tunnel relays the bytes of a WebSocket in both directions until both sides
// ended, or the passage is cut.
func (p *passage) tunnel(response *http1.Response) {
	head := headOf(response) + "Connection: Upgrade\r\nUpgrade: " + response.Fields.Get("upgrade") + "\r\n\r\n"
	client, early := p.x.Tunnel()
	defer func() { _ = client.Close() }()
	_ = client.SetDeadline(time.Time{})
	if _, err := io.WriteString(client, head); err != nil {
		return
	}
	if _, err := p.conn.Write(early); err != nil {
		return
	}
	var copying sync.WaitGroup
	copying.Go(func() { copyHalf(p.conn.Conn, client) })
	copyHalf(client, p.conn.reader)
	copying.Wait()
}

// copyHalf copies one direction, and ends it.
func copyHalf(to net.Conn, from io.Reader) {
	lent := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(lent)
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, lent[:])
	if half, ok := to.(interface{ CloseWrite() error }); ok && err == nil {
		_ = half.CloseWrite()
		return
	}
	_ = to.SetDeadline(time.Unix(1, 0))
}
