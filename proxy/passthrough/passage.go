// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package passthrough

// passage.go: one request on its way to the application, and its response.

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/forwarding"
	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/page"
)

// passage is one request on its way to the application.
type passage struct {
	app *Application
	x   *http1.Exchange
	// body is what was read of the request's body, all of it; nil: it is streamed.
	body []byte
	// details are what the fleet adds to its own pages.
	details page.Details

	mu     sync.Mutex
	conn   *appConn
	over   bool // cut, or ended
	wasCut bool
	// refusal is why the client's body cannot be read.
	refusal *http1.Error
	// halfClosed: the client ended its half, and so did we towards the application.
	halfClosed bool
}

// Pass hands a request on and its response back. A body that was read already is
// given; nil: it is streamed as it comes.
func (a *Application) Pass(s *config.Snapshot, x *http1.Exchange, body []byte) {
	a.passed()
	pages := &s.Table.Settings.Pages
	p := &passage{app: a, x: x, body: body, details: page.Details{Product: pages.Product, SupportURL: pages.SupportURL}}
	a.begin(p)
	defer a.end(p)
	x.SetReadDeadline(time.Time{})
	x.SetWriteDeadline(time.Time{})
	conn, err := a.connect()
	if err != nil {
		p.fail(PageNotPassed)
		return
	}
	if !p.use(conn) {
		conn.close()
		p.fail(PageNotPassed)
		return
	}
	reusable := p.exchange(s)
	p.leave()
	if reusable && !p.halfClosed {
		a.keep(conn)
		return
	}
	conn.close()
}

// use makes a connection the passage's, unless it was cut.
func (p *passage) use(conn *appConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn = conn
	return !p.over
}

// cut ends the passage: what waits for the application or for the client ends.
func (p *passage) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	p.over, p.wasCut = true, true
	if p.conn != nil {
		_ = p.conn.SetDeadline(time.Unix(1, 0))
	}
}

// leave keeps a later cut away from the connection.
func (p *passage) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

func (p *passage) isCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wasCut
}

// refuseBody notes that the client's body is malformed.
func (p *passage) refuseBody(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusal, _ = errors.AsType[*http1.Error](err)
}

// failResponse responds when the application's response cannot be read: because
// of the application, or because its request was broken off.
func (p *passage) failResponse() {
	p.mu.Lock()
	refusal := p.refusal
	p.mu.Unlock()
	if refusal == nil {
		p.fail(pageNoResponse)
		return
	}
	p.x.Close()
	page.Write(p.x, refusal.Status, pageMalformed.Render(p.details))
}

// fail responds for an application that did not.
func (p *passage) fail(content page.Page) {
	p.app.failed()
	p.x.Close()
	page.Write(p.x, http.StatusBadGateway, content.Render(p.details))
}

// exchange sends the request and relays the response. It reports whether the
// connection to the application can be used again.
func (p *passage) exchange(s *config.Snapshot) (reusable bool) {
	if _, err := p.conn.Write(p.head(s)); err != nil {
		p.fail(pageNoResponse)
		return false
	}
	uploaded := make(chan error, 1)
	go func() { uploaded <- p.upload() }()
	complete, switched := p.relay()
	// The response is there, so the rest of the body is sent no more: neither the
	// client nor the application holds up the other.
	p.x.Interrupt()
	_ = p.conn.SetWriteDeadline(time.Unix(1, 0))
	err := <-uploaded
	p.x.SetReadDeadline(time.Time{})
	if !p.isCut() {
		_ = p.conn.SetWriteDeadline(time.Time{})
	}
	if switched != nil {
		p.tunnel(switched)
	}
	return complete && err == nil
}

// head returns the head of the application's request: the target byte for byte,
// the client's fields in their order without those that only a proxy may set,
// and the framing. A body that was read follows.
func (p *passage) head(s *config.Snapshot) []byte {
	x := p.x
	peer := x.Peer.Addr().Unmap().WithZone("")
	scheme := "http" // as the request came
	if s.Claims(x.Host) {
		scheme = s.Scheme()
	}
	origin := forwarding.OriginOf(&x.Request, peer, s.Trusts(peer), scheme, x.Host)
	origin.Undeclared = s.TrustsNone()
	head := make([]byte, 0, 2<<10)
	head = append(head, x.Method+" "+x.Target+" HTTP/1.1\r\nHost: "+x.Host+"\r\n"...)
	for _, line := range forwarding.AppendPassed(nil, &x.Request, &origin) {
		head = append(head, line...)
		head = append(head, "\r\n"...)
	}
	switch {
	case x.Chunked && p.body == nil:
		head = append(head, "Transfer-Encoding: chunked\r\n"...)
	case x.Chunked || x.Length >= 0:
		length := x.Length
		if p.body != nil {
			length = int64(len(p.body))
		}
		head = append(head, "Content-Length: "+strconv.FormatInt(length, 10)+"\r\n"...)
	}
	if x.IsWebSocket() {
		head = append(head, "Connection: Upgrade\r\nUpgrade: "+x.Upgrade+"\r\n"...)
	}
	head = append(head, "\r\n"...)
	return append(head, p.body...)
}

// upload sends the body as it comes, and then waits for the end of the client's
// half of the connection, which it passes on: the application decides what that
// means, as it does without a sidecar. It returns nil when the whole body was
// sent.
func (p *passage) upload() error {
	x := p.x
	if p.body == nil && x.HasBody() {
		if err := p.uploadBody(); err != nil {
			return err
		}
	}
	switch err := x.WaitClient(); {
	case errors.Is(err, io.EOF):
		p.halfClosed = true
		if half, ok := p.conn.Conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	case err != nil && !isTimeout(err):
		p.halfClosed = true
		_ = p.conn.SetDeadline(time.Unix(1, 0)) // the client is gone
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// uploadBody sends the body in the framing in which it comes.
func (p *passage) uploadBody() error {
	body := p.x.Body()
	lent := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(lent)
	for {
		n, err := body.Read(lent[:])
		if n > 0 {
			if writeErr := p.writePart(lent[:n]); writeErr != nil {
				return writeErr
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return p.endUpload(body.Trailer)
		case err != nil:
			// The application must not take a part for the whole.
			if !isTimeout(err) {
				p.refuseBody(err)
				_ = p.conn.SetDeadline(time.Unix(1, 0))
			}
			return err
		}
	}
}

func (p *passage) writePart(part []byte) error {
	if !p.x.Chunked {
		_, err := p.conn.Write(part)
		return err
	}
	buffers := net.Buffers{[]byte(strconv.FormatInt(int64(len(part)), 16) + "\r\n"), part, []byte("\r\n")}
	_, err := buffers.WriteTo(p.conn.Conn)
	return err
}

// endUpload ends a body in chunks, with the trailers that a client may send.
func (p *passage) endUpload(trailer http1.Fields) error {
	if !p.x.Chunked {
		return nil
	}
	end := []byte("0\r\n")
	for _, line := range forwarding.AppendTrailer(nil, trailer) {
		end = append(end, line+"\r\n"...)
	}
	_, err := p.conn.Write(append(end, "\r\n"...))
	return err
}

const bufferBytes = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferBytes]byte) }}

// relay hands the response on, each part as it comes. It reports whether it was
// complete and the application keeps its connection. A response that switches
// protocols is returned instead.
func (p *passage) relay() (reusable bool, switched *http1.Response) {
	response, err := p.readHead()
	if err != nil {
		p.failResponse()
		return false, nil
	}
	if response.Status == http.StatusSwitchingProtocols {
		return false, response
	}
	x := p.x
	x.Begin(response.Status, response.Reason)
	for _, line := range forwarding.AppendResponse(nil, response) {
		x.AddLine(line)
	}
	if response.Fields.Get("date") == "" {
		x.AddLine(http1.DateLine(p.app.now()))
	}
	if response.Close {
		// An application that is about to stop sends its clients elsewhere with
		// this. A client that stays connected to the sidecar would lose its next
		// request.
		x.Close()
	}
	body := p.conn.reader.BodyOf(response)
	lent := buffers.Get().(*[bufferBytes]byte)
	defer buffers.Put(lent)
	failure := x.Start(response.Length, nil)
	for failure == nil {
		n, err := body.Read(lent[:])
		if n > 0 {
			if _, failure = x.Write(lent[:n]); failure != nil {
				break
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			ended := x.End(forwarding.AppendTrailer(nil, body.Trailer)...)
			return ended == nil && response.KeepAlive && !response.Close, nil
		case err != nil:
			failure = err
		}
	}
	x.Abort()
	return false, nil
}

// maxInterim bounds the interim responses of one request.
const maxInterim = 100

// readHead relays interim responses, and returns the head of the one that is not.
func (p *passage) readHead() (*http1.Response, error) {
	for range maxInterim {
		response, err := p.conn.reader.ReadResponse(p.x.Method, maxAppHeadBytes)
		switch {
		case err != nil:
			return nil, err
		case response.Status == http.StatusSwitchingProtocols:
			if !p.x.IsWebSocket() {
				return nil, errors.New("the application switched protocols unasked")
			}
			return response, nil
		case response.Status >= http.StatusOK:
			return response, nil
		case p.x.Minor == 0:
			continue // HTTP/1.0 has none
		}
		if err := p.x.SendInterim(headOf(response) + "\r\n"); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("too many interim responses")
}

// headOf returns the head of a response for the client, without the fields of a
// connection and without its end.
func headOf(response *http1.Response) string {
	lines := forwarding.AppendResponse([]string{"HTTP/1.1 " + strconv.Itoa(response.Status) + " " + response.Reason}, response)
	return strings.Join(lines, "\r\n") + "\r\n"
}
