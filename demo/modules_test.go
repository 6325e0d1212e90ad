// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/installation"
)

// One different version of a module near the bottom, such as k8s.io/utils,
// makes Go compile client-go a second time for the demo.
func TestModules_HaveTheVersionsOfTheOperator(t *testing.T) {
	operator := requirements(t, "go.mod")
	NewWithT(t).Expect(operator).NotTo(BeEmpty())
	for path, version := range requirements(t, "demo/go.mod") {
		if want := operator[path]; want != "" && want != version {
			t.Errorf("%s is %s in demo/go.mod and %s in go.mod: set the same version", path, version, want)
		}
	}
}

// requirements returns the versions of all required modules.
func requirements(t *testing.T, file string) map[string]string {
	t.Helper()
	path, err := installation.Path(file)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(strings.TrimPrefix(line, "require "))
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "v") && fields[0] != "module" {
			versions[fields[0]] = fields[1]
		}
	}
	return versions
}
