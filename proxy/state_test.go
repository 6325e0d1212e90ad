// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

func newTestState() (*State, ed25519.PublicKey) {
	key, _, _ := ed25519.GenerateKey(nil)
	return NewState(slog.New(slog.DiscardHandler), NewMetrics(), time.Now), key
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
			state, _ := newTestState()
			if state.Adopt(offer(v(2, 5), "blue")) != nil {
				t.Fatal("first config refused")
			}
			before := state.Current()
			refusal := state.Adopt(tc.offer)
			switch {
			case tc.reason == "" && refusal != nil:
				t.Errorf("refused: %+v", refusal)
			case tc.reason != "" && (refusal == nil || refusal.Reason != tc.reason || refusal.Version != tc.offer.Version):
				t.Errorf("refusal is %+v, want %s", refusal, tc.reason)
			case tc.reason != "" && state.Current() != before:
				t.Error("the snapshot changed")
			}
			if got := state.Current().Table.Routes[0].Active().Name; got != tc.serves {
				t.Errorf("serves %s, want %s", got, tc.serves)
			}
			if got := state.Report(1, "", nil).Refused; (got == nil) != (tc.reason == "") {
				t.Errorf("report says %+v", got)
			}
		})
	}
}

func TestState_NewVersionOfTheSameContentNeedsNoShards(t *testing.T) {
	state, key := newTestState()
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	state.Adopt(o)
	table := state.Current().Table
	other, _, _ := ed25519.GenerateKey(nil)
	next := newOffer(t, v(2, 1), other, routetable.Settings{}, newRoute(nil))
	next.Shards = nil
	if refusal := state.Adopt(next); refusal != nil {
		t.Fatalf("refused: %+v", refusal)
	}
	if got := state.Current(); got.Version != v(2, 1) || got.Table != table || !got.ReportKey.Equal(other) {
		t.Errorf("snapshot is %+v", got)
	}
}

func TestState_IncompleteIsPendingUntilTheShardIsThere(t *testing.T) {
	state, key := newTestState()
	o := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
	shards := o.Shards
	o.Shards = nil
	if refusal := state.Adopt(o); refusal == nil || refusal.Reason != routetable.RefusedIncomplete {
		t.Fatalf("refusal is %+v", refusal)
	}
	o.Shards = shards
	if refusal := state.Adopt(o); refusal != nil || state.Report(1, "", nil).Refused != nil || state.Report(1, "", nil).Hash != o.Index.Hash {
		t.Errorf("refusal is %+v, report %+v", refusal, state.Report(1, "", nil))
	}
}

func TestState_ReportKeyMustBeOne(t *testing.T) {
	for _, key := range []string{
		"", "x", strings.Repeat("A", 44), strings.Repeat("A", 42) + "==", strings.Repeat("A", 43) + "=\n",
		strings.Repeat("A", 42) + "B=", strings.Repeat("A", 87) + "=",
	} {
		state, _ := newTestState()
		o := newOffer(t, v(1, 1), make([]byte, 32), routetable.Settings{}, newRoute(nil))
		o.ReportKey = key
		if refusal := state.Adopt(o); refusal == nil || refusal.Reason != routetable.RefusedInvalid {
			t.Errorf("key %q: refusal is %+v", key, refusal)
		}
	}
}

// F25: a config that was changed on its way is never adopted, whatever was
// changed and whether or not the hash was corrected after it.
func TestF25_DamagedConfigsAreNotAdopted(t *testing.T) {
	state, key := newTestState()
	good := newOffer(t, v(1, 1), key, routetable.Settings{TrustedProxies: []string{"10.0.0.0/8"}}, blueGreen("blue"))
	if refusal := state.Adopt(good); refusal != nil {
		t.Fatalf("control refused: %+v", refusal)
	}
	before := state.Current()
	next := newOffer(t, v(1, 2), key, routetable.Settings{TrustedProxies: []string{"10.0.0.0/8"}}, blueGreen("green"))
	cases := 0
	refused := func(what string, o Offer) {
		t.Helper()
		cases++
		if refusal := state.Adopt(o); refusal == nil || state.Current() != before {
			t.Fatalf("%s: adopted", what)
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
		refused("shard truncated", with(next.Index, hash, shard[:i]))
	}
	for i := range len(next.Index.Data) {
		cut := next.Index.Data[:i]
		refused("index truncated", with(routetable.Payload{Hash: next.Index.Hash, Data: cut}, hash, shard))
		refused("index truncated, hash right", with(routetable.Payload{Hash: routetable.HashOf(cut), Data: cut}, hash, shard))
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
		refused("bit flipped", with(routetable.Payload{Hash: next.Index.Hash, Data: string(index)}, hash, string(data)))
	}
	for name, data := range map[string]string{
		"NUL":              next.Index.Data + "\x00",
		"blank":            next.Index.Data + " ",
		"second value":     next.Index.Data + next.Index.Data,
		"unknown field":    strings.Replace(next.Index.Data, `{"format"`, `{"extra":1,"format"`, 1),
		"repeated field":   strings.Replace(next.Index.Data, `{"format":1`, `{"format":1,"format":1`, 1),
		"other case":       strings.Replace(next.Index.Data, `"format"`, `"Format"`, 1),
		"other format":     strings.Replace(next.Index.Data, `"format":1`, `"format":2`, 1),
		"more routes":      strings.Replace(next.Index.Data, `"routes":1`, `"routes":2`, 1),
		"oversize":         next.Index.Data + strings.Repeat(" ", 2<<20),
		"null":             "null",
		"empty":            "",
		"deep":             strings.Repeat("[", 100_000),
		"shard not listed": strings.Replace(next.Index.Data, hash, strings.Repeat("0", 64), 1),
	} {
		refused(name, with(routetable.Payload{Hash: routetable.HashOf(data), Data: data}, hash, shard))
	}
	if refusal := state.Adopt(next); refusal != nil {
		t.Errorf("undamaged it is refused: %+v", refusal)
	}
	t.Logf("%d damaged configs", cases)
}

func FuzzState_Adopt(f *testing.F) {
	o := newOffer(f, v(1, 2), make([]byte, 32), routetable.Settings{}, newRoute(nil))
	for _, data := range o.Shards {
		f.Add(o.Index.Data, data)
	}
	f.Fuzz(func(t *testing.T, index, shard string) {
		state, key := newTestState()
		good := newOffer(t, v(1, 1), key, routetable.Settings{}, newRoute(nil))
		state.Adopt(good)
		offer := Offer{
			Version: v(1, 2), ReportKey: good.ReportKey, Index: routetable.Payload{Hash: routetable.HashOf(index), Data: index},
			Shards: map[string]string{routetable.HashOf(shard): shard},
		}
		if state.Adopt(offer) == nil {
			if err := state.Current().Table.Validate(); err != nil {
				t.Fatalf("adopted although %v", err)
			}
		} else if state.Current().Version != v(1, 1) {
			t.Fatal("refused and yet not served any more")
		}
	})
}

func TestState_RefusalsAreSaidOnceAndCountedAlways(t *testing.T) {
	log := &lines{}
	metrics := NewMetrics()
	state := NewState(slog.New(slog.NewJSONHandler(log, nil)), metrics, time.Now)
	o := newOffer(t, v(1, 1), make([]byte, 32), routetable.Settings{}, newRoute(nil))
	o.Shards = nil
	for range 3 {
		state.Adopt(o)
	}
	if n := strings.Count(log.String(), "config refused"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if n := counted(t, metrics, `callbackproxy_config_refused_total{reason="Incomplete"}`); n != "3" {
		t.Errorf("counted %s", n)
	}
}

// F29: whatever is swapped while requests are under way, each request sees one
// version from its first decision to its last header: path, host, link and the
// backend that answers belong together.
func TestF29_EveryRequestSeesExactlyOneVersion(t *testing.T) {
	r := newRig(t)
	for i := range 4 {
		r.connectTo[fmt.Sprintf("10.0.1.%d:80", i)] = echo(t, i)
	}
	generation := func(n int) routetable.Route {
		return newRoute(func(route *routetable.Route) {
			route.InfoURL = fmt.Sprintf("https://info.example/v%d", n)
			route.Backends = []routetable.Backend{{
				Name: fmt.Sprintf("b%d", n%4), Weight: 1, Addresses: []string{fmt.Sprintf("10.0.1.%d:80", n%4)},
				Path: fmt.Sprintf("/v%d", n), Host: fmt.Sprintf("v%d.example", n),
			}}
		})
	}
	const swaps, clients = 200, 200
	offers := make([]Offer, swaps)
	for i := range offers {
		offers[i] = newOffer(t, v(1, int64(i+1)), r.public, routetable.Settings{}, generation(i))
	}
	r.state.Adopt(offers[0])

	done, progress := make(chan struct{}), make(chan struct{}, clients)
	versions := make([]map[string]struct{}, clients)
	var stop sync.WaitGroup
	for i := range clients {
		versions[i] = map[string]struct{}{}
		stop.Go(func() {
			for {
				versions[i][oneVersion(t, exchangeRaw(t, r.address, getBytes("/cb")))] = struct{}{}
				select {
				case progress <- struct{}{}:
				case <-done:
					return
				}
			}
		})
	}
	for _, o := range offers[1:] {
		if refusal := r.state.Adopt(o); refusal != nil {
			t.Errorf("refused: %+v", refusal)
		}
		if refusal := r.state.Adopt(offers[0]); refusal == nil {
			t.Error("went back")
		}
		for range 10 {
			<-progress
		}
	}
	close(done)
	stop.Wait()
	seen := map[string]struct{}{}
	for _, m := range versions {
		maps.Copy(seen, m)
	}
	if len(seen) < swaps/4 {
		t.Errorf("the requests saw only %d versions", len(seen))
	}
	t.Logf("%d versions seen", len(seen))
}

// oneVersion fails unless all of an answer is of one version, and returns it.
func oneVersion(t *testing.T, got answer) string {
	t.Helper()
	version := strings.TrimSuffix(strings.TrimPrefix(got.header.Get("Link"), "<https://info.example/"), `>; rel="sunset"`)
	var number int
	_, _ = fmt.Sscanf(version, "v%d", &number)
	if want := fmt.Sprintf("%d GET /%s HTTP/1.1 %s.example", number%4, version, version); got.status != 200 || got.body != want {
		t.Errorf("answer is %d %q, want %q (%v)", got.status, got.body, want, got.err)
	}
	return version
}
