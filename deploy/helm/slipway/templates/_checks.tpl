{{/* Values that are each allowed but not together: the render fails with a sentence. The schema refuses the rest. */}}
{{- define "slipway.checks" -}}
{{- $values := .Values -}}

{{- /* Shutdown */ -}}
{{- $least := include "slipway.leastGracePeriod" . | int64 -}}
{{- $grace := include "slipway.gracePeriod" . | int64 -}}
{{- if lt $grace $least -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, but draining (config.drainTimeout %v) and the last requests (config.requestTimeout %v) may take %d: raise it to %d or more, leave it null, or lower the timeouts." $grace $values.config.drainTimeout $values.config.requestTimeout $least $least) -}}
{{- end -}}
{{- $deadline := include "slipway.progressDeadline" . | int64 -}}
{{- if le $deadline (int64 (add $values.loadBudgetSeconds $values.minReadySeconds)) -}}
{{- fail (printf "progressDeadlineSeconds is %d: it must be longer than loadBudgetSeconds (%v) and minReadySeconds (%v) together, or every rollout fails while pods still load their models." $deadline $values.loadBudgetSeconds $values.minReadySeconds) -}}
{{- end -}}
{{- range $probe := list "startupProbe" "readinessProbe" "livenessProbe" -}}
{{- $timings := index $values $probe -}}
{{- if gt (int64 ($timings.timeoutSeconds | default 1)) (int64 $grace) -}}
{{- fail (printf "%s.timeoutSeconds is longer than the grace period of %d s." $probe $grace) -}}
{{- end -}}
{{- end -}}

{{- /* Replicas */ -}}
{{- if and $values.autoscaling.enabled $values.keda.enabled -}}
{{- fail "autoscaling and keda are both enabled: each would undo the other's scaling, so choose one." -}}
{{- end -}}
{{- with $values.autoscaling -}}
{{- if .enabled -}}
{{- if gt (int64 .minReplicas) (int64 .maxReplicas) -}}
{{- fail (printf "autoscaling.minReplicas (%v) is above autoscaling.maxReplicas (%v)." .minReplicas .maxReplicas) -}}
{{- end -}}
{{- if not (or (dig "requests" "cpu" "" $values.resources) (dig "limits" "cpu" "" $values.resources)) -}}
{{- fail "autoscaling compares the CPU used with resources.requests.cpu, and neither that nor a limit is set: set it." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.keda -}}
{{- if .enabled -}}
{{- if gt (int64 .minReplicaCount) (int64 .maxReplicaCount) -}}
{{- fail (printf "keda.minReplicaCount (%v) is above keda.maxReplicaCount (%v)." .minReplicaCount .maxReplicaCount) -}}
{{- end -}}
{{- if and (eq (int64 .minReplicaCount) 0) (not .query) (not .triggers) -}}
{{- fail "keda.minReplicaCount is 0, but the default query asks the pods themselves and no pod would ever wake the first: set it to 1 or more, or set keda.query to one that counts requests elsewhere." -}}
{{- end -}}
{{- if not (or .serverAddress .triggers) -}}
{{- fail "keda needs keda.serverAddress, the Prometheus that it asks, such as http://prometheus.monitoring:9090." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.podDisruptionBudget -}}
{{- if and .enabled (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable) -}}
{{- fail "podDisruptionBudget has neither maxUnavailable nor minAvailable, so a node could never be drained: set one, such as maxUnavailable to 1." -}}
{{- end -}}
{{- if and .enabled (not (kindIs "invalid" .minAvailable)) -}}
{{- $pods := include "slipway.fewestPods" $ | int64 -}}
{{- $stay := 0 -}}
{{- if hasSuffix "%" (toString .minAvailable) -}}
{{- $stay = ceil (divf (mulf $pods (trimSuffix "%" .minAvailable | float64)) 100) | int64 -}}
{{- else -}}
{{- $stay = int64 .minAvailable -}}
{{- end -}}
{{- if and $pods (ge $stay $pods) -}}
{{- fail (printf "podDisruptionBudget.minAvailable %v keeps all of the %d pods, so a node could never be drained: lower it, run more pods, or use podDisruptionBudget.maxUnavailable." .minAvailable $pods) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $values.strategy -}}
{{- if eq .type "RollingUpdate" -}}
{{- if and (has (toString .rollingUpdate.maxSurge) (list "0" "0%")) (has (toString .rollingUpdate.maxUnavailable) (list "0" "0%")) -}}
{{- fail "strategy.rollingUpdate.maxSurge and maxUnavailable are both 0: a rollout could never begin." -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Resources */ -}}
{{- if and (not (dig "limits" "cpu" "" $values.resources)) (kindIs "invalid" $values.config.workers) -}}
{{- fail "resources.limits.cpu is not set, so there would be a worker for each CPU of the node: set it, or set config.workers." -}}
{{- end -}}

{{- /* Network */ -}}
{{- if and (not (kindIs "invalid" $values.service.nodePort)) (eq $values.service.type "ClusterIP") -}}
{{- fail "service.nodePort is set, but service.type is ClusterIP: set service.type to NodePort." -}}
{{- end -}}
{{- if and $values.service.externalTrafficPolicy (eq $values.service.type "ClusterIP") -}}
{{- fail "service.externalTrafficPolicy is for the service.type NodePort or LoadBalancer." -}}
{{- end -}}
{{- if and (or $values.service.loadBalancerClass $values.service.loadBalancerSourceRanges) (ne $values.service.type "LoadBalancer") -}}
{{- fail "service.loadBalancerClass and service.loadBalancerSourceRanges are for the service.type LoadBalancer." -}}
{{- end -}}
{{- if and (eq $values.service.clusterIP "None") (ne $values.service.type "ClusterIP") -}}
{{- fail "service.clusterIP None makes the Service headless, which the service.type ClusterIP alone can be." -}}
{{- end -}}
{{- if and (eq $values.service.clusterIP "None") (ne (int64 $values.service.port) 8000) -}}
{{- fail "service.clusterIP None makes a headless Service, which does not translate ports: set service.port to 8000." -}}
{{- end -}}
{{- if and $values.ingress.enabled (not $values.ingress.hosts) -}}
{{- fail "ingress is enabled without ingress.hosts: name a host and its paths; the host \"\" is any." -}}
{{- end -}}
{{- if and $values.httpRoute.enabled (not $values.httpRoute.parentRefs) -}}
{{- fail "httpRoute is enabled without httpRoute.parentRefs: name the Gateway that the route belongs to." -}}
{{- end -}}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.egress) -}}
{{- range $values.models -}}
{{- if .source.fetch -}}
{{- fail (printf "The model %s is fetched, but networkPolicy lets nothing out but DNS: allow it in networkPolicy.egress, for example [{ports: [{port: 443}]}]." .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* Metrics */ -}}
{{- if and $values.metrics.serviceMonitor.enabled $values.metrics.podMonitor.enabled -}}
{{- fail "metrics.serviceMonitor and metrics.podMonitor are both enabled: every pod would be scraped twice, so choose one." -}}
{{- end -}}

{{- with $values.certificate -}}
{{- if .enabled -}}
{{- if $values.tls.existingSecret -}}
{{- fail "certificate makes the Secret of the TLS certificate, and tls.existingSecret names another: leave one of them out." -}}
{{- end -}}
{{- if not (.issuerRef).name -}}
{{- fail "certificate needs certificate.issuerRef.name, the cert-manager Issuer or ClusterIssuer that signs it." -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq (toString ($values.metrics.port | default 0)) "8000" -}}
{{- fail "metrics.port is 8000, the port of the service itself: choose another, or leave it null." -}}
{{- end -}}
{{- if and ($values.volumePermissions).enabled (not (include "slipway.logClaim" .)) -}}
{{- fail "volumePermissions is for the volume of predictionLog.persistence, and there is none." -}}
{{- end -}}

{{- /* Names */ -}}
{{- $fullname := include "slipway.fullname" . -}}
{{- if not (regexMatch "^[a-z]([a-z0-9-]*[a-z0-9])?$" $fullname) -}}
{{- fail (printf "Objects would be called %s, and Kubernetes refuses a Service whose name begins with a digit or holds a dot: set fullnameOverride." $fullname) -}}
{{- end -}}
{{- range $values.extraEnv -}}
{{- if hasPrefix "SLIPWAY_" (upper .name) -}}
{{- fail (printf "extraEnv sets %s: the service's settings are set through config, models, predictionLog, apiKeys and tls." .name) -}}
{{- end -}}
{{- end -}}
{{- range $values.extraContainers -}}
{{- if eq .name "slipway" -}}
{{- fail "extraContainers has a container named slipway, as the service's own is: call it something else." -}}
{{- end -}}
{{- end -}}
{{- if and $values.test.body (not $values.test.path) -}}
{{- fail "test.body is set without test.path: where should helm test send it?" -}}
{{- end -}}
{{- include "slipway.modelChecks" . -}}
{{- include "slipway.logChecks" . -}}
{{- end -}}

{{- define "slipway.modelChecks" -}}
{{- $values := .Values -}}
{{- $seen := dict -}}
{{- $names := list -}}
{{- $whole := false -}}
{{- $baked := false -}}
{{- range $values.models -}}
{{- $path := join "/" (compact (list .name .version)) -}}
{{- if .source.baked -}}
{{- if .name }}{{ fail (printf "The model %s has the source baked: what the image holds has its own names, so leave name and version out." .name) }}{{ end -}}
{{- $baked = true -}}
{{- else if not $path -}}
{{- $whole = true -}}
{{- end -}}
{{- if hasKey $seen $path -}}
{{- fail (printf "models lists %s twice: give one of them another version." (ternary "the whole folder" $path (empty $path))) -}}
{{- end -}}
{{- $_ := set $seen $path true -}}
{{- with .name }}{{ $names = append $names . }}{{ end -}}
{{- if .source.image -}}
{{- include "slipway.checkImageVolume" $ -}}
{{- end -}}
{{- end -}}
{{- range $values.models -}}
{{- if and .version (hasKey $seen .name) -}}
{{- fail (printf "models lists %s both as a whole and with the version %s: a volume cannot be mounted inside another's folder, so give each a version." .name .version) -}}
{{- end -}}
{{- end -}}
{{- if and $whole (or (gt (len $values.models) 1) $values.modelSettings) -}}
{{- fail "A source without a name is the whole folder of models, so it must be the only one, and modelSettings must be empty: put a models.toml into that folder instead." -}}
{{- end -}}
{{- $defaults := list -}}
{{- range $name, $settings := $values.modelSettings -}}
{{- if and (not $baked) (not (has $name $names)) -}}
{{- fail (printf "modelSettings names %s, which models does not list." $name) -}}
{{- end -}}
{{- if $settings.default }}{{ $defaults = append $defaults $name }}{{ end -}}
{{- end -}}
{{- if gt (len $defaults) 1 -}}
{{- fail (printf "modelSettings makes %s each the default: one model can be." (join " and " $defaults)) -}}
{{- end -}}
{{- end -}}

{{/* The field exists from 1.31 and is on by default from 1.35; an API server without it drops the field and the pod has no model. */}}
{{- define "slipway.checkImageVolume" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if semverCompare "<1.31-0" $version -}}
{{- fail (printf "models has a source image, but this cluster is Kubernetes %s and image volumes came with 1.31: use another source, such as fetch." $version) -}}
{{- end -}}
{{- if and (eq .Values.imageVolumes "auto") (semverCompare "<1.35-0" $version) -}}
{{- fail (printf "models has a source image, but in Kubernetes %s image volumes are off unless the feature gate ImageVolume is set (they are on from 1.35): use another source, or set imageVolumes to always if the gate is on." $version) -}}
{{- end -}}
{{- end -}}
