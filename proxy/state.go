// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/sunset"
)

// Offer is a config as a source found it. Nothing of it is trusted.
type Offer struct {
	routetable.Version
	// ReportKey is the controller's Ed25519 public key, base64.
	ReportKey string
	Index     routetable.Payload
	// Shards are the payloads at hand by their hash; there may be others than
	// the index names.
	Shards map[string]string
}

// Snapshot is a config that is served. It is complete and never changes: a
// request takes one and uses nothing else.
type Snapshot struct {
	routetable.Version
	// Hash is the index payload's.
	Hash      string
	Table     *routetable.Table
	Matcher   *routetable.Matcher
	ReportKey ed25519.PublicKey
	// records are what is remembered of the routes beyond this config.
	records map[*routetable.Route]*record
	// trusted are the networks whose forwarding headers are kept.
	trusted []netip.Prefix
}

// State holds what the proxy serves. Readers never wait: a config is built
// completely and then swapped in by one atomic store.
//
//	offer --> newer? --> whole? --> valid? --> swap --> OnAdopt
//	            |no        |no        |no
//	            +----------+----------+-----> refusal kept for /report,
//	                                          the last good config stays
//
// What is newer and refused is as a rule the config of a new leadership, with a
// key of its own: that key opens the report as well until a config is adopted,
// or nobody could hear of the refusal.
type State struct {
	// OnAdopt, when set, is called with each adopted config, in order. It must
	// not block: offers wait for it.
	OnAdopt func(Offer)
	// OnTurn, when set, is called after routes of the config that is served
	// closed, or opened again, by the clock alone. It takes turns with OnAdopt.
	OnTurn func()

	log     *slog.Logger
	metrics *Metrics
	now     func() time.Time
	begin   time.Time // of this State, by now
	boot    string
	clock   *Clock
	uses    ledger

	offers   sync.Mutex // one offer at a time
	snapshot atomic.Pointer[Snapshot]
	refusal  atomic.Pointer[routetable.Refusal]
	// refusedKey is the report key of the last newer config that was refused,
	// nil when none was since the last adoption.
	refusedKey atomic.Pointer[ed25519.PublicKey]
	// confirmed is when a source last said that it is up to date, in
	// nanoseconds after begin.
	confirmed atomic.Int64
	settled   atomic.Bool
}

// NewState returns a State without a config. now must carry a monotonic
// reading, as time.Now does: durations are taken from that, and the clock of
// the sunsets is judged by it.
func NewState(log *slog.Logger, metrics *Metrics, now func() time.Time) *State {
	s := &State{log: log, metrics: metrics, now: now, begin: now(), boot: rand.Text()}
	s.clock = newClock(s.reading, log)
	s.Confirm()
	metrics.observeAge(func() float64 {
		return (s.elapsed() - time.Duration(s.confirmed.Load())).Seconds()
	})
	metrics.observeState(s.clock, &s.uses)
	return s
}

// elapsed is how long this State exists.
func (s *State) elapsed() time.Duration { return s.now().Sub(s.begin) }

// reading reads both clocks at once.
func (s *State) reading() sunset.Reading {
	now := s.now()
	return sunset.Reading{Wall: now.Round(0), Elapsed: now.Sub(s.begin)}
}

// Clock is the time by which sunsets are judged.
func (s *State) Clock() *Clock { return s.clock }

// Current returns the config that is served, or nil when there is none yet.
func (s *State) Current() *Snapshot { return s.snapshot.Load() }

// Confirm notes that the API server was heard of just now.
func (s *State) Confirm() { s.confirmed.Store(int64(s.elapsed())) }

// Settle notes that the sources had their chance at start: what is served now
// is the newest config that can be had.
func (s *State) Settle() { s.settled.Store(true) }

// Ready reports whether callbacks may be sent here.
func (s *State) Ready() bool { return s.settled.Load() && s.Current() != nil }

// lastEpoch is the last one that is a time: the end of the year 9999.
const lastEpoch = 253402300799

// Adopt serves the offered config if it is newer than the one that is served,
// whole and valid. Otherwise everything stays as it is and the refusal is
// returned and remembered. Offering what is served already changes nothing.
func (s *State) Adopt(o Offer) *routetable.Refusal {
	s.offers.Lock()
	defer s.offers.Unlock()
	current := s.Current()
	if current != nil && o.Version == current.Version && o.Index.Hash == current.Hash {
		s.refuseNothing()
		return nil
	}
	if o.Epoch < 1 || o.Generation < 1 {
		return s.refuse(o, routetable.RefusedInvalid, "epoch and generation must be above 0")
	}
	if current != nil && o.Compare(current.Version) <= 0 {
		return s.refuse(o, routetable.RefusedOlder, fmt.Sprintf(
			"not newer than epoch %d generation %d, which is served", current.Epoch, current.Generation))
	}
	next, err := build(o, current)
	if err != nil {
		return s.refuseNewer(o, err)
	}
	if current != nil && current.Table == next.Table {
		next.records = current.records
	} else {
		next.records = s.uses.follow(next.Table)
	}
	if next.Epoch <= lastEpoch {
		s.clock.notBefore(time.Unix(next.Epoch, 0)) // a leadership began then
	}
	s.snapshot.Store(next)
	s.refuseNothing()
	s.metrics.adopted(current, next)
	s.log.Info("config adopted", "epoch", next.Epoch, "generation", next.Generation,
		"hash", next.Hash, "routes", len(next.Table.Routes))
	if s.OnAdopt != nil {
		s.OnAdopt(o)
	}
	return nil
}

// refuseNothing forgets what was refused: what is offered is served.
func (s *State) refuseNothing() {
	s.refusal.Store(nil)
	s.refusedKey.Store(nil)
}

// refuseNewer refuses a config that would have been the next one. Whoever made
// it may ask why. That it is newer keeps the keys of past leaderships out.
func (s *State) refuseNewer(o Offer, err error) *routetable.Refusal {
	if key, unusable := parseReportKey(o.ReportKey); unusable == nil {
		s.refusedKey.Store(&key)
	}
	reason := routetable.RefusedInvalid
	if errors.Is(err, routetable.ErrIncomplete) {
		reason = routetable.RefusedIncomplete
	}
	return s.refuse(o, reason, err.Error())
}

// reportKeys are the keys that open the report.
func (s *State) reportKeys() (keys []ed25519.PublicKey) {
	if current := s.Current(); current != nil {
		keys = append(keys, current.ReportKey)
	}
	if refused := s.refusedKey.Load(); refused != nil {
		keys = append(keys, *refused)
	}
	return keys
}

// maxMessageBytes bounds what a broken config can make us say about it.
const maxMessageBytes = 256

func (s *State) refuse(o Offer, reason, message string) *routetable.Refusal {
	hash := o.Index.Hash
	refusal := &routetable.Refusal{
		Version: o.Version,
		Hash:    hash[:min(len(hash), 64)],
		Reason:  reason,
		Message: strings.ToValidUTF8(message[:min(len(message), maxMessageBytes)], ""),
	}
	s.metrics.configRefused.WithLabelValues(reason).Inc()
	if last := s.refusal.Swap(refusal); last == nil || *last != *refusal {
		s.log.Warn("config refused", "epoch", o.Epoch, "generation", o.Generation,
			"hash", refusal.Hash, "reason", reason, "message", refusal.Message)
	}
	return refusal
}

// build returns the snapshot of an offer. A new version of the same content
// shares the table with the one before.
func build(o Offer, current *Snapshot) (*Snapshot, error) {
	key, err := parseReportKey(o.ReportKey)
	if err != nil {
		return nil, err
	}
	next := &Snapshot{Version: o.Version, Hash: o.Index.Hash, ReportKey: key}
	if current != nil && current.Hash == o.Index.Hash && routetable.HashOf(o.Index.Data) == o.Index.Hash {
		next.Table, next.Matcher, next.trusted = current.Table, current.Matcher, current.trusted
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
	for _, cidr := range table.Settings.TrustedProxies {
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

// route returns the route of that identity, or nil.
func (s *Snapshot) route(namespace, name string) *routetable.Route {
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

// trusts reports whether the forwarding headers of a peer are kept.
func (s *Snapshot) trusts(peer netip.Addr) bool {
	for _, prefix := range s.trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}
