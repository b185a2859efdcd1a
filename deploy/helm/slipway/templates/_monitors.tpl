{{/* The paths that a ServiceMonitor or PodMonitor scrapes: dict "context" $ "monitor" values "port" string. */}}
{{- define "slipway.endpoints" -}}
{{- $settings := .monitor -}}
{{- $context := .context -}}
{{- $port := .port -}}
{{- $scrapes := list (dict "path" "/metrics" "interval" $settings.interval) -}}
{{- if eq ($context.Values.config.drift | default "together") "apart" -}}
{{- /* Two targets with the same labels would share their `up`. */ -}}
{{- $own := list (dict "targetLabel" "endpoint" "replacement" "drift") -}}
{{- $scrapes = append $scrapes (dict "path" "/metrics/drift" "interval" ($context.Values.metrics.driftInterval | default "2m") "own" $own) -}}
{{- end -}}
{{- range $scrape := $scrapes }}
- port: {{ $port }}
  path: {{ $scrape.path }}
  scheme: {{ include "slipway.scheme" $context }}
  {{- with $scrape.interval }}
  interval: {{ . }}
  {{- end }}
  {{- with $settings.scrapeTimeout }}
  scrapeTimeout: {{ . }}
  {{- end }}
  {{- if include "slipway.tls" $context }}
  tlsConfig:
    {{- toYaml ($settings.tlsConfig | default (dict "insecureSkipVerify" true)) | nindent 4 }}
  {{- end }}
  {{- with concat ($scrape.own | default list) ($settings.relabelings | default list) }}
  relabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $settings.metricRelabelings }}
  metricRelabelings:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end -}}
