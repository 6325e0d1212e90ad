// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// documents reads a file of config/ as objects.
func documents(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq("\n"+text, "\n---\n") {
		object := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
			t.Fatalf("decode: %v\n%s", err, document)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects
}

func readConfig(t *testing.T, pattern string) []*unstructured.Unstructured {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "config", pattern))
	if err != nil || len(paths) == 0 {
		t.Fatalf("find config/%s: nothing there (%v)", pattern, err)
	}
	var objects []*unstructured.Unstructured
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, documents(t, string(content))...)
	}
	return objects
}

// asYAML encodes a value for comparison, so that a difference is shown as text.
func asYAML(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func ofKind(objects []rendering.Object, kinds ...string) []rendering.Object {
	var found []rendering.Object
	for _, object := range objects {
		if slices.Contains(kinds, object.GetKind()) {
			found = append(found, object)
		}
	}
	return found
}

func TestCRDs_AreThoseOfConfigAndAreKept(t *testing.T) {
	g := NewWithT(t)
	rendered := ofKind(render(t, "crds: {annotations: {a: b}}"), "CustomResourceDefinition")
	sources := readConfig(t, "crd/bases/*.yaml")
	g.Expect(rendered).To(HaveLen(len(sources)))
	for i, source := range sources {
		g.Expect(rendered[i].GetName()).To(Equal(source.GetName()))
		g.Expect(asYAML(t, rendered[i].Object["spec"])).To(Equal(asYAML(t, source.Object["spec"])), source.GetName())
		g.Expect(rendered[i].GetAnnotations()).To(HaveKeyWithValue("helm.sh/resource-policy", "keep"))
		g.Expect(rendered[i].GetAnnotations()).To(HaveKeyWithValue("a", "b"))
		g.Expect(rendered[i].GetAnnotations()).To(HaveKey("controller-gen.kubebuilder.io/version"))
	}
	for _, crd := range ofKind(render(t, "crds: {keep: false}"), "CustomResourceDefinition") {
		g.Expect(crd.GetAnnotations()).NotTo(HaveKey("helm.sh/resource-policy"))
	}
	g.Expect(ofKind(render(t, "crds: {enabled: false}"), "CustomResourceDefinition")).To(BeEmpty())
}

// test/injection proves config/injection. The chart changes names, the image
// and, with scope namespaces, the namespaces.
func TestInjection_IsThatOfConfig(t *testing.T) {
	g := NewWithT(t)
	const values = "image: {registry: r.example.com, proxy: {repository: other, tag: v1, pullPolicy: Never}}"
	rendered := ofKind(render(t, values, rendering.MutatingPolicy),
		"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
	rendered = slices.DeleteFunc(rendered, func(o rendering.Object) bool { return !strings.HasSuffix(o.Template, "/injection.yaml") })
	sources := readConfig(t, "injection/*.yaml")
	g.Expect(rendered).To(HaveLen(len(sources)))
	images := 0
	for i, source := range sources {
		g.Expect(rendered[i].GetKind()).To(Equal(source.GetKind()))
		spec, is := source.Object["spec"].(map[string]any)
		g.Expect(is).To(BeTrue())
		if spec["policyName"] != nil {
			spec["policyName"] = release + "-injection"
		}
		variables, _ := spec["variables"].([]any)
		for _, v := range variables {
			variable := v.(map[string]any)
			switch variable["name"] {
			case "image":
				variable["expression"] = "'r.example.com/other:v1'"
				images++
			case "imagePullPolicy":
				variable["expression"] = "'Never'"
				images++
			}
		}
		g.Expect(asYAML(t, rendered[i].Object["spec"])).To(Equal(asYAML(t, source.Object["spec"])))
	}
	g.Expect(images).To(Equal(2), "the image and its pull policy are one variable each")
}

// test/schema proves config/admission. The chart changes names and renders the
// bindings for its own proxyNamespaces.
func TestAdmission_IsThatOfConfig(t *testing.T) {
	g := NewWithT(t)
	specs := map[string]string{}
	for _, object := range render(t, "") {
		if strings.HasSuffix(object.Template, "/admission.yaml") {
			specs[object.GetKind()+" "+object.GetName()] = asYAML(t, object.Object["spec"])
		}
	}
	sources := readConfig(t, "admission/[bp]*.yaml")
	g.Expect(specs).To(HaveLen(len(sources)))
	for _, source := range sources {
		rename := func(name string) string { return release + "-" + strings.TrimPrefix(name, "callback-") }
		spec, isMap := source.Object["spec"].(map[string]any)
		g.Expect(isMap).To(BeTrue())
		if policy, isBinding := spec["policyName"].(string); isBinding {
			spec["policyName"] = rename(policy)
		}
		g.Expect(specs).To(HaveKeyWithValue(source.GetKind()+" "+rename(source.GetName()), asYAML(t, spec)))
	}
	for _, object := range render(t, "admission: {enabled: false}") {
		g.Expect(object.Template).NotTo(HaveSuffix("/admission.yaml"))
	}
}

func TestMonitoring_IsThatOfConfig(t *testing.T) {
	g := NewWithT(t)
	objects := render(t, "", rendering.Monitoring()...)
	rules := ofKind(objects, "PrometheusRule")
	g.Expect(rules).To(HaveLen(1))
	g.Expect(asYAML(t, rules[0].Object["spec"])).
		To(Equal(asYAML(t, readConfig(t, "monitoring/prometheusrule.yaml")[0].Object["spec"])))
	dashboard, err := os.ReadFile(filepath.Join(root, "config", "monitoring", "dashboard.json"))
	g.Expect(err).NotTo(HaveOccurred())
	maps := ofKind(objects, "ConfigMap")
	g.Expect(maps).To(HaveLen(1))
	data, _, err := unstructured.NestedString(maps[0].Object, "data", "callback-operator.json")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(strings.TrimSpace(data)).To(Equal(strings.TrimSpace(string(dashboard))))
	g.Expect(maps[0].GetLabels()).To(HaveKeyWithValue("grafana_dashboard", "1"))
}

func TestOptionalKinds_AreMadeWhereTheAPIServerHasThem(t *testing.T) {
	g := NewWithT(t)
	optional := []string{"ServiceMonitor", "PodMonitor", "PrometheusRule", "MutatingAdmissionPolicy"}
	g.Expect(ofKind(render(t, ""), optional...)).To(BeEmpty())
	g.Expect(ofKind(render(t, "", append(rendering.Monitoring(), rendering.MutatingPolicy)...), optional...)).To(HaveLen(len(optional)))
}

// Helm reads no file outside of a chart, so the chart links to config/. A
// package contains the files to which the links point.
func TestPackage_ContainsTheFilesOfConfig(t *testing.T) {
	g := NewWithT(t)
	archive, err := chartutil.Save(load(t), t.TempDir())
	g.Expect(err).NotTo(HaveOccurred())
	packaged, err := loader.LoadFile(archive)
	g.Expect(err).NotTo(HaveOccurred())
	contents := map[string]string{}
	for _, file := range packaged.Files {
		contents[file.Name] = string(file.Data)
	}
	expected := 0
	for link, pattern := range map[string]string{
		"admission": "admission/*", "crds": "crd/bases/*", "injection": "injection/*", "monitoring": "monitoring/*",
	} {
		sources, err := filepath.Glob(filepath.Join(root, "config", pattern))
		g.Expect(err).NotTo(HaveOccurred())
		for _, source := range sources {
			content, err := os.ReadFile(source)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(contents).To(HaveKeyWithValue("files/"+link+"/"+filepath.Base(source), string(content)))
			expected++
		}
	}
	g.Expect(expected).To(BeNumerically(">=", 7))
	found := 0
	for name := range contents {
		if strings.HasPrefix(name, "files/") {
			found++
		}
	}
	g.Expect(found).To(Equal(expected), "no other files")
	objects, _, err := rendering.Render(packaged, rendering.Release{Name: release, Namespace: system, Values: parse(t, "")})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(objects).To(HaveLen(len(render(t, ""))))
}

// The samples build on an installation in the namespace callback-system.
func TestKustomize_SamplesBuild(t *testing.T) {
	g := NewWithT(t)
	assets, err := fixture.Assets(t.Context(), nil)
	g.Expect(err).NotTo(HaveOccurred())
	built, err := exec.Command(filepath.Join(assets, "kubectl"), "kustomize", filepath.Join(root, "config", "samples")).Output()
	g.Expect(err).NotTo(HaveOccurred())
	kinds := map[string]int{}
	for _, object := range documents(t, string(built)) {
		kinds[object.GetKind()]++
	}
	g.Expect(kinds).To(Equal(map[string]int{"Namespace": 2, "Service": 2, "Deployment": 2, "CallbackProxy": 1, "CallbackRoute": 1}))
}
