{{/* Recording rules of drift and the alerts on them; docs/drift.md explains windows and thresholds. Context: the chart's root. */}}
{{- define "slipway.driftRules" -}}
{{- $pods := include "slipway.matchers" . -}}
{{- $fullname := include "slipway.fullname" . -}}
{{- $rule := .Values.metrics.prometheusRule -}}
{{- $own := printf `namespace="%s",deployment="%s"` (include "slipway.namespace" .) $fullname -}}
{{- with $rule.drift -}}
- name: {{ $fullname }}-drift
  interval: {{ .interval }}
  rules:
    - record: slipway:drift_values:increase
      # Values in the window by bin, of all workers and pods.
      expr: sum by (namespace, model, version, part, name, bin) (increase(slipway_drift_values_total{ {{- $pods }}}[{{ .window }}]))
      labels:
        deployment: {{ $fullname }}
    - record: slipway:drift_share
      # Of the values in the window. A logarithm has no use for an empty bin, so a share is a thousandth at least.
      expr: |
        clamp_min(
          slipway:drift_values:increase{ {{- $own }}}
            / ignoring (bin) group_left () sum without (bin) (slipway:drift_values:increase{ {{- $own }}}),
          0.001
        )
      labels:
        deployment: {{ $fullname }}
    - record: slipway:drift_expected_share
      expr: clamp_min(max by (namespace, model, version, part, name, bin) (slipway_drift_expected_share{ {{- $pods }}}), 0.001)
      labels:
        deployment: {{ $fullname }}
    - record: slipway:drift_psi
      # Of few values it would be chance.
      expr: |
        sum without (bin) (
          (slipway:drift_share{ {{- $own }}} - slipway:drift_expected_share{ {{- $own }}})
            * ln(slipway:drift_share{ {{- $own }}} / slipway:drift_expected_share{ {{- $own }}})
        )
          and sum without (bin) (slipway:drift_values:increase{ {{- $own }}}) >= {{ .minimumRows }}
      labels:
        deployment: {{ $fullname }}
    - alert: SlipwayDrift
      expr: slipway:drift_psi{ {{- $own }},part="feature"} > {{ .psi }}
      for: {{ .for }}
      labels:
        {{- include "slipway.alertLabels" (dict "context" $ "severity" "warning") | nindent 8 }}
      annotations:
        summary: {{ printf "%s: %s of %s %s has drifted, PSI %s" $fullname "{{ $labels.name }}" "{{ $labels.model }}" "{{ $labels.version }}" "{{ $value | printf `%.2f` }}" | quote }}
        description: What clients send no longer looks like the data at packing. Compare the shares of the bins on the dashboard, or ask `slipway drift` since when; the cause may be a client, or the model's world.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayDrift") }}
    - alert: SlipwayPredictionDrift
      expr: slipway:drift_psi{ {{- $own }},part="prediction"} > {{ .psi }}
      for: {{ .for }}
      labels:
        {{- include "slipway.alertLabels" (dict "context" $ "severity" "warning") | nindent 8 }}
      annotations:
        summary: {{ printf "%s: the answers of %s %s have drifted, PSI %s" $fullname "{{ $labels.model }}" "{{ $labels.version }}" "{{ $value | printf `%.2f` }}" | quote }}
        description: The model answers otherwise than it did at packing. If no feature has drifted, too, look for one that is not tracked, or for features that are rare together.
        runbook_url: {{ include "slipway.runbook" (dict "context" $ "alert" "SlipwayPredictionDrift") }}
{{- end -}}
{{- end -}}
