{{/* Alerts that name a model, and burn rates of the objectives that values give one. Context: the chart's root. */}}
{{- define "slipway.modelRules" -}}
{{- $pods := include "slipway.matchers" . -}}
{{- $fullname := include "slipway.fullname" . -}}
{{- $rule := .Values.metrics.prometheusRule -}}
{{- $release := dict "release" .Release.Name "deployment" $fullname -}}
{{- $warning := merge (dict) ($rule.alertLabels | default dict) (dict "severity" "warning") $release -}}
{{- $critical := merge (dict) ($rule.alertLabels | default dict) (dict "severity" "critical") $release -}}
- name: {{ $fullname }}-models
  rules:
    - alert: SlipwayModelFailed
      # An optional model does not keep its pod from being ready, so that SlipwayNotReady says nothing of it.
      expr: |
        sum by (namespace, model, version) (slipway_model_state{ {{- $pods }},state="failed"})
          > 0
      for: {{ $rule.for }}
      labels:
        {{- toYaml $warning | nindent 8 }}
      annotations:
        summary: {{ printf "%s does not serve the model %s %s" $fullname "{{ $labels.model }}" "{{ $labels.version }}" | quote }}
        description: It failed when it was loaded or tried out, in one worker at least. GET /models and the log say why.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayModelFailed") }}
    - alert: SlipwayInferenceErrors
      expr: |
        sum by (namespace, model, version) (rate(slipway_inference_errors_total{ {{- $pods }}}[{{ $rule.window }}]))
          / sum by (namespace, model, version) (rate(slipway_inference_duration_seconds_count{ {{- $pods }}}[{{ $rule.window }}]))
          > {{ $rule.errorRatio }}
      for: {{ $rule.for }}
      labels:
        {{- toYaml $warning | nindent 8 }}
      annotations:
        summary: {{ printf "The model %s %s of %s fails %s of its inferences" "{{ $labels.model }}" "{{ $labels.version }}" $fullname "{{ $value | humanizePercentage }}" | quote }}
        description: Its code raises, or answers what its signature does not allow. The traceback is in the log at level error.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayInferenceErrors") }}
    - alert: SlipwayReloadRefused
      expr: |
        sum by (namespace, outcome) (increase(slipway_reloads_total{ {{- $pods }},outcome!="loaded"}[15m]))
          > 0
      labels:
        {{- toYaml $warning | nindent 8 }}
      annotations:
        summary: {{ printf "New models of %s are not served, the ones before serve on" $fullname | quote }}
        description: A reload was {{ "{{ $labels.outcome }}" }}. GET /models (refused) and the log say why.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayReloadRefused") }}
    {{- if include "slipway.tls" . }}
    - alert: SlipwayCertificateExpires
      expr: |
        min by (namespace) (slipway_tls_certificate_expiry_timestamp_seconds{ {{- $pods }}}) - time()
          < {{ mul (int64 ($rule.certificateDays | default 14)) 86400 }}
      for: {{ $rule.for }}
      labels:
        {{- toYaml $warning | nindent 8 }}
      annotations:
        summary: {{ printf "The certificate of %s ends in %s" $fullname "{{ $value | humanizeDuration }}" | quote }}
        description: The one that is served, so either nobody renewed it or the pods refuse the new one; the log says which.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayCertificateExpires") }}
    {{- end }}
{{- with $rule.objectives }}
{{- $own := printf `namespace="%s",deployment="%s"` (include "slipway.namespace" $) $fullname }}
{{- $windows := list "5m" "30m" "1h" "2h" "6h" "1d" "3d" }}
- name: {{ $fullname }}-objectives
  rules:
    {{- range $model, $objective := . }}
    {{- $of := printf `%s,model="%s"` $pods $model }}
    {{- range $window := $windows }}
    - record: slipway:model_errors:ratio_rate{{ $window }}
      expr: |
        sum by (namespace, model) (rate(slipway_model_requests_total{ {{- $of }},status="5xx"}[{{ $window }}]))
          / sum by (namespace, model) (rate(slipway_model_requests_total{ {{- $of }}}[{{ $window }}]))
      labels:
        {{- toYaml $release | nindent 8 }}
    {{- if $objective.latencySeconds }}
    - record: slipway:model_slow:ratio_rate{{ $window }}
      expr: |
        1 - sum by (namespace, model) (rate(slipway_model_latency_seconds_bucket{ {{- $of }},le="{{ include "slipway.bucket" $objective.latencySeconds }}"}[{{ $window }}]))
          / sum by (namespace, model) (rate(slipway_model_latency_seconds_count{ {{- $of }}}[{{ $window }}]))
      labels:
        {{- toYaml $release | nindent 8 }}
    {{- end }}
    {{- end }}
    {{- $kinds := list (list "SlipwayErrorBudgetBurn" "model_errors" "fails") }}
    {{- if $objective.latencySeconds }}
    {{- $kinds = append $kinds (list "SlipwayLatencyBudgetBurn" "model_slow" (printf "takes longer than %v s for" $objective.latencySeconds)) }}
    {{- end }}
    {{- $budget := subf 1.0 (float64 $objective.objective) }}
    {{- range $kind := $kinds }}
    {{- /* A month's budget burnt until it fires: 2 % in an hour or 5 % in six; 10 % in a day or in three. The short window ends it soon. */}}
    {{- range $pairs := list (list "critical" "1h" "5m" 14.4 "6h" "30m" 6.0) (list "warning" "1d" "2h" 3.0 "3d" "6h" 1.0) }}
    {{- $ratio := printf "slipway:%s:ratio_rate%%s{%s,model=\"%s\"} > %%v" (index $kind 1) $own $model }}
    {{- $fast := round (mulf $budget (index $pairs 3)) 9 }}
    {{- $slow := round (mulf $budget (index $pairs 6)) 9 }}
    - alert: {{ index $kind 0 }}
      expr: |
        ({{ printf $ratio (index $pairs 1) $fast }} and {{ printf $ratio (index $pairs 2) $fast }})
          or ({{ printf $ratio (index $pairs 4) $slow }} and {{ printf $ratio (index $pairs 5) $slow }})
      labels:
        {{- toYaml (ternary $critical $warning (eq (index $pairs 0) "critical")) | nindent 8 }}
      annotations:
        summary: {{ printf "The model %s of %s %s %s of its requests, and may %v" "{{ $labels.model }}" $fullname (index $kind 2) "{{ $value | humanizePercentage }}" (round $budget 9) | quote }}
        description: At this rate the error budget of 30 days is gone within {{ ternary "five days" "the month" (eq (index $pairs 0) "critical") }}.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" (index $kind 0)) }}
    {{- end }}
    {{- end }}
    {{- end }}
{{- end }}
{{- end -}}

{{/* How an exposition writes a bucket's bound: 1.0 and not 1. */}}
{{- define "slipway.bucket" -}}
{{- $text := toString . -}}
{{- if contains "." $text }}{{ $text }}{{ else }}{{ $text }}.0{{ end -}}
{{- end -}}
