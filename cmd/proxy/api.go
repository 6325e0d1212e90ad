// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// apiConfig leads to the API server: by a file, or by the pod's own account.
func apiConfig(kubeconfig string) (*rest.Config, error) {
	var config *rest.Config
	var err error
	if kubeconfig == "" {
		config, err = rest.InClusterConfig()
	} else {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("read API server's address: %w", err)
	}
	config.UserAgent = "callback-proxy/" + version
	return config, nil
}

// forbidden are the addresses that no backend may have: the API server's,
// where the proxy's own account would speak for a tenant, and this host's,
// where the admin port is.
func forbidden(config *rest.Config) []netip.Addr {
	names := []string{os.Getenv("KUBERNETES_SERVICE_HOST")}
	if u, err := url.Parse(config.Host); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	} else if host, _, err := net.SplitHostPort(config.Host); err == nil {
		names = append(names, host)
	} else {
		names = append(names, config.Host)
	}
	var addrs []netip.Addr
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			addrs = append(addrs, addr)
		}
	}
	own, _ := net.InterfaceAddrs() // none known is none forbidden; the rules about loopback stay
	for _, o := range own {
		if prefix, err := netip.ParsePrefix(o.String()); err == nil {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs
}
