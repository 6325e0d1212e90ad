// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/callbackproxy/callback-operator/internal/apitime"
	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/usage"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("k8s.io/klog/v2.(*flushDaemon).run.func1"))
}

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), text)
}

// reportKey is 32 bytes, as any report key.
const reportKey = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// newOffer returns a config with that many routes; path distinguishes configs.
func newOffer(t testing.TB, epoch, generation int64, path string, routes int) config.Offer {
	t.Helper()
	table := routetable.Table{Settings: routetable.Settings{ListenerPort: 8080}}
	for i := range routes {
		table.Routes = append(table.Routes, routetable.Route{
			Namespace: "identity", Name: fmt.Sprintf("route-%d", i), UID: "uid", Generation: 1,
			Hostnames: []string{fmt.Sprintf("h%d.acme.com", i)}, Protocol: routetable.OIDC,
			Callbacks:      []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: path}},
			Backends:       []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{"10.0.0.1:80"}}},
			TimeoutSeconds: 30, Sunset: time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC), AfterSunset: routetable.Reject,
		})
	}
	encoded, err := routetable.Encode(&table, 1024)
	if err != nil {
		t.Fatal(err)
	}
	o := config.Offer{
		Version: routetable.Version{Epoch: epoch, Generation: generation}, ReportKey: reportKey,
		Index: encoded.Index, Shards: map[string]string{},
	}
	for _, s := range encoded.Shards {
		o.Shards[s.Hash] = s.Data
	}
	return o
}

func newStore(log *slog.Logger) *config.Store {
	return config.NewStore(config.Options{Log: log, Now: time.Now, Clock: apitime.NewClock(time.Now, nil), Usage: usage.NewCounters()})
}

// rig is a Watch on a fake API server.
type rig struct {
	t      *testing.T
	api    *api
	store  *config.Store
	watch  *Watch
	offers chan config.Offer // those that were adopted
	log    *lines
}

func newRig(t *testing.T, streams bool) *rig {
	t.Helper()
	r := &rig{t: t, api: newAPI(t, streams), offers: make(chan config.Offer, 100), log: &lines{}}
	log := slog.New(slog.NewJSONHandler(r.log, nil))
	r.store = newStore(log)
	r.store.Subscribe(func(c config.Change) { r.offers <- *c.Offer })
	var err error
	if r.watch, err = NewWatch(r.api.config(), "edge-system", "edge", r.store, log); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) run() {
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { defer close(stopped); r.watch.Run(ctx) }()
	r.t.Cleanup(func() { cancel(); <-stopped })
}

func (r *rig) putShards(o config.Offer) {
	for hash, data := range o.Shards {
		r.api.put("edge."+hash[:20], asJSON(r.t, map[string]any{"part": "Shard", "hash": hash, "payload": data}))
	}
}

func (r *rig) putIndex(o config.Offer) {
	r.api.put("edge", asJSON(r.t, map[string]any{
		"part": "Index", "epoch": o.Epoch, "generation": o.Generation, "reportKey": o.ReportKey,
		"hash": o.Index.Hash, "payload": o.Index.Data,
	}))
}

// adopts waits for the next adoption and fails unless it is of this config.
func (r *rig) adopts(o config.Offer) {
	r.t.Helper()
	select {
	case got := <-r.offers:
		if got.Version != o.Version || got.Index.Hash != o.Index.Hash {
			r.t.Fatalf("adopted %+v, want %+v", got.Version, o.Version)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatalf("%+v was not adopted: %+v", o.Version, r.store.Refusal())
	}
}

// refuses waits until a config was refused for this reason.
func (r *rig) refuses(reason string) {
	r.t.Helper()
	r.eventually("a refusal as "+reason, func() bool {
		refused := r.store.Refusal()
		return refused != nil && refused.Reason == reason
	})
}

// eventually polls for what has no event of its own.
func (r *rig) eventually(what string, holds func() bool) {
	r.t.Helper()
	for range 2000 {
		if holds() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.t.Fatalf("never: %s", what)
}

func inBothModes(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Helper()
	for name, streams := range map[string]bool{"list": false, "stream": true} {
		t.Run(name, func(t *testing.T) { test(t, newRig(t, streams)) })
	}
}

func TestWatch_AdoptsWhatIsThereAndWhatComes(t *testing.T) {
	inBothModes(t, func(t *testing.T, r *rig) {
		t.Helper()
		first, second := newOffer(t, 1, 1, "/a", 20), newOffer(t, 1, 2, "/b", 20)
		if len(first.Shards) < 2 {
			t.Fatal("one shard proves little")
		}
		r.putShards(first)
		r.putIndex(first)
		r.run()
		r.adopts(first)
		<-r.watch.Synced()
		r.putShards(second)
		r.putIndex(second)
		r.adopts(second)
		third := newOffer(t, 2, 1, "/b", 20)
		r.putIndex(third) // a new epoch of the same content
		r.adopts(third)
		if n := len(r.store.Current().Table.Routes); n != 20 {
			t.Errorf("%d routes", n)
		}
	})
}

func TestWatch_WaitsForShardsThatComeLater(t *testing.T) {
	inBothModes(t, func(t *testing.T, r *rig) {
		t.Helper()
		o := newOffer(t, 1, 1, "/a", 20)
		r.putIndex(o)
		r.run()
		r.refuses(routetable.RefusedIncomplete)
		<-r.watch.Synced()
		r.putShards(o)
		r.adopts(o)
		if refused := r.store.Refusal(); refused != nil {
			t.Errorf("still %+v", refused)
		}
	})
}

// F31: what is not there any more was not taken away by the controller.
func TestF31_EmptinessTakesNothingAway(t *testing.T) {
	inBothModes(t, func(t *testing.T, r *rig) {
		t.Helper()
		first, second := newOffer(t, 1, 1, "/a", 3), newOffer(t, 1, 2, "/b", 3)
		r.putShards(first)
		r.putIndex(first)
		r.run()
		r.adopts(first)

		r.api.remove("edge")
		r.eventually("the loss is logged", func() bool { return r.log.count("no config at the API server") == 1 })
		for name := range first.Shards {
			r.api.remove("edge." + name[:20])
		}
		r.api.dropWatches() // a list of nothing follows
		r.putShards(second)
		r.eventually("new shards are seen", func() bool {
			return len(r.watch.parts.payloads()) == len(second.Shards)
		})
		if got := r.store.Current(); got == nil || got.Hash != first.Index.Hash {
			t.Errorf("serves %+v", got)
		}
		if refused := r.store.Refusal(); refused != nil {
			t.Errorf("emptiness was offered: %+v", refused)
		}
		if n := r.log.count("no config at the API server"); n != 1 {
			t.Errorf("said %d times", n)
		}
		r.putIndex(second)
		r.adopts(second)
	})
}

func TestF31_EmptyFromTheStart(t *testing.T) {
	r := newRig(t, true)
	r.run()
	<-r.watch.Synced()
	r.store.Settle()
	if r.store.Current() != nil || r.store.IsReady() {
		t.Error("an empty list became a config")
	}
}

// One object that cannot be decoded, of any kind, does not stop the watch.
func TestF12_UndecodableObjectsStopNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, r *rig) {
		t.Helper()
		first, second := newOffer(t, 1, 1, "/a", 3), newOffer(t, 1, 2, "/b", 3)
		poison := []string{
			`{"part":"Shard","hash":1,"payload":{}}`, `[]`, `null`, `"x"`, `7`, `{"part":{"a":1}}`,
			`{"part":"Shard","epoch":"1","generation":1e400}`, `{"part":"Index","epoch":99,"generation":99}`,
		}
		for i, spec := range poison {
			r.api.put(fmt.Sprintf("edge.poison-%d", i), spec)
		}
		r.putShards(first)
		r.putIndex(first)
		r.run()
		r.adopts(first)
		for i, spec := range poison {
			r.api.put(fmt.Sprintf("edge.more-%d", i), spec)
			r.api.put("edge", spec) // the index itself
			r.refuses(routetable.RefusedInvalid)
			r.putIndex(first)
			r.eventually("good again", func() bool { return r.store.Refusal() == nil })
		}
		r.putShards(second)
		r.putIndex(second)
		r.adopts(second)
	})
}

// A part that claims another's hash does not stand in for it.
func TestWatch_FalseShardDoesNotHideTheRightOne(t *testing.T) {
	r := newRig(t, true)
	o := newOffer(t, 1, 1, "/a", 1)
	for hash, data := range o.Shards {
		for i := range 20 {
			r.api.put(fmt.Sprintf("edge.false-%d", i), asJSON(t, map[string]any{
				"part": "Shard", "hash": hash, "payload": strings.Replace(data, "10.0.0.1", "10.6.6.6", 1),
			}))
		}
	}
	r.putShards(o)
	r.putIndex(o)
	r.run()
	r.adopts(o)
}

// F05: whatever happens to the watch, the last config arrives.
func TestF05_DroppedWatchesLoseNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, r *rig) {
		t.Helper()
		r.run()
		for i := range 5 {
			o := newOffer(t, 1, int64(i+1), fmt.Sprintf("/v%d", i), 3)
			if i%2 == 1 {
				r.api.dropWatches()
			}
			r.putShards(o)
			r.api.dropWatches()
			r.putIndex(o)
			r.adopts(o)
		}
	})
}

// F01: the API server comes late, and goes; the config that is served stays, and
// its age grows.
func TestF01_APIServerComesLate(t *testing.T) {
	r := newRig(t, true)
	r.api.down = true
	o := newOffer(t, 1, 1, "/a", 1)
	r.putShards(o)
	r.putIndex(o)
	r.run()
	select {
	case <-r.watch.Synced():
		t.Fatal("synced without an API server")
	case <-time.After(300 * time.Millisecond):
	}
	r.api.mu.Lock()
	r.api.down = false
	r.api.mu.Unlock()
	r.adopts(o)
	<-r.watch.Synced()
}

func TestWatch_OldAPIServerDoesNotTakeBackWhatTheDiskHad(t *testing.T) {
	r := newRig(t, true)
	kept, old := newOffer(t, 2, 1, "/kept", 1), newOffer(t, 1, 9, "/old", 1)
	r.store.Adopt(kept)
	r.adopts(kept)
	r.putShards(old)
	r.putIndex(old)
	r.run()
	r.refuses(routetable.RefusedOlder)
	if got := r.store.Current(); got.Hash != kept.Index.Hash {
		t.Errorf("serves %+v", got.Version)
	}
}
