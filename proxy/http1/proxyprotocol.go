// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package http1

// proxyprotocol.go: the header with which a load balancer begins a connection, in
// versions 1 and 2 of the PROXY protocol (haproxy.org, proxy-protocol.txt).

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

const (
	proxyLineBegin = "PROXY "
	// maxProxyLine bounds a header of version 1, with its end (section 2.1).
	maxProxyLine = 107
	// proxyFixed is the part of a header of version 2 before the addresses.
	proxyFixed = 16
	// maxProxyHeader bounds a header of version 2, with its TLVs: it has to fit into
	// the connection's buffer. The protocol asks for 536 bytes at least.
	maxProxyHeader = smallBuffer
)

// The reasons for which a connection is dropped.
const (
	noProxyHeader        = "noProxyHeader"
	proxyHeaderMalformed = "proxyHeaderMalformed"
)

var (
	errNoProxyHeader = errors.New(noProxyHeader)
	errProxyHeader   = errors.New(proxyHeaderMalformed)
	errProxyPart     = errors.New("the header is not complete")
)

// readProxyHeader reads the header that begins a connection, and makes its source
// the peer. It reports false when the connection ends: a header that is missing, or
// not complete in time, is refused without a response, because what follows is no
// request of a known client. A connection on which nothing is sent is a check of
// the port, and not counted.
func (c *conn) readProxyHeader() bool {
	until := c.server.Now().Add(c.server.Limits().HeadTimeout)
	for {
		part := c.reader.buf[c.reader.r:c.reader.w]
		source, n, err := parseProxyHeader(part)
		switch {
		case err == nil:
			c.reader.r += n
			if source.IsValid() {
				c.peer = source
			}
			return true
		case !errors.Is(err, errProxyPart):
			c.drop(err.Error())
			return false
		case !c.await(until):
			if len(part) > 0 {
				c.drop(proxyHeaderMalformed)
			}
			return false
		}
	}
}

func (c *conn) drop(reason string) {
	if c.server.Dropped != nil {
		c.server.Dropped(reason, c.peer)
	}
}

// parseProxyHeader returns the source that a header states, and the header's
// length. A header without a source (a balancer's own check, an unknown protocol)
// has none. errProxyPart: more bytes are needed.
func parseProxyHeader(part []byte) (source netip.AddrPort, n int, err error) {
	begin := string(part[:min(len(part), len(proxySignature))])
	switch {
	case strings.HasPrefix(begin, proxyLineBegin):
		return parseProxyLine(part)
	case begin == proxySignature:
		return parseProxyBinary(part)
	case strings.HasPrefix(proxyLineBegin, begin) || strings.HasPrefix(proxySignature, begin):
		return source, 0, errProxyPart
	}
	return source, 0, errNoProxyHeader
}

// parseProxyLine reads version 1.
func parseProxyLine(part []byte) (source netip.AddrPort, n int, err error) {
	line, _, found := strings.Cut(string(part[:min(len(part), maxProxyLine)]), "\r\n")
	switch {
	case !found && len(part) < maxProxyLine:
		return source, 0, errProxyPart
	case !found || strings.IndexByte(line, '\n') >= 0:
		return source, 0, errProxyHeader
	}
	n = len(line) + len("\r\n")
	words := strings.Split(line, " ")
	if words[1] == "UNKNOWN" {
		return source, n, nil
	}
	if len(words) != 6 || words[1] != "TCP4" && words[1] != "TCP6" {
		return source, 0, errProxyHeader
	}
	source, ok := parseEndpoint(words[1] == "TCP4", words[2], words[4])
	if _, whole := parseEndpoint(words[1] == "TCP4", words[3], words[5]); !ok || !whole {
		return netip.AddrPort{}, 0, errProxyHeader
	}
	return source, n, nil
}

func parseEndpoint(isIPv4 bool, address, port string) (netip.AddrPort, bool) { //nolint:revive // the family of the line
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() != isIPv4 || addr.Zone() != "" {
		return netip.AddrPort{}, false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(number, 10) != port {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(number)), true
}

// The bytes of version 2 that are known (section 2.2): the protocol's version with
// the command, and the family with the transport.
const (
	proxyLocal, proxyProxy                    = 0x20, 0x21
	proxyUnspecified, proxyTCP4, proxyTCP6    = 0x00, 0x11, 0x21
	bytesOfIPv4, bytesOfIPv6, bytesOfTwoPorts = 4, 16, 4
)

// addressBytes is the length of one address of a family.
func addressBytes(family byte) (n int, known bool) {
	switch family {
	case proxyUnspecified:
		return 0, true
	case proxyTCP4:
		return bytesOfIPv4, true
	case proxyTCP6:
		return bytesOfIPv6, true
	}
	return 0, false
}

// parseProxyBinary reads version 2: two addresses and their ports, then TLVs, which
// are skipped.
func parseProxyBinary(part []byte) (source netip.AddrPort, n int, err error) {
	if len(part) < proxyFixed {
		return source, 0, errProxyPart
	}
	command, family := part[len(proxySignature)], part[len(proxySignature)+1]
	n = proxyFixed + int(binary.BigEndian.Uint16(part[proxyFixed-2:]))
	size, known := addressBytes(family)
	switch {
	case n > maxProxyHeader || command != proxyLocal && command != proxyProxy:
		return source, 0, errProxyHeader
	case command == proxyProxy && (!known || size > 0 && n < proxyFixed+2*size+bytesOfTwoPorts):
		return source, 0, errProxyHeader
	case len(part) < n:
		return source, 0, errProxyPart
	case command == proxyLocal || size == 0:
		return source, n, nil
	}
	addresses := part[proxyFixed:n]
	addr, _ := netip.AddrFromSlice(addresses[:size])
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(addresses[2*size:])), n, nil
}
