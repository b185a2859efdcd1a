{{/* What every alert says of where it comes from, so that those of two releases stay two: dict "context" $ "severity" string. */}}
{{- define "slipway.alertLabels" -}}
{{- $own := dict "severity" .severity "release" .context.Release.Name "deployment" (include "slipway.fullname" .context) -}}
{{- toYaml (merge (dict) (.context.Values.metrics.prometheusRule.alertLabels | default dict) $own) -}}
{{- end -}}

{{/* The page of an alert: dict "context" $ "alert" string. */}}
{{- define "slipway.runbook" -}}
{{- $base := .context.Values.metrics.prometheusRule.runbookUrl | default "docs/runbooks" -}}
{{- printf "%s/%s.md" (trimSuffix "/" $base) .alert -}}
{{- end -}}
