{{/* The full name: the release's, after nameOverride when that is set. Everything is named after it. */}}
{{- define "callback-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which the manager's pods are found; never changed, a Deployment's selector is immutable. */}}
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

{{/* Labels of one object: (list $ map). What is given goes before what is common. */}}
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

{{/* An image: (list $ .Values.image.manager). */}}
{{- define "callback-operator.image" -}}
{{- $root := index . 0 -}}
{{- $image := index . 1 -}}
{{- $repository := $image.repository -}}
{{- with $root.Values.image.registry -}}
{{- $repository = printf "%s/%s" (trimSuffix "/" .) $repository -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default $root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* Namespaces in which fleets may be run, as a YAML list under the key items. */}}
{{- define "callback-operator.proxyNamespaces" -}}
{{- toYaml (dict "items" (.Values.proxyNamespaces | default (list .Release.Namespace) | uniq | sortAlpha)) -}}
{{- end -}}

{{/* Namespaces that the manager watches with scope namespaces, as a YAML list under the key items. */}}
{{- define "callback-operator.watchNamespaces" -}}
{{- $fleets := (include "callback-operator.proxyNamespaces" . | fromYaml).items -}}
{{- toYaml (dict "items" (concat .Values.namespaces $fleets | uniq | sortAlpha)) -}}
{{- end -}}

{{/* "true" when an object of a kind is to be made: (list $ create "group/version/Kind"). */}}
{{- define "callback-operator.wants" -}}
{{- $create := index . 1 -}}
{{- if or (eq $create "always") (and (eq $create "auto") ((index . 0).Capabilities.APIVersions.Has (index . 2))) -}}
true
{{- end -}}
{{- end -}}

{{/* "true" when the CallbackProxy cannot be part of the release yet, as its kind is not there. */}}
{{- define "callback-operator.kindsAreNew" -}}
{{- if and .Values.crds.enabled (not (.Capabilities.APIVersions.Has "callbackproxy.io/v1alpha1/CallbackProxy")) -}}
true
{{- end -}}
{{- end -}}
