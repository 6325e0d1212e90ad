// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

// snapshot.go: one complete config, built from an offer.

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/callbackproxy/callback-operator/proxy/http1"
	"github.com/callbackproxy/callback-operator/proxy/pathfold"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// Snapshot is a config that is served. It is complete and never changes: a
// request takes one and uses nothing else.
type Snapshot struct {
	routetable.Version
	// Hash is the index payload's.
	Hash      string
	Table     *routetable.Table
	Matcher   *routetable.Matcher
	ReportKey ed25519.PublicKey
	// Folded finds requests that may mean a callback; nil unless this is a
	// sidecar.
	Folded *pathfold.Index

	memories map[*routetable.Route]*memory
	// trusted are the networks whose forwarding headers are kept.
	trusted []netip.Prefix
}

// build returns the snapshot of an offer. A new version of the same content
// shares the table with the one before.
func (s *Store) build(o Offer, current *Snapshot) (*Snapshot, error) {
	key, err := parseReportKey(o.ReportKey)
	if err != nil {
		return nil, err
	}
	next := &Snapshot{Version: o.Version, Hash: o.Index.Hash, ReportKey: key}
	if current != nil && current.Hash == o.Index.Hash && routetable.HashOf(o.Index.Data) == o.Index.Hash {
		next.Table, next.Matcher, next.Folded, next.trusted = current.Table, current.Matcher, current.Folded, current.trusted
		return next, nil
	}
	table, err := routetable.Decode(o.Index, func(hash string) (string, bool) {
		data, found := o.Shards[hash]
		return data, found
	})
	if err != nil {
		return nil, err
	}
	next.Table, next.Matcher = table, routetable.NewMatcher(table)
	if s.sidecar {
		next.Folded = pathfold.NewIndex(table)
	}
	for _, cidr := range table.Settings.Forwarding.TrustedProxies {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("parse trusted proxies: %w", err)
		}
		next.trusted = append(next.trusted, prefix)
	}
	return next, nil
}

func parseReportKey(text string) (ed25519.PublicKey, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize || len(text) != base64.StdEncoding.EncodedLen(len(key)) {
		return nil, errors.New("report key is not an Ed25519 public key")
	}
	return key, nil
}

// Route returns the route of that identity, or nil.
func (s *Snapshot) Route(namespace, name string) *routetable.Route {
	i, found := slices.BinarySearchFunc(s.Table.Routes, [2]string{namespace, name},
		func(r routetable.Route, id [2]string) int {
			if c := strings.Compare(r.Namespace, id[0]); c != 0 {
				return c
			}
			return strings.Compare(r.Name, id[1])
		})
	if !found {
		return nil
	}
	return &s.Table.Routes[i]
}

// Usage counts the requests of a route of this snapshot.
func (s *Snapshot) Usage(r *routetable.Route) *usage.Record { return s.memories[r].usage }

// Scheme is what clients of a callback use, as far as no trusted proxy states it.
func (s *Snapshot) Scheme() string { return s.Table.Settings.Forwarding.Scheme() }

// Claims reports whether a route or a hold has the host, as a request has it.
func (s *Snapshot) Claims(host string) bool { return s.Matcher.HasHost(host) }

// HostOf returns the Host that the client of a request used: its own, or what a
// trusted peer states where the config believes that. It reports false when
// several are stated.
func (s *Snapshot) HostOf(r *http1.Request, trusted bool) (host string, ok bool) { //nolint:revive // a property of the peer
	if !trusted || s.Table.Settings.Forwarding.HostFrom != routetable.FromForwardedHost {
		return r.Host, true
	}
	stated := r.Fields.Get("x-forwarded-host")
	switch {
	case stated == "":
		return r.Host, true
	case r.Fields.Count("x-forwarded-host") > 1 || strings.IndexByte(stated, ',') >= 0 || !http1.IsHost(stated):
		return r.Host, false
	}
	return stated, true
}

// HeadLimits are the limits of a request's head.
func (s *Snapshot) HeadLimits() (targetBytes, headerBytes int) {
	limits := s.Table.Settings.Limits
	return int(cmp.Or(limits.TargetKiB, routetable.DefaultTargetKiB)) << 10, int(cmp.Or(limits.HeaderKiB, routetable.DefaultHeaderKiB)) << 10
}

// BodyLimit is the limit of a callback's body, in bytes.
func (s *Snapshot) BodyLimit() int64 {
	return int64(cmp.Or(s.Table.Settings.Limits.BodyKiB, routetable.DefaultBodyKiB)) << 10
}

// Connections is how many clients may be connected to this instance.
func (s *Snapshot) Connections() int {
	return int(cmp.Or(s.Table.Settings.Limits.Connections, routetable.DefaultConnections))
}

// InFlightPerRoute is how many requests of a route may wait for its backends.
func (s *Snapshot) InFlightPerRoute() int32 {
	return cmp.Or(s.Table.Settings.Limits.InFlightPerRoute, routetable.DefaultInFlightPerRoute)
}

// Trusts reports whether the forwarding headers of a peer are kept.
func (s *Snapshot) Trusts(peer netip.Addr) bool {
	for _, prefix := range s.trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}

// TrustsNone reports whether no trusted proxies are declared.
func (s *Snapshot) TrustsNone() bool { return len(s.trusted) == 0 }
