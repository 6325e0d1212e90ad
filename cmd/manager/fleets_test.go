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
	var f fleets
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	f.bind(flags)
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
		Proxies: workload.Options{PullPolicy: "IfNotPresent", ClusterRole: "callback-proxy", ManagerNamespace: "callback-system"},
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

func TestFleets_ReadTheImageFromTheEnvironment(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("PROXY_IMAGE", "registry.example.com/callback-proxy:v1")
	s, err := parse(t, "callback-system")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Proxies.Image).To(Equal("registry.example.com/callback-proxy:v1"))

	s, err = parse(t, "callback-system", "--proxy-image=other")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.Proxies.Image).To(Equal("other"))
}

func TestFleets_RefusesWhatCannotBe(t *testing.T) {
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

func TestOwnNamespace(t *testing.T) {
	g := NewWithT(t)
	env := func(value string) func(string) string { return func(string) string { return value } }
	file := func(string) ([]byte, error) { return []byte("from-file\n"), nil }
	none := func(string) ([]byte, error) { return nil, fs.ErrNotExist }
	g.Expect(ownNamespace(env("from-env"), file)).To(Equal("from-env"))
	g.Expect(ownNamespace(env(""), file)).To(Equal("from-file"))
	g.Expect(ownNamespace(env(""), none)).To(BeEmpty())
}
