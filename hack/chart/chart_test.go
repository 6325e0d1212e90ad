// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
)

const root = "../.."

func TestReadme_IsCurrent(t *testing.T) {
	g := NewWithT(t)
	files, err := readme(root)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).To(HaveLen(1))
	for name, content := range files {
		committed, err := os.ReadFile(filepath.Join(root, name))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(committed)).To(Equal(content), "%s is stale: run make chart", name)
	}
}

// test/chart compares the manifests with the chart, object by object.
func TestInstaller_NamesBothImages(t *testing.T) {
	g := NewWithT(t)
	manifests, err := renderInstaller(root, installerOptions{registry: "registry.example.com/identity", tag: "v9"})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests["install.yaml"]).To(ContainSubstring("image: registry.example.com/identity/callback-manager:v9\n"))
	g.Expect(manifests["install.yaml"]).To(ContainSubstring("value: registry.example.com/identity/callback-proxy:v9\n"))
	g.Expect(manifests["install.yaml"]).NotTo(ContainSubstring("Helm"))
	g.Expect(manifests["injection.yaml"]).To(ContainSubstring("'registry.example.com/identity/callback-proxy:v9'"))
}

func TestInstaller_RefusesImagesWithoutARegistry(t *testing.T) {
	_, err := renderInstaller(root, installerOptions{})
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("image.registry")))
}

func TestInstaller_TakesValues(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "values.yaml")
	g.Expect(os.WriteFile(file, []byte("scope: namespaces\nnamespaces: [identity]\nimage: {registry: other.example.com}\n"), 0o600)).To(Succeed())
	manifests, err := renderInstaller(root, installerOptions{valuesFile: file})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests["install.yaml"]).To(ContainSubstring("--watch-namespaces=callback-system,identity\n"))
	g.Expect(manifests["install.yaml"]).To(ContainSubstring("image: other.example.com/callback-manager:"))
}

func TestRun_WritesBelowTheOutputDirectory(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	g.Expect(os.CopyFS(filepath.Join(dir, "charts"), os.DirFS(filepath.Join(root, "charts")))).To(Succeed())
	g.Expect(os.CopyFS(filepath.Join(dir, "config"), os.DirFS(filepath.Join(root, "config")))).To(Succeed())
	g.Expect(run(dir, []string{"installer", "-registry", "r.example.com", "-output", "out"}, io.Discard)).To(Succeed())
	for _, name := range []string{"install.yaml", "injection.yaml"} {
		g.Expect(filepath.Join(dir, "out", name)).To(BeARegularFile())
	}
	g.Expect(run(dir, []string{"everything"}, io.Discard)).To(MatchError(ContainSubstring("usage:")))
}
