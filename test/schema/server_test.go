// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
	"github.com/callbackproxy/callback-operator/test/schema"
)

// server is an API server with our CRDs, started by the first test that needs it.
// An API server refuses CRDs whose rules cost too much, so its start is also the
// check of their cost.
type server struct {
	*fixture.ControlPlane
	client client.Client
	rest   rest.Interface
}

var theServer = sync.OnceValues(func() (*server, error) {
	crds, err := fixture.CRDs()
	if err != nil {
		return nil, err
	}
	controlPlane, err := fixture.StartControlPlane(context.Background(), fixture.Options{CRDs: []string{crds}})
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{callbackv1alpha1.AddToScheme, clientgoscheme.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	started = controlPlane
	c, err := client.New(controlPlane.Config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	clients, err := kubernetes.NewForConfig(controlPlane.Config)
	if err != nil {
		return nil, err
	}
	return &server{ControlPlane: controlPlane, client: c, rest: clients.RESTClient()}, nil
})

// started is for TestMain to stop.
var started *fixture.ControlPlane

func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := started.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

func mustServer(t testing.TB) *server {
	t.Helper()
	s, err := theServer()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tryCreate returns the API server's response to a dry run.
func (s *server) tryCreate(ctx context.Context, object map[string]any) error {
	u := &unstructured.Unstructured{Object: runtime.DeepCopyJSON(object)}
	return s.client.Create(ctx, u, client.DryRunAll)
}

// tryPost does the same with the exact bytes, and returns the object as it would
// be stored.
func (s *server) tryPost(ctx context.Context, kind string, body []byte) (map[string]any, error) {
	data, err := s.rest.Post().AbsPath("/apis/callbackproxy.io/v1alpha1/namespaces", metav1.NamespaceDefault, plurals[kind]).
		Param("dryRun", metav1.DryRunAll).SetHeader("Content-Type", runtime.ContentTypeJSON).Body(body).DoRaw(ctx)
	if err != nil {
		return nil, err
	}
	return schema.ParseJSON(data)
}

var plurals = map[string]string{
	"CallbackRoute": "callbackroutes", "CallbackProxy": "callbackproxies", "CallbackProxyConfig": "callbackproxyconfigs",
}

// A rule that costs too much, or a schema that is not structural, keeps the
// API server from serving the kind.
func TestCRDs_AreServed(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	for kind := range mustSchemas(t) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(callbackv1alpha1.SchemeGroupVersion.WithKind(kind + "List"))
		if err := s.client.List(t.Context(), list); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}
