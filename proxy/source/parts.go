// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package source

// parts.go: the objects of one config, as a watch delivers them.

import (
	"fmt"
	"log/slog"
	"sync"

	"k8s.io/client-go/tools/cache"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// parts are the objects of one config as the API server has them. It is the
// store that a Reflector fills, and keeps no more than offers need.
type parts struct {
	name    string // of the index
	log     *slog.Logger
	confirm func() // is called at each response of the API server
	// changed holds one token after a change.
	changed chan struct{}

	mu     sync.Mutex
	index  *envelope
	shards map[string]shard // by object name
	listed bool             // a complete list was there
}

type shard struct{ hash, payload string }

var (
	_ cache.ReflectorStore         = (*parts)(nil)
	_ cache.ReflectorBookmarkStore = (*parts)(nil)
)

func newParts(name string, log *slog.Logger, confirm func()) *parts {
	return &parts{
		name: name, log: log, confirm: confirm,
		changed: make(chan struct{}, 1), shards: make(map[string]shard),
	}
}

// present returns the index, or nil, and whether a complete list was there.
func (p *parts) present() (index *envelope, listed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index, p.listed
}

// payloads returns the shards' payloads by their hash.
func (p *parts) payloads() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	payloads := make(map[string]string, len(p.shards))
	for _, s := range p.shards {
		payloads[s.hash] = s.payload
	}
	return payloads
}

// Add keeps an object.
func (p *parts) Add(object any) error {
	p.mu.Lock()
	p.keep(object)
	p.mu.Unlock()
	p.signal()
	return nil
}

// Update keeps an object.
func (p *parts) Update(object any) error { return p.Add(object) }

// Delete forgets an object.
func (p *parts) Delete(object any) error {
	e, ok := object.(*envelope)
	if !ok {
		return nil
	}
	p.mu.Lock()
	p.drop(e.Name)
	p.mu.Unlock()
	p.signal()
	return nil
}

// Replace keeps these objects and no others.
func (p *parts) Replace(objects []any, _ string) error {
	p.mu.Lock()
	p.index = nil
	clear(p.shards)
	for _, object := range objects {
		p.keep(object)
	}
	p.listed = true
	p.mu.Unlock()
	p.signal()
	return nil
}

// Resync has nothing to do: a config is offered when it changes.
func (p *parts) Resync() error { return nil }

// Bookmark notes that the watch is alive.
func (p *parts) Bookmark(string) error {
	p.confirm()
	return nil
}

func (p *parts) signal() {
	p.confirm()
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// keep stores an object under its name. A shard whose hash is wrong is left out,
// so that it cannot replace the right one.
func (p *parts) keep(object any) {
	e, ok := object.(*envelope)
	if !ok {
		p.log.Warn("object of another kind ignored", "type", fmt.Sprintf("%T", object))
		return
	}
	p.drop(e.Name)
	switch {
	case e.Name == p.name:
		e.ManagedFields, e.Annotations = nil, nil
		p.index = e
	case e.Spec.broken || e.Spec.Part != partShard || routetable.HashOf(e.Spec.Payload) != e.Spec.Hash:
		p.log.Warn("part ignored: not a shard with the announced hash", "name", e.Name)
	default:
		p.shards[e.Name] = shard{hash: e.Spec.Hash, payload: e.Spec.Payload}
	}
}

func (p *parts) drop(name string) {
	if name == p.name {
		p.index = nil
	}
	delete(p.shards, name)
}
