// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

var update = flag.Bool("update", false, "write the golden files")

func TestChart_PassesHelmsLinter(t *testing.T) {
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) {
			linter := lint.RunAll(filepath.Join(root, "charts", "callback-operator"), parse(t, s.values), system)
			for _, message := range linter.Messages {
				if message.Severity > support.InfoSev {
					t.Error(message)
				}
			}
		})
	}
}

// newScheme contains the kinds that the chart may render.
func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, callbackv1alpha1.AddToScheme,
		monitoringv1.AddToScheme, gatewayv1.Install,
	} {
		if err := add(scheme); err != nil {
			t.Fatalf("make scheme: %v", err)
		}
	}
	return scheme
}

// An API server silently drops unknown fields unless the client requests strict
// validation.
func TestObjects_HaveOnlyFieldsOfTheirTypes(t *testing.T) {
	scheme := newScheme(t)
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		for _, object := range objects {
			typed, err := scheme.New(kindOf(object))
			if err != nil {
				t.Errorf("%s: %v", object.Template, err)
				continue
			}
			if err := yaml.UnmarshalStrict([]byte(object.YAML), typed); err != nil {
				t.Errorf("%s: %s %s: %v", object.Template, object.GetKind(), object.GetName(), err)
			}
		}
	})
}

// The second of two objects with one name would silently replace the first.
func TestObjects_HaveTheirOwnNamesAndTheCommonLabels(t *testing.T) {
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		g := NewWithT(t)
		keys := map[string]bool{}
		for _, object := range objects {
			key := strings.Join([]string{object.GetAPIVersion(), object.GetKind(), object.GetNamespace(), object.GetName()}, " ")
			g.Expect(keys).NotTo(HaveKey(key))
			keys[key] = true
			if strings.HasSuffix(object.Template, "/extra.yaml") {
				continue
			}
			g.Expect(object.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/instance", release), key)
			g.Expect(object.GetLabels()).To(HaveKeyWithValue("app.kubernetes.io/managed-by", "Helm"), key)
		}
	})
}

// Helm stores the release in a Secret, which holds at most 1 MiB.
func TestObjects_AreFewEnoughForARelease(t *testing.T) {
	eachScenario(t, func(t *testing.T, objects []rendering.Object) {
		t.Helper()
		size := 0
		for _, object := range objects {
			size += len(object.YAML)
		}
		NewWithT(t).Expect(size).To(BeNumerically("<", 400_000))
	})
}

func TestGolden(t *testing.T) {
	for _, s := range scenarios() {
		if !s.golden {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			g := NewWithT(t)
			rendered := ""
			for _, object := range render(t, s.values, s.apis...) {
				// Another test compares the CRDs with config/crd.
				if object.GetKind() == "CustomResourceDefinition" {
					continue
				}
				rendered += "---\n# " + object.Template + "\n" + shorten(object) + "\n"
			}
			path := filepath.Join("testdata", s.name+".yaml")
			if *update {
				g.Expect(os.MkdirAll("testdata", 0o755)).To(Succeed())
				g.Expect(os.WriteFile(path, []byte(rendered), 0o644)).To(Succeed())
			}
			golden, err := os.ReadFile(path)
			g.Expect(err).NotTo(HaveOccurred(), "go test . -run Golden -update writes it")
			g.Expect(rendered).To(Equal(string(golden)))
		})
	}
}

// shorten omits specs that other tests compare with their source in config/.
func shorten(object rendering.Object) string {
	field := ""
	switch object.GetKind() {
	case "PrometheusRule", "MutatingAdmissionPolicy":
		field = "spec:"
	case "ValidatingAdmissionPolicy":
		if strings.HasSuffix(object.Template, "/admission.yaml") {
			field = "spec:"
		}
	case "ConfigMap":
		field = "data:"
	}
	if field == "" {
		return object.YAML
	}
	text, _, _ := strings.Cut(object.YAML, "\n"+field)
	return text + "\n" + field + " # not shown"
}
