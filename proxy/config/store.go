// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package config holds the config that a proxy serves. In: offers of its
// sources, none of them trusted; out: one complete Snapshot at a time, and why
// an offer was refused. No I/O but the log.
package config

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// Offer is a config as a source found it.
type Offer struct {
	routetable.Version
	// ReportKey is the controller's Ed25519 public key, base64.
	ReportKey string
	Index     routetable.Payload
	// Shards are the available payloads by their hash; there may be others than
	// the index names.
	Shards map[string]string
}

// Change is what the subscribers of a Store get.
type Change struct {
	// Before is what was served until now, nil for the first config; After is
	// what is served. They are the same when only the clock closed or reopened
	// routes.
	Before, After *Snapshot
	// Offer is the config that was adopted; nil when only the clock moved.
	Offer *Offer
}

// Options are what a Store needs.
type Options struct {
	Log *slog.Logger
	// Now must carry a monotonic reading, as time.Now does.
	Now func() time.Time
	// Clock judges the sunsets.
	Clock *apitime.Clock
	// Usage counts the routes' requests.
	Usage *usage.Counters
	// Refused, when set, is called with the reason of each refused offer.
	Refused func(reason string)
	// Sidecar: the index for requests that are no callbacks is built as well.
	Sidecar bool
}

// Store holds what the proxy serves. Reads never block: a config is built
// completely and then swapped in by one atomic store.
//
//	offer --> newer? --> whole? --> valid? --> swap --> subscribers
//	            |no        |no        |no
//	            +----------+----------+-----> the refusal is kept for the report,
//	                                          the last good config stays
//
// A newer config that is refused is as a rule that of a new leadership, with a
// key of its own. The key opens the report as well until a config is adopted,
// so that the new leader can read the refusal.
type Store struct {
	log     *slog.Logger
	now     func() time.Time
	begin   time.Time // of this Store, by now
	clock   *apitime.Clock
	usage   *usage.Counters
	refused func(reason string)
	sidecar bool

	changes     sync.Mutex // one change at a time
	memories    map[identity]*memory
	subscribers []func(Change)

	snapshot atomic.Pointer[Snapshot]
	refusal  atomic.Pointer[routetable.Refusal]
	// refusedKey is the report key of the last newer config that was refused,
	// nil when none was since the last adoption.
	refusedKey atomic.Pointer[ed25519.PublicKey]
	// confirmed is when a source was last up to date, in nanoseconds after
	// begin.
	confirmed atomic.Int64
	settled   atomic.Bool
}

// NewStore returns a Store without a config.
func NewStore(o Options) *Store {
	s := &Store{
		log: o.Log, now: o.Now, begin: o.Now(), clock: o.Clock, usage: o.Usage, refused: o.Refused, sidecar: o.Sidecar,
	}
	if s.refused == nil {
		s.refused = func(string) {}
	}
	s.Confirm()
	return s
}

// Subscribe calls a function with each change from now on, in their order. It
// must not block: the next change waits for it.
func (s *Store) Subscribe(changed func(Change)) {
	s.changes.Lock()
	defer s.changes.Unlock()
	s.subscribers = append(s.subscribers, changed)
}

// publish requires the lock.
func (s *Store) publish(c Change) {
	for _, changed := range s.subscribers {
		changed(c)
	}
}

// Current returns the config that is served, or nil when there is none yet.
func (s *Store) Current() *Snapshot { return s.snapshot.Load() }

// Confirm records that the API server responded just now.
func (s *Store) Confirm() { s.confirmed.Store(int64(s.elapsed())) }

// Age is the time since the API server last responded: the config is not older.
func (s *Store) Age() time.Duration { return s.elapsed() - time.Duration(s.confirmed.Load()) }

func (s *Store) elapsed() time.Duration { return s.now().Sub(s.begin) }

// Settle records that the start is over: what is served now is the newest
// config that the sources have.
func (s *Store) Settle() { s.settled.Store(true) }

// IsReady reports whether callbacks may be sent to this instance.
func (s *Store) IsReady() bool { return s.settled.Load() && s.Current() != nil }

// Refusal returns the last refusal, or nil when a config was adopted since.
func (s *Store) Refusal() *routetable.Refusal { return s.refusal.Load() }

// ReportKeys are the keys that open the report.
func (s *Store) ReportKeys() (keys []ed25519.PublicKey) {
	if current := s.Current(); current != nil {
		keys = append(keys, current.ReportKey)
	}
	if refused := s.refusedKey.Load(); refused != nil {
		keys = append(keys, *refused)
	}
	return keys
}

// lastEpoch is the last epoch that is a time: the end of the year 9999.
const lastEpoch = 253402300799

// Adopt serves the offered config if it is newer than the one that is served,
// whole and valid. Otherwise everything stays as it is and the refusal is
// returned and kept. An offer of what is served already changes nothing.
func (s *Store) Adopt(o Offer) *routetable.Refusal {
	s.changes.Lock()
	defer s.changes.Unlock()
	current := s.Current()
	if current != nil && o.Version == current.Version && o.Index.Hash == current.Hash {
		s.clearRefusal()
		return nil
	}
	if o.Epoch < 1 || o.Generation < 1 {
		return s.refuse(o, routetable.RefusedInvalid, "epoch and generation must be above 0")
	}
	if current != nil && o.Compare(current.Version) <= 0 {
		return s.refuse(o, routetable.RefusedOlder, fmt.Sprintf(
			"not newer than epoch %d generation %d, which is served", current.Epoch, current.Generation))
	}
	next, err := s.build(o, current)
	if err != nil {
		return s.refuseNewer(o, err)
	}
	if current != nil && current.Table == next.Table {
		next.memories = current.memories
	} else {
		next.memories = s.follow(next.Table)
	}
	if next.Epoch <= lastEpoch {
		s.clock.NotBefore(time.Unix(next.Epoch, 0)) // a leadership began then
	}
	s.snapshot.Store(next)
	s.clearRefusal()
	s.log.Info("config adopted", "epoch", next.Epoch, "generation", next.Generation,
		"hash", next.Hash, "routes", len(next.Table.Routes))
	s.publish(Change{Before: current, After: next, Offer: &o})
	return nil
}

// clearRefusal follows an offer that is served.
func (s *Store) clearRefusal() {
	s.refusal.Store(nil)
	s.refusedKey.Store(nil)
}

// refuseNewer refuses a config that would have been the next one. Its
// controller may read the refusal. Only a newer one opens the report, so the
// keys of past leaderships stay out.
func (s *Store) refuseNewer(o Offer, err error) *routetable.Refusal {
	if key, keyErr := parseReportKey(o.ReportKey); keyErr == nil {
		s.refusedKey.Store(&key)
	}
	reason := routetable.RefusedInvalid
	if errors.Is(err, routetable.ErrIncomplete) {
		reason = routetable.RefusedIncomplete
	}
	return s.refuse(o, reason, err.Error())
}

// maxMessageBytes bounds the message about a broken config.
const maxMessageBytes = 256

func (s *Store) refuse(o Offer, reason, message string) *routetable.Refusal {
	hash := o.Index.Hash
	refusal := &routetable.Refusal{
		Version: o.Version,
		Hash:    hash[:min(len(hash), 64)],
		Reason:  reason,
		Message: strings.ToValidUTF8(message[:min(len(message), maxMessageBytes)], ""),
	}
	s.refused(reason)
	if last := s.refusal.Swap(refusal); last == nil || *last != *refusal {
		s.log.Warn("config refused", "epoch", o.Epoch, "generation", o.Generation,
			"hash", refusal.Hash, "reason", reason, "message", refusal.Message)
	}
	return refusal
}
