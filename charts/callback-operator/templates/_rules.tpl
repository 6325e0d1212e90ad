{{/*
The rights of the manager. test/chart compares them with config/rbac/role.yaml, which is generated from the code.
*/}}

{{/* Rights in all namespaces, or in each watched namespace. */}}
{{- define "callback-operator.rules.watched" -}}
- apiGroups: [""]
  resources: [pods, services]
  verbs: [get, list, watch]
- apiGroups: [callbackproxy.io]
  resources: [callbackproxies, callbackroutes]
  verbs: [get, list, watch]
- apiGroups: [callbackproxy.io]
  resources: [callbackproxies/status, callbackroutes/status]
  verbs: [patch]
- apiGroups: [callbackproxy.io]
  resources: [callbackproxyconfigs]
  verbs: [create, delete, get, list, update, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [gateway.networking.k8s.io]
  resources: [referencegrants]
  verbs: [get, list, watch]
# For RoleBindings of proxies to one ClusterRole, which reads compiled configs only.
- apiGroups: [rbac.authorization.k8s.io]
  resources: [rolebindings]
  verbs: [create, get, list, patch, watch]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [clusterroles]
  resourceNames: [{{ include "callback-operator.proxyRole" . }}]
  verbs: [bind]
{{- end -}}

{{/* Rights on namespaces: CallbackProxies select them by label. */}}
{{- define "callback-operator.rules.cluster" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- end -}}

{{/* Rights to authenticate and authorize requests for /metrics. */}}
{{- define "callback-operator.rules.scrapers" -}}
- apiGroups: [authentication.k8s.io]
  resources: [tokenreviews]
  verbs: [create]
- apiGroups: [authorization.k8s.io]
  resources: [subjectaccessreviews]
  verbs: [create]
{{- end -}}

{{/* Rights in the namespaces in which the manager may run fleets. */}}
{{- define "callback-operator.rules.fleets" -}}
- apiGroups: [""]
  resources: [serviceaccounts, services]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [create, delete, get, list, patch, watch]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [create, delete, get, list, patch, watch]
{{- end -}}

{{/* Rights in the manager's namespace: leader election. */}}
{{- define "callback-operator.rules.leader" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create, get, update]
{{- end -}}

{{/* A role and its binding to the manager: (list $ kind namespace name rules). A ClusterRole has an empty namespace. */}}
{{- define "callback-operator.grant" -}}
{{- $root := index . 0 -}}
{{- $kind := index . 1 -}}
{{- $namespace := index . 2 -}}
{{- $name := index . 3 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "callback-operator.labels" $root | nindent 4 }}
rules:
{{ index . 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ $name }}
  {{- with $namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "callback-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ $name }}
subjects:
- kind: ServiceAccount
  name: {{ include "callback-operator.serviceAccount" $root }}
  namespace: {{ include "callback-operator.namespace" $root }}
{{- end -}}
