// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"fmt"
	"slices"
	"strings"
)

const (
	wantFleetName   = "in mode Deployment the name of a CallbackProxy is part of the names of what the operator makes: at most 46 characters"
	wantDeployment  = "deployment is for mode Deployment: set mode: Deployment, or remove deployment"
	wantSidecar     = "mode Sidecar needs sidecar.appPort, and sidecar is for mode Sidecar only"
	wantTwoPorts    = "sidecar.appPort is the application's and listener.port the sidecar's: they share one pod and must differ"
	wantNoAdminPort = "listener.port 9090 is the admin port of the proxies that the operator runs: choose another"
	wantCPU         = "must be a plain amount, such as 100m or 2: not negative, at most 16 characters, no exponent"
	wantMemory      = "must be a plain amount, such as 64Mi: not negative, at most 16 characters, no exponent"
)

// fleetCases are about the ways to run the proxies of a CallbackProxy.
func fleetCases() []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxy", at, rule, accept, reject})
	}
	base := []string{"{}"}
	deployment, sidecar := "{spec: {mode: Deployment, deployment: %s}}", "{spec: {mode: Sidecar, sidecar: %s}}"
	add("", wantFleetName,
		append(each("{metadata: {name: %s}, spec: {mode: Deployment}}", "edge", long(46)), fmt.Sprintf("{metadata: {name: %s}, spec: {mode: Sidecar, sidecar: {appPort: 1}}}", long(63))),
		each("{metadata: {name: %s}, spec: {mode: Deployment}}", long(47), long(63)))
	add("spec", wantDeployment, append(each(deployment, "{replicas: 1}"), "{spec: {mode: Deployment}}", "{}"),
		[]string{"{spec: {deployment: {replicas: 1}}}", "{spec: {mode: Sidecar, sidecar: {appPort: 1}, deployment: {replicas: 1}}}"})
	add("spec", wantSidecar, each(sidecar, "{appPort: 1}"),
		[]string{"{spec: {mode: Sidecar}}", "{spec: {sidecar: {appPort: 1}}}", "{spec: {mode: Deployment, sidecar: {appPort: 1}}}"})
	add("spec", wantTwoPorts, each("{spec: {mode: Sidecar, sidecar: {appPort: %d}, listener: {port: 8000}}}", 8080, 7999),
		append(each("{spec: {mode: Sidecar, sidecar: {appPort: %d}, listener: {port: 8000}}}", 8000), "{spec: {mode: Sidecar, sidecar: {appPort: 8080}}}"))
	add("spec", wantNoAdminPort, []string{"{spec: {mode: Deployment, listener: {port: 9091}}}", "{spec: {listener: {port: 9090}}}"},
		[]string{"{spec: {mode: Deployment, listener: {port: 9090}}}", "{spec: {mode: Sidecar, sidecar: {appPort: 1}, listener: {port: 9090}}}"})
	add("spec.mode", "required", base, []string{"{spec: {mode: null}}"})
	add("spec.mode", "enum", each("{spec: {mode: %s}}", "Deployment", "External"), each("{spec: {mode: %s}}", "DaemonSet", "deployment", `""`))

	add("spec.deployment", "minProperties", base, each(deployment, "{}"))
	replicas := fmt.Sprintf(deployment, "{replicas: %d}")
	add("spec.deployment.replicas", "minimum", each(replicas, 1), each(replicas, 0, -1))
	add("spec.deployment.replicas", "maximum", each(replicas, 256), each(replicas, 257))
	nodes := fmt.Sprintf(deployment, "{nodeSelector: %s}")
	add("spec.deployment.nodeSelector", "minProperties", each(nodes, `{pool: edge, empty: ""}`), each(nodes, "{}"))
	service := fmt.Sprintf(deployment, "{service: %s}")
	add("spec.deployment.service", "minProperties", each(service, "{type: ClusterIP}"), each(service, "{}"))
	add("spec.deployment.service.type", "enum", each(service, "{type: NodePort}", "{type: LoadBalancer}"), each(service, "{type: ExternalName}", "{type: Headless}"))
	add("spec.deployment.service.annotations", "minProperties", each(service, "{annotations: {a: b}}"), each(service, "{annotations: {}}"))
	all = append(all, tolerationCases(fmt.Sprintf(deployment, "{tolerations: %s}"))...)

	add("spec.sidecar", "minProperties", base, each(sidecar, "{}"))
	add("spec.sidecar.appPort", "required", each(sidecar, "{appPort: 1}"), each(sidecar, "{resources: {requests: {cpu: 1}}}"))
	add("spec.sidecar.appPort", "minimum", each(sidecar, "{appPort: 1}"), each(sidecar, "{appPort: -1}"))
	add("spec.sidecar.appPort", "maximum", each(sidecar, "{appPort: 65535}"), each(sidecar, "{appPort: 65536}"))
	return slices.Concat(all, resourceCases("spec.deployment.resources", fmt.Sprintf(deployment, "{resources: %s}")),
		resourceCases("spec.sidecar.resources", fmt.Sprintf(sidecar, "{appPort: 1, resources: %s}")))
}

func tolerationCases(tolerations string) []ruleCase {
	var all []ruleCase
	add := func(at, rule string, accept, reject []string) {
		all = append(all, ruleCase{"CallbackProxy", "spec.deployment.tolerations" + at, rule, accept, reject})
	}
	one := fmt.Sprintf(tolerations, "[%s]")
	add("", "minItems", each(one, "{operator: Exists}"), each(tolerations, "[]"))
	add("", "maxItems", each(tolerations, list(16, "{key: k%d}")), each(tolerations, list(17, "{key: k%d}")))
	add("[]", "minProperties", each(one, "{key: a}"), each(one, "{}"))
	add("[].key", "minLength", each(one, "{key: a}"), each(one, `{key: ""}`))
	add("[].key", "maxLength", each(one, "{key: "+long(317)+"}"), each(one, "{key: "+long(318)+"}"))
	add("[].value", "minLength", each(one, "{value: a}"), each(one, `{value: ""}`))
	add("[].value", "maxLength", each(one, "{value: "+long(63)+"}"), each(one, "{value: "+long(64)+"}"))
	add("[].operator", "enum", each(one, "{operator: Equal}", "{operator: Exists}"), each(one, "{operator: Lt}", "{operator: exists}"))
	add("[].effect", "enum", each(one, "{effect: NoSchedule}", "{effect: PreferNoSchedule}", "{effect: NoExecute}"), each(one, "{effect: Evict}"))
	add("[].tolerationSeconds", "minimum", each(one, "{tolerationSeconds: 0}"), each(one, "{tolerationSeconds: -1}"))
	add("[].tolerationSeconds", "maximum", each(one, "{tolerationSeconds: 86400}"), each(one, "{tolerationSeconds: 86401}"))
	return all
}

func resourceCases(at, resources string) []ruleCase {
	all := []ruleCase{{"CallbackProxy", at, "minProperties", each(resources, "{limits: {cpu: 1}}"), each(resources, "{}")}}
	for _, part := range []string{"requests", "limits"} {
		some := fmt.Sprintf(resources, "{"+part+": %s}")
		all = append(all, ruleCase{"CallbackProxy", at + "." + part, "minProperties", each(some, "{memory: 1Mi}"), each(some, "{}")})
		for name, rule := range map[string]string{"cpu": wantCPU, "memory": wantMemory} {
			amount := fmt.Sprintf(some, "{"+name+": %s}")
			all = append(all,
				ruleCase{"CallbackProxy", at + "." + part + "." + name, "pattern", each(amount, "2", "0", "100m", `"1"`, `"1.5"`, "64Mi"), each(amount, `""`, "many", "1 Gi", "1Zi", `"0x10"`)},
				// 1e1.5 cannot be decoded, and the decoding of 1e999999999999 does not end.
				ruleCase{
					"CallbackProxy", at + "." + part + "." + name, rule, each(amount, `"1234567890.12345"`, "0.5G", "3Ti"),
					each(amount, `"1e1.5"`, `"1e999999999999"`, `"1E2"`, "1Ei", "-1", `"-1"`, `"`+strings.Repeat("9", 17)+`"`),
				})
		}
	}
	return all
}
