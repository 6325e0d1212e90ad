// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"maps"
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

// shardNameDigits is how much of its hash a shard's name holds.
const shardNameDigits = 20

// Publisher writes the configs of all fleets. It is the only writer of their
// CallbackProxyConfigs as long as its leadership lasts.
type Publisher struct {
	client    client.Client
	reportKey string

	mu       sync.Mutex
	lineages map[types.NamespacedName]*lineage
	intents  map[types.NamespacedName]intent
}

var configsPublished = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "callback_operator_configs_published_total",
	Help: "Configs published, by CallbackProxy.",
}, []string{"namespace", "proxy"})

func init() { metrics.Registry.MustRegister(configsPublished) }

// intent is the config that a fleet is to have, from before it is written.
type intent struct {
	version routetable.Version
	hash    string
	shards  map[string]struct{}
}

// lineage is what this leadership published for one fleet.
type lineage struct {
	// uid is the CallbackProxy's: a new one of the same name starts anew.
	uid     types.UID
	version routetable.Version
	// wrote is when the config was written last.
	wrote time.Time
	// since holds, for each route of the table, its generation and the
	// version in which that was published first.
	since map[types.UID]firstSeen
	table *routetable.Table
}

type firstSeen struct {
	shape
	version routetable.Version
}

// shape is what tells a changed route from an unchanged one. The hold is an
// annotation, and no part of the generation.
type shape struct {
	generation int64
	held       time.Time
}

func shapeOf(r *routetable.Route) shape { return shape{generation: r.Generation, held: r.HeldUntil} }

// Published is the config that the instances should run.
type Published struct {
	routetable.Version
	Hash string
	// Wrote says whether this call wrote the config, and Next when there is
	// something to clear away; zero: nothing.
	Wrote bool
	Next  time.Time
	since map[types.UID]firstSeen
}

const (
	// shardLinger is how long shards outlive the last index that named them:
	// whoever reads that index finds them, and a config that changes without
	// end does not cost a deletion each time.
	shardLinger = 2 * time.Second
	// maxLingering is how many shards may linger.
	maxLingering = 16
)

// Since returns the version that published a route's present generation first.
func (p Published) Since(uid types.UID) routetable.Version { return p.since[uid].version }

// NewPublisher returns a Publisher that announces the public half of the key
// with which requests for reports are signed.
func NewPublisher(c client.Client, key ed25519.PublicKey) *Publisher {
	return &Publisher{
		client:    c,
		reportKey: base64.StdEncoding.EncodeToString(key),
		lineages:  map[types.NamespacedName]*lineage{},
		intents:   map[types.NamespacedName]intent{},
	}
}

// Forget drops what is known of a fleet that is gone; its objects go with
// their owner.
func (p *Publisher) Forget(key types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.lineages, key)
	delete(p.intents, key)
	configsPublished.DeleteLabelValues(key.Namespace, key.Name)
}

// Publish makes the stored config of a fleet hold a table: shards first, then
// the index that commits them, and later away with the shards that nothing
// names any more.
// Nothing is written when nothing changed. It fails with errSuperseded when a
// newer leadership has taken over; with an error it may also return what it
// published, when only the clearing failed. One call per fleet at a time.
func (p *Publisher) Publish(ctx context.Context, proxy *callbackv1alpha1.CallbackProxy, table *routetable.Table, now time.Time) (Published, error) {
	key := client.ObjectKeyFromObject(proxy)
	encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
	if err != nil {
		return Published{}, fmt.Errorf("encode table of CallbackProxy %s: %w", key, err)
	}
	stored, err := p.read(ctx, key)
	if err != nil {
		return Published{}, fmt.Errorf("read config of CallbackProxy %s: %w", key, err)
	}
	before := p.lineage(key, proxy.UID)
	version, write, err := plan(before, stored.head(), head{hash: encoded.Index.Hash, key: p.reportKey}, now)
	if err != nil {
		return Published{}, fmt.Errorf("publish config of CallbackProxy %s: %w", key, err)
	}
	p.mu.Lock()
	p.intents[key] = intent{version: version, hash: encoded.Index.Hash, shards: hashes(encoded.Shards)}
	p.mu.Unlock()
	if err := p.createShards(ctx, proxy, stored, encoded.Shards); err != nil {
		return Published{}, err
	}
	if write {
		if err := p.commit(ctx, proxy, stored.index, version, encoded.Index); err != nil {
			return Published{}, err
		}
		configsPublished.WithLabelValues(key.Namespace, key.Name).Inc()
	}
	after := &lineage{uid: proxy.UID, version: version, since: firstSeenIn(table, version, stored, before), table: table}
	switch {
	case write:
		after.wrote = now
	case before != nil:
		after.wrote = before.wrote
	}
	p.mu.Lock()
	p.lineages[key] = after
	p.mu.Unlock()
	next, err := p.clear(ctx, stored, encoded.Shards, after.wrote.Add(shardLinger), now)
	return Published{Version: version, Hash: encoded.Index.Hash, Wrote: write, Next: next, since: after.since}, err
}

// Published returns the table that was published last for a fleet, by this
// leadership or an earlier one; nil when there is none.
func (p *Publisher) Published(ctx context.Context, key types.NamespacedName) (*routetable.Table, error) {
	p.mu.Lock()
	l := p.lineages[key]
	p.mu.Unlock()
	if l != nil {
		return l.table, nil
	}
	stored, err := p.read(ctx, key)
	if err != nil {
		return nil, err
	}
	return stored.table(), nil
}

func (p *Publisher) lineage(key types.NamespacedName, uid types.UID) *lineage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lineages[key]; l != nil && l.uid == uid {
		return l
	}
	return nil
}

func hashes(payloads []routetable.Payload) map[string]struct{} {
	set := make(map[string]struct{}, len(payloads))
	for _, payload := range payloads {
		set[payload.Hash] = struct{}{}
	}
	return set
}

// expects says whether a part of a config, there or gone, is as this leadership
// means it to be: nothing that anybody has to look at.
func (p *Publisher) expects(part *callbackv1alpha1.CallbackProxyConfig, there bool) bool {
	p.mu.Lock()
	meant, known := p.intents[types.NamespacedName{Namespace: part.Namespace, Name: part.Labels[callbackv1alpha1.ProxyLabel]}]
	p.mu.Unlock()
	if !known {
		return false
	}
	if part.Spec.Part == callbackv1alpha1.ConfigIndex {
		version := routetable.Version{Epoch: part.Spec.Epoch, Generation: part.Spec.Generation}
		return there && version == meant.version && part.Spec.Hash == meant.hash && part.Spec.ReportKey == p.reportKey &&
			routetable.HashOf(part.Spec.Payload) == meant.hash
	}
	_, wanted := meant.shards[part.Spec.Hash]
	return wanted == there && (!there || routetable.HashOf(part.Spec.Payload) == part.Spec.Hash)
}

// firstSeenIn finds, for each route of the table, the version that published
// its generation first. A new leadership learns it from what is stored, so
// that taking over does not make every route look unacknowledged.
func firstSeenIn(table *routetable.Table, version routetable.Version, stored *storedConfig, before *lineage) map[types.UID]firstSeen {
	known := map[types.UID]firstSeen{}
	if before != nil {
		known = before.since
		if version == before.version {
			return known
		}
	} else if old := stored.table(); old != nil {
		at := stored.head().version
		for i := range old.Routes {
			known[types.UID(old.Routes[i].UID)] = firstSeen{shape: shapeOf(&old.Routes[i]), version: at}
		}
	}
	since := make(map[types.UID]firstSeen, len(table.Routes))
	for i := range table.Routes {
		uid := types.UID(table.Routes[i].UID)
		seen, found := known[uid]
		if shape := shapeOf(&table.Routes[i]); !found || seen.shape != shape {
			seen = firstSeen{shape: shape, version: version}
		}
		since[uid] = seen
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

// createShard creates a shard. A shard never changes, so one into which somebody
// wrote is replaced, and so is one that lost its label.
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

// commit writes the index. The resourceVersion makes it fail when anybody
// wrote since it was read.
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

// named says of what an error is; nil stays nil.
func named(what, name string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, name, err)
	}
	return nil
}

// clear deletes the shards that the index does not name, once they lingered
// until due, or are too many. It returns when there is something to delete.
func (p *Publisher) clear(ctx context.Context, stored *storedConfig, wanted []routetable.Payload, due, now time.Time) (next time.Time, err error) {
	keep := hashes(wanted)
	var stale []*callbackv1alpha1.CallbackProxyConfig
	for _, shard := range stored.shards {
		if _, named := keep[shard.Spec.Hash]; !named {
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
