{{/* Names, labels and references that every template shares. */}}

{{- define "slipway.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{/* At most 46 characters: a ReplicaSet's hash of 10 and two dashes still fit before a pod's name is cut (58), and alerts find pods by this name. */}}
{{- define "slipway.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "slipway.name" .) .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "slipway.name" .) | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "slipway.namespace" -}}{{ .Values.namespaceOverride | default .Release.Namespace }}{{- end -}}

{{- define "slipway.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "slipway.fullname" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{/* Immutable in a Deployment, so nothing that a user or a release of the chart may change. */}}
{{- define "slipway.selectorLabels" -}}
app.kubernetes.io/name: {{ include "slipway.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end -}}

{{/* Of objects and pods, with the user's own: dict "context" $ "labels" map, which goes before commonLabels. */}}
{{- define "slipway.labels" -}}
{{- $ := .context -}}
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: slipway
app.kubernetes.io/managed-by: {{ $.Release.Service }}
{{- with merge (dict) (.labels | default dict) $.Values.commonLabels }}
{{- range $label := keys . -}}
{{- if or (hasPrefix "app.kubernetes.io/" $label) (hasPrefix "helm.sh/" $label) -}}
{{- fail (printf "The label %s cannot be set by values: the chart sets it." $label) -}}
{{- end -}}
{{- end }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What every object but the test's begins with: dict "context" $ "labels" map "annotations" map "name" string. */}}
{{- define "slipway.metadata" -}}
{{- $ := .context -}}
name: {{ .name | default (include "slipway.fullname" $) }}
namespace: {{ .namespace | default (include "slipway.namespace" $) }}
labels:
  {{- include "slipway.selectorLabels" $ | nindent 2 }}
  {{- include "slipway.labels" . | nindent 2 }}
  # Not on pods: a new version of the chart alone is no reason to replace them.
  helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with merge (dict) (.annotations | default dict) $.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "slipway.image" -}}
{{- $image := .Values.image -}}
{{- $registry := .Values.global.imageRegistry | default $image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default .Chart.AppVersion }}{{ end }}
{{- end -}}

{{- define "slipway.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat (.Values.global.imagePullSecrets | default list) .Values.imagePullSecrets -}}
{{- $secrets = append $secrets (ternary . (dict "name" .) (kindIs "map" .)) -}}
{{- end -}}
{{- with $secrets | uniq -}}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* "true" or nothing, for use with `if`. */}}
{{- define "slipway.tls" -}}{{ if include "slipway.tlsSecret" . }}true{{ end }}{{- end -}}

{{/* Name of the Secret that holds certificate and key: the user's own, or what cert-manager writes; or nothing. */}}
{{- define "slipway.tlsSecret" -}}
{{- if .Values.tls.existingSecret }}{{ .Values.tls.existingSecret }}
{{- else if (.Values.certificate).enabled }}{{ include "slipway.fullname" . }}-tls{{ end -}}
{{- end -}}

{{/* Where /metrics is: a port of its own, or the one of all. */}}
{{- define "slipway.metricsPort" -}}{{ (.Values.metrics).port | default 8000 | int64 }}{{- end -}}
{{- define "slipway.metricsPortName" -}}{{ if (.Values.metrics).port }}metrics{{ else }}http{{ end }}{{- end -}}

{{/* Of the pods of hooks and jobs: dict "context" $. A proxy beside them would never end, and they with it. */}}
{{- define "slipway.jobPodLabels" -}}
{{- $pods := .context.Values.jobPods | default dict -}}
{{- merge (dict) ($pods.labels | default dict) (ternary (dict) (dict "sidecar.istio.io/inject" "false") (eq (toString $pods.mesh) "true")) | toYaml -}}
{{- end -}}
{{- define "slipway.jobPodAnnotations" -}}
{{- $pods := .context.Values.jobPods | default dict -}}
{{- $mesh := ternary (dict) (dict "linkerd.io/inject" "disabled") (eq (toString $pods.mesh) "true") -}}
{{- merge (dict) ($pods.annotations | default dict) .context.Values.commonAnnotations $mesh | toYaml -}}
{{- end -}}

{{/* A probe: dict "context" $ "probe" its values "path" string "failures" what follows from other values. */}}
{{- define "slipway.probe" -}}
{{- if .probe.override -}}
{{- toYaml .probe.override -}}
{{- else -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ include "slipway.scheme" .context | upper }}
{{- with .failures }}
failureThreshold: {{ . }}
{{- end }}
{{ toYaml (omit .probe "override") }}
{{- end -}}
{{- end -}}

{{- define "slipway.scheme" -}}{{ if include "slipway.tls" . }}https{{ else }}http{{ end }}{{- end -}}
{{- define "slipway.autoscaled" -}}{{ if or .Values.autoscaling.enabled .Values.keda.enabled }}true{{ end }}{{- end -}}

{{/* The fewest pods that the release is meant to run. */}}
{{- define "slipway.fewestPods" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}
{{- else if .Values.keda.enabled -}}{{ .Values.keda.minReplicaCount }}
{{- else -}}{{ .Values.replicaCount }}{{- end -}}
{{- end -}}

{{/* Label matchers that select this release's pods in Prometheus. ReplicaSet hashes and pod suffixes hold no dash. */}}
{{- define "slipway.matchers" -}}
namespace="{{ include "slipway.namespace" . }}",pod=~"{{ include "slipway.fullname" . }}-[a-z0-9]+-[a-z0-9]+"
{{- end -}}

{{/* What pods say about themselves; the user's own go before. */}}
{{- define "slipway.podAnnotations" -}}
{{- $annotations := dict "kubectl.kubernetes.io/default-container" "slipway" -}}
{{- if .Values.modelSettings -}}
{{- $_ := set $annotations "checksum/models" (include "slipway.modelsToml" . | sha256sum) -}}
{{- end -}}
{{- if include "slipway.fetches" . -}}
{{- $_ := set $annotations "checksum/fetch" (printf "%s%s" (.Files.Get "files/fetch.py") (include "slipway.fetchPlan" .) | sha256sum) -}}
{{- end -}}
{{- with .Values.metrics -}}
{{- if and .annotations (not (or .serviceMonitor.enabled .podMonitor.enabled)) -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/scheme" (include "slipway.scheme" $) -}}
{{- $_ := set $annotations "prometheus.io/port" (toString (include "slipway.metricsPort" $)) -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- end -}}
{{- merge (dict) .Values.podAnnotations .Values.commonAnnotations $annotations | toYaml -}}
{{- end -}}
