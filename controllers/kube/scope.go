// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package kube

import "slices"

// Scope lists the namespaces that the manager reads and those in which it runs
// proxies.
type Scope struct {
	// WatchNamespaces are the namespaces whose objects the manager reads; empty
	// for all. When it is set, the manager reads no cluster-scoped object such as
	// a Namespace; a selector of hosts then matches the namespace's name only.
	WatchNamespaces []string
	// ProxyNamespaces are the namespaces in which the manager runs the proxies of
	// CallbackProxies of mode Deployment.
	ProxyNamespaces []string
}

// Watches reports whether the manager reads objects of a namespace.
func (s *Scope) Watches(namespace string) bool {
	return len(s.WatchNamespaces) == 0 || slices.Contains(s.WatchNamespaces, namespace)
}

// Manages reports whether the manager may run proxies in a namespace.
func (s *Scope) Manages(namespace string) bool {
	return slices.Contains(s.ProxyNamespaces, namespace) && s.Watches(namespace)
}
