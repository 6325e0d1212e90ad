// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
)

// checkMode refuses a CallbackProxy that has no sidecar.
func checkMode(proxy *callbackv1alpha1.CallbackProxy) error {
	if proxy.Spec.Mode == callbackv1alpha1.ModeSidecar && proxy.Spec.Sidecar.AppPort > 0 {
		return nil
	}
	mode := string(proxy.Spec.Mode)
	if mode == "" {
		mode = "none"
	}
	return fmt.Errorf("CallbackProxy %s/%s has no sidecar (mode %s): set spec.mode to Sidecar, and spec.sidecar.appPort to the application's port",
		proxy.Namespace, proxy.Name, mode)
}

// fileProxies are those of one file. A CallbackProxy in it without a
// namespace is of every namespace.
type fileProxies struct {
	file string
	all  []callbackv1alpha1.CallbackProxy
}

// readProxies reads the CallbackProxies of a file; other objects in it are
// skipped. An unknown field is an error, as it would be for the API server.
func readProxies(file string) (*fileProxies, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the user's own file
	if err != nil {
		return nil, fmt.Errorf("read CallbackProxies: %w", err)
	}
	found := &fileProxies{file: file}
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if kind.Kind != "CallbackProxy" || kind.APIVersion != callbackv1alpha1.SchemeGroupVersion.String() {
			continue
		}
		var proxy callbackv1alpha1.CallbackProxy
		if err := yaml.UnmarshalStrict(document, &proxy); err != nil {
			return nil, fmt.Errorf("read CallbackProxy in %s: %w", file, err)
		}
		found.all = append(found.all, proxy)
	}
	if len(found.all) == 0 {
		return nil, fmt.Errorf("%s holds no CallbackProxy of %s", file, callbackv1alpha1.SchemeGroupVersion)
	}
	return found, nil
}

// Get returns the CallbackProxy of that name for a namespace.
func (f *fileProxies) Get(_ context.Context, namespace, name string) (*callbackv1alpha1.CallbackProxy, error) {
	var elsewhere []string
	for i := range f.all {
		proxy := f.all[i].DeepCopy()
		switch {
		case proxy.Name != name:
			continue
		case namespace == "" && proxy.Namespace == "":
			return nil, errors.New("its namespace is not known, and the sidecar needs it: set metadata.namespace, or give -n")
		case namespace == "" || proxy.Namespace == "" || namespace == proxy.Namespace:
			if proxy.Namespace == "" {
				proxy.Namespace = namespace
			}
			return proxy, checkMode(proxy)
		}
		elsewhere = append(elsewhere, proxy.Namespace)
	}
	if len(elsewhere) > 0 {
		return nil, fmt.Errorf("CallbackProxy %s in %s is of namespace %s, the pod of %s: a sidecar is of its pod's own namespace",
			name, f.file, strings.Join(elsewhere, ", "), namespace)
	}
	return nil, fmt.Errorf("%s holds no CallbackProxy named %s: correct the label or --proxy", f.file, name)
}

// clusterProxies are those of the cluster.
type clusterProxies struct{ client dynamic.Interface }

func newClusterProxies(config *genericclioptions.ConfigFlags) (*clusterProxies, error) {
	rest, err := config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster (or give --proxy-file): %w", err)
	}
	rest.UserAgent = "kubectl-callback/" + version
	client, err := dynamic.NewForConfig(rest)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	return &clusterProxies{client}, nil
}

// Get reads one.
func (c *clusterProxies) Get(ctx context.Context, namespace, name string) (*callbackv1alpha1.CallbackProxy, error) {
	kind := callbackv1alpha1.SchemeGroupVersion.WithResource("callbackproxies")
	object, err := c.client.Resource(kind).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("namespace %s has no CallbackProxy %s: create it, correct the label or --proxy, or choose the namespace with -n", namespace, name)
	case err != nil:
		return nil, fmt.Errorf("read CallbackProxy %s/%s: %w", namespace, name, err)
	}
	var proxy callbackv1alpha1.CallbackProxy
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &proxy); err != nil {
		return nil, fmt.Errorf("decode CallbackProxy %s/%s: %w", namespace, name, err)
	}
	return &proxy, checkMode(&proxy)
}
