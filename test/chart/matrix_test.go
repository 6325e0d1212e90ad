// Copyright The callback-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/callbackproxy/callback-operator/hack/chart/rendering"
)

// scenario is one way to install the chart.
type scenario struct {
	name   string
	values string
	// apis are kinds of the API server in addition to those of Kubernetes.
	apis []string
	// golden compares the whole rendering with a file in testdata.
	golden bool
}

const edge = `
proxy:
  enabled: true
  hosts:
  - hostname: auth.acme.test
    namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: identity}}}
  - {hostname: sso.acme.test}
  forwarding: {trustedProxies: [10.0.0.0/8], hostFrom: XForwardedHost}
  policy: {maxLifetimeDays: 90, allowedAfterSunset: [Reject], requireOwner: true, sunsetWarningDays: [], maxRoutesPerNamespace: 50}
`

func scenarios() []scenario {
	everything := slices.Concat(rendering.Monitoring(), []string{rendering.MutatingPolicy, rendering.CallbackProxy})
	return []scenario{
		{name: "default", golden: true},
		{name: "everything-there", apis: everything, golden: true},
		{name: "no-metrics", values: "metrics: {enabled: false}", apis: everything},
		{name: "plain-metrics", values: "metrics: {secure: false, port: 9091}", apis: everything},
		{name: "one-replica", values: "{replicas: 1, leaderElection: {enabled: false}}"},
		{name: "digests", values: `
image:
  registry: registry.example.com:5000/identity
  manager: {digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullPolicy: Always}
  proxy: {digest: "sha256:fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"}
imagePullSecrets: [registry]
global: {imagePullSecrets: [registry, {name: mirror}], storageClass: fast}`, apis: everything},
		{
			name: "namespaces", values: "{scope: namespaces, namespaces: [tenant-b, tenant-a]}",
			apis: []string{rendering.MutatingPolicy}, golden: true,
		},
		{name: "namespaces-without-cluster-rights", values: `
scope: namespaces
namespaces: [tenant-a]
proxyNamespaces: [fleets]
metrics: {enabled: false}
rbac: {boundRoleBindings: false}`},
		{name: "edge-before-its-kind", values: edge},
		{name: "edge-with-ingress", golden: true, apis: []string{rendering.CallbackProxy}, values: edge + `
  deployment: {replicas: 3, resources: {limits: {memory: 256Mi}}, service: {type: ClusterIP, annotations: {a: b}}}
  autoscaling: {enabled: true, maxReplicas: 4}
  ingress:
    enabled: true
    className: nginx
    annotations: {cert-manager.io/cluster-issuer: acme}
    paths: [/oauth2, /saml]
    tls: [{secretName: edge-tls, hosts: [auth.acme.test, sso.acme.test]}]`},
		{name: "edge-with-httproute", apis: []string{rendering.CallbackProxy}, values: edge + `
  keep: false
  httpRoute: {enabled: true, parentRefs: [{name: public, namespace: gateways, sectionName: https}]}`},
		{name: "edge-external", apis: []string{rendering.CallbackProxy}, values: edge + `
  mode: External
  name: other
  listener: {port: 9000, healthPath: /healthz}
  limits: {headerKiB: 128, targetKiB: 256, bodyKiB: 16384}`},
		{name: "no-injection", values: "injection: {create: never}", apis: everything},
		{name: "forced", values: `
injection: {create: always}
metrics:
  readers: [{namespace: monitoring, name: prometheus-k8s}]
  serviceMonitor: {create: always, labels: {release: prometheus}, interval: 1m, metricRelabelings: [{action: drop, sourceLabels: [type], regex: Drained}]}
  podMonitor: {create: always}
  prometheusRule: {create: always}
  dashboard: {create: always, annotations: {grafana_folder: Identity}}`},
		{name: "crds-applied-separately", values: "crds: {enabled: false}\n" + edge},
		{name: "nothing-optional", values: `
crds: {keep: false, annotations: {a: b}}
rbac: {create: false, boundRoleBindings: false}
serviceAccount: {create: false, name: existing}
networkPolicy: {enabled: false}
podDisruptionBudget: {enabled: false}
injection: {create: never}
metrics: {enabled: false, podMonitor: {create: never}, prometheusRule: {create: never}, dashboard: {create: never}}`, apis: everything},
		{name: "pods", values: `
fullnameOverride: shim
namespaceOverride: identity
revisionHistoryLimit: 0
extraEnv: [{name: GOMEMLIMIT, value: 400MiB}, {name: HTTPS_PROXY, valueFrom: {configMapKeyRef: {name: egress, key: proxy, optional: true}}}]
extraVolumes: [{name: ca, configMap: {name: ca}}]
extraVolumeMounts: [{name: ca, mountPath: /etc/ssl/more, readOnly: true}]
podSecurityContext: {runAsUser: 1000, fsGroup: 1000, supplementalGroups: [2000]}
containerSecurityContext: {privileged: false}
commonLabels: {team: identity}
podLabels: {zone: inner}
podAnnotations: {a: "1"}
log: {level: debug, format: console}
extraArgs: [--kube-api-qps=100, --kube-api-burst=200]
resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 1Gi}}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: identity, operator: Exists, effect: NoSchedule}]
affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule}]
priorityClassName: system-cluster-critical
rbac: {aggregate: {view: false, edit: admin}}
networkPolicy:
  metricsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  extraEgress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]`},
		{name: "extra-objects", values: `
extraObjects:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: "{{ .Release.Name }}-extra", namespace: "{{ .Release.Namespace }}"}
  data: {image: '{{ include "callback-operator.image" (list . "proxy") }}'}
- |
  apiVersion: v1
  kind: ConfigMap
  metadata: {name: as-text, namespace: {{ .Release.Namespace }}}`},
	}
}

// eachScenario runs a test with the rendering of each scenario.
func eachScenario(t *testing.T, test func(t *testing.T, objects []rendering.Object)) {
	t.Helper()
	for _, s := range scenarios() {
		t.Run(s.name, func(t *testing.T) { test(t, render(t, s.values, s.apis...)) })
	}
}

// registry is that of the images in renderings which choose none.
const registry = "registry.example.com/identity"

// parse decodes values and adds a registry, without which the chart refuses to
// render, unless they contain settings of images.
func parse(t *testing.T, values string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(values), &parsed); err != nil {
		t.Fatalf("decode values: %v\n%s", err, values)
	}
	if parsed["image"] == nil {
		parsed["image"] = map[string]any{"registry": registry}
	}
	return parsed
}
