// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

const root = "../../.."

func TestGeneratedFiles_AreCurrent(t *testing.T) {
	g := NewWithT(t)
	for _, files := range []func(string) (map[string]string, error){copies, readme, manifests} {
		wanted, err := files(root)
		g.Expect(err).NotTo(HaveOccurred())
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			present, err := os.ReadFile(filepath.Join(root, name))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(present)).To(Equal(wanted[name]), "%s is stale: go run ./generate in test/chart", name)
		}
	}
}

// A file whose source is gone would be installed for ever.
func TestChartFiles_AllHaveASource(t *testing.T) {
	g := NewWithT(t)
	wanted, err := copies(root)
	g.Expect(err).NotTo(HaveOccurred())
	present, err := filepath.Glob(filepath.Join(root, chartDir, "files", "*", "*"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, path := range present {
		name, err := filepath.Rel(root, path)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(wanted).To(HaveKey(name))
	}
	g.Expect(present).To(HaveLen(len(wanted)))
}
