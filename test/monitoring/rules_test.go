// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	rulesFile = root + "/config/monitoring/prometheusrule.yaml"
)

// prometheusRule is a PrometheusRule of the Prometheus operator.
type prometheusRule struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       ruleGroups     `json:"spec"`
}

// ruleGroups is also what Prometheus itself calls a rules file.
type ruleGroups struct {
	Groups []ruleGroup `json:"groups"`
}

type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func readRules(t *testing.T) prometheusRule {
	t.Helper()
	content, err := os.ReadFile(filepath.FromSlash(rulesFile))
	if err != nil {
		t.Fatalf("read rules: %v", err)
	}
	var parsed prometheusRule
	if err := yaml.UnmarshalStrict(content, &parsed); err != nil {
		t.Fatalf("decode rules: %v", err)
	}
	return parsed
}

// alerts returns all rules, in their order.
func (p prometheusRule) alerts() []rule {
	var all []rule
	for _, group := range p.Spec.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

func TestRules_UseExportedMetrics(t *testing.T) {
	all := metricsOfBoth(t)
	for _, rule := range readRules(t).alerts() {
		problems, _ := all.check(rule.Expr)
		NewWithT(t).Expect(problems).To(BeEmpty(), rule.Alert)
	}
}

var labelReference = regexp.MustCompile(`\$labels\.(\w+)`)

// An annotation renders a label that the alert lacks as an empty text.
func TestRules_AnnotationsNameLabelsOfTheirAlert(t *testing.T) {
	all := metricsOfBoth(t)
	for _, rule := range readRules(t).alerts() {
		_, available := all.check(rule.Expr)
		for name, annotation := range rule.Annotations {
			for _, reference := range labelReference.FindAllStringSubmatch(annotation, -1) {
				NewWithT(t).Expect(available).To(ContainElement(reference[1]), "%s of %s", name, rule.Alert)
			}
		}
	}
}

func TestRules_HaveARunbook(t *testing.T) {
	g := NewWithT(t)
	rules := readRules(t)
	g.Expect(rules.APIVersion).To(Equal("monitoring.coreos.com/v1"))
	g.Expect(rules.Kind).To(Equal("PrometheusRule"))
	names := map[string]bool{}
	for _, rule := range rules.alerts() {
		g.Expect(rule.Alert).To(MatchRegexp(`^Callback(Route|Proxy|Operator)[A-Z]\w+$`))
		g.Expect(names).NotTo(HaveKey(rule.Alert), "a name is used once")
		names[rule.Alert] = true
		g.Expect(rule.Labels).To(HaveKeyWithValue("severity", BeElementOf("warning", "critical")), rule.Alert)
		for _, annotation := range []string{"summary", "description", "runbook"} {
			g.Expect(rule.Annotations).To(HaveKeyWithValue(annotation, MatchRegexp(`(?s)^\S.{20,}\.$`)), "%s of %s", annotation, rule.Alert)
		}
	}
}
