// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```$")

// The commands of docs/sidecar.md work on the manifests of docs/sidecar.md, and
// fail with its messages.
func TestPage_HoldsWhatItShows(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "sidecar.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, block := range yamlBlock.FindAllSubmatch(page, -1) {
		for name, kind := range map[string]string{"callbackproxy.yaml": "\nkind: CallbackProxy\n", "deployment.yaml": "\nkind: Deployment\n"} {
			if strings.Contains(string(block[1]), kind) {
				if err := os.WriteFile(filepath.Join(dir, name), block[1], 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Chdir(dir)
	const line = "kubectl callback inject -f deployment.yaml --proxy-file callbackproxy.yaml"
	if !strings.Contains(string(page), line) {
		t.Fatalf("page lacks %q", line)
	}
	args := strings.Fields(line)[2:]
	if got := run(t, "", args...); got.code != 0 || got.stderr != "" || !strings.Contains(got.stdout, "--proxy=front") {
		t.Errorf("exit %d, stderr %s", got.code, got.stderr)
	}
	deployment, err := os.ReadFile("deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	clash := strings.Replace(string(deployment), "containerPort: 3000", "containerPort: 8080", 1)
	if err := os.WriteFile("deployment.yaml", []byte(clash), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", args...); got.code != 1 || !strings.Contains(string(page), "$ "+line+"\n"+got.stderr+"```") {
		t.Errorf("page does not contain %q", got.stderr)
	}
}
