// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package usage

// forwarding.go: the callbacks of the last minutes that claim https from peers
// that are no trusted proxies.

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

const (
	// bucket is the part of the window that is forgotten at once.
	bucket  = 30 * time.Second
	buckets = int(routetable.ForwardingWindow / bucket)
	// networkLife is how long the network of a peer is remembered.
	networkLife = 15 * time.Minute
)

// Claims counts callbacks by what they claim. Its methods may be called by several
// goroutines; each is one short critical section.
type Claims struct {
	mu sync.Mutex
	// newest is the number of the newest bucket since 1970.
	newest   int64
	window   [buckets]claimCount
	lastMost time.Time
	networks []peerNetwork
}

type claimCount struct{ callbacks, claims int64 }

type peerNetwork struct {
	network netip.Prefix
	last    time.Time
}

// Count adds one callback. claims is true when it claims https, and its peer is no
// trusted proxy.
func (c *Claims) Count(at time.Time, peer netip.Addr, claims bool) { //nolint:revive // a property of the callback
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(at)
	now := &c.window[c.newest%int64(buckets)]
	now.callbacks++
	if !claims {
		return
	}
	now.claims++
	if sum := c.sum(); 2*sum.claims > sum.callbacks {
		c.lastMost = at
	}
	c.noteNetwork(at, peer)
}

// Report returns the counts of the window that ends now.
func (c *Claims) Report(now time.Time) routetable.ForwardingUse {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(now)
	sum := c.sum()
	use := routetable.ForwardingUse{Callbacks: sum.callbacks, Claims: sum.claims}
	if !c.lastMost.IsZero() {
		use.LastMost = c.lastMost.UTC().Truncate(time.Second)
	}
	for _, n := range c.networks {
		if now.Sub(n.last) < networkLife {
			use.Networks = append(use.Networks, n.network.String())
		}
	}
	slices.Sort(use.Networks)
	return use
}

// advance empties the buckets that the window left. A clock that went back by more
// than the tolerance was wrong before, and voids the window.
func (c *Claims) advance(to time.Time) {
	number := to.Unix() / int64(bucket/time.Second)
	if gone := number - c.newest; gone >= int64(buckets) || gone <= -int64(sunset.Tolerance/bucket) {
		c.window, c.newest = [buckets]claimCount{}, number
	}
	for c.newest < number {
		c.newest++
		c.window[c.newest%int64(buckets)] = claimCount{}
	}
}

func (c *Claims) sum() (sum claimCount) {
	for _, n := range c.window {
		sum.callbacks += n.callbacks
		sum.claims += n.claims
	}
	return sum
}

// noteNetwork remembers the network of a peer where that is private: a public
// address is never suggested for trust. The one that was not seen for the longest
// time goes first.
func (c *Claims) noteNetwork(at time.Time, peer netip.Addr) {
	network, ok := routetable.PrivateNetwork(peer)
	if !ok {
		return
	}
	place := slices.IndexFunc(c.networks, func(n peerNetwork) bool { return n.network == network })
	switch {
	case place >= 0:
	case len(c.networks) < routetable.MaxForwardingNetworks:
		c.networks = append(c.networks, peerNetwork{})
		place = len(c.networks) - 1
	default:
		oldest := slices.MinFunc(c.networks, func(a, b peerNetwork) int { return a.last.Compare(b.last) })
		place = slices.Index(c.networks, oldest)
	}
	c.networks[place] = peerNetwork{network, at}
}
