{{/* The prediction log: where it is kept, and the pods that look after its database. */}}

{{/* YAML reads off without quotes as false. */}}
{{- define "slipway.durability" -}}{{ (.Values.predictionLog).durability | default "off" }}{{- end -}}

{{/* "true" or nothing: whether anything is logged. /predict-with-logging does it whatever the durability. */}}
{{- define "slipway.logs" -}}
{{- if .Values.predictionLog -}}
{{- if or (ne (include "slipway.durability" .) "off") (ne (toString .Values.config.techniques) "false") }}true{{ end -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing: the database is PostgreSQL, else SQLite files. */}}
{{- define "slipway.logPostgresql" -}}
{{- if and (include "slipway.logs" .) .Values.predictionLog.database.existingSecret }}true{{ end -}}
{{- end -}}

{{/* Name of the claim; empty: an emptyDir. */}}
{{- define "slipway.logClaim" -}}
{{- if include "slipway.logs" . -}}
{{- with .Values.predictionLog.persistence -}}
{{- if .create }}{{ include "slipway.fullname" $ }}-log{{ else }}{{ .existingClaim | default "" }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing: something must drop old rows and make partitions. An SQLite file in an emptyDir goes with its pod. */}}
{{- define "slipway.logMaintained" -}}
{{- if or (include "slipway.logPostgresql" .) (include "slipway.logClaim" .) }}true{{ end -}}
{{- end -}}

{{/*
The one inequality of the log's volume: its limit must lie above all that the service keeps there, for past it the kubelet evicts the pod.
  limit >= 5/4 of the spool's bound + 64 MiB (+ 5/4 of the SQLite file's bound, where there is one)
The quarter is for what workers write at once, before they see each other's files, and for SQLite's write-ahead log.
*/}}
{{- define "slipway.logBytes" -}}
{{- $log := .Values.predictionLog -}}
{{- $kept := int64 $log.spool.bytes -}}
{{- if not (include "slipway.logPostgresql" .) -}}
{{- $kept = add $kept $log.database.sqliteBytes -}}
{{- end -}}
{{- add $kept (div $kept 4) 67108864 -}}
{{- end -}}

{{/* A quantity such as 8Gi in bytes. */}}
{{- define "slipway.bytes" -}}
{{- $powers := dict "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- mulf (trimSuffix $unit . | float64) (get $powers $unit | default 1.0) | int64 -}}
{{- end -}}

{{- define "slipway.logVolume" -}}
- name: log
  {{- if include "slipway.logClaim" . }}
  persistentVolumeClaim:
    claimName: {{ include "slipway.logClaim" . | quote }}
  {{- else }}
  emptyDir:
    sizeLimit: {{ include "slipway.logBytes" . | quote }}
  {{- end }}
{{- end -}}

{{/* The variables that say which database: dict "context" $ "key" the Secret's key. */}}
{{- define "slipway.logDatabase" -}}
{{- $database := .context.Values.predictionLog.database -}}
- name: SLIPWAY_LOG_DATABASE
  {{- if include "slipway.logPostgresql" .context }}
  valueFrom:
    secretKeyRef:
      name: {{ $database.existingSecret | quote }}
      key: {{ .key | quote }}
  {{- else }}
  value: sqlite:////var/lib/slipway/predictions.db
  {{- end }}
{{- if include "slipway.logAuthority" .context }}
- name: PGSSLROOTCERT
  value: {{ printf "/etc/slipway/database-ca/%s" $database.caConfigMap.key | quote }}
{{- end }}
{{- end -}}

{{/* Name of the ConfigMap with the authority of the database's certificate, or nothing. */}}
{{- define "slipway.logAuthority" -}}
{{- if include "slipway.logPostgresql" . }}{{ (.Values.predictionLog.database.caConfigMap).name | default "" }}{{ end -}}
{{- end -}}

{{- define "slipway.logAuthorityMount" -}}
- name: database-ca
  mountPath: /etc/slipway/database-ca
  readOnly: true
{{- end -}}

{{- define "slipway.logAuthorityVolume" -}}
- name: database-ca
  configMap:
    name: {{ include "slipway.logAuthority" . | quote }}
{{- end -}}

{{/* The service's variables of the log. */}}
{{- define "slipway.logEnvironment" -}}
{{- $log := .Values.predictionLog -}}
- name: SLIPWAY_LOG
  value: {{ include "slipway.durability" . | quote }}
{{ include "slipway.logDatabase" (dict "context" . "key" $log.database.key) }}
- name: SLIPWAY_LOG_DATABASE_BYTES
  value: {{ int64 $log.database.sqliteBytes | quote }}
- name: SLIPWAY_LOG_SPOOL
  value: /var/lib/slipway/spool
- name: SLIPWAY_LOG_SPOOL_BYTES
  value: {{ int64 $log.spool.bytes | quote }}
{{- with $log.spool.overflow }}
- name: SLIPWAY_LOG_OVERFLOW
  value: {{ . }}
{{- end }}
{{- if not (kindIs "invalid" $log.rate) }}
- name: SLIPWAY_LOG_RATE
  value: {{ $log.rate | toJson | quote }}
{{- end }}
{{- with $log.omit }}
- name: SLIPWAY_LOG_OMIT
  value: {{ toJson . | quote }}
{{- end }}
{{- with $log.hash.columns }}
- name: SLIPWAY_LOG_HASH
  value: {{ toJson . | quote }}
- name: SLIPWAY_LOG_HASH_KEY
  valueFrom:
    secretKeyRef:
      name: {{ $log.hash.existingSecret | quote }}
      key: {{ $log.hash.key | quote }}
{{- end }}
{{- if not (kindIs "invalid" $log.recordBytes) }}
- name: SLIPWAY_LOG_RECORD_BYTES
  value: {{ int64 $log.recordBytes | quote }}
{{- end }}
{{- end -}}

{{/* The container that runs `slipway log COMMAND`, as a pod of its own or before the service: dict "context" $ "command" string. */}}
{{- define "slipway.logContainer" -}}
{{- $ := .context -}}
{{- $log := $.Values.predictionLog -}}
name: log-{{ .command }}
image: {{ include "slipway.image" $ }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args: [log, {{ .command }}]
env:
  {{- include "slipway.logDatabase" (dict "context" $ "key" ($log.database.ownerKey | default $log.database.key)) | nindent 2 }}
  {{- if and (eq .command "maintain") (not (kindIs "invalid" $log.retentionDays)) }}
  - name: SLIPWAY_LOG_RETENTION_DAYS
    value: {{ int64 $log.retentionDays | quote }}
  {{- end }}
terminationMessagePolicy: FallbackToLogsOnError
securityContext:
  {{- toYaml $.Values.securityContext | nindent 2 }}
resources:
  {{- toYaml $log.jobResources | nindent 2 }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  {{- if include "slipway.logAuthority" $ }}
  {{- include "slipway.logAuthorityMount" $ | nindent 2 }}
  {{- end }}
  {{- if not (include "slipway.logPostgresql" $) }}
  - name: log
    mountPath: /var/lib/slipway
  {{- end }}
{{- end -}}

{{/* Labels of the pods of migration and maintenance: another component than the server's, so that Service and budget leave them alone. */}}
{{- define "slipway.logPodLabels" -}}
app.kubernetes.io/name: {{ include "slipway.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: log-{{ .command }}
{{- end -}}

{{/* The template of such a pod: dict "context" $ "command" string "serviceAccount" string. */}}
{{- define "slipway.logPod" -}}
{{- $ := .context -}}
metadata:
  labels:
    {{- include "slipway.logPodLabels" . | nindent 4 }}
    {{- include "slipway.labels" (dict "context" $ "labels" (include "slipway.jobPodLabels" . | fromYaml)) | nindent 4 }}
  annotations:
    {{- include "slipway.jobPodAnnotations" . | nindent 4 }}
spec:
  {{- with ($.Values.jobPods).priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with include "slipway.imagePullSecrets" $ }}
  {{- . | nindent 2 }}
  {{- end }}
  restartPolicy: Never
  serviceAccountName: {{ .serviceAccount }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  securityContext:
    {{- toYaml $.Values.podSecurityContext | nindent 4 }}
  {{- with $.Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.hostAliases }}
  hostAliases:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $.Values.dnsPolicy }}
  dnsPolicy: {{ . }}
  {{- end }}
  {{- with $.Values.dnsConfig }}
  dnsConfig:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if not (include "slipway.logPostgresql" $) }}
  # The file is on a volume that one node mounts: the server's.
  affinity:
    podAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        - topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "slipway.selectorLabels" $ | nindent 14 }}
  {{- end }}
  containers:
    - {{ include "slipway.logContainer" . | nindent 6 | trim }}
  volumes:
    - name: tmp
      emptyDir:
        medium: Memory
        sizeLimit: {{ $.Values.memoryVolumes.tmp }}
    {{- if include "slipway.logAuthority" $ }}
    {{- include "slipway.logAuthorityVolume" $ | nindent 4 }}
    {{- end }}
    {{- if not (include "slipway.logPostgresql" $) }}
    {{- include "slipway.logVolume" $ | nindent 4 }}
    {{- end }}
{{- end -}}

{{/* What these pods may reach: dict "context" $ "command" string. */}}
{{- define "slipway.logPolicy" -}}
podSelector:
  matchLabels:
    {{- include "slipway.logPodLabels" . | nindent 4 }}
policyTypes: [Ingress, Egress]
egress:
  {{- include "slipway.egressToDns" .context | nindent 2 }}
  {{- include "slipway.egressToDatabase" .context | nindent 2 }}
{{- end -}}

{{- define "slipway.egressToDns" -}}
# DNS, wherever the cluster runs it: in kube-system or on the node
- ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end -}}

{{- define "slipway.egressToDatabase" -}}
{{- if include "slipway.logPostgresql" . }}
{{- toYaml .Values.predictionLog.database.egress }}
{{- end }}
{{- end -}}

{{- define "slipway.logChecks" -}}
{{- $log := .Values.predictionLog -}}
{{- if include "slipway.logs" . -}}
{{- $postgresql := include "slipway.logPostgresql" . -}}
{{- $claim := include "slipway.logClaim" . -}}
{{- $limit := index (.Values.resources.limits | default dict) "ephemeral-storage" -}}
{{- if and (not $claim) $limit (lt (include "slipway.bytes" (toString $limit) | int64) (include "slipway.logBytes" . | int64)) -}}
{{- fail (printf "resources.limits.ephemeral-storage is %v, but the prediction log may take %s bytes of it, past which the kubelet evicts the pod: raise it, or lower predictionLog.spool.bytes." $limit (include "slipway.logBytes" .)) -}}
{{- end -}}
{{- if and $log.hash.columns (not $log.hash.existingSecret) -}}
{{- fail "predictionLog.hash.columns are hashed with a key: name the Secret that holds it in predictionLog.hash.existingSecret." -}}
{{- end -}}
{{- with $log.persistence -}}
{{- if and .create .existingClaim -}}
{{- fail "predictionLog.persistence makes a claim and names an existing one: leave create or existingClaim out." -}}
{{- end -}}
{{- if and .create (lt (include "slipway.bytes" .size | int64) (include "slipway.logBytes" $ | int64)) -}}
{{- fail (printf "predictionLog.persistence.size is %s, but spool.bytes (and database.sqliteBytes, without a Secret) need %s bytes: raise it, or lower those." .size (include "slipway.logBytes" $)) -}}
{{- end -}}
{{- end -}}
{{- if and $claim (not (and $postgresql (has "ReadWriteMany" $log.persistence.accessModes))) -}}
{{- $why := ternary "its access modes let one node mount it (ReadWriteMany lets several)" "several pods must not write one SQLite file" (not (empty $postgresql)) -}}
{{- if or (include "slipway.autoscaled" .) (gt (include "slipway.fewestPods" . | int64) 1) -}}
{{- fail (printf "predictionLog.persistence is for one pod here, for %s: set replicaCount to 1 and leave autoscaling and keda off, or keep the spool in an emptyDir." $why) -}}
{{- end -}}
{{- if ne .Values.strategy.type "Recreate" -}}
{{- fail (printf "predictionLog.persistence is for one pod here, for %s, and a rolling update runs two: set strategy.type to Recreate." $why) -}}
{{- end -}}
{{- end -}}
{{- if and (not (kindIs "invalid" $log.retentionDays)) (not (include "slipway.logMaintained" .)) -}}
{{- fail "predictionLog.retentionDays needs a database that outlives its pods: name a PostgreSQL in predictionLog.database.existingSecret, or keep the SQLite file with predictionLog.persistence." -}}
{{- end -}}
{{- if and $postgresql .Values.networkPolicy.enabled (not $log.database.egress) -}}
{{- fail "predictionLog.database.egress is empty, and networkPolicy lets nothing out but DNS: allow the way to the database, for example [{ports: [{port: 5432}]}]." -}}
{{- end -}}
{{- end -}}
{{- end -}}
