// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"os"
	"strings"
	"testing"

	"github.com/callbackproxy/callback-operator/test/schema"
)

// Each pair of docs/migrating-v1alpha1.md has an old manifest, which the API server
// refuses or would drop fields of, and a new one, which it stores as it is.
func TestDocs_MigratingPairs(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	const file = "../../docs/migrating-v1alpha1.md"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pairs := 0
	for _, section := range strings.Split(string(content), "\n### ")[1:] {
		title, _, _ := strings.Cut(section, "\n")
		blocks := fenced.FindAllStringSubmatch(section, -1)
		if len(blocks) != 2 || strings.Index(section, "Before:") > strings.Index(section, "Now:") {
			t.Fatalf("%s is no pair", title)
		}
		pairs++
		before, err := schema.ParseYAML([]byte(blocks[0][1]))
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		now, err := schema.ParseYAML([]byte(blocks[1][1]))
		if err != nil {
			t.Fatalf("%s: %v", title, err)
		}
		checkManifest(t, s, file+", "+title, now)
		judge := mustSchemas(t)[before["kind"].(string)]
		kept, err := schema.ParseYAML([]byte(blocks[0][1]))
		if err != nil {
			t.Fatal(err)
		}
		if errs := judge.Admit(kept); len(errs) == 0 && missing(before, kept, "") == "" {
			t.Errorf("%s: the old manifest is valid", title)
		}
	}
	if pairs < 10 {
		t.Errorf("only %d pairs were found", pairs)
	}
}
