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

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
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
		"the port of the probes":  {"metrics: {port: 8081}", "metrics.port: 8081 is the port of the manager's probes"},
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
		"a health path of a URL":  {"proxy: {listener: {healthPath: 'http://a/healthz'}}", "at '/proxy/listener/healthPath': 'http://a/healthz' does not match pattern"},
		"a health path's query":   {"proxy: {listener: {healthPath: '/healthz?a'}}", "at '/proxy/listener/healthPath': 'not' failed"},
		"an optional header":      {"proxy: {listener: {proxyProtocol: Optional}}", "at '/proxy/listener/proxyProtocol': value must be one of 'Disabled', 'Required'"},
		"no connections":          {"proxy: {limits: {connections: 15}}", "at '/proxy/limits/connections': minimum: got 15, want 16"},
		"a scheme of sockets":     {"proxy: {forwarding: {externalScheme: ws}}", "at '/proxy/forwarding/externalScheme': value must be one of 'https', 'http'"},
		"a host from any field":   {"proxy: {forwarding: {hostFrom: X-Host}}", "at '/proxy/forwarding/hostFrom': value must be one of 'Host', 'XForwardedHost'"},
		"a limit that is none":    {"proxy: {limits: {bodyKiB: 0}}", "at '/proxy/limits/bodyKiB': minimum: got 0, want 1"},
		"a limit of no field":     {"proxy: {limits: {queryKiB: 1}}", "additional properties 'queryKiB' not allowed"},
		"support without TLS":     {"proxy: {pages: {supportURL: 'http://help.acme.test'}}", "at '/proxy/pages/supportURL': 'http://help.acme.test' does not match pattern"},
		"a product that is long":  {"proxy: {pages: {product: " + strings.Repeat("a", 65) + "}}", "at '/proxy/pages/product': maxLength: got 65, want 64"},
		"a sidecar at the edge":   {"proxy: {mode: Sidecar}", "at '/proxy/mode': value must be one of 'Deployment', 'External'"},
		"an image of no registry": {"image: {registry: ''}", `image.manager: "callback-manager" names no registry: set image.registry, such as registry.example.com/identity (or image.manager.pullPolicy Never`},
		"a proxy of no registry":  {"image: {manager: {pullPolicy: Never}}", `image.proxy: "callback-proxy" names no registry`},
		"a path as a registry":    {"image: {registry: identity}", `image.manager: "identity/callback-manager" names no registry`},
		"a variable of no name":   {"extraEnv: [{value: a}]", "at '/extraEnv/0': missing property 'name'"},
		"a secret of no name":     {"global: {imagePullSecrets: [{}]}", "at '/global/imagePullSecrets/0'"},
		"a full name too long":    {"fullnameOverride: " + strings.Repeat("a", 41), "at '/fullnameOverride': maxLength: got 41, want 40"},
		"a route to no gateway":   {"proxy: {httpRoute: {enabled: true}}", "at '/proxy/httpRoute/parentRefs': minItems: got 0, want 1"},
		"two without election":    {"leaderElection: {enabled: false}", "replicas: 2 managers without leaderElection.enabled"},
		"namespaces of a cluster": {"namespaces: [a]", "namespaces: scope cluster watches all namespaces"},
		"an ingress to nothing":   {"proxy: {ingress: {enabled: true}}", "proxy: ingress and httpRoute route to the release's own proxies"},
		"nothing to scale":        {"proxy: {autoscaling: {enabled: true}}", "proxy.autoscaling: it scales a fleet of mode Deployment"},
		"more than at most":       {"proxy: {autoscaling: {minReplicas: 11}}", "proxy.autoscaling: minReplicas is greater than maxReplicas"},
		"a fleet out of reach":    {edge + "\nproxyNamespaces: [fleets]", "the manager may not run fleets in namespace callback-system: add it to proxyNamespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := rendering.Render(load(t), rendering.Release{Name: release, Namespace: system, Values: parse(t, refused.values)})
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(refused.message)))
		})
	}
}

// node is the part of a JSON schema that these tests read.
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

// An open object has a description with the reason, such as that the Kubernetes
// API validates it.
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
		if n.Type == "object" && n.Properties != nil && n.Description == "" {
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
	NewWithT(t).Expect(open).To(Equal(map[string]bool{"$free": true, "$named[]": true, "/global": true}))
}

// A value without a default is missing from the README; one without a schema
// cannot be set.
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
			if at != "/resources" {
				g.Expect(defaults).To(HaveKey(name), at)
			}
		}
	}
	compare("", schema, load(t).Values)
}
