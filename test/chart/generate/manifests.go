// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"path/filepath"
	"strings"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/test/chart/rendering"
)

// namespace of the manifests that are installed without Helm.
const namespace = "callback-system"

// base is a kustomize base that is the chart with these values, less the CRDs,
// which are in config/crd.
type base struct {
	folder string
	values map[string]any
}

func bases() []base {
	return []base{
		{folder: "config/default"},
		{folder: "config/namespaced", values: map[string]any{
			"scope": "namespaces", "namespaces": []any{"identity"},
		}},
	}
}

// header is above each file that is rendered.
const header = `# Made from the chart by "go run ./generate" in test/chart; do not edit. %s
`

// manifests returns the files of all bases.
func manifests(root string) (map[string]string, error) {
	loaded, err := rendering.Load(root)
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, b := range bases() {
		objects, err := b.objects(loaded)
		if err != nil {
			return nil, err
		}
		var manager, injection strings.Builder
		fmt.Fprintf(&manager, header, "The manager, its rights, and what they are held to.")
		manager.WriteString(restrictedNamespace)
		fmt.Fprintf(&injection, header, "Sidecars for labelled pods. It needs Kubernetes 1.36.")
		for _, object := range objects {
			text, err := yaml.Marshal(object.Object)
			if err != nil {
				return nil, fmt.Errorf("encode %s: %w", object.GetName(), err)
			}
			into := &manager
			if strings.HasPrefix(object.GetKind(), "Mutating") {
				into = &injection
			}
			into.WriteString("---\n" + string(text))
		}
		files[filepath.Join(b.folder, "manager.yaml")] = manager.String()
		files[filepath.Join(b.folder, "injection.yaml")] = injection.String()
	}
	return files, nil
}

// restrictedNamespace holds everything in it to the Pod Security level that
// the manager and the proxies meet.
const restrictedNamespace = `apiVersion: v1
kind: Namespace
metadata:
  name: ` + namespace + `
  labels:
    pod-security.kubernetes.io/enforce: restricted
`

// objects renders the chart and takes away what only Helm needs.
func (b base) objects(c *chart.Chart) ([]rendering.Object, error) {
	all, _, err := rendering.Render(c, rendering.Release{
		Name: c.Name(), Namespace: namespace, Values: b.values,
		APIVersions: []string{rendering.MutatingPolicy},
	})
	if err != nil {
		return nil, err
	}
	var objects []rendering.Object
	for _, object := range all {
		if strings.HasSuffix(object.Template, "/crds.yaml") {
			continue
		}
		rendering.Bare(object)
		objects = append(objects, object)
	}
	return objects, nil
}
