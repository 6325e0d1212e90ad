// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

// snapshot.go: one complete config, built from an offer.

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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

// Scheme is what clients used, as far as no trusted proxy states it.
func (s *Snapshot) Scheme() string { return "http" }

// Trusts reports whether the forwarding headers of a peer are kept.
func (s *Snapshot) Trusts(peer netip.Addr) bool {
	for _, prefix := range s.trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}
