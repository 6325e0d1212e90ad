// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/callbackproxy/callback-operator/controllers"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

const (
	// namespaceFile is the file in which the kubelet writes the namespace of a pod.
	namespaceFile = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"
	// proxyImageVariable names the environment variable of the proxies' image, so
	// that a kustomize image transformer or replacement can set it by name.
	proxyImageVariable = "PROXY_IMAGE"
)

// fleets holds the flags about the namespaces that are read and the proxies that
// are run.
type fleets struct {
	image           string
	pullPolicy      string
	pullSecrets     string
	clusterRole     string
	proxyNamespaces string
	watchNamespaces string
}

func (f *fleets) bind(flags *flag.FlagSet, getenv func(string) string) {
	flags.StringVar(&f.image, "proxy-image", getenv(proxyImageVariable),
		"`image` of the proxies that this manager runs; the environment variable "+proxyImageVariable+" is its default")
	flags.StringVar(&f.pullPolicy, "proxy-image-pull-policy", string(corev1.PullIfNotPresent), "Always, IfNotPresent or Never")
	flags.StringVar(&f.pullSecrets, "proxy-image-pull-secrets", "", "`names`, separated by commas, of Secrets in the proxies' namespaces")
	flags.StringVar(&f.clusterRole, "proxy-cluster-role", "callback-proxy", "`name` of the ClusterRole by which proxies read their config")
	flags.StringVar(&f.proxyNamespaces, "proxy-namespaces", "",
		"`names`, separated by commas, of the namespaces in which proxies may be run; the manager's own when empty")
	flags.StringVar(&f.watchNamespaces, "watch-namespaces", "",
		"`names`, separated by commas, of the only namespaces whose objects are read; all when empty. Host selectors then see a namespace's name only")
}

// settings validates the flags; own is the manager's namespace, empty outside a
// cluster.
func (f *fleets) settings(own string) (controllers.Settings, error) {
	s := controllers.Settings{
		Scope: kube.Scope{
			WatchNamespaces: names(f.watchNamespaces),
			ProxyNamespaces: names(f.proxyNamespaces),
		},
		Proxies: workload.Options{
			Image:            f.image,
			PullPolicy:       corev1.PullPolicy(f.pullPolicy),
			PullSecrets:      names(f.pullSecrets),
			ClusterRole:      f.clusterRole,
			ManagerNamespace: own,
		},
	}
	switch s.Proxies.PullPolicy {
	case corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever:
	default:
		return s, fmt.Errorf("--proxy-image-pull-policy is %q: want Always, IfNotPresent or Never", f.pullPolicy)
	}
	if f.clusterRole == "" {
		return s, fmt.Errorf("--proxy-cluster-role is empty: set the name of the ClusterRole by which proxies read their config")
	}
	watched := func(namespace string) bool {
		return len(s.WatchNamespaces) == 0 || slices.Contains(s.WatchNamespaces, namespace)
	}
	for _, namespace := range s.ProxyNamespaces {
		if !watched(namespace) {
			return s, fmt.Errorf("--proxy-namespaces names %s, which --watch-namespaces does not: add it there", namespace)
		}
	}
	if len(s.ProxyNamespaces) == 0 && own != "" && watched(own) {
		s.ProxyNamespaces = []string{own}
	}
	if len(s.ProxyNamespaces) > 0 && f.image == "" {
		return s, fmt.Errorf("the proxies' image is empty, but this manager runs proxies in %s: set %s or --proxy-image",
			strings.Join(s.ProxyNamespaces, ", "), proxyImageVariable)
	}
	return s, nil
}

// names splits a list, without duplicates.
func names(list string) []string {
	var out []string
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// ownNamespace returns the namespace of the manager's pod; empty outside a
// cluster.
func ownNamespace(getenv func(string) string, readFile func(string) ([]byte, error)) string {
	if namespace := getenv("POD_NAMESPACE"); namespace != "" {
		return namespace
	}
	data, err := readFile(namespaceFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
