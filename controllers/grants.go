// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

// This file watches ReferenceGrants once the API server serves them.

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	gatewayv1beta1 "sigs.k8s.io/gateway-api/apis/v1beta1"
)

// grantInterval is the time between two attempts to find the ReferenceGrant kind.
const grantInterval = 15 * time.Second

// grantWatch starts the watch of ReferenceGrants as soon as their CRD is there. It
// belongs to Gateway API, which a cluster may get later or never. Version v1 is
// preferred; a cluster may serve v1beta1 only.
type grantWatch struct {
	mapper  meta.RESTMapper
	start   func(client.Object) error
	version atomic.Value // string
}

// servedVersion returns the version that is watched; empty as long as none is.
func (g *grantWatch) servedVersion() string {
	version, _ := g.version.Load().(string)
	return version
}

// Start looks for the kind until it is watched.
func (g *grantWatch) Start(ctx context.Context) error {
	ticker := time.NewTicker(grantInterval)
	defer ticker.Stop()
	for {
		if found, err := g.tryWatch(); err != nil || found {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// tryWatch returns false as long as the API server does not serve the kind, or
// does not respond.
func (g *grantWatch) tryWatch() (bool, error) {
	kind := schema.GroupKind{Group: gatewayv1.GroupName, Kind: "ReferenceGrant"}
	for _, served := range []struct {
		version string
		object  client.Object
	}{
		{gatewayv1.GroupVersion.Version, &gatewayv1.ReferenceGrant{}},
		{gatewayv1beta1.GroupVersion.Version, &gatewayv1beta1.ReferenceGrant{}},
	} {
		if _, err := g.mapper.RESTMapping(kind, served.version); err != nil {
			continue // it is not served yet
		}
		g.version.Store(served.version) // before the events of the watch cause passes
		if err := g.start(served.object); err != nil {
			return false, fmt.Errorf("watch ReferenceGrants: %w", err)
		}
		return true, nil
	}
	return false, nil
}
