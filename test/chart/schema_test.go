// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/callbackproxy/callback-operator/test/chart/rendering"
)

func TestValues_AreRefusedWithAReason(t *testing.T) {
	for name, refused := range map[string]struct{ values, message string }{
		"a typing error":          {"replcas: 3", "additional properties 'replcas' not allowed"},
		"one further down":        {"metrics: {serviceMonitor: {enabled: true}}", "at '/metrics/serviceMonitor': additional properties 'enabled' not allowed"},
		"a text for a number":     {"replicas: two", "at '/replicas': got string, want integer"},
		"too many managers":       {"replicas: 11", "at '/replicas': maximum: got 11, want 10"},
		"an unknown scope":        {"scope: everything", "at '/scope': value must be one of 'cluster', 'namespaces'"},
		"a digest that is none":   {"image: {manager: {digest: latest}}", "at '/image/manager/digest': 'latest' does not match pattern"},
		"a tag with a slash":      {"image: {proxy: {tag: a/b}}", "at '/image/proxy/tag': 'a/b' does not match pattern"},
		"a tag that is a number":  {"image: {proxy: {tag: 1.10}}", "at '/image/proxy/tag': got number, want string"},
		"a privileged port":       {"metrics: {port: 443}", "at '/metrics/port': minimum: got 443, want 1,024"},
		"the port of the probes":  {"metrics: {port: 8081}", "metrics.port: at 8081 the manager answers probes"},
		"a switch as text":        {`crds: {enabled: "yes"}`, "at '/crds/enabled': got string, want boolean"},
		"create as a switch":      {"injection: {create: true}", "at '/injection/create': got boolean, want string"},
		"a duration without unit": {"leaderElection: {leaseDuration: 15}", "at '/leaderElection/leaseDuration': got number, want string"},
		"an unknown level":        {"log: {level: verbose}", "at '/log/level': value must be one of 'debug', 'info', 'error'"},
		"a namespace twice":       {"{scope: namespaces, namespaces: [a, a]}", "at '/namespaces': items at 0 and 1 are equal"},
		"a number in annotations": {"podAnnotations: {a: 1}", "at '/podAnnotations/a': got number, want string"},
		"an argument of no flag":  {"extraArgs: [verbose]", "at '/extraArgs/0': 'verbose' does not match pattern"},
		"a fleet without hosts":   {"proxy: {enabled: true}", "at '/proxy/hosts': minItems: got 0, want 1"},
		"a wildcard host":         {"proxy: {hosts: [{hostname: '*.acme.test'}]}", "at '/proxy/hosts/0/hostname': '*.acme.test' does not match pattern"},
		"a fleet's name too long": {"proxy: {name: " + strings.Repeat("a", 47) + "}", "at '/proxy/name': maxLength: got 47, want 46"},
		"a sidecar at the edge":   {"proxy: {mode: Sidecar}", "at '/proxy/mode': value must be one of '', 'Deployment'"},
		"a route to no gateway":   {"proxy: {httpRoute: {enabled: true}}", "at '/proxy/httpRoute/parentRefs': minItems: got 0, want 1"},
		"two without election":    {"leaderElection: {enabled: false}", "replicas: 2 managers without leaderElection.enabled"},
		"namespaces in vain":      {"namespaces: [a]", "namespaces: with scope cluster everything is watched"},
		"an ingress to nothing":   {"proxy: {ingress: {enabled: true}}", "proxy: ingress and httpRoute lead to the proxy of this release"},
		"nothing to scale":        {"proxy: {autoscaling: {enabled: true}}", "proxy.autoscaling: it scales the fleet that the operator runs"},
		"more than at most":       {"proxy: {autoscaling: {minReplicas: 11}}", "proxy.autoscaling: minReplicas is more than maxReplicas"},
		"a fleet out of reach":    {edge + "\nproxyNamespaces: [fleets]", "add that to proxyNamespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := rendering.Render(load(t), rendering.Release{Name: release, Namespace: system, Values: parse(t, refused.values)})
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(refused.message)))
		})
	}
}

// node is what is looked at of a JSON schema.
type node struct {
	Type                 any              `json:"type"`
	Properties           map[string]*node `json:"properties"`
	AdditionalProperties any              `json:"additionalProperties"`
	Items                *node            `json:"items"`
	Defs                 map[string]*node `json:"$defs"`
	Ref                  string           `json:"$ref"`
	Description          string           `json:"description"`
}

func readSchema(t *testing.T) *node {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, "charts", "callback-operator", "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var schema node
	if err := json.Unmarshal(content, &schema); err != nil {
		t.Fatal(err)
	}
	return &schema
}

// What is open says why: the Kubernetes API checks it, or its keys are names.
func TestSchema_IsStrictEverywhere(t *testing.T) {
	open := map[string]bool{}
	var walk func(at string, n *node)
	walk = func(at string, n *node) {
		if n == nil {
			return
		}
		if n.Type == "object" && n.AdditionalProperties == nil {
			open[at] = true
			NewWithT(t).Expect(n.Description).NotTo(BeEmpty(), at)
		}
		if n.Type == "object" && n.Properties != nil {
			NewWithT(t).Expect(n.AdditionalProperties).To(BeFalse(), at)
		}
		for name, property := range n.Properties {
			walk(at+"/"+name, property)
		}
		for name, definition := range n.Defs {
			walk("$"+name, definition)
		}
		walk(at+"[]", n.Items)
	}
	walk("", readSchema(t))
	NewWithT(t).Expect(open).To(Equal(map[string]bool{"$free": true, "/global": true}))
}

// A value without a default would not be in the README; one without a schema
// could not be set.
func TestSchema_HasTheValuesOfTheDefaults(t *testing.T) {
	g := NewWithT(t)
	schema := readSchema(t)
	var compare func(at string, n *node, defaults map[string]any)
	compare = func(at string, n *node, defaults map[string]any) {
		if name, is := strings.CutPrefix(n.Ref, "#/$defs/"); is {
			n = schema.Defs[name]
		}
		for name, value := range defaults {
			below, is := value.(map[string]any)
			if len(n.Properties) == 0 {
				continue
			}
			g.Expect(n.Properties).To(HaveKey(name), at)
			if is && len(below) > 0 {
				compare(at+"/"+name, n.Properties[name], below)
			}
		}
		for name := range n.Properties {
			if at+"/"+name != "/global" && at != "/resources" {
				g.Expect(defaults).To(HaveKey(name), at)
			}
		}
	}
	compare("", schema, load(t).Values)
}
