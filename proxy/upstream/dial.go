// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

// dial.go: connections, under the rules about which addresses may be dialled.

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// dialer reaches addresses under the rules about which may be reached.
type dialer struct {
	now       func() time.Time
	connectTo map[string]string
	forbidden map[netip.Addr]struct{}
}

var errForbidden = errors.New(string(ForbiddenAddress))

func newDialer(o Options) dialer {
	forbidden := make(map[netip.Addr]struct{}, len(o.Forbidden))
	for _, addr := range o.Forbidden {
		forbidden[addr.Unmap().WithZone("")] = struct{}{}
	}
	return dialer{now: o.Now, connectTo: o.ConnectTo, forbidden: forbidden}
}

// checkDialed gets the address that a socket is about to connect to, so no step
// lies between check and use.
func checkDialed(addr netip.Addr, forbidden map[netip.Addr]struct{}) error {
	if err := routetable.CheckAddress(addr); err != nil {
		return errForbidden
	}
	addr = addr.Unmap().WithZone("")
	_, plain := forbidden[addr]
	inner, embeds := routetable.Embedded(addr)
	_, embedded := forbidden[inner]
	if plain || embeds && embedded {
		return errForbidden
	}
	return nil
}

// othersShare is the part of the budget that the choices after the first one
// are left with. It is the smaller one: a lost SYN is repeated after a second
// (RFC 6298), and a lost packet is no reason to hand a callback to another
// backend.
func othersShare(budget time.Duration) time.Duration { return budget * 3 / 10 }

// dial connects to the first address of a plan that accepts, and returns its
// choice. All share one budget: each address has its part of what the
// ones before it left. The error is that of the first choice.
func (d *dialer) dial(ctx context.Context, p *Plan) (net.Conn, *Choice, error) {
	budget := min(DialBudget, p.Total)
	end := d.now().Add(budget)
	var failure *Error
	for i := range p.Choices {
		limit := end
		if i+1 < len(p.Choices) {
			limit = end.Add(-othersShare(budget))
		}
		conn, err := d.dialChoice(ctx, p, i, limit)
		if err == nil {
			return conn, &p.Choices[i], nil
		}
		if failure == nil || err.Reason == Canceled {
			failure = err
		}
		if err.Reason == Canceled {
			break
		}
	}
	if failure == nil {
		failure = &Error{Reason: NoAddress, NotDelivered: true}
	}
	return nil, nil, failure
}

// dialChoice connects to one of a choice's addresses before the limit.
func (d *dialer) dialChoice(ctx context.Context, p *Plan, choice int, limit time.Time) (net.Conn, *Error) {
	addresses := p.Choices[choice].Addresses
	failure := &Error{Reason: NoAddress, NotDelivered: true}
	for i, address := range addresses {
		before := limit
		if left := len(addresses) - i; left > 1 {
			now := d.now()
			before = now.Add(limit.Sub(now) / time.Duration(left))
		}
		conn, err := d.dialOne(ctx, address, before)
		if err != nil {
			failure = explainDial(ctx, err)
			if failure.Reason == Canceled {
				return nil, failure
			}
		}
		if p.Dialled != nil && (err == nil || !failure.Ours) {
			p.Dialled(choice, i, err == nil)
		}
		if err == nil {
			return conn, nil
		}
	}
	return nil, failure
}

// dialOne connects to an address before a time.
func (d *dialer) dialOne(ctx context.Context, address string, before time.Time) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if target, mapped := d.connectTo[address]; mapped {
		return d.dialMapped(ctx, target, before)
	}
	// Names are never resolved here: only addresses are dialled.
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, errForbidden
	}
	if err := checkDialed(to.Addr(), d.forbidden); err != nil {
		return nil, err
	}
	return dialAddress(ctx, to, before)
}

// dialMapped connects to the address that an operator declared, which may be a
// name.
func (d *dialer) dialMapped(ctx context.Context, target string, before time.Time) (net.Conn, error) {
	if to, err := netip.ParseAddrPort(target); err == nil {
		return dialAddress(ctx, to, before)
	}
	named := net.Dialer{Timeout: before.Sub(d.now()), KeepAlive: -1}
	return named.DialContext(ctx, "tcp", target)
}

// dialAddress is connect, as a net.Conn.
func dialAddress(ctx context.Context, to netip.AddrPort, before time.Time) (net.Conn, error) {
	s, err := connect(ctx, to, before)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func explainDial(ctx context.Context, err error) *Error {
	switch {
	case ctx.Err() != nil:
		return &Error{Reason: Canceled, NotDelivered: true}
	case errors.Is(err, errForbidden):
		return &Error{Reason: ForbiddenAddress, NotDelivered: true}
	case isTimeout(err):
		return &Error{Reason: DialFailed, NotDelivered: true, Timeout: true, Detail: "timeout"}
	}
	return &Error{Reason: DialFailed, NotDelivered: true, Ours: isOurs(err), Detail: detail(err)}
}

// exhausted are errors of this process or machine. They are no finding about the
// address.
var exhausted = []syscall.Errno{
	syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
}

func isOurs(err error) bool {
	errno, ok := errors.AsType[syscall.Errno](err)
	return ok && slices.Contains(exhausted, errno)
}
