// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

// api.go: the way to the API server.

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// apiConfig returns the way to the API server: by a file, or by the pod's own
// account.
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

// forbidden are the addresses that no backend may have: the API server's, where
// the proxy's own account would act for a tenant, and this host's, where the
// admin port is.
func forbidden(config *rest.Config) []netip.Addr {
	addrs := routetable.AddressesOf(os.Getenv("KUBERNETES_SERVICE_HOST"), config.Host)
	own, _ := net.InterfaceAddrs() // an error forbids none; the rules about loopback stay
	for _, o := range own {
		if prefix, err := netip.ParsePrefix(o.String()); err == nil {
			addrs = append(addrs, prefix.Addr())
		}
	}
	return addrs
}
