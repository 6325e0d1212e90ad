{{/* The full name, the first part of every object's name: fullnameOverride, or the release's name and nameOverride. */}}
{{- define "callback-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The namespace of the manager and of the release's fleet. */}}
{{- define "callback-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride -}}
{{- end -}}

{{/* Labels that select the manager's pods. They must not change, because a Deployment's selector is immutable. */}}
{{- define "callback-operator.selector" -}}
app.kubernetes.io/name: callback-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "callback-operator.labels" -}}
{{ include "callback-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: callback-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of one object: (list $ map). The map overrides the common labels. */}}
{{- define "callback-operator.labelsWith" -}}
{{- $labels := include "callback-operator.labels" (index . 0) | fromYaml -}}
{{- toYaml (mergeOverwrite $labels (index . 1 | default dict)) -}}
{{- end -}}

{{- define "callback-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "callback-operator.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* The ClusterRole that the manager binds for proxies. */}}
{{- define "callback-operator.proxyRole" -}}
{{ include "callback-operator.fullname" . }}-proxy
{{- end -}}

{{/*
An image: (list $ "manager") or (list $ "proxy"). A node would look for an image without a registry at Docker Hub, so it is refused
here. With pullPolicy Never a node pulls nothing, so that the name needs no registry.
*/}}
{{- define "callback-operator.image" -}}
{{- $root := index . 0 -}}
{{- $name := index . 1 -}}
{{- $image := index $root.Values.image $name -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.image.registry | default (($root.Values.global).imageRegistry) -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- $host := splitList "/" $repository | first -}}
{{- $qualified := and (contains "/" $repository) (or (contains "." $host) (contains ":" $host) (eq $host "localhost")) -}}
{{- if not (or $qualified (eq $image.pullPolicy "Never")) -}}
{{- fail (printf "image.%s: %q names no registry: set image.registry, such as registry.example.com/identity (or image.%s.pullPolicy Never for an image that is loaded into the nodes)" $name $repository $name) -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Names of the pull secrets, as a YAML list under the key items. */}}
{{- define "callback-operator.pullSecrets" -}}
{{- $names := .Values.imagePullSecrets -}}
{{- range ((.Values.global).imagePullSecrets) -}}
{{- if kindIs "map" . -}}
{{- $names = append $names .name -}}
{{- else -}}
{{- $names = append $names . -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "items" (uniq $names)) -}}
{{- end -}}

{{/* Namespaces in which the manager may run fleets, as a YAML list under the key items. */}}
{{- define "callback-operator.proxyNamespaces" -}}
{{- toYaml (dict "items" (.Values.proxyNamespaces | default (list (include "callback-operator.namespace" .)) | uniq | sortAlpha)) -}}
{{- end -}}

{{/* Namespaces that the manager watches with scope namespaces, as a YAML list under the key items. */}}
{{- define "callback-operator.watchNamespaces" -}}
{{- $fleets := (include "callback-operator.proxyNamespaces" . | fromYaml).items -}}
{{- toYaml (dict "items" (concat .Values.namespaces $fleets | uniq | sortAlpha)) -}}
{{- end -}}

{{/* "true" when the release contains objects of a kind: (list $ create "group/version/Kind"). */}}
{{- define "callback-operator.wants" -}}
{{- $create := index . 1 -}}
{{- if or (eq $create "always") (and (eq $create "auto") ((index . 0).Capabilities.APIVersions.Has (index . 2))) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" when the release itself installs the kind CallbackProxy, so that the CallbackProxy has to be a hook. */}}
{{- define "callback-operator.kindsAreNew" -}}
{{- if and .Values.crds.enabled (not (.Capabilities.APIVersions.Has "callbackproxy.io/v1alpha1/CallbackProxy")) -}}
true
{{- end -}}
{{- end -}}

{{/*
Annotations of ingress-nginx, for the values of a fleet: a callback is sent once, and requests and responses may be as large as the
proxies accept them. Other controllers ignore them.
*/}}
{{- define "callback-operator.sendOnce" -}}
nginx.ingress.kubernetes.io/proxy-next-upstream: "off"
nginx.ingress.kubernetes.io/proxy-body-size: {{ printf "%dk" (int (dig "bodyKiB" 1024 (.limits | default dict))) }}
nginx.ingress.kubernetes.io/proxy-buffer-size: 64k
{{- end -}}
