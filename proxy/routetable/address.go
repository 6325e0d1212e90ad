// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

// address.go: addresses that a proxy never dials.

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
)

// forbiddenNetworks are never dialled: a backend there would hand callbacks,
// or the proxy's place in the network, to something that is no backend.
// Loopback, link-local, multicast and unspecified addresses are refused by
// their kind; these are the others.
var forbiddenNetworks = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this network, RFC 791
	netip.MustParsePrefix("255.255.255.255/32"), // broadcast
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure's wire server
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba's metadata
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle's metadata
	netip.MustParsePrefix("fd00:ec2::254/128"),  // AWS's metadata
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google's metadata
	netip.MustParsePrefix("fec0::/10"),          // site-local, deprecated
	netip.MustParsePrefix("2001::/32"),          // Teredo, which hides an IPv4 address
	// Local NAT64, RFC 8215: an IPv4 address may begin at any of four bytes
	// (RFC 6052 section 2.2), and the address does not show at which.
	netip.MustParsePrefix("64:ff9b:1::/48"),
}

// ForbiddenNetworks returns the networks that CheckAddress refuses besides whole
// kinds of addresses, so that other layers can forbid them as well.
func ForbiddenNetworks() []netip.Prefix { return slices.Clone(forbiddenNetworks) }

// AddressesOf returns the IP addresses, each once, at which servers are reached
// that are named by URL, HOST:PORT or host. Names are not looked up.
func AddressesOf(servers ...string) []netip.Addr {
	var addresses []netip.Addr
	for _, server := range servers {
		host := server
		if u, err := url.Parse(server); err == nil && u.Hostname() != "" {
			host = u.Hostname()
		} else if h, _, err := net.SplitHostPort(server); err == nil {
			host = h
		}
		if addr, err := netip.ParseAddr(host); err == nil && !slices.Contains(addresses, addr) {
			addresses = append(addresses, addr)
		}
	}
	return addresses
}

// embeddings are the IPv6 networks whose addresses carry an IPv4 address, and
// the byte at which it begins.
var embeddings = []struct {
	network netip.Prefix
	offset  int
}{
	{netip.MustParsePrefix("::/96"), 12},           // IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12}, // IPv4-translated
	{netip.MustParsePrefix("64:ff9b::/96"), 12},    // NAT64, RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2},        // 6to4
}

// Embedded returns the IPv4 address that an IPv6 address stands for. A comparison
// with forbidden addresses covers both.
func Embedded(addr netip.Addr) (netip.Addr, bool) {
	if addr.Is4In6() {
		return addr.Unmap(), true
	}
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	bytes := addr.As16()
	for _, e := range embeddings {
		// Without its zone: no network holds an address that has one.
		if e.network.Contains(addr.WithZone("")) {
			return netip.AddrFrom4([4]byte(bytes[e.offset : e.offset+4])), true
		}
	}
	return netip.Addr{}, false
}

// CheckAddress refuses addresses that a proxy never dials. The compiler calls it,
// and the proxy again at dial time. IPv4 addresses inside IPv6 ones are judged as
// IPv4 addresses.
func CheckAddress(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("address %s has a zone", addr)
	}
	if err := checkPlain(addr.Unmap()); err != nil {
		return err
	}
	if inner, embedded := Embedded(addr); embedded {
		if err := checkPlain(inner); err != nil {
			return fmt.Errorf("address %s embeds %w", addr, err)
		}
	}
	return nil
}

func checkPlain(addr netip.Addr) error {
	switch {
	case !addr.IsValid() || addr.IsUnspecified():
		return fmt.Errorf("address %s is unspecified", addr)
	case addr.IsLoopback():
		return fmt.Errorf("address %s is loopback", addr)
	case addr.IsLinkLocalUnicast():
		return fmt.Errorf("address %s is link-local", addr)
	case addr.IsMulticast():
		return fmt.Errorf("address %s is multicast", addr)
	}
	for _, network := range forbiddenNetworks {
		if network.Contains(addr) {
			return fmt.Errorf("address %s is reserved", addr)
		}
	}
	return nil
}

// sharedNetwork is that of carriers, which clusters use for pods: RFC 6598.
var sharedNetwork = netip.MustParsePrefix("100.64.0.0/10")

// PrivateNetwork returns the network of a peer, an IPv4 /24 or an IPv6 /64, where
// it is private: RFC 1918, RFC 4193, RFC 6598, link-local or loopback.
func PrivateNetwork(addr netip.Addr) (netip.Prefix, bool) {
	addr = addr.Unmap().WithZone("")
	if !addr.IsPrivate() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() && !sharedNetwork.Contains(addr) {
		return netip.Prefix{}, false
	}
	bits := 64
	if addr.Is4() {
		bits = 24
	}
	network, err := addr.Prefix(bits)
	return network, err == nil
}
