// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	chartv2 "helm.sh/helm/v4/pkg/chart/v2"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

const (
	root = "../.."
	// The names that the documentation uses.
	release = "callback-operator"
	system  = "callback-system"
)

// namespaces are those in which renderings of the matrix have objects.
var namespaces = []string{system, "identity", "tenant-a", "tenant-b", "fleets"}

func TestMain(m *testing.M) {
	// Helm's log repeats its results.
	slog.SetDefault(slog.New(slog.DiscardHandler))
	code := m.Run()
	stop()
	os.Exit(code)
}

var (
	startOnce    sync.Once
	controlPlane *fixture.ControlPlane
	startErr     error
)

func stop() {
	if controlPlane != nil {
		_ = controlPlane.Stop()
	}
}

// cluster returns an API server with the kinds of all renderings. Tests that
// only use dry runs or their own namespaces share it.
func cluster(t *testing.T) (*fixture.ControlPlane, client.Client) {
	t.Helper()
	startOnce.Do(func() { controlPlane, startErr = start(context.Background()) })
	if startErr != nil {
		t.Fatal(startErr)
	}
	return controlPlane, strictClient(t, controlPlane.Config)
}

func start(ctx context.Context) (*fixture.ControlPlane, error) {
	crds, err := fixture.CRDs()
	if err != nil {
		return nil, err
	}
	grants, err := fixture.ReferenceGrantCRD(ctx)
	if err != nil {
		return nil, err
	}
	httpRoutes := filepath.Join(filepath.Dir(grants), "gateway.networking.k8s.io_httproutes.yaml")
	cp, err := fixture.StartControlPlane(ctx, fixture.Options{CRDs: []string{crds, httpRoutes}, ReferenceGrant: true})
	if err != nil {
		return nil, err
	}
	if _, err := envtest.InstallCRDs(cp.Config, envtest.CRDInstallOptions{CRDs: monitoringCRDs()}); err != nil {
		return cp, fmt.Errorf("install stand-ins of the Prometheus operator's kinds: %w", err)
	}
	admin, err := client.New(cp.Config, client.Options{})
	if err != nil {
		return cp, fmt.Errorf("make client: %w", err)
	}
	for _, name := range namespaces {
		if err := admin.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return cp, fmt.Errorf("create namespace: %w", err)
		}
	}
	return cp, nil
}

// monitoringCRDs accept all fields: TestObjects_HaveOnlyFieldsOfTheirTypes
// compares the objects with the Go types.
func monitoringCRDs() []*apiextensionsv1.CustomResourceDefinition {
	var crds []*apiextensionsv1.CustomResourceDefinition
	for kind, plural := range map[string]string{
		"ServiceMonitor": "servicemonitors", "PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules",
	} {
		open := true
		crds = append(crds, &apiextensionsv1.CustomResourceDefinition{
			ObjectMeta: metav1.ObjectMeta{Name: plural + ".monitoring.coreos.com"},
			Spec: apiextensionsv1.CustomResourceDefinitionSpec{
				Group: "monitoring.coreos.com", Scope: apiextensionsv1.NamespaceScoped,
				Names: apiextensionsv1.CustomResourceDefinitionNames{Kind: kind, ListKind: kind + "List", Plural: plural},
				Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
					Name: "v1", Served: true, Storage: true,
					Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
						Type: "object", XPreserveUnknownFields: &open,
					}},
				}},
			},
		})
	}
	return crds
}

// strictClient requests strict validation: the API server refuses unknown fields.
func strictClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	plain, err := client.New(config, client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatalf("make client: %v", err)
	}
	return client.WithFieldValidation(plain, metav1.FieldValidationStrict)
}

func load(t *testing.T) *chartv2.Chart {
	t.Helper()
	c, err := rendering.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// render renders the chart under its usual name; values are YAML.
func render(t *testing.T, values string, apis ...string) []rendering.Object {
	t.Helper()
	objects, _, err := rendering.Render(load(t), rendering.Release{
		Name: release, Namespace: system, Values: parse(t, values), APIVersions: apis,
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func kindOf(object rendering.Object) schema.GroupVersionKind {
	return object.GetObjectKind().GroupVersionKind()
}

// decode fills a typed object from a rendered one.
func decode(t *testing.T, object rendering.Object, into any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, into); err != nil {
		t.Fatalf("decode %s %s: %v", object.GetKind(), object.GetName(), err)
	}
}
