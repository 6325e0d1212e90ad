// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"io/fs"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/controllers"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/controllers/workload"
)

func parse(t *testing.T, own string, args ...string) (controllers.Settings, error) {
	t.Helper()
	return parseWith(t, map[string]string{"PROXY_IMAGE": "registry.test/proxy"}, own, args...)
}

func parseWith(t *testing.T, env map[string]string, own string, args ...string) (controllers.Settings, error) {
	t.Helper()
	var f fleets
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	f.bind(flags, func(name string) string { return env[name] })
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return f.settings(own)
}

func TestFleets_Settings(t *testing.T) {
	g := NewWithT(t)
	s, err := parse(t, "callback-system")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s).To(Equal(controllers.Settings{
		Scope:   kube.Scope{ProxyNamespaces: []string{"callback-system"}},
		Proxies: workload.Options{Image: "registry.test/proxy", PullPolicy: "IfNotPresent", ClusterRole: "callback-proxy", ManagerNamespace: "callback-system"},
	}), "its own namespace, all are watched")

	s, err = parse(t, "callback-system", "--proxy-namespaces= team-b,team-a,, team-a", "--proxy-image=i", "--proxy-image-pull-policy=Always",
		"--proxy-image-pull-secrets=b,a", "--proxy-cluster-role=acme-proxy")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s).To(Equal(controllers.Settings{
		Scope: kube.Scope{ProxyNamespaces: []string{"team-a", "team-b"}},
		Proxies: workload.Options{
			Image: "i", PullPolicy: "Always", PullSecrets: []string{"a", "b"}, ClusterRole: "acme-proxy", ManagerNamespace: "callback-system",
		},
	}))

	s, err = parse(t, "")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.ProxyNamespaces).To(BeEmpty(), "outside a cluster it runs nothing")

	s, err = parse(t, "callback-system", "--watch-namespaces=identity")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.WatchNamespaces).To(Equal([]string{"identity"}))
	g.Expect(s.ProxyNamespaces).To(BeEmpty(), "its own is not watched")
}

func TestFleets_RefusesInvalidFlags(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--watch-namespaces=a", "--proxy-namespaces=a,b"}, "--proxy-namespaces names b"},
		{[]string{"--proxy-image-pull-policy=Sometimes"}, `"Sometimes"`},
		{[]string{"--proxy-cluster-role="}, "--proxy-cluster-role is empty"},
	} {
		_, err := parse(t, "callback-system", tc.args...)
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring(tc.want)), "%v", tc.args)
	}
}

// The image has a default in the environment, and is required where the manager
// runs proxies.
func TestFleets_ProxyImage(t *testing.T) {
	g := NewWithT(t)
	s, err := parse(t, "callback-system", "--proxy-image=registry.test/other")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Proxies.Image).To(Equal("registry.test/other"), "the flag wins")

	_, err = parseWith(t, nil, "callback-system")
	g.Expect(err).To(MatchError(And(ContainSubstring("set PROXY_IMAGE or --proxy-image"), ContainSubstring("callback-system"))))
	_, err = parseWith(t, nil, "")
	g.Expect(err).NotTo(HaveOccurred(), "outside a cluster it runs no proxies")
	_, err = parseWith(t, nil, "", "--proxy-namespaces=edge")
	g.Expect(err).To(HaveOccurred())
}

func TestOwnNamespace(t *testing.T) {
	g := NewWithT(t)
	env := func(value string) func(string) string { return func(string) string { return value } }
	file := func(string) ([]byte, error) { return []byte("from-file\n"), nil }
	none := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	g.Expect(ownNamespace(env("from-env"), file)).To(Equal("from-env"))
	g.Expect(ownNamespace(env(""), file)).To(Equal("from-file"))
	g.Expect(ownNamespace(env(""), none)).To(BeEmpty())
}
