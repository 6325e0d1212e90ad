{{/* The manager's flags, one on each line. The proxies' image is the environment variable PROXY_IMAGE. */}}
{{- define "callback-operator.args" -}}
- --leader-elect={{ .Values.leaderElection.enabled }}
{{- if .Values.leaderElection.enabled }}
- --leader-elect-lease-duration={{ .Values.leaderElection.leaseDuration }}
- --leader-elect-renew-deadline={{ .Values.leaderElection.renewDeadline }}
- --leader-elect-retry-period={{ .Values.leaderElection.retryPeriod }}
{{- end }}
- --health-probe-bind-address=:8081
{{- if .Values.metrics.enabled }}
- --metrics-bind-address=:{{ .Values.metrics.port }}
- --metrics-secure={{ .Values.metrics.secure }}
{{- else }}
- --metrics-bind-address=0
{{- end }}
- --proxy-image-pull-policy={{ .Values.image.proxy.pullPolicy }}
{{- with (include "callback-operator.pullSecrets" . | fromYaml).items }}
- --proxy-image-pull-secrets={{ join "," . }}
{{- end }}
- --proxy-cluster-role={{ include "callback-operator.proxyRole" . }}
- --proxy-namespaces={{ join "," (include "callback-operator.proxyNamespaces" . | fromYaml).items }}
{{- if eq .Values.scope "namespaces" }}
- --watch-namespaces={{ join "," (include "callback-operator.watchNamespaces" . | fromYaml).items }}
{{- end }}
- --zap-log-level={{ .Values.log.level }}
- --zap-encoder={{ .Values.log.format }}
{{- range .Values.extraArgs }}
- {{ . | quote }}
{{- end }}
{{- end -}}
