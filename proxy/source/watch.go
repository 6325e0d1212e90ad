// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package source reads a proxy's configs from the API server and from the
// proxy's own disk. In: CallbackProxyConfig objects and a file; out: offers to a
// config.Store, which adopts or refuses them. I/O, and the only user of
// client-go in the data plane.
package source

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/klog/v2"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// backoff spaces the attempts to reach an API server that does not respond: a
// fleet is back within seconds of its return, but not all at once.
var backoff = wait.Backoff{Duration: 200 * time.Millisecond, Factor: 2, Jitter: 0.5, Steps: 6, Cap: 5 * time.Second}

// Watch follows the config of one CallbackProxy and offers it to the store.
type Watch struct {
	store  *config.Store
	log    *slog.Logger
	parts  *parts
	lister cache.ListerWatcher
	synced chan struct{}

	// The following belong to the goroutine that offers.
	last    *envelope // the index that was offered last
	refusal *routetable.Refusal
	missing bool // it was logged that there is no index
}

// NewWatch returns a Watch for the CallbackProxy of that namespace and name.
func NewWatch(api *rest.Config, namespace, name string, store *config.Store, log *slog.Logger) (*Watch, error) {
	client, err := newClient(api)
	if err != nil {
		return nil, err
	}
	selector := func(options *metav1.ListOptions) { options.LabelSelector = proxyLabel + "=" + name }
	return &Watch{
		store: store,
		log:   log,
		parts: newParts(name, log, store.Confirm),
		lister: cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
			ListWithContextFunc: func(ctx context.Context, options metav1.ListOptions) (runtime.Object, error) {
				selector(&options)
				return client.Get().Namespace(namespace).Resource(resource).
					VersionedParams(&options, metav1.ParameterCodec).Do(ctx).Get()
			},
			WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
				options.Watch = true
				selector(&options)
				return client.Get().Namespace(namespace).Resource(resource).
					VersionedParams(&options, metav1.ParameterCodec).Watch(ctx)
			},
		}, client),
		synced: make(chan struct{}),
	}, nil
}

// Synced is closed once the API server's first complete list was offered.
func (w *Watch) Synced() <-chan struct{} { return w.synced }

// Run follows the config until ctx is cancelled. It survives every outage of
// the API server.
func (w *Watch) Run(ctx context.Context) {
	logger := logr.FromSlogHandler(w.log.Handler())
	ctx = klog.NewContext(ctx, logger)
	spacing := backoff
	reflector := cache.NewReflectorWithOptions(w.lister, &envelope{}, w.parts, cache.ReflectorOptions{
		Logger: &logger, Name: "config", TypeDescription: "CallbackProxyConfig", Backoff: &spacing,
	})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		reflector.RunWithContext(ctx)
	}()
	for {
		select {
		case <-ctx.Done():
			<-stopped
			return
		case <-w.parts.changed:
			w.offer()
		}
	}
}

// offer offers the API server's config to the store, unless it was offered
// before. A config that was incomplete is offered again with each change,
// because its missing part may be there now.
func (w *Watch) offer() {
	index, listed := w.parts.present()
	if listed {
		defer w.markSynced()
	}
	if index == nil {
		// An empty list is not an empty config: it may be a lost permission or
		// a CRD that was deleted. Only a newer index takes routes away.
		if listed && !w.missing {
			w.log.Warn("no config at the API server: the config that is served stays")
			w.missing = true
		}
		w.last = nil
		return
	}
	w.missing = false
	if index == w.last && (w.refusal == nil || w.refusal.Reason != routetable.RefusedIncomplete) {
		return
	}
	w.last = index
	if index.Spec.broken || index.Spec.Part != partIndex {
		w.refusal = w.store.Adopt(config.Offer{}) // is refused as invalid
		return
	}
	w.refusal = w.store.Adopt(config.Offer{
		Version:   routetable.Version{Epoch: index.Spec.Epoch, Generation: index.Spec.Generation},
		ReportKey: index.Spec.ReportKey,
		Index:     routetable.Payload{Hash: index.Spec.Hash, Data: index.Spec.Payload},
		Shards:    w.parts.payloads(),
	})
}

func (w *Watch) markSynced() {
	select {
	case <-w.synced:
	default:
		close(w.synced)
	}
}
