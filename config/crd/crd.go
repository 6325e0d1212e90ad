// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd embeds the CustomResourceDefinitions of callback-operator, for
// tests of CallbackRoutes against a real API server. It imports the types of
// CRDs and nothing else of Kubernetes or of this project.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

//go:embed bases/*.yaml
var bases embed.FS

// Files returns the manifests, one YAML file for each kind.
func Files() fs.FS {
	files, err := fs.Sub(bases, "bases")
	if err != nil {
		panic(err) // the folder is part of this package
	}
	return files
}

// Definitions returns the decoded manifests, ordered by name. The caller may
// change them.
func Definitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	names, err := fs.Glob(Files(), "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list CRDs: %w", err)
	}
	definitions := make([]*apiextensionsv1.CustomResourceDefinition, 0, len(names))
	for _, name := range names {
		content, err := fs.ReadFile(Files(), name)
		if err != nil {
			return nil, fmt.Errorf("read CRD: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(content, definition); err != nil {
			return nil, fmt.Errorf("decode %s: %w", name, err)
		}
		definitions = append(definitions, definition)
	}
	return definitions, nil
}
