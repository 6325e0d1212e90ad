// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// A body that the system takes in many parts arrives whole and once, and each
// part in its place.
func TestF36_LargeBodiesAreSentWholeAndOnce(t *testing.T) {
	body := make([]byte, 24<<20)
	for i := range body {
		body[i] = byte(i ^ i>>8 ^ i>>16)
	}
	b := newBackend(t, responds(fine))
	p := callback(time.Minute, first)
	p.Body = body
	response, err := newTestClient(map[string]string{first: b.address()}).Attempt(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	response.Close()
	got := b.seen()
	if len(got) != 1 {
		t.Fatalf("backend saw %d requests", len(got))
	}
	if head, sent, _ := strings.Cut(got[0], "\r\n\r\n"); !strings.HasPrefix(head, "POST /cb?") || !bytes.Equal([]byte(sent), body) {
		t.Errorf("backend saw %d bytes behind %.60q", len(sent), head)
	}
}

// F34: a backend that reads nothing ends the attempt when its time is over, and the
// error states that bytes were sent.
func TestF34_BackendThatReadsNothingTimesOut(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	p := callback(300*time.Millisecond, first)
	p.Body = make([]byte, 64<<20)
	_, err = newTestClient(map[string]string{first: listener.Addr().String()}).Attempt(t.Context(), p)
	wants(t, err, Error{Reason: TimedOut, Timeout: true})
}

// A proxy that stops ends a dial that has no end of its own yet.
func TestAttempt_EndsWhenTheProxyStopsWhileItDials(t *testing.T) {
	c := newTestClient(map[string]string{first: blackhole(t)})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	_, err := c.Attempt(ctx, callback(time.Minute, first))
	wants(t, err, Error{Reason: Canceled, NotDelivered: true})
	if took := time.Since(start); took >= DialBudget {
		t.Errorf("it took %s", took)
	}
}

// Both families are dialled, and the address in an IPv4-mapped one.
func TestConnect_Families(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1", "::ffff:127.0.0.1"} {
		t.Run(host, func(t *testing.T) {
			network, on := "tcp", strings.TrimPrefix(host, "::ffff:")
			listener, err := net.Listen(network, net.JoinHostPort(on, "0"))
			if err != nil {
				t.Skip(err)
			}
			defer func() { _ = listener.Close() }()
			_, port, _ := net.SplitHostPort(listener.Addr().String())
			c := newTestClient(map[string]string{first: net.JoinHostPort(host, port)})
			if err := c.Reach(t.Context(), first, time.Second); err != nil {
				t.Error(err)
			}
		})
	}
}

// A name that an operator maps an address to is resolved.
func TestConnect_MappedName(t *testing.T) {
	b := newBackend(t, responds(fine))
	_, port, _ := net.SplitHostPort(b.address())
	c := newTestClient(map[string]string{first: "localhost:" + port})
	if status, _, err := attempt(t, c, time.Minute, first); status != 200 {
		t.Errorf("response is %d, %v", status, err)
	}
}

func TestSkip(t *testing.T) {
	for n, want := range [][]string{{"ab", "", "c"}, {"b", "", "c"}, {"c"}, {}} {
		var got []string
		for _, part := range skip([][]byte{[]byte("ab"), nil, []byte("c")}, n) {
			got = append(got, string(part))
		}
		if !slices.Equal(got, want) {
			t.Errorf("after %d bytes %q is left, want %q", n, got, want)
		}
	}
}
