// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission_test shows the policies of config/admission on a real API
// server: the texts that a user reads, and that no order of writes jams.
package admission_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// proxyNamespace is the namespace that bindings.yaml names.
const proxyNamespace = "callback-system"

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

// server starts an API server with the CRDs and config/admission, once.
var server = sync.OnceValues(func() (*rest.Config, error) {
	crds, err := fixture.CRDs()
	if err != nil {
		return nil, err
	}
	controlPlane, err := fixture.StartControlPlane(context.Background(), fixture.Options{CRDs: []string{crds}})
	if err != nil {
		return nil, fmt.Errorf("start control plane: %w", err)
	}
	started = controlPlane
	c, _, err := connect(controlPlane.Config)
	if err != nil {
		return nil, err
	}
	for _, file := range []string{"policies.yaml", "bindings.yaml"} {
		if err := applyFile(context.Background(), c, filepath.Join("..", "..", "config", "admission", file)); err != nil {
			return nil, err
		}
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: proxyNamespace}}
	return controlPlane.Config, c.Create(context.Background(), namespace)
})

// warnings records what the API server sends beside its responses.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

// take returns the warnings since the last call, without the policy's and the
// binding's name, of which each must have its due.
func (w *warnings) take() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	texts := w.texts
	w.texts = nil
	for i, text := range texts {
		if head, message, found := strings.Cut(text, "': "); found && strings.HasPrefix(head, "Validation failed for ValidatingAdmissionPolicy 'callback-route-warnings'") {
			texts[i] = message
		}
	}
	return texts
}

// connect returns a client and the warnings of its requests alone.
func connect(config *rest.Config) (client.Client, *warnings, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(callbackv1alpha1.AddToScheme(scheme), clientgoscheme.AddToScheme(scheme)); err != nil {
		return nil, nil, err
	}
	w := &warnings{}
	config = rest.CopyConfig(config)
	config.WarningHandler = w
	c, err := client.New(config, client.Options{Scheme: scheme})
	return c, w, err
}

func mustConnect(t *testing.T) (client.Client, *warnings) {
	t.Helper()
	config, err := server()
	if err != nil {
		t.Fatal(err)
	}
	c, w, err := connect(config)
	if err != nil {
		t.Fatal(err)
	}
	return c, w
}

// applyFile creates the objects of a file, strictly: an unknown field is an error.
func applyFile(ctx context.Context, c client.Client, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("decode %s: %w", file, err)
		}
		if err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
			return fmt.Errorf("create %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}
