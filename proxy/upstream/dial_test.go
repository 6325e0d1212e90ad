// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// counter counts the connections to every loopback address of one port.
type counter struct {
	port  int
	count atomic.Int64
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{}
	listen := func(network, address string) net.Listener {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Skipf("listen on %s: %v", address, err)
		}
		return listener
	}
	v4 := listen("tcp4", "0.0.0.0:0")
	c.port = v4.Addr().(*net.TCPAddr).Port
	v6 := listen("tcp6", net.JoinHostPort("::", strconv.Itoa(c.port)))
	for _, listener := range []net.Listener{v4, v6} {
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				c.count.Add(1)
				_ = conn.Close()
			}
		}()
		t.Cleanup(func() { _ = listener.Close(); <-stopped })
	}
	return c
}

// forbiddenV4 are addresses that no backend may have.
var forbiddenV4 = []string{
	"127.0.0.1", "127.0.0.2", "127.0.1.1", "127.1.2.3", "127.255.255.254", "127.255.255.255",
	"0.0.0.0", "0.0.0.1", "0.1.2.3", "0.255.255.255",
	"169.254.0.1", "169.254.169.254", "169.254.169.253", "169.254.170.2", "169.254.255.255",
	"168.63.129.16", "100.100.100.200", "192.0.0.192",
	"224.0.0.1", "224.0.0.251", "239.255.255.255", "255.255.255.255",
}

// spellings are the forbidden addresses in every form in which they can be
// written or embedded.
func spellings() []string {
	list := []string{
		// IPv6 of its own
		"::1", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "::0:1", "::",
		"fe80::1", "fe80::1%lo", "fe80::1%eth0", "::1%lo", "febf:ffff::1", "ff02::1", "ff05::2", "ff01::1", "ff0e::1",
		"fd00:ec2::254", "fd20:ce::254", "fec0::1", "feff::1",
		// no address, or only for some parsers
		"localhost", "localhost.localdomain", "ip6-localhost", "LOCALHOST", "localhost.", "metadata.google.internal",
		"127.1", "127.0.1", "0", "0x7f.1", "0x7f000001", "0x7f.0x0.0x0.0x1", "2130706433", "017700000001", "0177.0.0.1",
		"0177.0.0.01", "127.0.0.01", "127.000.000.001", "127.0.0.1.", "127。0。0。1", "①②⑦.0.0.1", "127.0.0.1%00", "127.0.0.1 ",
		" 127.0.0.1", "127.0.0.1\t", "127.0.0.1/32", "127.0.0.1#a", "a@127.0.0.1", "a:b@127.0.0.1", "127.0.0.1?x", "127.0.0.1\\a",
		"169.254.43518", "169.16689662", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "0xa9.0xfe.0xa9.0xfe",
		"::ffff:7f00:1%1", "[::1]", "[[::1]]", "::1]", "::ffff:127.1", "::ffff:0x7f.1", "0:0:0:0:0:ffff:127.0.0.01",
		"127.0.0.1.nip.io", "localtest.me", "*", "",
	}
	for _, v4 := range forbiddenV4 {
		b := netip.MustParseAddr(v4).As4()
		high, low := uint(b[0])<<8|uint(b[1]), uint(b[2])<<8|uint(b[3])
		list = append(list,
			v4,
			"::ffff:"+v4,
			fmt.Sprintf("::ffff:%x:%x", high, low),
			fmt.Sprintf("0:0:0:0:0:FFFF:%04X:%04X", high, low),
			fmt.Sprintf("::%x:%x", high, low),
			"::"+v4,
			fmt.Sprintf("::ffff:0:%x:%x", high, low),
			fmt.Sprintf("64:ff9b::%x:%x", high, low),
			"64:ff9b::"+v4,
			fmt.Sprintf("2002:%x:%x::1", high, low),
		)
	}
	return list
}

// No forbidden address is dialled, in any spelling. The test calls the client
// itself: the addresses are dialled as if a table had let them pass.
func TestT3_ForbiddenAddressesAreNeverDialled(t *testing.T) {
	target := newCounter(t)
	port := strconv.Itoa(target.port)
	c := NewClient(Options{Now: time.Now})
	list := spellings()
	if len(list) < 200 {
		t.Fatalf("%d spellings, want 200", len(list))
	}
	for _, host := range list {
		for _, address := range []string{net.JoinHostPort(host, port), host + ":" + port} {
			_, _, err := attempt(t, c, time.Second, address)
			wants(t, err, Error{Reason: ForbiddenAddress, NotDelivered: true})
		}
	}
	if n := target.count.Load(); n != 0 {
		t.Errorf("%d connections to forbidden addresses", n)
	}

	// The control: the listener does count, and the same addresses are reached
	// when an operator maps to them.
	mapped := newTestClient(map[string]string{first: "127.0.0.1:" + port, second: "[::1]:" + port})
	for _, address := range []string{first, second} {
		_, _, err := attempt(t, mapped, time.Second, address)
		wants(t, err, Error{Reason: ReadFailed})
	}
	if n := target.count.Load(); n != 2 {
		t.Errorf("the listener counted %d of 2 connections", n)
	}
}

// The address of the API server, and what else the operator's machine names,
// is refused under all its spellings.
func TestT3_GivenAddressesAreNeverDialled(t *testing.T) {
	own := ownAddress(t)
	target := newCounter(t)
	port := strconv.Itoa(target.port)
	address := net.JoinHostPort(own.String(), port)

	allowed := NewClient(Options{Now: time.Now})
	if _, _, err := attempt(t, allowed, time.Second, address); target.count.Load() != 1 {
		t.Skipf("%s cannot be reached at all: %v", address, err)
	}
	c := NewClient(Options{Forbidden: []netip.Addr{own}, Now: time.Now})
	for _, spelling := range []string{
		address, "[::ffff:" + own.String() + "]:" + port, "[64:ff9b::" + own.String() + "]:" + port,
	} {
		_, _, err := attempt(t, c, time.Second, spelling)
		wants(t, err, Error{Reason: ForbiddenAddress, NotDelivered: true})
	}
	if n := target.count.Load(); n != 1 {
		t.Errorf("%d connections, want only the control's", n)
	}
}

// ownAddress returns an IPv4 address of this machine that is not loopback.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Skip(err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr()
		}
	}
	t.Skip("this machine has no address but loopback")
	return netip.Addr{}
}

// F33: an address that swallows connection requests costs the dial budget and
// no more, and what it cost is known: nothing was delivered.
func TestF33_BlackholeEndsWithTheDialBudget(t *testing.T) {
	c := newTestClient(map[string]string{first: blackhole(t)})
	start := time.Now()
	_, _, err := attempt(t, c, time.Minute, first)
	wants(t, err, Error{Reason: DialFailed, NotDelivered: true, Timeout: true})
	if took := time.Since(start); took < DialBudget/2 || took > DialBudget+time.Second {
		t.Errorf("took %s, want %s", took, DialBudget)
	}

	// With a second address the budget is shared, and the second is reached.
	good := newBackend(t, responds(fine))
	c = newTestClient(map[string]string{first: blackhole(t), second: good.address()})
	for range 2 {
		start = time.Now()
		if status, _, err := attempt(t, c, time.Minute, first, second); status != 200 || time.Since(start) > DialBudget {
			t.Errorf("answer is %d %v after %s", status, err, time.Since(start))
		}
	}
}

// blackhole returns an address that answers no connection request: the queue
// of its listener is full.
func blackhole(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	for range 8 {
		conn, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	t.Skip("the queue of a listener cannot be filled here")
	return ""
}
