// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// identity.go starts the provider and the two identity services, and puts the
// services behind the samples' Services.

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/callbackproxy/callback-operator/test/idp/identity"
	"github.com/callbackproxy/callback-operator/test/idp/provider"
)

// clientSecret is the client's at the provider. Both run only in this process
// and on loopback.
const clientSecret = "only for this demo"

func (d *demo) startIdentity(ctx context.Context) (err error) {
	if d.port, err = d.choosePort(ctx); err != nil {
		return err
	}
	d.provider, err = provider.Start(ctx, "127.0.0.1:0", provider.Config{
		ClientID: clientID, ClientSecret: clientSecret, Subject: subject, Email: demoUser, Clock: d.clock,
		RedirectURIs: []string{d.publicURL(callbackPath), d.publicURL(partnerPath)},
	})
	if err != nil {
		return err
	}
	d.deferCleanup(d.provider.Close)
	d.printf("the provider is %s; registered callback: %s", d.provider.Issuer(), d.publicURL(callbackPath))
	if d.blue, err = d.startService(ctx, "blue"); err != nil {
		return err
	}
	if d.green, err = d.startService(ctx, "green"); err != nil {
		return err
	}
	d.printf("blue listens on %s, green on %s; each completes only the logins that it started", d.blue.Addr(), d.green.Addr())
	return nil
}

func (d *demo) startService(ctx context.Context, name string) (*identity.Service, error) {
	service, err := identity.Start(ctx, "127.0.0.1:0", identity.Config{
		Name: name, Issuer: d.provider.Issuer(), ClientID: clientID, ClientSecret: clientSecret,
		CallbackPaths: []string{callbackPath, partnerPath}, Clock: d.clock,
	})
	if err == nil {
		d.deferCleanup(service.Close)
	}
	return service, err
}

// serveBackends makes blue and green the backends of the samples' Services.
// They stand in for the samples' containers, which could not complete a login.
func (d *demo) serveBackends(ctx context.Context) error {
	for _, backend := range []struct {
		name, service string
		process       *identity.Service
	}{{"blue", blueService, d.blue}, {"green", greenService, d.green}} {
		service := &corev1.Service{}
		key := client.ObjectKey{Namespace: routeNamespace, Name: backend.service}
		if err := d.installation.Client.Get(ctx, key, service); err != nil {
			return fmt.Errorf("read service %s: %w", key, err)
		}
		if err := d.installation.Serve(ctx, service, backend.process.Addr()); err != nil {
			return err
		}
		d.printf("Service %s (%s) leads to %s on %s, which runs in place of the sample's container",
			service.Name, service.Spec.ClusterIP, backend.name, backend.process.Addr())
	}
	return nil
}

// publicURL returns the URL that users and the provider see.
func (d *demo) publicURL(path string) string {
	return fmt.Sprintf("http://%s:%d%s", host, d.port, path)
}
