// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const page = "../../docs/gitops.md"

func readPage(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var fenced = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// manifests returns the page's manifests of a kind, as YAML.
func manifests(t *testing.T, kind string) []string {
	t.Helper()
	var all []string
	for _, block := range fenced.FindAllStringSubmatch(readPage(t), -1) {
		for document := range strings.SplitSeq(block[1], "\n---\n") {
			object := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(document), &object.Object); err != nil {
				t.Fatalf("%v in\n%s", err, document)
			}
			if object.GetKind() == kind {
				all = append(all, document)
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("%s has no %s", page, kind)
	}
	return all
}

// row is one state of a route and the page's words for it.
type row struct{ state, kstatus, withScript, without string }

// table returns the rows of the page's table.
func table(t *testing.T) []row {
	t.Helper()
	var rows []row
	for line := range strings.Lines(readPage(t)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || strings.HasPrefix(cells[1], "---") || strings.Contains(cells[2], "kstatus") {
			continue
		}
		rows = append(rows, row{strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3]), strings.TrimSpace(cells[4])})
	}
	return rows
}

// states are the objects behind the table's rows.
var states = map[string]string{
	"not seen by the controller yet":                 `status: {observedGeneration: -1}`,
	"changed, the new generation not observed yet":   `status: {observedGeneration: 1, conditions: [` + is("Ready", "True", "Ready", 1) + `]}`,
	"published, not acknowledged by every proxy yet": `status: {observedGeneration: 2, conditions: [` + is("Programmed", "False", "Pending", 2) + `, ` + is("Ready", "False", "Pending", 2) + `]}`,
	"served":                               `status: {observedGeneration: 2, conditions: [` + is("Ready", "True", "Ready", 2) + `]}`,
	"the CallbackProxy does not exist yet": `status: {observedGeneration: 2, conditions: [` + is("Accepted", "False", "ProxyNotFound", 2) + `, ` + is("Ready", "False", "ProxyNotFound", 2) + `]}`,
	"refused, and waiting does not help":   `status: {observedGeneration: 2, conditions: [` + is("Ready", "False", "Invalid", 2) + `, ` + is("Stalled", "True", "Invalid", 2) + `]}`,
	"no backend can be reached":            `status: {observedGeneration: 2, conditions: [` + is("BackendsHealthy", "False", "BackendUnhealthy", 2) + `, ` + is("Ready", "False", "BackendUnhealthy", 2) + `]}`,
	"deprecated, or its sunset approaches": `status: {observedGeneration: 2, conditions: [` + is("Ready", "True", "Ready", 2) + `, ` + is("Deprecated", "True", "Deprecated", 2) + `, ` + is("SunsetApproaching", "True", "SunsetApproaching", 2) + `]}`,
	"ended as planned, callbacks get 410":  `status: {observedGeneration: 2, conditions: [` + is("Ready", "True", "SunsetPassed", 2) + `, ` + is("SunsetPassed", "True", "SunsetPassed", 2) + `]}`,
	"being deleted":                        `status: {observedGeneration: 2, conditions: [` + is("Ready", "True", "Ready", 2) + `]}`,
}

func is(condition, status, reason string, generation int) string {
	return strings.NewReplacer("TYPE", condition, "STATUS", status, "REASON", reason, "GENERATION", string(rune('0'+generation))).
		Replace(`{type: TYPE, status: "STATUS", reason: REASON, message: the message, observedGeneration: GENERATION, lastTransitionTime: "2026-11-21T12:00:00Z"}`)
}

// object returns a live object of a kind in a state.
func object(t *testing.T, kind, state string) *unstructured.Unstructured {
	t.Helper()
	status, known := states[state]
	if !known {
		t.Fatalf("%s has the state %q, which this test does not know", page, state)
	}
	u := &unstructured.Unstructured{}
	text := "apiVersion: callbackproxy.io/v1alpha1\nkind: " + kind + "\nmetadata: {name: acme-sso, namespace: identity, generation: 2}\n" + status
	if err := yaml.Unmarshal([]byte(text), &u.Object); err != nil {
		t.Fatal(err)
	}
	// As in a client: numbers without a fraction are integers.
	u.SetGeneration(2)
	if state == "being deleted" {
		u.Object["metadata"].(map[string]any)["deletionTimestamp"] = "2026-11-21T12:00:00Z"
	}
	observed, _, _ := unstructured.NestedFloat64(u.Object, "status", "observedGeneration")
	u.Object["status"].(map[string]any)["observedGeneration"] = int64(observed)
	return u
}

// Every state that the test knows is in the table, and the other way round.
func TestTable_HasEveryState(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range table(t) {
		object(t, "CallbackRoute", row.state)
		seen[row.state] = true
	}
	for state := range states {
		if !seen[state] {
			t.Errorf("%s has no row %q", page, state)
		}
	}
}
