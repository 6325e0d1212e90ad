// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// This file reads published CallbackProxyConfigs back.

// storedConfig is the config that the API server holds for one CallbackProxy.
type storedConfig struct {
	index  *callbackv1alpha1.CallbackProxyConfig
	shards map[string]*callbackv1alpha1.CallbackProxyConfig // by name
}

// read finds the index by name, because one that lost its label is in the way of a
// new one all the same.
func (p *Publisher) read(ctx context.Context, key types.NamespacedName) (*storedConfig, error) {
	stored := &storedConfig{shards: map[string]*callbackv1alpha1.CallbackProxyConfig{}}
	index := &callbackv1alpha1.CallbackProxyConfig{}
	switch err := p.client.Get(ctx, key, index); {
	case err == nil:
		stored.index = index
	case !apierrors.IsNotFound(err):
		return nil, err
	}
	var list callbackv1alpha1.CallbackProxyConfigList
	err := p.client.List(ctx, &list, client.InNamespace(key.Namespace),
		client.MatchingLabels{callbackv1alpha1.ProxyLabel: key.Name}, client.UnsafeDisableDeepCopy)
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		if part := &list.Items[i]; part.Name != key.Name && part.Spec.Part == callbackv1alpha1.ConfigShard {
			stored.shards[part.Name] = part
		}
	}
	return stored, nil
}

// head returns the stored index without its content; nil when there is none.
func (s *storedConfig) head() *head {
	if s.index == nil {
		return nil
	}
	spec := &s.index.Spec
	h := &head{version: routetable.Version{Epoch: spec.Epoch, Generation: spec.Generation}, key: spec.ReportKey}
	// An index whose payload was edited, or that lost the label by which the
	// proxies find it, has no hash, so it differs from every wanted config.
	if routetable.HashOf(spec.Payload) == spec.Hash && s.index.Labels[callbackv1alpha1.ProxyLabel] == s.index.Name {
		h.hash = spec.Hash
	}
	return h
}

// table decodes the stored config; nil when it is absent or incomplete.
func (s *storedConfig) table() *routetable.Table {
	if s.index == nil {
		return nil
	}
	byHash := make(map[string]string, len(s.shards))
	for _, shard := range s.shards {
		byHash[shard.Spec.Hash] = shard.Spec.Payload
	}
	payload := routetable.Payload{Hash: s.index.Spec.Hash, Data: s.index.Spec.Payload}
	table, err := routetable.Decode(payload, func(hash string) (string, bool) {
		data, found := byHash[hash]
		return data, found
	})
	if err != nil {
		return nil
	}
	return table
}
