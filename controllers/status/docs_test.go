// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	callbackv1alpha1 "github.com/callbackproxy/callback-operator/api/v1alpha1"
	"github.com/callbackproxy/callback-operator/test/expect"
	"github.com/callbackproxy/callback-operator/test/scenario"
)

const specPages = "../../docs/spec/"

var pages = map[string]string{
	"CallbackRoute": "callbackroute.md", "CallbackProxy": "callbackproxy.md", "CallbackProxyConfig": "callbackproxyconfig.md",
}

func readPage(t testing.TB, kind string) string {
	t.Helper()
	data, err := os.ReadFile(specPages + pages[kind])
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// documentedConditions are the conditions that a page shows as YAML.
func documentedConditions(t testing.TB, page string) []outcomeCondition {
	t.Helper()
	var all []outcomeCondition
	for _, block := range yamlBlock.FindAllStringSubmatch(page, -1) {
		var shown struct {
			Conditions []outcomeCondition `yaml:"conditions"`
		}
		if err := yaml.Unmarshal([]byte(block[1]), &shown); err != nil {
			t.Errorf("%v in:\n%s", err, block[1])
		}
		all = append(all, shown.Conditions...)
	}
	return all
}

// Every condition that a page shows is one that a golden file shows, to the
// letter: what readers look for is what they find in their cluster.
func TestDocs_ShowConditionsAsTheyAre(t *testing.T) {
	t.Parallel()
	golden := map[string]map[outcomeCondition]bool{"CallbackRoute": {}, "CallbackProxy": {}}
	files, err := filepath.Glob("testdata/*.out.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out struct {
			Proxy  struct{ Conditions []outcomeCondition }
			Routes []struct{ Conditions []outcomeCondition }
		}
		if err := yaml.Unmarshal(data, &out); err != nil {
			t.Fatal(err)
		}
		for _, c := range out.Proxy.Conditions {
			golden["CallbackProxy"][c] = true
		}
		for _, route := range out.Routes {
			for _, c := range route.Conditions {
				golden["CallbackRoute"][c] = true
			}
		}
	}
	for kind, conditions := range golden {
		// Stalled repeats a refusal, to the letter.
		for c := range maps.Clone(conditions) {
			if (c.Type == "Accepted" || c.Type == "ResolvedRefs") && c.Status == "False" {
				conditions[outcomeCondition{Type: "Stalled", Status: "True", Reason: c.Reason, Message: c.Message}] = true
			}
		}
		shown := documentedConditions(t, readPage(t, kind))
		if len(shown) < 8 {
			t.Errorf("%s shows only %d conditions", pages[kind], len(shown))
		}
		for _, c := range shown {
			if !conditions[c] {
				t.Errorf("%s shows a condition that no golden file has:\n%+v", pages[kind], c)
			}
		}
	}
}

// Every reason of every condition is shown. Stalled repeats the reason of another
// condition, so one is enough.
func TestDocs_ShowEveryReason(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct {
		name       string
		conditions []string
		reasons    func(string) []string
	}{
		{"CallbackRoute", expect.RouteConditions(), expect.RouteReasons},
		{"CallbackProxy", expect.ProxyConditions(), expect.ProxyReasons},
	} {
		shown := documentedConditions(t, readPage(t, kind.name))
		for _, condition := range kind.conditions {
			reasons := kind.reasons(condition)
			if condition == callbackv1alpha1.ConditionStalled {
				reasons = []string{callbackv1alpha1.ReasonInvalid}
			}
			for _, reason := range reasons {
				if !slices.ContainsFunc(shown, func(c outcomeCondition) bool { return c.Type == condition && c.Reason == reason }) {
					t.Errorf("%s does not show %s with reason %s", pages[kind.name], condition, reason)
				}
			}
		}
	}
}

// Every field of a spec is described, by its path.
func TestDocs_DescribeEveryField(t *testing.T) {
	t.Parallel()
	for kind, s := range scenario.Schemas(t) {
		page := readPage(t, kind)
		spec := s.Props.Properties["spec"]
		for _, path := range fieldPaths(".spec", &spec) {
			if !strings.Contains(page, "`"+path+"`") {
				t.Errorf("%s does not describe `%s`", pages[kind], path)
			}
		}
		described := regexp.MustCompile("`([.]spec[A-Za-z.\\[\\]]*)`").FindAllStringSubmatch(page, -1)
		if len(described) == 0 {
			t.Errorf("%s describes no field", pages[kind])
		}
		for _, path := range described {
			if known := append(fieldPaths(".spec", &spec), objectPaths(".spec", &spec)...); !slices.Contains(known, path[1]) {
				t.Errorf("%s describes `%s`, which is no field", pages[kind], path[1])
			}
		}
	}
}

// fieldPaths are the fields that hold a value or a list of values.
func fieldPaths(at string, s *apiextensionsv1.JSONSchemaProps) []string {
	switch {
	case at == ".spec.hosts[].namespaces.selector": // Kubernetes' own type
		return []string{at}
	case s.Items != nil && len(s.Items.Schema.Properties) > 0:
		return fieldPaths(at+"[]", s.Items.Schema)
	case len(s.Properties) == 0:
		return []string{at}
	}
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		paths = append(paths, fieldPaths(at+"."+name, &property)...)
	}
	return paths
}

// objectPaths are the fields that hold other fields.
func objectPaths(at string, s *apiextensionsv1.JSONSchemaProps) []string {
	paths := []string{at}
	if s.Items != nil {
		paths = append(paths, objectPaths(at+"[]", s.Items.Schema)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		property := s.Properties[name]
		paths = append(paths, objectPaths(at+"."+name, &property)...)
	}
	return paths
}
