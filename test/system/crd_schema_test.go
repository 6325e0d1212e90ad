// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package system

// crd_schema_test.go: a CRD whose schema a test changes, and specs that no typed client sends.

import (
	"encoding/json"
	"fmt"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// schema is the CRD of CallbackRoutes, to be changed and put back.
type schema struct {
	s      *system
	client client.Client
	proper *apiextensionsv1.JSONSchemaProps
}

const routesCRD = "callbackroutes.callbackproxy.io"

// schema returns the CRD as it is now; it is put back when the test ends.
func (s *system) schema() *schema {
	s.t.Helper()
	scheme := runtime.NewScheme()
	s.Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	c, err := client.New(s.ControlPlane.Config, client.Options{Scheme: scheme})
	s.Expect(err).NotTo(HaveOccurred())
	x := &schema{s: s, client: c}
	x.proper = x.get().Spec.Versions[0].Schema.OpenAPIV3Schema.DeepCopy()
	return x
}

func (x *schema) get() *apiextensionsv1.CustomResourceDefinition {
	x.s.t.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	x.s.Expect(x.client.Get(x.s.ctx, types.NamespacedName{Name: routesCRD}, crd)).To(Succeed())
	return crd
}

// set stores a schema, and waits until the API server applies it, by a check.
func (x *schema) set(wanted *apiextensionsv1.JSONSchemaProps, check func() error) {
	x.s.t.Helper()
	crd := x.get()
	crd.Spec.Versions[0].Schema.OpenAPIV3Schema = wanted.DeepCopy()
	x.s.Expect(x.client.Update(x.s.ctx, crd)).To(Succeed())
	x.s.Eventually(check, patience).Should(Succeed(), "the new schema is in force")
}

// relax makes the API server store everything.
func (x *schema) relax() {
	x.s.t.Helper()
	anything := apiextensionsv1.JSONSchemaProps{Type: "object", XPreserveUnknownFields: new(true)}
	x.set(&apiextensionsv1.JSONSchemaProps{Type: "object", Properties: map[string]apiextensionsv1.JSONSchemaProps{
		"spec": {XPreserveUnknownFields: new(true)}, "status": anything,
	}}, func() error { return x.probe(`{"anything": true}`) })
}

// restore stores the proper schema again. Objects stored meanwhile stay.
func (x *schema) restore() {
	x.s.t.Helper()
	x.set(x.proper, func() error {
		if x.probe(`{"anything": true}`) == nil {
			return fmt.Errorf("anything is still accepted")
		}
		return nil
	})
}

// probe returns an error unless a spec would be stored.
func (x *schema) probe(spec string) error {
	return x.s.tolerant.Create(x.s.ctx, x.s.raw("identity", "probe", spec), client.DryRunAll)
}

// raw is a route with a spec that no typed client sends.
func (s *system) raw(namespace, name, spec string) *unstructured.Unstructured {
	s.t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{}}
	var content any
	s.Expect(json.Unmarshal([]byte(spec), &content)).To(Succeed())
	object.Object["spec"] = content
	object.SetGroupVersionKind(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRoute"))
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

// complete sets the defaults of the proper schema.
func complete(r *callbackv1alpha1.CallbackRoute) *callbackv1alpha1.CallbackRoute {
	r.Spec.AfterSunset = callbackv1alpha1.AfterSunsetReject
	r.Spec.Timeouts.RequestSeconds = 30
	return r
}

// altered is the spec of a good route with some fields replaced; nil removes one.
func (s *system) altered(name string, fields map[string]any) string {
	s.t.Helper()
	typed, err := json.Marshal(complete(route{name: name, active: "blue"}.object()).Spec)
	s.Expect(err).NotTo(HaveOccurred())
	var spec map[string]any
	s.Expect(json.Unmarshal(typed, &spec)).To(Succeed())
	for field, value := range fields {
		if value == nil {
			delete(spec, field)
			continue
		}
		spec[field] = value
	}
	out, err := json.Marshal(spec)
	s.Expect(err).NotTo(HaveOccurred())
	return string(out)
}

// storedSpecs returns the specs of all routes by namespace and name.
func (s *system) storedSpecs() map[string]string {
	s.t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(callbackv1alpha1.SchemeGroupVersion.WithKind("CallbackRouteList"))
	s.Expect(s.tolerant.List(s.ctx, list, &client.ListOptions{Raw: &metav1.ListOptions{}})).To(Succeed())
	specs := map[string]string{}
	for i := range list.Items {
		spec, err := json.Marshal(list.Items[i].Object["spec"])
		s.Expect(err).NotTo(HaveOccurred())
		specs[list.Items[i].GetNamespace()+"/"+list.Items[i].GetName()] = string(spec)
	}
	return specs
}
