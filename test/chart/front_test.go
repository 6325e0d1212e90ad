// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

// front_test.go: the Ingress and the HTTPRoute in front of a release's proxies, and
// the notes about every other front.

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

const nginx = "nginx.ingress.kubernetes.io/"

// W7, F65: the Ingress has the annotations of docs/in-front-of-the-proxies.md, by
// which ingress-nginx sends a callback once. The user's own replace them.
func TestF65_IngressSendsOnce(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(filepath.Join(root, "docs", "in-front-of-the-proxies.md"))
	g.Expect(err).NotTo(HaveOccurred())
	var documented map[string]string
	for _, block := range fenced.FindAllStringSubmatch(string(page), -1) {
		if strings.HasPrefix(block[1], nginx) {
			g.Expect(yaml.UnmarshalStrict([]byte(block[1]), &documented)).To(Succeed())
		}
	}
	g.Expect(documented).To(HaveKeyWithValue(nginx+"proxy-next-upstream", "off"))
	for name, tc := range map[string]struct {
		values string
		change map[string]string
	}{
		"defaults":     {"", nil},
		"larger forms": {"\n  limits: {bodyKiB: 4096}", map[string]string{nginx + "proxy-body-size": "4096k"}},
		"the user's own": {
			"\n    annotations: {nginx.ingress.kubernetes.io/proxy-buffer-size: 8k, cert-manager.io/cluster-issuer: acme}",
			map[string]string{nginx + "proxy-buffer-size": "8k", "cert-manager.io/cluster-issuer": "acme"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			ingresses := ofKind(render(t, edge+"  keep: false\n  ingress:\n    enabled: true"+tc.values, rendering.CallbackProxy), "Ingress")
			g.Expect(ingresses).To(HaveLen(1))
			want := maps.Clone(documented)
			maps.Copy(want, tc.change)
			g.Expect(ingresses[0].GetAnnotations()).To(Equal(want))
		})
	}
}

// W7, F65: the HTTPRoute requests no retry.
func TestF65_HTTPRouteSendsOnce(t *testing.T) {
	g := NewWithT(t)
	routes := ofKind(render(t, edge+"  httpRoute: {enabled: true, parentRefs: [{name: public}]}", rendering.CallbackProxy), "HTTPRoute")
	g.Expect(routes).To(HaveLen(1))
	rules := routes[0].Object["spec"].(map[string]any)["rules"].([]any)
	g.Expect(rules).To(HaveLen(1))
	g.Expect(rules[0]).NotTo(HaveKey("retry"))
	g.Expect(rules[0]).NotTo(HaveKey("filters"))
}

// The notes name what a front has to do, whatever is installed.
func TestNotes_NameWhatTheFrontHasToDo(t *testing.T) {
	for name, tc := range map[string]struct {
		values  string
		with    []string
		without []string
	}{
		"the operator alone":    {"", []string{"proxy_next_upstream off", "attempts: 0"}, []string{"is empty"}},
		"a fleet":               {"proxy: {enabled: true, hosts: [{hostname: sso.acme.test}]}", []string{"proxy_next_upstream off", "trustedProxies is empty"}, nil},
		"a fleet with a front":  {edge, []string{"proxy_next_upstream off"}, []string{"is empty"}},
		"a fleet and Ingress":   {edge + "  ingress: {enabled: true}", []string{"the annotations of the Ingress"}, []string{"proxy_next_upstream"}},
		"a fleet and HTTPRoute": {edge + "  httpRoute: {enabled: true, parentRefs: [{name: public}]}", []string{"the HTTPRoute has no retry"}, []string{"proxy_next_upstream"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, notes, err := rendering.Render(load(t), rendering.Release{
				Name: release, Namespace: system, Values: parse(t, tc.values), APIVersions: []string{rendering.CallbackProxy},
			})
			g.Expect(err).NotTo(HaveOccurred())
			for _, text := range append(tc.with, "sends each request once", "keeps Host", "overwrites X-Forwarded-For", "trustedProxies", "75 s", "620 s", "docs/in-front-of-the-proxies.md") {
				g.Expect(notes).To(ContainSubstring(text))
			}
			for _, text := range tc.without {
				g.Expect(notes).NotTo(ContainSubstring(text))
			}
		})
	}
}
