// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"context"
	"fmt"
	"log"
	"os"
	"testing"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/config/crd"
)

// api is a client of a real API server that has the CRDs and refuses fields
// that it does not know.
var api client.Client

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	stop, err := start(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	if err := stop(); err != nil {
		log.Print(err)
	}
	os.Exit(code)
}

func start(ctx context.Context) (stop func() error, err error) {
	definitions, err := crd.Definitions()
	if err != nil {
		return nil, err
	}
	server := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{CRDs: definitions}}
	config, err := server.Start() // the programs are those of KUBEBUILDER_ASSETS
	if err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	if err := callbackv1alpha1.AddToScheme(scheme.Scheme); err != nil {
		return nil, err
	}
	plain, err := client.New(config, client.Options{Scheme: scheme.Scheme})
	if err != nil {
		return nil, err
	}
	api = client.WithFieldValidation(plain, metav1.FieldValidationStrict)
	for _, name := range []string{"callback-system", "identity"} {
		if err := api.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return nil, err
		}
	}
	return server.Stop, nil
}

// read decodes a manifest strictly.
func read[T any](t *testing.T, path string) *T {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	object := new(T)
	if err := yaml.UnmarshalStrict(content, object); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return object
}
