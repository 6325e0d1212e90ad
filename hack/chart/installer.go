// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// installer.go renders the chart into manifests for kubectl.

package main

import (
	"fmt"
	"os"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// namespace is the namespace of an installation without Helm.
const namespace = "callback-system"

// installerOptions select what the manifests install.
type installerOptions struct {
	registry, tag string
	valuesFile    string
}

// renderInstaller returns two manifests by name. install.yaml is complete on its own; injection.yaml adds the injection of
// sidecars, whose kinds exist since Kubernetes 1.36.
func renderInstaller(root string, options installerOptions) (map[string]string, error) {
	loaded, err := rendering.Load(root)
	if err != nil {
		return nil, err
	}
	values, err := options.values(root)
	if err != nil {
		return nil, err
	}
	objects, err := renderBare(loaded, values)
	if err != nil {
		return nil, err
	}
	var install, injection strings.Builder
	fmt.Fprintf(&install, restrictedNamespace, installationNamespace(values))
	injection.WriteString("# Injection of sidecars into labelled pods. Requires Kubernetes 1.36.\n")
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", object.GetName(), err)
		}
		manifest := &install
		if strings.HasPrefix(object.GetKind(), "Mutating") {
			manifest = &injection
		}
		manifest.WriteString("---\n" + string(text))
	}
	return map[string]string{"install.yaml": install.String(), "injection.yaml": injection.String()}, nil
}

// values returns those of the file, with registry and tag on top.
func (o installerOptions) values(root string) (map[string]any, error) {
	values := map[string]any{}
	if o.valuesFile != "" {
		content, err := os.ReadFile(resolve(root, o.valuesFile))
		if err != nil {
			return nil, fmt.Errorf("read values: %w", err)
		}
		if err := yaml.UnmarshalStrict(content, &values); err != nil {
			return nil, fmt.Errorf("decode values: %w", err)
		}
	}
	image := child(values, "image")
	if o.registry != "" {
		image["registry"] = o.registry
	}
	if o.tag != "" {
		child(image, "manager")["tag"] = o.tag
		child(image, "proxy")["tag"] = o.tag
	}
	return values, nil
}

// child returns the mapping below a key, which it creates when it is missing.
func child(values map[string]any, key string) map[string]any {
	existing, isMap := values[key].(map[string]any)
	if !isMap {
		existing = map[string]any{}
		values[key] = existing
	}
	return existing
}

// restrictedNamespace enforces the Pod Security level that the manager and the
// proxies meet.
const restrictedNamespace = `# The CRDs, the manager, its rights, and the policies that bound them.
apiVersion: v1
kind: Namespace
metadata:
  name: %s
  labels:
    pod-security.kubernetes.io/enforce: restricted
`

// installationNamespace returns the namespace of the manager.
func installationNamespace(values map[string]any) string {
	if override, isSet := values["namespaceOverride"].(string); isSet && override != "" {
		return override
	}
	return namespace
}

// renderBare renders the chart and removes what only Helm needs. CRDs come first, so that one kubectl apply is enough.
func renderBare(c *chart.Chart, values map[string]any) ([]rendering.Object, error) {
	all, _, err := rendering.Render(c, rendering.Release{
		Name: c.Name(), Namespace: namespace, Values: values,
		APIVersions: []string{rendering.MutatingPolicy, rendering.CallbackProxy},
	})
	if err != nil {
		return nil, err
	}
	var crds, others []rendering.Object
	for _, object := range all {
		rendering.Bare(object)
		if object.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, object)
		} else {
			others = append(others, object)
		}
	}
	return append(crds, others...), nil
}
