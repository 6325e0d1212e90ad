// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// dialer reaches addresses under the rules about which may be reached.
type dialer struct {
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
	return dialer{connectTo: o.ConnectTo, guarded: guarded, mapped: plain}
}

// checkDialed is asked with the address that the socket is about to connect
// to, after every resolution, so nothing can stand between check and use.
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

// dial connects to the first of the addresses that answers. They share the
// budget, so that a silent first one leaves time for the second.
func (d *dialer) dial(ctx context.Context, addresses []string, total time.Duration) (net.Conn, error) {
	if len(addresses) == 0 {
		return nil, &Error{Reason: NoAddress, NotDelivered: true}
	}
	share := min(DialBudget, total) / time.Duration(len(addresses))
	var failure *Error
	for _, address := range addresses {
		conn, err := d.dialOne(ctx, address, share)
		if err == nil {
			return conn, nil
		}
		failure = explainDial(ctx, err)
		if ctx.Err() != nil {
			break
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
	// Names are never resolved here: what is no address is refused.
	if _, err := netip.ParseAddrPort(address); err != nil {
		return nil, errForbidden
	}
	return d.guarded.DialContext(ctx, "tcp", address)
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
	return &Error{Reason: DialFailed, NotDelivered: true, Detail: detail(err)}
}
