// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"net/netip"
	"os"

	"k8s.io/client-go/rest"

	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
	"github.com/callbackproxy/callback-operator/proxy/routetable"
)

// Settings are the manager's settings: the namespaces that it reads and manages,
// and how it runs proxies.
type Settings struct {
	kube.Scope
	Proxies workload.Options
}

// apiServerAddresses returns the addresses by which this process reaches the API
// server. They are forbidden as backends where the manager may not read the API
// server's Service.
func apiServerAddresses(config *rest.Config) []netip.Addr {
	return routetable.AddressesOf(os.Getenv("KUBERNETES_SERVICE_HOST"), config.Host)
}
