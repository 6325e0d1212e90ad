// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repository

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// kind is the description of one kind in PROJECT, in a CRD and in the Go types.
type kind struct {
	Group, Version string
	Namespaced     bool
}

// project is the part of PROJECT that has a counterpart elsewhere.
type project struct {
	Layout    []string `json:"layout"`
	Repo      string   `json:"repo"`
	Resources []struct {
		API struct {
			CRDVersion string `json:"crdVersion"`
			Namespaced bool   `json:"namespaced"`
		} `json:"api"`
		Domain  string `json:"domain"`
		Group   string `json:"group"`
		Kind    string `json:"kind"`
		Path    string `json:"path"`
		Version string `json:"version"`
	} `json:"resources"`
}

func readProject(t *testing.T) project {
	t.Helper()
	var parsed project
	if err := yaml.Unmarshal([]byte(read(t, "PROJECT")), &parsed); err != nil {
		t.Fatalf("decode PROJECT: %v", err)
	}
	return parsed
}

func projectKinds(t *testing.T) map[string]kind {
	t.Helper()
	kinds := map[string]kind{}
	for _, resource := range readProject(t).Resources {
		group := strings.TrimPrefix(resource.Group+"."+resource.Domain, ".")
		kinds[resource.Kind] = kind{Group: group, Version: resource.Version, Namespaced: resource.API.Namespaced}
	}
	return kinds
}

func TestProject_ListsTheKindsThatHaveACRD(t *testing.T) {
	onDisk := map[string]kind{}
	for _, name := range files(t, ".yaml") {
		if filepath.ToSlash(filepath.Dir(name)) != "config/crd/bases" {
			continue
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.UnmarshalStrict([]byte(read(t, name)), &crd); err != nil {
			t.Fatalf("decode %s: %v", name, err)
		}
		for _, version := range crd.Spec.Versions {
			onDisk[crd.Spec.Names.Kind] = kind{
				Group: crd.Spec.Group, Version: version.Name,
				Namespaced: crd.Spec.Scope == apiextensionsv1.NamespaceScoped,
			}
		}
	}
	NewWithT(t).Expect(projectKinds(t)).To(Equal(onDisk))
}

func TestProject_ListsTheKindsThatHaveAGoType(t *testing.T) {
	versions := map[string]string{}
	for name, listed := range projectKinds(t) {
		versions[name] = listed.Version
	}
	NewWithT(t).Expect(versions).To(Equal(rootTypes(t)))
}

func TestProject_PointsAtItsModule(t *testing.T) {
	g := NewWithT(t)
	parsed := readProject(t)
	g.Expect(parsed.Layout).To(Equal([]string{"go.kubebuilder.io/v4"}))
	g.Expect(read(t, "go.mod")).To(HavePrefix("module " + parsed.Repo + "\n"))
	for _, resource := range parsed.Resources {
		g.Expect(resource.Path).To(Equal(path.Join(parsed.Repo, "api", resource.Version)), resource.Kind)
		g.Expect(resource.API.CRDVersion).To(Equal("v1"), resource.Kind)
	}
}

// rootTypes returns the Go types marked as objects of the API and not lists of
// them, with the version whose folder they are in.
func rootTypes(t *testing.T) map[string]string {
	t.Helper()
	types := map[string]string{}
	for _, name := range files(t, ".go") {
		folder := filepath.ToSlash(filepath.Dir(name))
		if path.Dir(folder) != "api" {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), name, read(t, name), parser.ParseComments)
		if err != nil {
			t.Fatalf("parse %s: %v", name, err)
		}
		for _, declaration := range source.Decls {
			if typeName := markedType(declaration); typeName != "" && !strings.HasSuffix(typeName, "List") {
				types[typeName] = path.Base(folder)
			}
		}
	}
	return types
}

// markedType returns the name of the type that a declaration declares, when it
// is marked as a root object.
func markedType(declaration ast.Decl) string {
	general, is := declaration.(*ast.GenDecl)
	if !is || general.Tok != token.TYPE || general.Doc == nil || len(general.Specs) != 1 {
		return ""
	}
	for _, comment := range general.Doc.List {
		if strings.TrimSpace(strings.TrimPrefix(comment.Text, "//")) == "+kubebuilder:object:root=true" {
			return general.Specs[0].(*ast.TypeSpec).Name.Name
		}
	}
	return ""
}
