{{/*
The one inequality of the shutdown, from the service's settings:
  request deadline R < Uvicorn's drain R + 1 < Gunicorn's graceful timeout R + 6
  grace period >= drain timeout (preStop) + graceful timeout + 5
A test compares it with the service's own (service/worker.py).
*/}}
{{- define "slipway.leastGracePeriod" -}}
{{- $graceful := add (ceil .Values.config.requestTimeout) 6 -}}
{{- add (ceil .Values.config.drainTimeout) $graceful 5 -}}
{{- end -}}

{{- define "slipway.gracePeriod" -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- include "slipway.leastGracePeriod" . -}}
{{- else -}}
{{- int64 .Values.terminationGracePeriodSeconds -}}
{{- end -}}
{{- end -}}

{{/* How often the startup probe may fail: the load budget, in periods, rounded up. */}}
{{- define "slipway.startupFailures" -}}
{{- max 1 (int64 (ceil (divf .Values.loadBudgetSeconds .Values.startupProbe.periodSeconds))) -}}
{{- end -}}

{{- define "slipway.progressDeadline" -}}
{{- if kindIs "invalid" .Values.progressDeadlineSeconds -}}
{{- add .Values.loadBudgetSeconds 240 -}}
{{- else -}}
{{- int64 .Values.progressDeadlineSeconds -}}
{{- end -}}
{{- end -}}
