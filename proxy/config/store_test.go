// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

// begin is when the tests' clocks start.
var begin = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func newTestStore(options ...func(*Options)) (*Store, ed25519.PublicKey) {
	key, _, _ := ed25519.GenerateKey(nil)
	o := Options{
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Clock: apitime.NewClock(time.Now, nil), Usage: usage.NewCounters(),
	}
	for _, set := range options {
		set(&o)
	}
	return NewStore(o), key
}

// newRoute returns a route that leads to blue.
func newRoute(change func(*routetable.Route)) routetable.Route {
	r := routetable.Route{
		Namespace: "identity", Name: "acme-sso", UID: "uid", Generation: 1,
		Hostnames: []string{"auth.acme.com"}, Protocol: routetable.OIDC,
		Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: "/cb"}},
		Backends: []routetable.Backend{
			{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:80"}},
			{Name: "green", Addresses: []string{"10.0.0.2:80"}},
		},
		TimeoutSeconds: 30, Sunset: begin.AddDate(200, 0, 0), AfterSunset: routetable.Reject,
	}
	if change != nil {
		change(&r)
	}
	return r
}

// newOffer encodes a table.
func newOffer(t testing.TB, v routetable.Version, key ed25519.PublicKey, settings routetable.Settings, routes ...routetable.Route) Offer {
	t.Helper()
	if settings.ListenerPort == 0 {
		settings.ListenerPort = 8080
	}
	encoded, err := routetable.Encode(&routetable.Table{Settings: settings, Routes: routes}, routetable.DefaultShardBytes)
	if err != nil {
		t.Fatal(err)
	}
	o := Offer{
		Version: v, ReportKey: base64.StdEncoding.EncodeToString(key), Index: encoded.Index,
		Shards: map[string]string{},
	}
	for _, s := range encoded.Shards {
		o.Shards[s.Hash] = s.Data
	}
	return o
}

func v(epoch, generation int64) routetable.Version {
	return routetable.Version{Epoch: epoch, Generation: generation}
}

// blueGreen returns the route that leads to the named backend.
func blueGreen(name string) routetable.Route {
	return newRoute(func(r *routetable.Route) {
		for i := range r.Backends {
			r.Backends[i].Weight = 0
			if r.Backends[i].Name == name {
				r.Backends[i].Weight = 1
			}
		}
	})
}

// F30: only what is newer is adopted, in epoch first.
func TestF30_OlderIsNotAdopted(t *testing.T) {
	offer := func(version routetable.Version, backend string) Offer {
		return newOffer(t, version, make([]byte, 32), routetable.Settings{}, blueGreen(backend))
	}
	for _, tc := range []struct {
		name   string
		offer  Offer
		reason string
		serves string
	}{
		{"older generation", offer(v(2, 4), "green"), routetable.RefusedOlder, "blue"},
		{"older epoch, newer generation", offer(v(1, 9), "green"), routetable.RefusedOlder, "blue"},
		{"same version, other content", offer(v(2, 5), "green"), routetable.RefusedOlder, "blue"},
		{"same again", offer(v(2, 5), "blue"), "", "blue"},
		{"newer generation", offer(v(2, 6), "green"), "", "green"},
		{"newer epoch, older generation", offer(v(3, 1), "green"), "", "green"},
		{"newer epoch, same content", offer(v(3, 5), "blue"), "", "blue"},
		{"no version", offer(v(0, 0), "green"), routetable.RefusedInvalid, "blue"},
		{"no generation", offer(v(9, 0), "green"), routetable.RefusedInvalid, "blue"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			store, _ := newTestStore()
			if store.Adopt(offer(v(2, 5), "blue")) != nil {
				t.Fatal("first config refused")
			}
			before := store.Current()
			refusal := store.Adopt(tc.offer)
			switch {
			case tc.reason == "" && refusal != nil:
				t.Errorf("refused: %+v", refusal)
			case tc.reason != "" && (refusal == nil || refusal.Reason != tc.reason || refusal.Version != tc.offer.Version):
				t.Errorf("refusal is %+v, want %s", refusal, tc.reason)
			case tc.reason != "" && store.Current() != before:
				t.Error("the snapshot changed")
			}
			if got := store.Current().Table.Routes[0].Primary().Name; got != tc.serves {
				t.Errorf("serves %s, want %s", got, tc.serves)
			}
			if got := store.Refusal(); (got == nil) != (tc.reason == "") {
				t.Errorf("the refusal is %+v", got)
			}
		})
	}
}

func TestStore_NewVersionOfTheSameContentNeedsNoShards(t *testing.T) {
	store, key := newTestStore()
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	store.Adopt(o)
	table := store.Current().Table
	other, _, _ := ed25519.GenerateKey(nil)
	next := newOffer(t, v(2, 1), other, routetable.Settings{}, newRoute(nil))
	next.Shards = nil
	if refusal := store.Adopt(next); refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	if got := store.Current(); got.Version != v(2, 1) || got.Table != table || !got.ReportKey.Equal(other) {
		t.Errorf("snapshot is %+v", got)
	}
}

func TestStore_AdoptsAnIncompleteConfigOnceItsShardArrives(t *testing.T) {
	store, key := newTestStore()
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	shards := o.Shards
	o.Shards = nil
	if refusal := store.Adopt(o); refusal == nil || refusal.Reason != routetable.RefusedIncomplete {
		t.Fatalf("refusal is %+v", refusal)
	}
	o.Shards = shards
	if refusal := store.Adopt(o); refusal != nil || store.Refusal() != nil || store.Current().Hash != o.Index.Hash {
		t.Errorf("refusal is %+v, report %+v", refusal, store.Refusal())
	}
}

func TestStore_RefusesAMalformedReportKey(t *testing.T) {
	for _, key := range []string{
		"", "x", strings.Repeat("A", 44), strings.Repeat("A", 42) + "==", strings.Repeat("A", 43) + "=\n",
		strings.Repeat("A", 42) + "B=", strings.Repeat("A", 87) + "=",
	} {
		store, _ := newTestStore()
		o := newOffer(t, v(1, 1), make([]byte, 32), routetable.Settings{}, newRoute(nil))
		o.ReportKey = key
		if refusal := store.Adopt(o); refusal == nil || refusal.Reason != routetable.RefusedInvalid {
			t.Errorf("key %q: refusal is %+v", key, refusal)
		}
	}
}

// F25: a config that was changed on its way is never adopted, for any change,
// with the hash corrected after it or not.
func TestF25_DamagedConfigsAreNotAdopted(t *testing.T) {
	store, key := newTestStore()
	good := newOffer(t, v(1, 1), key, routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: []string{"10.0.0.0/8"}}}, blueGreen("blue"))
	if refusal := store.Adopt(good); refusal != nil {
		t.Fatalf("control refused: %+v", refusal)
	}
	before := store.Current()
	next := newOffer(t, v(1, 2), key, routetable.Settings{Forwarding: routetable.Forwarding{TrustedProxies: []string{"10.0.0.0/8"}}}, blueGreen("green"))
	cases := 0
	expectRefused := func(change string, o Offer) {
		t.Helper()
		cases++
		if refusal := store.Adopt(o); refusal == nil || store.Current() != before {
			t.Fatalf("%s: adopted", change)
		}
	}
	with := func(index routetable.Payload, hash, shard string) Offer {
		return Offer{Version: next.Version, ReportKey: next.ReportKey, Index: index, Shards: map[string]string{hash: shard}}
	}
	shards, err := routetable.ShardHashes(next.Index)
	if err != nil || len(shards) != 1 {
		t.Fatal(err, shards)
	}
	hash, shard := shards[0], next.Shards[shards[0]]

	for i := range len(shard) {
		expectRefused("shard truncated", with(next.Index, hash, shard[:i]))
	}
	for i := range len(next.Index.Data) {
		cut := next.Index.Data[:i]
		expectRefused("index truncated", with(routetable.Payload{Hash: next.Index.Hash, Data: cut}, hash, shard))
		expectRefused("index truncated, hash right", with(routetable.Payload{Hash: routetable.HashOf(cut), Data: cut}, hash, shard))
	}
	random := rand.New(rand.NewPCG(1, 2))
	flips := 100_000
	if testing.Short() {
		flips = 5_000
	}
	for range flips {
		index, data := []byte(next.Index.Data), []byte(shard)
		if random.IntN(3) == 0 {
			index[random.IntN(len(index))] ^= 1 << random.IntN(8)
		} else {
			data[random.IntN(len(data))] ^= 1 << random.IntN(8)
		}
		expectRefused("bit flipped", with(routetable.Payload{Hash: next.Index.Hash, Data: string(index)}, hash, string(data)))
	}
	for name, data := range map[string]string{
		"NUL":              next.Index.Data + "\x00",
		"blank":            next.Index.Data + " ",
		"second value":     next.Index.Data + next.Index.Data,
		"unknown field":    strings.Replace(next.Index.Data, `{"format"`, `{"extra":1,"format"`, 1),
		"repeated field":   strings.Replace(next.Index.Data, `{"format":2`, `{"format":2,"format":2`, 1),
		"other case":       strings.Replace(next.Index.Data, `"format"`, `"Format"`, 1),
		"format 1":         strings.Replace(next.Index.Data, `"format":2`, `"format":1`, 1),
		"format 3":         strings.Replace(next.Index.Data, `"format":2`, `"format":3`, 1),
		"more routes":      strings.Replace(next.Index.Data, `"routes":1`, `"routes":2`, 1),
		"oversize":         next.Index.Data + strings.Repeat(" ", 2<<20),
		"null":             "null",
		"empty":            "",
		"deep":             strings.Repeat("[", 100_000),
		"shard not listed": strings.Replace(next.Index.Data, hash, strings.Repeat("0", 64), 1),
	} {
		expectRefused(name, with(routetable.Payload{Hash: routetable.HashOf(data), Data: data}, hash, shard))
	}
	if refusal := store.Adopt(next); refusal != nil {
		t.Errorf("undamaged it is refused: %+v", refusal)
	}
	t.Logf("%d damaged configs", cases)
}

func FuzzStore_Adopt(f *testing.F) {
	o := newOffer(f, v(1, 2), make([]byte, 32), routetable.Settings{}, newRoute(nil))
	for _, data := range o.Shards {
		f.Add(o.Index.Data, data)
	}
	f.Fuzz(func(t *testing.T, index, shard string) {
		store, key := newTestStore()
		good := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
		store.Adopt(good)
		offer := Offer{
			Version: v(1, 2), ReportKey: good.ReportKey, Index: routetable.Payload{Hash: routetable.HashOf(index), Data: index},
			Shards: map[string]string{routetable.HashOf(shard): shard},
		}
		if store.Adopt(offer) == nil {
			if err := store.Current().Table.Validate(); err != nil {
				t.Fatalf("adopted although %v", err)
			}
		} else if store.Current().Version != v(1, 1) {
			t.Fatal("refused, and the last good config is not served any more")
		}
	})
}

func TestStore_LogsARefusalOnceAndCountsEach(t *testing.T) {
	var log strings.Builder
	var reasons []string
	store, key := newTestStore(func(o *Options) {
		o.Log, o.Refused = slog.New(slog.NewJSONHandler(&log, nil)), func(reason string) { reasons = append(reasons, reason) }
	})
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	o.Shards = nil
	for range 3 {
		store.Adopt(o)
	}
	if n := strings.Count(log.String(), "config refused"); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if n := len(reasons); n != 3 || reasons[2] != routetable.RefusedIncomplete {
		t.Errorf("counted %v", reasons)
	}
}

// A config of format 1 is refused and the last good one stays, so a proxy that
// is updated before its controller keeps serving.
func TestStore_RefusesFormat1(t *testing.T) {
	store, key := newTestStore()
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	o.Index.Data = `{"format":1,"settings":{"listenerPort":8080},"routes":0,"shards":[]}`
	o.Index.Hash = routetable.HashOf(o.Index.Data)
	refusal := store.Adopt(o)
	if refusal == nil || refusal.Reason != routetable.RefusedInvalid || !strings.Contains(refusal.Message, "format 1, this proxy reads format 2") {
		t.Errorf("refusal is %+v", refusal)
	}
}
