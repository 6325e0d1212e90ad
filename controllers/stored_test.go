// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/controllers/kube"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// One object that cannot be decoded, and a few hostile ones, among a thousand good
// ones: all others are served, and the conditions of the bad ones name the remedy.
func TestF12_AHostileRouteStopsNobodyElse(t *testing.T) {
	t.Parallel()
	cp := laxControlPlane(t)
	w := newWorld(t, cp)
	w.migration()
	proxy := &kube.Proxy{CallbackProxy: *w.liveProxy()}
	proxy.Spec.Policy.MaxRoutesPerNamespace = 2000
	w.Expect(w.client.Update(w.ctx, proxy)).To(Succeed())
	for i := range 1000 {
		w.create(w.newRoute(fmt.Sprintf("good-%04d", i)))
	}
	w.createRaw("undecodable", map[string]any{"sunsetTime": "2027-01-31t00:00:00z"})
	w.createRaw("squatter", map[string]any{"hostnames": []any{"auth.other.test"}})
	w.createRaw("traversal", map[string]any{"callbacks": []any{map[string]any{"name": "login", "path": "/a/../../admin", "pathType": "Prefix"}}})
	w.createRaw("injection", map[string]any{"infoURL": "https://x\"><script>\r\nSet-Cookie: a=b"})
	w.createRaw("two-active", map[string]any{"backends": []any{
		map[string]any{"name": "a", "weight": int64(1), "service": map[string]any{"name": "legacy-idp", "port": int64(8080)}},
		map[string]any{"name": "b", "weight": int64(1), "service": map[string]any{"name": "new-idp", "port": int64(8080)}},
	}})

	w.settle()
	w.Expect(w.table().Routes).To(HaveLen(1000))
	for name, reason := range map[string]string{
		"undecodable": "Undecodable", "squatter": "HostNotAllowed", "traversal": "Invalid", "injection": "Invalid", "two-active": "Invalid",
	} {
		w.Expect(w.condition(name, "Accepted").Reason).To(Equal(reason), name)
	}
	w.Expect(w.condition("undecodable", "Accepted").Message).To(ContainSubstring("2027-01-31t00:00:00z"))
	w.Expect(w.condition("good-0000", "Ready").Status).To(BeEquivalentTo("True"))
	w.Expect(w.condition("good-0999", "Ready").Status).To(BeEquivalentTo("True"))
}

// laxControlPlane runs the CRD of a careless release: it lacks every pattern
// and every rule, so anything can be stored.
func laxControlPlane(t *testing.T) *fixture.ControlPlane {
	t.Helper()
	g := NewWithT(t)
	crds, err := fixture.CRDs()
	g.Expect(err).NotTo(HaveOccurred())
	cp, err := fixture.StartControlPlane(t.Context(), fixture.Options{CRDs: []string{crds}, ReferenceGrant: true, Log: os.Stderr})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = cp.Stop() })
	scheme := kube.NewScheme()
	g.Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	c, err := client.New(cp.Config, client.Options{Scheme: scheme})
	g.Expect(err).NotTo(HaveOccurred())
	crd := &apiextensionsv1.CustomResourceDefinition{}
	g.Expect(c.Get(t.Context(), types.NamespacedName{Name: "callbackroutes.callbackproxy.io"}, crd)).To(Succeed())
	loosen(crd.Spec.Versions[0].Schema.OpenAPIV3Schema)
	g.Expect(c.Update(t.Context(), crd)).To(Succeed())
	g.Eventually(func() error {
		probe := &kube.Route{CallbackRoute: callbackv1alpha1.CallbackRoute{}}
		probe.Namespace, probe.Name = "default", "probe"
		return c.Create(t.Context(), probe, client.DryRunAll)
	}, 20*time.Second, 100*time.Millisecond).Should(Succeed(), "the lax schema is in force")
	return cp
}

func loosen(schema *apiextensionsv1.JSONSchemaProps) {
	schema.Pattern, schema.Format, schema.XValidations, schema.Required = "", "", nil, nil
	schema.MinLength, schema.MinItems, schema.Enum = nil, nil, nil
	if schema.Items != nil && schema.Items.Schema != nil {
		loosen(schema.Items.Schema)
	}
	for name, property := range schema.Properties {
		loosen(&property)
		property.XListMapKeys, property.XListType = nil, nil
		schema.Properties[name] = property
	}
}

// createRaw stores a route whose spec holds what no typed client would send.
func (w *world) createRaw(name string, overrides map[string]any) {
	w.t.Helper()
	typed, err := json.Marshal(&w.newRoute(name).CallbackRoute)
	w.Expect(err).NotTo(HaveOccurred())
	object := &unstructured.Unstructured{}
	w.Expect(json.Unmarshal(typed, &object.Object)).To(Succeed())
	object.SetGroupVersionKind(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute"))
	for field, value := range overrides {
		w.Expect(unstructured.SetNestedField(object.Object, value, "spec", field)).To(Succeed())
	}
	w.Expect(w.client.Create(w.ctx, object)).To(Succeed())
}
