// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"io/fs"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestDefinitions_AreTheKindsOfThisProject(t *testing.T) {
	g := NewWithT(t)
	definitions, err := Definitions()
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, d := range definitions {
		names = append(names, d.Name)
	}
	g.Expect(names).To(Equal([]string{
		"callbackproxies.callbackproxy.io", "callbackproxyconfigs.callbackproxy.io", "callbackroutes.callbackproxy.io",
	}))
	files, err := fs.Glob(Files(), "*")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).To(HaveLen(len(names)))
}

// An import of the CRDs adds neither the controllers nor a client.
func TestPackage_HasFewDependencies(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		if strings.HasSuffix(path, "callback-operator/config/crd") {
			continue
		}
		NewWithT(t).Expect(path).NotTo(MatchRegexp("callbackproxy/callback-operator|k8s.io/client-go|controller-runtime"))
	}
}
