// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
)

// grantInterval is the time between two looks for the ReferenceGrant kind.
const grantInterval = 15 * time.Second

// grantWatch starts the watch of ReferenceGrants as soon as their CRD is
// there. It belongs to Gateway API, which a cluster may get later or never.
type grantWatch struct {
	mapper    meta.RESTMapper
	start     func() error
	installed atomic.Bool
}

func newGrant() client.Object { return &gatewayv1beta1.ReferenceGrant{} }

// Start looks for the kind until it is found and watched.
func (g *grantWatch) Start(ctx context.Context) error {
	ticker := time.NewTicker(grantInterval)
	defer ticker.Stop()
	for {
		found, err := g.look()
		if err != nil || found {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// look reports false as long as the kind is not served, or the API server
// cannot say whether it is.
func (g *grantWatch) look() (bool, error) {
	kind := schema.GroupKind{Group: gatewayv1beta1.GroupName, Kind: "ReferenceGrant"}
	if _, err := g.mapper.RESTMapping(kind, gatewayv1beta1.GroupVersion.Version); err != nil {
		return false, nil //nolint:nilerr // not there yet is the ordinary answer
	}
	// First the flag: the events that the watch brings must see it.
	g.installed.Store(true)
	if err := g.start(); err != nil {
		return false, fmt.Errorf("watch ReferenceGrants: %w", err)
	}
	return true, nil
}
