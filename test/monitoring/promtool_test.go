// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package monitoring

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"
)

const casesFile = "alerts_test.yaml"

// promtool returns the path of the program that promtool/go.mod pins. Go builds
// it when it is not cached, without service discoveries, which are the largest
// part.
func promtool(t *testing.T) string {
	t.Helper()
	build := exec.CommandContext(t.Context(), "go", "tool", "-n", "promtool")
	build.Dir = "promtool"
	build.Env = append(os.Environ(), "GOFLAGS="+os.Getenv("GOFLAGS")+" -tags=remove_all_sd")
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("build promtool: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func run(t *testing.T, dir, program string, args ...string) (output string, ok bool) {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, args...)
	command.Dir = dir
	out, err := command.CombinedOutput()
	return string(out), err == nil
}

// write encodes a rules file for Prometheus into a directory.
func write(t *testing.T, dir, name string, content any) {
	t.Helper()
	encoded, err := yaml.Marshal(content)
	if err != nil {
		t.Fatalf("encode %s: %v", name, err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), encoded, 0o600); err != nil {
		t.Fatalf("write %s: %v", name, err)
	}
}

// Each alert fires in its case; for T16, alerts cover the time around a sunset.
func TestT16_AlertsFireWhenTheyShould(t *testing.T) {
	g := NewWithT(t)
	program, dir := promtool(t), t.TempDir()
	rules := readRules(t)
	write(t, dir, "whole.yaml", rules.Spec)
	output, ok := run(t, dir, program, "check", "rules", "--lint=all", "--lint-fatal", "whole.yaml")
	g.Expect(ok).To(BeTrue(), output)

	// promtool compares annotations as wholes. The summaries will do.
	for _, group := range rules.Spec.Groups {
		for i := range group.Rules {
			group.Rules[i].Annotations = map[string]string{"summary": group.Rules[i].Annotations["summary"]}
		}
	}
	write(t, dir, "rules.yaml", rules.Spec)
	cases, err := os.ReadFile(casesFile)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.WriteFile(filepath.Join(dir, casesFile), cases, 0o600)).To(Succeed())
	output, ok = run(t, dir, program, "test", "rules", casesFile)
	g.Expect(ok).To(BeTrue(), output)
}

func TestCases_FireEachAlertAndAlsoDoNot(t *testing.T) {
	g := NewWithT(t)
	content, err := os.ReadFile(casesFile)
	g.Expect(err).NotTo(HaveOccurred())
	var parsed struct {
		Tests []struct {
			AlertRuleTest []struct {
				AlertName string `json:"alertname"`
				ExpAlerts []any  `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		} `json:"tests"`
	}
	g.Expect(yaml.Unmarshal(content, &parsed)).To(Succeed())
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range parsed.Tests {
		for _, c := range test.AlertRuleTest {
			fires[c.AlertName] = fires[c.AlertName] || len(c.ExpAlerts) > 0
			silent[c.AlertName] = silent[c.AlertName] || len(c.ExpAlerts) == 0
		}
	}
	for _, rule := range readRules(t).alerts() {
		g.Expect(fires[rule.Alert]).To(BeTrue(), "there is no case in which %s fires", rule.Alert)
		g.Expect(silent[rule.Alert]).To(BeTrue(), "there is no case in which %s does not fire", rule.Alert)
	}
}
