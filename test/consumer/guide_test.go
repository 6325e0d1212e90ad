// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package consumer

import (
	"os"
	"strings"
	"testing"
)

// The guide shows the files of this package.
func TestGuide_ShowsTheseFiles(t *testing.T) {
	guide, err := os.ReadFile("../../docs/test-your-routes.md")
	if err != nil {
		t.Fatal(err)
	}
	for path, language := range map[string]string{
		"api_test.go": "go", "routes_test.go": "go", "testdata/route.yaml": "yaml", "testdata/fleet.yaml": "yaml",
	} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		shown := strings.TrimPrefix(string(content), "// Copyright The callback-operator Authors.\n// SPDX-License-Identifier: Apache-2.0\n\n")
		if !strings.Contains(string(guide), "```"+language+"\n"+shown+"```\n") {
			t.Errorf("docs/test-your-routes.md does not show %s as it is", path)
		}
	}
}
