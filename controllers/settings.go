// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/controllers/workload"
)

// Settings say what the manager may look at and what it may run.
type Settings struct {
	// WatchNamespaces are the namespaces whose objects are read; none: all of
	// them. With them nothing of the cluster itself is read, such as the labels
	// of Namespaces: a selector of hosts then sees a namespace's name alone.
	WatchNamespaces []string
	// ProxyNamespaces are those in which fleets of mode Deployment are run.
	ProxyNamespaces []string
	// Proxies is how they are run.
	Proxies workload.Options
}

// watches says whether objects of a namespace are read.
func (s *Settings) watches(namespace string) bool {
	return len(s.WatchNamespaces) == 0 || slices.Contains(s.WatchNamespaces, namespace)
}

// manages says whether fleets may be run in a namespace.
func (s *Settings) manages(namespace string) bool {
	return slices.Contains(s.ProxyNamespaces, namespace) && s.watches(namespace)
}

// apiServerAddresses are the API server's as this process reaches it, for who
// may not read its Service.
func apiServerAddresses(config *rest.Config) []netip.Addr {
	names := []string{os.Getenv("KUBERNETES_SERVICE_HOST")}
	if u, err := url.Parse(config.Host); err == nil && u.Hostname() != "" {
		names = append(names, u.Hostname())
	} else if host, _, err := net.SplitHostPort(config.Host); err == nil {
		names = append(names, host)
	} else {
		names = append(names, config.Host)
	}
	var addresses []netip.Addr
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil && !slices.Contains(addresses, addr) {
			addresses = append(addresses, addr)
		}
	}
	return addresses
}
