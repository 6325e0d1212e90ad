// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// proxyprotocol_test.go: headers of the PROXY protocol, alone and before requests.

import (
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// binaryHeader returns a header of version 2.
func binaryHeader(command, family byte, addresses string) string {
	length := binary.BigEndian.AppendUint16(nil, uint16(len(addresses)))
	return proxySignature + string([]byte{command, family}) + string(length) + addresses
}

// endpoints are two addresses and their ports, 443 and 80.
func endpoints(source, destination string) string {
	from, to := netip.MustParseAddr(source), netip.MustParseAddr(destination)
	return string(from.AsSlice()) + string(to.AsSlice()) + "\x01\xbb\x00\x50"
}

const (
	longLine  = "PROXY TCP6 ffff:f..f:ffff ffff:f...f:ffff 65535 65535\r\n" // no address
	unknown   = "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
	ofClient  = "203.0.113.7"
	ofClient6 = "2001:db8::7"
)

// W6: each header of both versions, and nothing else.
func TestW6_ProxyHeaders(t *testing.T) {
	tlv := "\x04\x00\x05hello"
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.7 10.0.0.1 443 80\r\n":                                        "203.0.113.7:443",
		"PROXY TCP4 203.0.113.7 10.0.0.1 0 65535\r\n":                                       "203.0.113.7:0",
		"PROXY TCP6 2001:db8::7 2001:DB8::1 443 80\r\n":                                     "[2001:db8::7]:443",
		"PROXY TCP6 ::ffff:203.0.113.7 ::1 443 80\r\n":                                      "[::ffff:203.0.113.7]:443",
		"PROXY UNKNOWN\r\n":                                                                 "",
		unknown:                                                                             "",
		binaryHeader(0x21, 0x11, endpoints(ofClient, "10.0.0.1")):                           "203.0.113.7:443",
		binaryHeader(0x21, 0x11, endpoints(ofClient, "10.0.0.1")+tlv):                       "203.0.113.7:443",
		binaryHeader(0x21, 0x21, endpoints(ofClient6, "2001:db8::1")+tlv):                   "[2001:db8::7]:443",
		binaryHeader(0x21, 0x00, ""):                                                        "",
		binaryHeader(0x21, 0x00, tlv):                                                       "",
		binaryHeader(0x20, 0x00, ""):                                                        "",
		binaryHeader(0x20, 0x11, endpoints("10.0.0.9", "10.0.0.1")):                         "",
		binaryHeader(0x20, 0x31, "unix"):                                                    "",
		binaryHeader(0x21, 0x11, endpoints(ofClient, "10.0.0.1")+strings.Repeat("a", 4068)): "203.0.113.7:443",
	} {
		source, n, err := parseProxyHeader([]byte(header + "GET /"))
		got := ""
		if source.IsValid() {
			got = source.String()
		}
		if got != want || n != len(header) || err != nil {
			t.Errorf("%.60q: %q, %d of %d bytes, %v, want %q", header, got, n, len(header), err, want)
		}
		for i := range len(header) { // no part of it is one, or refused
			if _, _, err := parseProxyHeader([]byte(header[:i])); !errors.Is(err, errProxyPart) {
				t.Errorf("%d bytes of %.60q: %v", i, header, err)
			}
		}
	}
}

// W6: what is no header, or no strict one.
func TestW6_MalformedProxyHeaders(t *testing.T) {
	for _, header := range []string{
		longLine,
		"PROXY \r\n", "PROXY TCP4\r\n", "PROXY tcp4 1.2.3.4 1.2.3.5 1 2\r\n", "PROXY TCP5 1.2.3.4 1.2.3.5 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.5 1\r\n", "PROXY TCP4 1.2.3.4 1.2.3.5 1 2 3\r\n", "PROXY TCP4  1.2.3.4 1.2.3.5 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.5 1 2 \r\n", "PROXY TCP4 1.2.3.4 1.2.3.5 01 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.5 +1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.5 65536 2\r\n", "PROXY TCP4 1.2.3.4 1.2.3.5 1 -2\r\n", "PROXY TCP4 01.2.3.4 1.2.3.5 1 2\r\n",
		"PROXY TCP4 ::1 ::2 1 2\r\n", "PROXY TCP4 1.2.3.4 ::2 1 2\r\n", "PROXY TCP6 1.2.3.4 1.2.3.5 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 ::2 1 2\r\n", "PROXY TCP4 host 1.2.3.5 1 2\r\n", "PROXY TCP4 1.2.3.4\n1.2.3.5 1 2\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\n\r\n", "PROXY " + strings.Repeat("a", maxProxyLine), unknown[:len(unknown)-2] + " \r\n",
		binaryHeader(0x11, 0x11, endpoints(ofClient, "10.0.0.1")), binaryHeader(0x22, 0x11, endpoints(ofClient, "10.0.0.1")),
		binaryHeader(0x21, 0x12, endpoints(ofClient, "10.0.0.1")), binaryHeader(0x21, 0x31, strings.Repeat("a", 216)),
		binaryHeader(0x21, 0x11, endpoints(ofClient, "10.0.0.1")[:11]), binaryHeader(0x21, 0x21, endpoints(ofClient, "10.0.0.1")),
		binaryHeader(0x20, 0x00, strings.Repeat("a", 4081)),
	} {
		if source, _, err := parseProxyHeader([]byte(header)); !errors.Is(err, errProxyHeader) {
			t.Errorf("%.80q: %v, %v", header, source, err)
		}
	}
	for _, header := range []string{"GET / HTTP/1.1\r\n", "PROXX", "\x16\x03\x01", "\r\n\r\nGET", "\r\n\r\n\x00\r\nQUIT\r", "proxy TCP4"} {
		if source, _, err := parseProxyHeader([]byte(header)); !errors.Is(err, errNoProxyHeader) {
			t.Errorf("%q: %v, %v", header, source, err)
		}
	}
}

func FuzzParseProxyHeader(f *testing.F) {
	f.Add([]byte("PROXY TCP4 203.0.113.7 10.0.0.1 443 80\r\nGET"))
	f.Add([]byte(binaryHeader(0x21, 0x21, endpoints(ofClient6, "::1"))))
	f.Fuzz(func(t *testing.T, part []byte) {
		source, n, err := parseProxyHeader(part)
		if n > len(part) && err == nil || n > maxProxyHeader || err != nil && (n != 0 || source.IsValid()) {
			t.Errorf("%q: %v, %d, %v", part, source, n, err)
		}
		if len(part) >= maxProxyHeader && errors.Is(err, errProxyPart) {
			t.Errorf("%d bytes are no whole header", len(part))
		}
	})
}

// dropped is a connection that was dropped.
type dropped struct {
	reason string
	socket netip.AddrPort
}

func newBalanced(t *testing.T, headTimeout time.Duration) (*site, chan dropped) {
	t.Helper()
	server, log := newServer(func(x *Exchange) {
		if x.Refusal != nil {
			echo(x)
			return
		}
		x.Begin(200, "OK")
		_ = x.Send([]byte(x.Peer.String() + " " + x.Target))
	})
	drops := make(chan dropped, 10)
	server.Dropped = func(reason string, socket netip.AddrPort) { drops <- dropped{reason, socket} }
	server.Limits = func() Limits {
		limits := testLimits
		limits.ProxyProtocol, limits.HeadTimeout = true, headTimeout
		return limits
	}
	return serveOn(t, server, log), drops
}

// W6: the source of the header is the peer of all requests of the connection, also
// when the header comes in parts, or a request with it; a balancer's own check has
// the socket's.
func TestW6_SourceIsThePeer(t *testing.T) {
	s, _ := newBalanced(t, patience)
	for header, want := range map[string]string{
		"PROXY TCP4 203.0.113.7 10.0.0.1 443 80\r\n":                "203.0.113.7:443",
		binaryHeader(0x21, 0x21, endpoints(ofClient6, "::1")+"tlv"): "[2001:db8::7]:443",
		binaryHeader(0x20, 0x00, ""):                                "",
		"PROXY UNKNOWN\r\n":                                         "",
	} {
		whole, parts := s.dial(t), s.dial(t)
		whole.send(header + get("/1") + get("/2"))
		for _, b := range []byte(header + get("/1")) {
			parts.send(string([]byte{b}))
		}
		parts.send(get("/2"))
		for _, c := range []*client{whole, parts} {
			peer := want
			if peer == "" {
				peer = c.LocalAddr().String()
			}
			for _, target := range []string{"/1", "/2"} {
				if got := c.receive("GET"); got.body != peer+" "+target {
					t.Errorf("%.40q: %+v, want %s", header, got, peer)
				}
			}
		}
	}
	c := s.dial(t)
	c.send("PROXY TCP4 203.0.113.7 10.0.0.1 443 80\r\nPROXY TCP4 203.0.113.8 10.0.0.1 443 80\r\n\r\n")
	if got := c.receive("GET"); got.status != 400 || got.body != "proxyProtocol" {
		t.Errorf("a second header gets %+v", got)
	}
}

// W6: a connection without a header, or with one that is malformed or does not end
// in time, gets no byte, and is reported with the address of the socket. One on
// which nothing is sent is not.
func TestW6_ConnectionsWithoutAHeaderEnd(t *testing.T) {
	s, drops := newBalanced(t, 200*time.Millisecond)
	for begin, want := range map[string]string{
		get("/"):              noProxyHeader,
		"PROXY TCP4 x\r\n":    proxyHeaderMalformed,
		"PROXY TCP4 203.0.11": proxyHeaderMalformed, // the end is not in time
	} {
		c := s.dial(t)
		_, _ = io.WriteString(c.TCPConn, begin)
		if rest, _ := c.rest(); rest != "" {
			t.Errorf("%.20q gets %q", begin, rest)
		}
		if got := <-drops; got.reason != want || got.socket.String() != c.LocalAddr().String() {
			t.Errorf("%.20q is reported as %+v", begin, got)
		}
	}
	checked, silent := s.dial(t), s.dial(t)
	_ = checked.CloseWrite()
	for _, c := range []*client{checked, silent} {
		if rest, _ := c.rest(); rest != "" {
			t.Errorf("a connection without a byte gets %q", rest)
		}
	}
	s.Shutdown(t.Context()) //nolint:errcheck // it ends
	if len(drops) != 0 {
		t.Errorf("it is reported as %+v", <-drops)
	}
}

// W6: a server that stops serves a request that came with its header.
func TestW6_HeaderBeforeTheStop(t *testing.T) {
	s, drops := newBalanced(t, patience)
	c := s.dial(t)
	s.awaitWaiting(t, idle, 1)
	c.send("PROXY TCP4 203.0.113.7 10.0.0.1 443 80\r\n" + get("/"))
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	if got := c.receive("GET"); got.body != "203.0.113.7:443 /" || !got.closes {
		t.Errorf("response is %+v, %d dropped", got, len(drops))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
