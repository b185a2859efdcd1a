{{/*
The folder of models. Every source is mounted by itself, read-only, at ROOT/name/version; the container runtime makes the mount points.
With a baked source ROOT is the image's /models, otherwise a folder that the image does not have, so that the example stays out of sight.
*/}}
{{- define "slipway.modelsRoot" -}}
{{- $root := "/srv/models" -}}
{{- range .Values.models -}}
{{- if .source.baked }}{{ $root = "/models" }}{{ end -}}
{{- end -}}
{{- $root -}}
{{- end -}}

{{/* Where a model is below the folder: "", "name" or "name/version". */}}
{{- define "slipway.modelPath" -}}
{{- join "/" (compact (list .name .version)) -}}
{{- end -}}

{{- define "slipway.fetches" -}}
{{- range .Values.models }}{{ if .source.fetch }}true{{ end }}{{ end -}}
{{- end -}}

{{- define "slipway.modelVolumes" -}}
{{- range $i, $model := .Values.models }}
{{- with .source.persistentVolumeClaim }}
- name: model-{{ $i }}
  persistentVolumeClaim:
    claimName: {{ .claimName | quote }}
    readOnly: true
{{- end }}
{{- with .source.configMap }}
- name: model-{{ $i }}
  configMap:
    name: {{ .name | quote }}
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- with .source.secret }}
- name: model-{{ $i }}
  secret:
    secretName: {{ .secretName | quote }}
    defaultMode: 0440
    {{- with .items }}
    items:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end }}
{{- with .source.image }}
- name: model-{{ $i }}
  image:
    reference: {{ .reference | quote }}
    pullPolicy: {{ .pullPolicy | default "IfNotPresent" }}
{{- end }}
{{- end }}
{{- if include "slipway.fetches" . }}
- name: fetched
  emptyDir:
    sizeLimit: {{ .Values.fetch.sizeLimit }}
- name: fetch
  configMap:
    name: {{ include "slipway.fullname" . }}-fetch
{{- with .Values.fetch.headersSecret }}
- name: fetch-headers
  secret:
    secretName: {{ . | quote }}
    defaultMode: 0440
{{- end }}
{{- with .Values.fetch.caConfigMap.name }}
- name: fetch-ca
  configMap:
    name: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .Values.modelSettings }}
- name: model-settings
  configMap:
    name: {{ include "slipway.fullname" . }}-models
{{- end }}
{{- end -}}

{{- define "slipway.modelMounts" -}}
{{- $root := include "slipway.modelsRoot" . -}}
{{- range $i, $model := .Values.models }}
{{- $path := include "slipway.modelPath" . }}
{{- if .source.fetch }}
- name: fetched
  mountPath: {{ $root }}/{{ $path }}
  subPath: {{ $path }}
  readOnly: true
{{- else if not .source.baked }}
- name: model-{{ $i }}
  mountPath: {{ trimSuffix "/" (printf "%s/%s" $root $path) }}
  readOnly: true
  {{- with coalesce (.source.persistentVolumeClaim).subPath (.source.image).subPath }}
  subPath: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}
{{- if .Values.modelSettings }}
- name: model-settings
  mountPath: {{ $root }}/models.toml
  subPath: models.toml
  readOnly: true
{{- end }}
{{- end -}}

{{/* models.toml: strings are JSON strings, which TOML reads alike. */}}
{{- define "slipway.modelsToml" -}}
{{- range $name, $settings := .Values.modelSettings }}
[{{ $name | toJson }}]
{{- range $key, $value := $settings }}
{{ $key }} = {{ $value | toJson }}
{{- end }}
{{ end }}
{{- end -}}

{{/* What the fetch script is to do. */}}
{{- define "slipway.fetchPlan" -}}
{{- $files := list -}}
{{- range $model := .Values.models -}}
{{- with .source.fetch -}}
{{- $path := include "slipway.modelPath" $model -}}
{{- $files = append $files (dict "path" (printf "%s/model.joblib" $path) "url" .model.url "sha256" .model.sha256) -}}
{{- with .manifest -}}
{{- $files = append $files (dict "path" (printf "%s/manifest.json" $path) "url" .url "sha256" .sha256) -}}
{{- end -}}
{{- with .compiled -}}
{{- $name := ternary "model.onnx" "model.linear.json" (eq .form "onnx") -}}
{{- $files = append $files (dict "path" (printf "%s/%s" $path $name) "url" .url "sha256" .sha256) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $files | toPrettyJson -}}
{{- end -}}
