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
	guarded   net.Dialer
	mapped    net.Dialer
}

var errForbidden = errors.New(string(ForbiddenAddress))

func newDialer(o Options) dialer {
	forbidden := make(map[netip.Addr]struct{}, len(o.Forbidden))
	for _, addr := range o.Forbidden {
		forbidden[addr.Unmap().WithZone("")] = struct{}{}
	}
	// A connection lives for one request: probing it for life is wasted.
	plain := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	guarded := plain
	guarded.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		return checkDialed(address, forbidden)
	}
	return dialer{now: o.Now, connectTo: o.ConnectTo, guarded: guarded, mapped: plain}
}

// checkDialed gets the address that the socket is about to connect to, after
// every resolution, so no step lies between check and use.
func checkDialed(address string, forbidden map[netip.Addr]struct{}) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errForbidden
	}
	if err := routetable.CheckAddress(ap.Addr()); err != nil {
		return errForbidden
	}
	addr := ap.Addr().Unmap().WithZone("")
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
		share := limit.Sub(d.now()) / time.Duration(len(addresses)-i)
		conn, err := d.dialOne(ctx, address, share)
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

func (d *dialer) dialOne(ctx context.Context, address string, budget time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	if target, mapped := d.connectTo[address]; mapped {
		return d.mapped.DialContext(ctx, "tcp", target)
	}
	// Names are never resolved here: only addresses are dialled.
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, errForbidden
	}
	conn, err := d.guarded.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
	if err != nil {
		return nil, err
	}
	return conn, nil
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
