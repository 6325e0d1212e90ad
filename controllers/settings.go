// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/netip"
	"os"
	"slices"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/controllers/workload"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
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
	return routetable.AddressesOf(os.Getenv("KUBERNETES_SERVICE_HOST"), config.Host)
}
