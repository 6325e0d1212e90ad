// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package injection

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/fixture"
)

// patience is the limit for the API server to enforce a new policy, which takes
// about a second.
const patience = 60 * time.Second

// shared is a client of the API server that the tests share. It enforces the
// policies and has the default admission of service accounts.
var shared client.Client

func TestMain(m *testing.M) {
	os.Exit(fixture.RunSuite(m, fixture.Options{ServiceAccounts: true}, func(ctx context.Context, cp *fixture.ControlPlane) error {
		scheme := runtime.NewScheme()
		if err := errors.Join(callbackv1alpha1.AddToScheme(scheme), clientgoscheme.AddToScheme(scheme)); err != nil {
			return err
		}
		var err error
		if shared, err = client.New(cp.Config, client.Options{Scheme: scheme}); err != nil {
			return err
		}
		policies := filepath.Join("..", "..", "config", "injection")
		if err := fixture.CreateFiles(ctx, shared,
			filepath.Join(policies, "mutatingadmissionpolicy.yaml"), filepath.Join(policies, "validatingadmissionpolicy.yaml")); err != nil {
			return err
		}
		return inForce(ctx, shared)
	}))
}

// inForce waits until both policies are: one denies, the other injects.
func inForce(ctx context.Context, c client.Client) error {
	if err := newNamespace(ctx, c, "probe", nil); err != nil {
		return err
	}
	if err := c.Create(ctx, newProxy("probe", "here", nil)); err != nil {
		return err
	}
	var last error
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(100 * time.Millisecond) {
		denied := c.Create(ctx, newPod("probe", "absent", nil), client.DryRunAll)
		last = c.Create(ctx, newPod("probe", "here", nil), client.DryRunAll)
		if apierrors.IsForbidden(denied) && last == nil {
			return nil
		}
	}
	return fmt.Errorf("policies are not in force: %w", last)
}

// newNamespace makes a namespace and the account of its pods.
func newNamespace(ctx context.Context, c client.Client, name string, labels map[string]string) error {
	err := c.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	return errors.Join(err, c.Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "default"}}))
}

// newProxy returns a CallbackProxy of mode Sidecar.
func newProxy(namespace, name string, change func(*callbackv1alpha1.CallbackProxySpec)) *callbackv1alpha1.CallbackProxy {
	p := &callbackv1alpha1.CallbackProxy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: callbackv1alpha1.CallbackProxySpec{
			Mode: callbackv1alpha1.ModeSidecar, Sidecar: callbackv1alpha1.ProxySidecar{AppPort: 3000},
			Hosts: []callbackv1alpha1.ProxyHost{{Hostname: "auth.acme.test"}},
		},
	}
	if change != nil {
		change(&p.Spec)
	}
	return p
}

// newPod returns an application whose label names the sidecar of a proxy, or for
// none, and meets the Pod Security level restricted.
func newPod(namespace, proxy string, change func(*corev1.Pod)) *corev1.Pod {
	yes, no := true, false
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "app-"},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "app", Image: "app:1", SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
	if proxy != "" {
		p.Labels = map[string]string{callbackv1alpha1.InjectLabel: proxy}
	}
	if change != nil {
		change(p)
	}
	return p
}
