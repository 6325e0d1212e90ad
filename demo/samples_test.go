// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/installation"
)

// The constants of names.go repeat names of config/samples.
func TestSamples_HaveTheNamesOfTheDemo(t *testing.T) {
	g := NewWithT(t)
	proxy, err := readSample("1-platform.yaml", "CallbackProxy")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(proxy.GetNamespace()).To(Equal(proxyNamespace))
	g.Expect(proxy.GetName()).To(Equal(proxyName))

	object, err := readSample("3-route.yaml", "CallbackRoute")
	g.Expect(err).NotTo(HaveOccurred())
	route := decodeRoute(t, object.Object)
	g.Expect(route.Namespace).To(Equal(routeNamespace))
	g.Expect(route.Name).To(Equal(routeName))
	g.Expect(route.Spec.Hostnames).To(ConsistOf(callbackv1alpha1.Hostname(host)))
	g.Expect(route.Spec.Callbacks).To(HaveLen(1))
	g.Expect(route.Spec.Callbacks[0].Path).To(BeEquivalentTo(callbackPath))
	g.Expect(route.Spec.Backends).To(HaveLen(2), "the switch patches backends by index")
	for i, want := range []struct{ backend, service string }{{"blue", blueService}, {"green", greenService}} {
		g.Expect(route.Spec.Backends[i].Name).To(Equal(want.backend))
		g.Expect(route.Spec.Backends[i].Service.Name).To(BeEquivalentTo(want.service))
	}
}

func TestPartnerManifest_ChangesNameAndPathOnly(t *testing.T) {
	g := NewWithT(t)
	object, err := readSample("3-route.yaml", "CallbackRoute")
	g.Expect(err).NotTo(HaveOccurred())
	manifest, err := partnerManifest()
	g.Expect(err).NotTo(HaveOccurred())
	sample, partner := decodeRoute(t, object.Object), callbackv1alpha1.CallbackRoute{}
	g.Expect(yaml.UnmarshalStrict([]byte(manifest), &partner)).To(Succeed())
	sample.Name, sample.Spec.Callbacks[0].Path = partnerRoute, partnerPath
	g.Expect(partner).To(Equal(sample))
}

func decodeRoute(t *testing.T, object map[string]any) callbackv1alpha1.CallbackRoute {
	t.Helper()
	encoded, err := yaml.Marshal(object)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	var route callbackv1alpha1.CallbackRoute
	NewWithT(t).Expect(yaml.UnmarshalStrict(encoded, &route)).To(Succeed())
	return route
}

func TestKustomization_IsTheSamplesUnlessTheirPortIsInUse(t *testing.T) {
	g := NewWithT(t)
	port, err := samplePort()
	g.Expect(err).NotTo(HaveOccurred())
	d := &demo{out: io.Discard, dir: t.TempDir(), port: port}
	g.Expect(d.kustomization()).To(Equal("config/samples"))

	d.port = port + 1
	overlay, err := d.kustomization()
	g.Expect(err).NotTo(HaveOccurred())
	content, err := os.ReadFile(filepath.Join(overlay, "kustomization.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	var kustomization struct {
		Resources []string `json:"resources"`
		Patches   []struct {
			Target map[string]string `json:"target"`
			Patch  string            `json:"patch"`
		} `json:"patches"`
	}
	g.Expect(yaml.UnmarshalStrict(content, &kustomization)).To(Succeed())
	g.Expect(kustomization.Resources).To(HaveLen(1))
	base, err := installation.Path(samples)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(filepath.Join(overlay, kustomization.Resources[0])).To(Equal(base))
	g.Expect(kustomization.Patches).To(HaveLen(1))
	g.Expect(kustomization.Patches[0].Target).To(Equal(map[string]string{"kind": "CallbackProxy", "name": "edge"}))
	var operations []map[string]any
	g.Expect(json.Unmarshal([]byte(kustomization.Patches[0].Patch), &operations)).To(Succeed(), "kustomize accepts no YAML in flow style")
	g.Expect(operations).To(Equal([]map[string]any{
		{"op": "replace", "path": "/spec/listener/port", "value": float64(port + 1)},
	}))
}
