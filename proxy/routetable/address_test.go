// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package routetable

import (
	"fmt"
	"net/netip"
	"testing"
)

// forbiddenIPv4 are addresses that no spelling may lead to.
var forbiddenIPv4 = []string{
	"127.0.0.1", "127.0.0.53", "127.1.2.3", "127.255.255.254", // loopback
	"0.0.0.0", "0.0.0.1", "0.1.2.3", "0.255.255.255", // this network
	"169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.170.23", // metadata of AWS, Google, Azure and others
	"169.254.0.1", "169.254.20.10", "169.254.255.255", // link-local
	"168.63.129.16",                               // Azure's wire server
	"100.100.100.200",                             // Alibaba's metadata
	"192.0.0.192",                                 // Oracle's metadata
	"224.0.0.1", "224.0.0.251", "239.255.255.250", // multicast
	"255.255.255.255", // broadcast
}

// spellingsOf are the ways to write an IPv4 address as an IP address that
// some stack, gateway or tunnel takes for it.
func spellingsOf(v4 string) []string {
	b := netip.MustParseAddr(v4).As4()
	high, low := int(b[0])<<8|int(b[1]), int(b[2])<<8|int(b[3])
	return []string{
		v4,
		"::ffff:" + v4, // IPv4-mapped
		fmt.Sprintf("::ffff:%x:%x", high, low),
		fmt.Sprintf("0:0:0:0:0:ffff:%04x:%04x", high, low),
		fmt.Sprintf("::FFFF:%X:%X", high, low),
		"::" + v4, // IPv4-compatible
		fmt.Sprintf("::%x:%x", high, low),
		"::ffff:0:" + v4,   // IPv4-translated
		"64:ff9b::" + v4,   // NAT64
		"64:ff9b:1::" + v4, // local NAT64, with prefixes of 96, 64, 56 and 48 bits
		fmt.Sprintf("64:ff9b:1:0:%x:%02x%02x:%02x00:0", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("64:ff9b:1:%02x:%02x:%02x%02x::", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("64:ff9b:1:%02x%02x:%02x:%02x00::", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("2002:%x:%x::", high, low), // 6to4
		fmt.Sprintf("2002:%x:%x::1", high, low),
		fmt.Sprintf("2002:%x:%x:1:2:3:4:5", high, low),
	}
}

// forbiddenIPv6 are those that are forbidden by themselves.
var forbiddenIPv6 = []string{
	"::", "0:0:0:0:0:0:0:0", "::1", "0:0:0:0:0:0:0:1", "::0001",
	"fe80::1", "fe80::a9fe:a9fe", "fe80::ffff:ffff:ffff:ffff", "febf::1", "fe80::1%eth0", "fe80::1%1", "::1%lo", "fd00::1%eth0", "2001:db8::1%0",
	"ff00::", "ff01::1", "ff02::1", "ff02::2", "ff02::fb", "ff05::1:3", "ff0e::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
	"fd00:ec2::254", "fd00:0ec2:0:0:0:0:0:0254", "fd20:ce::254", "fec0::1", "feff::1", "64:ff9b:1::1", "64:ff9b:1:ffff::",
}

// T3: no spelling of a forbidden address passes, neither alone nor as a
// backend's address.
func TestT3_NoSpellingOfAForbiddenAddressPasses(t *testing.T) {
	spellings := map[string]bool{}
	for _, v4 := range forbiddenIPv4 {
		for _, spelling := range spellingsOf(v4) {
			spellings[spelling] = true
		}
	}
	for _, v6 := range forbiddenIPv6 {
		spellings[v6] = true
	}
	if len(spellings) < 200 {
		t.Errorf("only %d spellings", len(spellings))
	}
	for spelling := range spellings {
		addr, err := netip.ParseAddr(spelling)
		if err != nil {
			t.Errorf("%s is no address, so it shows nothing: %v", spelling, err)
			continue
		}
		if CheckAddress(addr) == nil {
			t.Errorf("CheckAddress(%s) allows it", spelling)
		}
		backend := Backend{Name: "blue", Addresses: []string{netip.AddrPortFrom(addr, 80).String()}}
		if backend.validate() == nil {
			t.Errorf("a backend may have the address %s", spelling)
		}
	}
	t.Logf("%d spellings", len(spellings))
}

func TestT3_NumbersAndNamesAreNoAddresses(t *testing.T) {
	for _, text := range []string{
		"localhost:80", "2130706433:80", "0x7f.1:80", "0177.0.0.1:80", "127.1:80", "127.0.0.1.:80", "metadata.google.internal:80",
		"127。0。0。1:80", "①②⑦.⓪.⓪.①:80", "::1:80", "[::1]", "[127.0.0.1]:80", "10.0.0.1:http", "10.0.0.1:", ":80", "", "10.0.0.1:080",
		"10.0.0.1:65536", "[::ffff:10.0.0.1%]:80", "[fd00::1]:80 ", "10.0.0.1:80\n", "http://10.0.0.1:80", "10.0.0.1:80/",
	} {
		backend := Backend{Name: "blue", Addresses: []string{text}}
		if backend.validate() == nil {
			t.Errorf("a backend may have the address %q", text)
		}
	}
}

func TestCheckAddress_AllowsWhatServicesHave(t *testing.T) {
	for _, text := range []string{
		"10.96.0.10", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "100.100.100.199", "198.51.100.7", "203.0.113.9",
		"192.0.0.191", "168.63.129.15", "126.255.255.255", "128.0.0.1", "223.255.255.255", "240.0.0.1", "1.0.0.0", "169.253.255.255", "169.255.0.0",
		"fd00::1", "fd00:ec2::253", "fd20:ce::255", "fc00::1", "2001:db8::1", "2600:1f18::1", "fe7f::1", "64:ff9b:2::1",
		"::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:a00:1::1", "::ffff:0:10.0.0.1", "::10.0.0.1",
	} {
		if err := CheckAddress(netip.MustParseAddr(text)); err != nil {
			t.Errorf("CheckAddress(%s) = %v", text, err)
		}
	}
}

// A comparison with the API server's address covers every spelling of it.
func TestEmbedded_FindsTheIPv4Address(t *testing.T) {
	want := netip.MustParseAddr("10.96.0.1")
	for _, spelling := range []string{
		"::ffff:10.96.0.1", "::10.96.0.1", "::ffff:0:10.96.0.1", "64:ff9b::10.96.0.1", "2002:a60:1::", "2002:a60:1:1::7", "64:ff9b::10.96.0.1%eth0",
	} {
		if got, found := Embedded(netip.MustParseAddr(spelling)); !found || got != want {
			t.Errorf("Embedded(%s) = %v, %v", spelling, got, found)
		}
	}
	for _, plain := range []string{"10.96.0.1", "fd00::10.96.0.1", "2001:db8::1", "64:ff9b:1::10.96.0.1"} {
		if got, found := Embedded(netip.MustParseAddr(plain)); found {
			t.Errorf("Embedded(%s) = %v", plain, got)
		}
	}
	if got, found := Embedded(netip.Addr{}); found {
		t.Errorf("Embedded of no address = %v", got)
	}
}

func TestCheckAddress_RefusesNoAddress(t *testing.T) {
	if CheckAddress(netip.Addr{}) == nil {
		t.Error("the zero address passes")
	}
}
