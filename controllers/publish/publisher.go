// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package publish writes route tables as CallbackProxyConfigs and reads them back.
// In: a CallbackProxy and its table; out: shards, and an index that commits them
// under one version. I/O; version.go alone is pure.
package publish

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

var configsPublished = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "callback_operator_configs_published_total",
	Help: "Configs published, by CallbackProxy.",
}, []string{"namespace", "proxy"})

func init() { metrics.Registry.MustRegister(configsPublished) }

const (
	// shardNameDigits is the number of digits of its hash in a shard's name.
	shardNameDigits = 20
	// ShardLinger is how long a shard outlives the last index that named it: a
	// proxy that has read that index still finds its shards, and a config that
	// changes without end does not cost a deletion for each change.
	ShardLinger = 2 * time.Second
	// maxLingering bounds the number of lingering shards.
	maxLingering = 16
)

// Publisher writes the configs of all CallbackProxies. It is the only writer of
// their CallbackProxyConfigs as long as its leadership lasts.
type Publisher struct {
	client    client.Client
	reportKey string

	mu     sync.Mutex
	fleets map[types.NamespacedName]*fleet
}

// fleet is the state of one CallbackProxy.
type fleet struct {
	// uid is the CallbackProxy's: a new one of the same name starts anew.
	uid types.UID
	// last is the config that this leadership published last, without a version
	// before the first, and wroteTime the time of that write.
	last      Config
	wroteTime time.Time
}

// Config is a published config, which the instances should run.
type Config struct {
	routetable.Version
	Hash string
	// Table is the decoded content; callers must not change it.
	Table *routetable.Table
	// Wrote reports whether this call of Publish wrote the config, and Next is
	// when shards are due for deletion; zero: never.
	Wrote bool
	Next  time.Time
	// since holds, for each route of the table, the version that published its
	// present state first.
	since map[types.UID]firstPublished
}

// firstPublished is the version that published a state of a route first.
type firstPublished struct {
	routeState
	version routetable.Version
}

// routeState distinguishes a changed route from an unchanged one. The hold of a sunset is
// an annotation, and not part of the generation.
type routeState struct {
	generation int64
	heldUntil  time.Time
}

func stateOf(r *routetable.Route) routeState {
	return routeState{generation: r.Generation, heldUntil: r.HeldUntil}
}

// Since returns the version that published a route's present generation first.
func (c *Config) Since(uid types.UID) routetable.Version { return c.since[uid].version }

// New returns a Publisher that publishes the public half of the key that signs
// requests for reports.
func New(c client.Client, key ed25519.PublicKey) *Publisher {
	return &Publisher{
		client:    c,
		reportKey: base64.StdEncoding.EncodeToString(key),
		fleets:    map[types.NamespacedName]*fleet{},
	}
}

// Forget drops the state of a deleted CallbackProxy; its configs are deleted with
// their owner.
func (p *Publisher) Forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.fleets, key)
	configsPublished.DeleteLabelValues(key.Namespace, key.Name)
}

// fleet returns the state of a CallbackProxy, which one pass at a time uses.
func (p *Publisher) fleet(proxy *callbackv1alpha1.CallbackProxy) *fleet {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := client.ObjectKeyFromObject(proxy)
	f := p.fleets[key]
	if f == nil || f.uid != proxy.UID {
		f = &fleet{uid: proxy.UID}
		p.fleets[key] = f
	}
	return f
}

// Published returns the config published last. A new leadership decodes it from
// the stored CallbackProxyConfigs; the zero Config means that there is none, or
// that it is incomplete.
func (p *Publisher) Published(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy) (Config, error) {
	if f := p.fleet(proxy); f.last.Table != nil {
		return f.last, nil
	}
	key := client.ObjectKeyFromObject(proxy)
	stored, err := p.read(ctx, key)
	if err != nil {
		return Config{}, fmt.Errorf("read config of CallbackProxy %s: %w", key, err)
	}
	table := stored.table()
	if table == nil || !metav1.IsControlledBy(stored.index, proxy) {
		return Config{}, nil
	}
	return Config{Version: stored.head().version, Hash: stored.index.Spec.Hash, Table: table}, nil
}

// Publish makes the stored config hold a table: it writes the shards, then the
// index that commits them, and later deletes the shards that no index names. It
// writes nothing when nothing changed. It fails with ErrSuperseded when a newer
// leadership has taken over. Together with an error it may return a published
// config, when only a deletion failed. It must not run twice at the same time for
// one CallbackProxy.
func (p *Publisher) Publish(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, table *routetable.Table, now time.Time) (Config, error) {
	key := client.ObjectKeyFromObject(proxy)
	encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
	if err != nil {
		return Config{}, fmt.Errorf("encode table of CallbackProxy %s: %w", key, err)
	}
	stored, err := p.read(ctx, key)
	if err != nil {
		return Config{}, fmt.Errorf("read config of CallbackProxy %s: %w", key, err)
	}
	f := p.fleet(proxy)
	version, write, err := nextVersion(f.last.Version, stored.head(), head{hash: encoded.Index.Hash, key: p.reportKey}, now)
	if err != nil {
		return Config{}, fmt.Errorf("publish config of CallbackProxy %s: %w", key, err)
	}
	if err := p.createShards(ctx, proxy, stored, encoded.Shards); err != nil {
		return Config{}, err
	}
	if write {
		if err := p.commit(ctx, proxy, stored.index, version, encoded.Index); err != nil {
			return Config{}, err
		}
		f.wroteTime = now
		configsPublished.WithLabelValues(key.Namespace, key.Name).Inc()
	}
	if version != f.last.Version {
		f.last = Config{Version: version, Hash: encoded.Index.Hash, Table: table, since: firstPublishedIn(table, version, stored, &f.last)}
	}
	config := f.last
	config.Wrote = write
	config.Next, err = p.deleteStale(ctx, stored, encoded.Shards, f.wroteTime.Add(ShardLinger), now)
	return config, err
}

// firstPublishedIn finds, for each route of the table, the version that published
// its state first. A new leadership reads it from the stored config, so that
// routes stay acknowledged when the leader changes.
func firstPublishedIn(table *routetable.Table, version routetable.Version, stored *storedConfig, last *Config) map[types.UID]firstPublished {
	known := last.since
	if last.Table == nil {
		known = map[types.UID]firstPublished{}
		if old := stored.table(); old != nil {
			at := stored.head().version
			for i := range old.Routes {
				known[types.UID(old.Routes[i].UID)] = firstPublished{stateOf(&old.Routes[i]), at}
			}
		}
	}
	since := make(map[types.UID]firstPublished, len(table.Routes))
	for i := range table.Routes {
		uid := types.UID(table.Routes[i].UID)
		first, found := known[uid]
		if state := stateOf(&table.Routes[i]); !found || first.routeState != state {
			first = firstPublished{state, version}
		}
		since[uid] = first
	}
	return since
}

func (p *Publisher) createShards(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, stored *storedConfig, wanted []routetable.Payload) error {
	for _, payload := range wanted {
		shard := p.part(proxy, shardName(proxy.Name, payload.Hash))
		shard.Spec = callbackv1alpha1.CallbackProxyConfigSpec{
			Part:    callbackv1alpha1.ConfigShard,
			Hash:    payload.Hash,
			Payload: payload.Data,
		}
		if existing := stored.shards[shard.Name]; existing == nil || existing.Spec != shard.Spec {
			if err := p.createShard(ctx, shard, existing); err != nil {
				return err
			}
		}
	}
	return nil
}

// createShard creates a shard. A shard never changes, so an edited one is
// replaced, and so is one that lost its label.
func (p *Publisher) createShard(ctx context.Context, shard, existing *callbackv1alpha1.CallbackProxyConfig) error {
	if existing == nil {
		err := p.client.Create(ctx, shard.DeepCopy())
		if !apierrors.IsAlreadyExists(err) {
			return named("create shard", shard.Name, err)
		}
		existing = &callbackv1alpha1.CallbackProxyConfig{}
		if err := p.client.Get(ctx, client.ObjectKeyFromObject(shard), existing); err != nil {
			return named("get shard", shard.Name, err)
		}
		if existing.Spec == shard.Spec && maps.Equal(existing.Labels, shard.Labels) {
			return nil
		}
	}
	if err := p.delete(ctx, existing); err != nil {
		return err
	}
	return named("create shard", shard.Name, p.client.Create(ctx, shard))
}

// commit writes the index. The resourceVersion makes it fail when the index
// changed after it was read.
func (p *Publisher) commit(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, old *callbackv1alpha1.CallbackProxyConfig, version routetable.Version, payload routetable.Payload) error {
	index := p.part(proxy, proxy.Name)
	index.Spec = callbackv1alpha1.CallbackProxyConfigSpec{
		Part:       callbackv1alpha1.ConfigIndex,
		Epoch:      version.Epoch,
		Generation: version.Generation,
		ReportKey:  p.reportKey,
		Hash:       payload.Hash,
		Payload:    payload.Data,
	}
	if old == nil {
		return named("create index", index.Name, p.client.Create(ctx, index))
	}
	index.ResourceVersion = old.ResourceVersion
	return named("update index", index.Name, p.client.Update(ctx, index))
}

// named adds the operation and the name to an error; nil stays nil.
func named(operation, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", operation, name, err)
	}
	return nil
}

// deleteStale deletes the shards that are not wanted, once the time due has come or
// they are too many. It returns when there is something to delete.
func (p *Publisher) deleteStale(ctx context.Context, stored *storedConfig, wanted []routetable.Payload, due, now time.Time) (next time.Time, err error) {
	var stale []*callbackv1alpha1.CallbackProxyConfig
	for _, shard := range stored.shards {
		if !slices.ContainsFunc(wanted, func(p routetable.Payload) bool { return p.Hash == shard.Spec.Hash }) {
			stale = append(stale, shard)
		}
	}
	switch {
	case len(stale) == 0:
		return time.Time{}, nil
	case now.Before(due) && len(stale) <= maxLingering:
		return due, nil
	}
	for _, shard := range stale {
		if err := p.delete(ctx, shard); err != nil {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

func (p *Publisher) delete(ctx context.Context, part *callbackv1alpha1.CallbackProxyConfig) error {
	err := p.client.Delete(ctx, part, client.Preconditions{UID: &part.UID})
	return named("delete shard", part.Name, client.IgnoreNotFound(err))
}

func (p *Publisher) part(proxy *callbackv1alpha1.CallbackProxy, name string) *callbackv1alpha1.CallbackProxyConfig {
	controller := true
	return &callbackv1alpha1.CallbackProxyConfig{ObjectMeta: metav1.ObjectMeta{
		Namespace: proxy.Namespace,
		Name:      name,
		Labels:    map[string]string{callbackv1alpha1.ProxyLabel: proxy.Name},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: callbackv1alpha1.SchemeGroupVersion.String(),
			Kind:       "CallbackProxy",
			Name:       proxy.Name,
			UID:        proxy.UID,
			Controller: &controller,
		}},
	}}
}

func shardName(proxy, hash string) string { return proxy + "." + hash[:shardNameDigits] }
