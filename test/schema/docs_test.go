// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/test/schema"
)

// Manifests that a reader copies from the docs, the README or config/samples are
// accepted: whole ones as they are; on the pages of docs/spec, parts of a spec on
// top of a valid one.
func TestDocs_ManifestsAreAccepted(t *testing.T) {
	t.Parallel()
	s := mustServer(t)
	kinds := map[string]string{"callbackroute.md": "CallbackRoute", "callbackproxy.md": "CallbackProxy", "callbackproxyconfig.md": "CallbackProxyConfig"}
	manifests, pieces := 0, 0
	for _, text := range readManifests(t) {
		object, err := schema.ParseYAML([]byte(text.yaml))
		if err != nil {
			if isSpecPage(text.file) {
				t.Errorf("%s: %v", text.file, err)
			}
			continue // a list, such as Helm values for a part of the chart
		}
		kind, _ := object["kind"].(string)
		switch {
		case object["conditions"] != nil: // checked against the golden files
		case bases[kind] != "":
			manifests++
			checkManifest(t, s, text.file, object)
		case object["spec"] != nil && kind == "" && isSpecPage(text.file):
			pieces++
			checkManifest(t, s, text.file, patched(t, kinds[filepath.Base(text.file)], text.yaml))
		case object["apiVersion"] == nil && isSpecPage(text.file):
			t.Errorf("%s: a block is neither a manifest nor a piece of one:\n%s", text.file, text.yaml)
		}
	}
	if manifests < 9 || pieces < 6 {
		t.Errorf("only %d manifests and %d pieces were found", manifests, pieces)
	}
}

// checkManifest is strict: the API server would drop an unknown field silently.
func checkManifest(t testing.TB, s *server, file string, object map[string]any) {
	t.Helper()
	kept, err := schema.ParseYAML([]byte(asJSON(t, object)))
	if err != nil {
		t.Fatal(err)
	}
	mustSchemas(t)[object["kind"].(string)].Default(kept)
	if lost := missing(object, kept, ""); lost != "" {
		t.Errorf("%s: %v has the unknown field %s", file, object["metadata"], lost)
	}
	object["metadata"].(map[string]any)["namespace"] = "default"
	if err := s.tryCreate(t.Context(), object); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}

// missing returns the path of the first field of an object that another lacks.
func missing(object, other any, at string) string {
	switch object := object.(type) {
	case map[string]any:
		there, _ := other.(map[string]any)
		for name, value := range object {
			if _, found := there[name]; !found {
				return at + "." + name
			}
			if lost := missing(value, there[name], at+"."+name); lost != "" {
				return lost
			}
		}
	case []any:
		there, _ := other.([]any)
		for i := range min(len(object), len(there)) {
			if lost := missing(object[i], there[i], at+"[]"); lost != "" {
				return lost
			}
		}
	}
	return ""
}

type manifest struct{ file, yaml string }

func isSpecPage(file string) bool { return filepath.Base(filepath.Dir(file)) == "spec" }

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func readManifests(t testing.TB) []manifest {
	t.Helper()
	var all []manifest
	for _, pattern := range []string{"../../docs/spec/*.md", "../../docs/*.md", "../../README.md", "../../config/samples/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("nothing at %s (%v)", pattern, err)
		}
		for _, file := range files {
			if filepath.Base(file) == "migrating-v1alpha1.md" {
				continue // has old manifests as well; TestDocs_MigratingPairs
			}
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts := strings.Split(string(data), "\n---\n")
			if filepath.Ext(file) == ".md" {
				texts = nil
				for _, block := range fenced.FindAllStringSubmatch(string(data), -1) {
					texts = append(texts, strings.Split(block[1], "\n---\n")...)
				}
			}
			for _, text := range texts {
				var anything any
				if err := yaml.Unmarshal([]byte(text), &anything); err != nil || anything == nil {
					t.Errorf("%s holds a block that is no YAML (%v):\n%s", file, err, text)
					continue
				}
				all = append(all, manifest{file, text})
			}
		}
	}
	return all
}
