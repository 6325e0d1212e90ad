// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package admission_test shows the policies of config/admission on a real API
// server: the texts that a user reads, and that no order of writes jams.
package admission_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// proxyNamespace is the namespace that bindings.yaml names.
const proxyNamespace = "callback-system"

// server is the configuration of clients of the API server that the tests share,
// which enforces config/admission.
var server *rest.Config

func TestMain(m *testing.M) {
	os.Exit(fixture.RunSuite(m, fixture.Options{}, func(ctx context.Context, cp *fixture.ControlPlane) error {
		server = cp.Config
		c, _, err := connect(server)
		if err != nil {
			return err
		}
		policies := filepath.Join("..", "..", "config", "admission")
		if err := fixture.CreateFiles(ctx, c, filepath.Join(policies, "policies.yaml"), filepath.Join(policies, "bindings.yaml")); err != nil {
			return err
		}
		return c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: proxyNamespace}})
	}))
}

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
	c, w, err := connect(server)
	if err != nil {
		t.Fatal(err)
	}
	return c, w
}
