{{/* The values of the gateway: those under inferGateway, and over them those under networking.inferGateway. */}}
{{- define "sluice.values" -}}
{{- mergeOverwrite (deepCopy .Values.inferGateway) (deepCopy ((.Values.networking).inferGateway | default dict)) | toJson -}}
{{- end -}}

{{- define "sluice.name" -}}
{{- $name := contains "sluice" .Release.Name | ternary .Release.Name (printf "%s-sluice" .Release.Name) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.selector" -}}
app.kubernetes.io/name: sluice
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "sluice.labels" -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: sluice-{{ .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "sluice.serviceAccount" -}}
{{- $values := include "sluice.values" . | fromJson -}}
{{- $values.serviceAccount.name | default ($values.serviceAccount.create | ternary (include "sluice.name" .) "default") -}}
{{- end -}}

{{/* The whole configuration: `config`, and the sections that are written beside it. */}}
{{- define "sluice.config" -}}
{{- $values := include "sluice.values" . | fromJson -}}
{{- $config := deepCopy ($values.config | default dict) -}}
{{- range $section := list "fairness" "sessionBoost" "auth" "discovery" -}}
  {{- if hasKey $config $section -}}
    {{- fail (printf "inferGateway.config.%s is not read: write it under inferGateway.%s" $section $section) -}}
  {{- end -}}
  {{- with index $values $section -}}{{- $_ := set $config $section . -}}{{- end -}}
{{- end -}}
{{- range $weight := list "inputTokenWeight" "outputTokenWeight" -}}
  {{- if hasKey ($config.fairness | default dict) $weight -}}
    {{- $_ := set $config.fairness $weight (index $config.fairness $weight | float64) -}}
  {{- end -}}
{{- end -}}
{{- if not $config.discovery -}}
  {{- $pods := dict "labelSelectors" (list "app=vllm") "port" 8000 -}}
  {{- $_ := set $config "discovery" (dict "kubernetes" (dict "pods" (list $pods))) -}}
{{- end -}}
{{- toJson $config -}}
{{- end -}}

{{/* What discovery asks the API server for: a list of namespaces, with the rules of a Role for each. */}}
{{- define "sluice.rules" -}}
{{- $kubernetes := (include "sluice.config" . | fromJson).discovery.kubernetes | default dict -}}
{{- $own := .Release.Namespace -}}
{{- $wanted := dict -}}
{{- range $pods := $kubernetes.pods -}}
  {{- range $namespace := $pods.namespaces | default (list $own) -}}
    {{- $_ := set $wanted $namespace (append (index $wanted $namespace | default list) (dict "group" "" "resource" "pods")) -}}
  {{- end -}}
{{- end -}}
{{- range $pool := $kubernetes.inferencePools -}}
  {{- $namespace := $pool.namespace | default $own -}}
  {{- $ofPool := dict "group" "inference.networking.k8s.io" "resource" "inferencepools" "name" $pool.name -}}
  {{- $_ := set $wanted $namespace (concat (index $wanted $namespace | default list) (list $ofPool (dict "group" "" "resource" "pods"))) -}}
{{- end -}}
{{- range $service := $kubernetes.services -}}
  {{- $namespace := $service.namespace | default $own -}}
  {{- $_ := set $wanted $namespace (append (index $wanted $namespace | default list) (dict "group" "discovery.k8s.io" "resource" "endpointslices")) -}}
{{- end -}}
{{- $roles := list -}}
{{- range $namespace := keys $wanted | sortAlpha -}}
  {{- $rules := list -}}
  {{- range $each := index $wanted $namespace | uniq -}}
    {{- $rule := dict "apiGroups" (list $each.group) "resources" (list $each.resource) "verbs" (list "list" "watch") -}}
    {{- with $each.name -}}{{- $_ := set $rule "resourceNames" (list .) -}}{{- end -}}
    {{- $rules = append $rules $rule -}}
  {{- end -}}
  {{- $roles = append $roles (dict "namespace" $namespace "rules" $rules) -}}
{{- end -}}
{{- toJson $roles -}}
{{- end -}}

{{/* What of the configuration only counts when Sluice starts: a change of it replaces the pods. */}}
{{- define "sluice.configAtStart" -}}
{{- $config := include "sluice.config" . | fromJson -}}
{{- $atStart := dict "admin" $config.admin "envoy" $config.envoy -}}
{{- $_ := set $atStart "limits" (pick ($config.limits | default dict) "maxBodyBytes" "store") -}}
{{- $_ := set $atStart "usage" (pick ($config.usage | default dict) "accessLogTimeout") -}}
{{- $_ := set $atStart "auth" (pick ($config.auth | default dict) "anonymous") -}}
{{- $_ := set $atStart "discovery" (pick $config.discovery "type") -}}
{{- $_ := set $atStart "kubernetes" (pick ($config.discovery.kubernetes | default dict) "kubeconfig" "context" "silenceTimeout") -}}
{{- $_ := set $atStart "log" (pick ($config.log | default dict) "format" "output") -}}
{{- toJson $atStart -}}
{{- end -}}

{{/* A duration of the configuration in whole seconds, rounded up; a number is one of seconds already. */}}
{{- define "sluice.seconds" -}}
{{- $seconds := 0.0 -}}
{{- if kindIs "string" . -}}
  {{- if not (regexMatch "^(0|([0-9]+(\\.[0-9]+)?(ms|s|m|h))+)$" .) -}}
    {{- fail (printf "%q is not a duration: write it like 250ms, 1s, 5m, or as a number of seconds" .) -}}
  {{- end -}}
  {{- range regexFindAll "[0-9]+(\\.[0-9]+)?(ms|s|m|h)" . -1 -}}
    {{- $unit := regexFind "[a-z]+" . -}}
    {{- $seconds = addf $seconds (mulf (trimSuffix $unit . | float64) (index (dict "ms" 0.001 "s" 1 "m" 60 "h" 3600) $unit)) -}}
  {{- end -}}
{{- else -}}
  {{- $seconds = float64 . -}}
{{- end -}}
{{- ceil $seconds | int -}}
{{- end -}}

{{/* How long running requests may take to end. */}}
{{- define "sluice.drainSeconds" -}}
{{- $config := include "sluice.config" . | fromJson -}}
{{- include "sluice.seconds" (dig "limits" "drainTimeout" "30s" $config) -}}
{{- end -}}

{{/* What the configuration says of Envoy, as options of `sluice envoy-config`, one a line. */}}
{{- define "sluice.envoyOptions" -}}
{{- $values := include "sluice.values" . | fromJson -}}
{{- $config := include "sluice.config" . | fromJson -}}
{{- $envoy := $config.envoy | default dict -}}
--listen=0.0.0.0:8080
--ext-proc=unix:/run/sluice/grpc.sock
--envoy-version={{ $values.envoy.image.tag | toString | regexFind "[0-9]+\\.[0-9]+\\.[0-9]+" | default "1.40.0" }}
--admin-port=9901
--access-log=off
{{- range $option, $field := dict "message-timeout" "messageTimeout" "max-message-timeout" "maxMessageTimeout" "per-try-idle-timeout" "perTryIdleTimeout" "idle-timeout" "idleTimeout" "request-timeout" "requestTimeout" "connect-timeout" "connectTimeout" }}
  {{- if hasKey $envoy $field }}
    {{- $value := index $envoy $field }}
--{{ $option }}={{ kindIs "string" $value | ternary $value (printf "%vs" $value) }}
  {{- end }}
{{- end }}
{{- if hasKey $envoy "retries" }}
--retries={{ int $envoy.retries }}
{{- end }}
{{- with ($config.limits).maxBodyBytes }}
--max-body={{ kindIs "string" . | ternary . (. | int64 | toString) }}
{{- end }}
{{- with ($envoy.upstreamTls).caFile }}
--engine-ca={{ . }}
{{- end }}
{{- if ($envoy.upstreamTls).insecureSkipVerify }}
--engine-tls-insecure
{{- end }}
{{- if $values.envoy.trustedHops }}
--trusted-hops={{ int $values.envoy.trustedHops }}
{{- end }}
{{- if eq "address" (dig "auth" "anonymous" "by" "" $config) }}
--client-address
{{- end }}
{{- if $values.tls.enabled }}
--tls-sds=/etc/envoy/tls.yaml
{{- end }}
{{- end -}}
