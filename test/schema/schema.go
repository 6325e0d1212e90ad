// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package schema validates custom resources as the API server does, with the API
// server's own code and without a running one. Input: the CRDs of a directory and
// an object as it was sent; output: the object as it would be stored, or the
// reasons of its refusal. The only I/O is reading the CRDs. The package's tests
// are those of the CRDs themselves.
package schema

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Schema is the schema of one version of a CRD.
type Schema struct {
	// Kind of the objects.
	Kind string
	// Props is the schema as it stands in the CRD.
	Props *apiextensionsv1.JSONSchemaProps

	internal   *apiextensions.JSONSchemaProps
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	rules      *cel.Validator
}

// Load reads every CRD of a directory and returns the schemas of their only
// versions, by kind.
func Load(directory string) (map[string]*Schema, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*.yaml"))
	if err != nil {
		return nil, fmt.Errorf("list CRDs: %w", err)
	}
	schemas := map[string]*Schema{}
	for _, file := range files {
		s, err := load(file)
		if err != nil {
			return nil, fmt.Errorf("load %s: %w", file, err)
		}
		schemas[s.Kind] = s
	}
	if len(schemas) == 0 {
		return nil, fmt.Errorf("no CRDs in %s", directory)
	}
	return schemas, nil
}

func load(file string) (*Schema, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(data, &crd); err != nil {
		return nil, err
	}
	if len(crd.Spec.Versions) != 1 {
		return nil, fmt.Errorf("%d versions, one is expected", len(crd.Spec.Versions))
	}
	s := &Schema{
		Kind:     crd.Spec.Names.Kind,
		Props:    crd.Spec.Versions[0].Schema.OpenAPIV3Schema,
		internal: &apiextensions.JSONSchemaProps{},
	}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(s.Props, s.internal, nil); err != nil {
		return nil, fmt.Errorf("convert schema: %w", err)
	}
	if s.structural, err = structuralschema.NewStructural(s.internal); err != nil {
		return nil, fmt.Errorf("read structural schema: %w", err)
	}
	if s.validator, _, err = validation.NewSchemaValidator(s.internal); err != nil {
		return nil, fmt.Errorf("make validator: %w", err)
	}
	s.rules = cel.NewValidator(s.structural, true, celconfig.PerCallLimit)
	return s, nil
}

// ParseYAML reads an object as kubectl and the API server do together.
func ParseYAML(text []byte) (map[string]any, error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, fmt.Errorf("parse object: %w", err)
	}
	return ParseJSON(data)
}

// ParseJSON reads an object with numbers as the API server reads them: 1 is an
// integer, 1.0 is not.
func ParseJSON(data []byte) (map[string]any, error) {
	var object map[string]any
	if err := utiljson.Unmarshal(data, &object); err != nil {
		return nil, fmt.Errorf("parse object: %w", err)
	}
	return object, nil
}

// Default changes an object into the one that the API server returns to readers:
// without unknown fields and with all defaults.
func (s *Schema) Default(object map[string]any) {
	pruning.Prune(object, s.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, s.structural)
	defaulting.Default(object, s.structural)
}

// Admit changes an object into the one that would be stored and returns the
// reasons of its refusal, in the API server's order: schema, list types, rules.
// The metadata is not validated.
func (s *Schema) Admit(object map[string]any) field.ErrorList {
	s.Default(object)
	errs := validation.ValidateCustomResource(nil, object, s.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(errs) > 0 {
		return errs
	}
	errs, _ = s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return errs
}
