// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package bench

// ours.go: the proxy of this project, with a config on disk as an earlier run
// keeps it, and without an API server.

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/proxy/config"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
	"github.com/callbackproxy/callback-operator/proxy/source"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// address is the backend's in the table. It is mapped by --connect-to, because
// the table holds no loopback address.
const address = "10.0.0.1:80"

// ours returns the proxy of this project: with each number of hosts, and its
// other builds with the first number.
func ours(o *Options) ([]proxy, error) {
	path, found := o.find("proxy")
	if !found {
		return nil, fmt.Errorf("no program proxy in %s", o.Programs)
	}
	var all []proxy
	for _, hosts := range o.Hosts {
		all = append(all, newOurs(fmt.Sprintf("callbackproxy, %s routes", thousands(2*hosts)), path, hosts))
	}
	for _, build := range o.Builds {
		name, file, found := strings.Cut(build, "=")
		if !found {
			return nil, fmt.Errorf("%q is not NAME=FILE", build)
		}
		all = append(all, newOurs("callbackproxy "+name, file, o.Hosts[0]))
	}
	return all, nil
}

// newOurs returns a build of the proxy of this project with a number of hosts.
// Each has one route for OIDC and one for SAML.
func newOurs(name, path string, hosts int) proxy {
	return proxy{
		name: name, upstream: fresh, hosts: hosts, ready: "/readyz",
		command: func(p place) (fixture.Command, error) {
			if err := keepConfig(p.dir, newTable(hosts)); err != nil {
				return fixture.Command{}, err
			}
			kubeconfig := filepath.Join(p.dir, "kubeconfig")
			if err := fixture.WriteKubeconfig(kubeconfig, &rest.Config{Host: "http://127.0.0.1:1"}); err != nil {
				return fixture.Command{}, err
			}
			return fixture.Command{Path: path, Args: []string{
				"--namespace=edge-system", "--proxy=edge", "--kubeconfig=" + kubeconfig, "--state-dir=" + p.dir,
				"--start-timeout=100ms", "--drain-delay=0s",
				fmt.Sprintf("--listen-address=127.0.0.1:%d", p.port), fmt.Sprintf("--admin-address=127.0.0.1:%d", p.admin),
				"--connect-to=" + address + "=" + p.backend,
			}}, nil
		},
	}
}

// thousands writes a number with commas.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// newTable returns a table in which every feature that costs something per
// callback is on: metrics and logs always are, and the backend is checked.
func newTable(hosts int) *routetable.Table {
	table := &routetable.Table{Settings: routetable.Settings{
		ListenerPort: 8080,
		// Clients are trusted, or the proxy ends each connection after its callback.
		Forwarding: routetable.Forwarding{TrustedProxies: []string{"127.0.0.0/8"}, ExternalScheme: "http"},
	}}
	for n := range hosts {
		namespace := fmt.Sprintf("tenant-%0*d", hostDigits, n)
		for _, r := range []routetable.Route{
			{Name: "oidc", Protocol: routetable.OIDC, Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: oidcPath}}},
			{Name: "saml", Protocol: routetable.SAML, Callbacks: []routetable.Callback{{Name: "login", PathType: routetable.Exact, Path: samlPath}}},
		} {
			r.Namespace, r.UID, r.Generation, r.Hostnames = namespace, namespace+"-"+r.Name, 1, []string{hostName(n)}
			r.Backends = []routetable.Backend{{Name: "blue", Weight: 1, Addresses: []string{address}, Check: &routetable.HealthCheck{
				Path: "/healthz", Host: hostName(0), IntervalSeconds: 10, TimeoutSeconds: 1, UnhealthyThreshold: 3, HealthyThreshold: 2,
			}}}
			r.TimeoutSeconds, r.AfterSunset = 30, routetable.Reject
			r.Sunset = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
			table.Routes = append(table.Routes, r)
		}
	}
	return table
}

// keepConfig writes a table as the last good config of an earlier run.
func keepConfig(dir string, table *routetable.Table) error {
	encoded, err := routetable.Encode(table, routetable.DefaultShardBytes)
	if err != nil {
		return fmt.Errorf("encode the config: %w", err)
	}
	offer := config.Offer{
		Version: routetable.Version{Epoch: 1, Generation: 1}, ReportKey: strings.Repeat("A", 43) + "=",
		Index: encoded.Index, Shards: map[string]string{},
	}
	for _, shard := range encoded.Shards {
		offer.Shards[shard.Hash] = shard.Data
	}
	failed := false
	disk := source.NewDisk(dir, slog.New(slog.DiscardHandler), func() { failed = true })
	disk.Keep(offer)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	disk.Run(ctx) // writes what waits, and returns
	if failed {
		return fmt.Errorf("the config cannot be kept in %s", dir)
	}
	return nil
}
