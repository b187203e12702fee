{{- define "sluice.image" -}}
{{ .image.repository }}:{{ .image.tag | default .appVersion }}
{{- end -}}

{{- define "sluice.securityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Writes what Envoy runs with: it comes from the Sluice that Envoy will talk to. */}}
{{- define "sluice.bootstrapContainer" -}}
{{- $values := include "sluice.values" . | fromJson -}}
name: bootstrap
image: {{ include "sluice.image" (dict "image" $values.image "appVersion" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
command: [sh, -c, 'exec sluice envoy-config "$@" > /run/sluice/envoy.yaml', bootstrap]
args:
  {{- range include "sluice.envoyOptions" . | splitList "\n" }}
  - {{ . | quote }}
  {{- end }}
securityContext:
  {{- include "sluice.securityContext" . | nindent 2 }}
resources:
  requests: { cpu: 100m, memory: 128Mi }
  limits: { memory: 256Mi }
volumeMounts:
  - { name: run, mountPath: /run/sluice }
{{- end -}}

{{/* Beside an Envoy a sidecar, which is up before Envoy and outlives it. */}}
{{- define "sluice.sluiceContainer" -}}
{{- $values := include "sluice.values" . | fromJson -}}
{{- $watches := include "sluice.rules" . | fromJsonArray -}}
name: sluice
{{- if $values.envoy.enabled }}
restartPolicy: Always
{{- end }}
image: {{ include "sluice.image" (dict "image" $values.image "appVersion" .Chart.AppVersion) | quote }}
imagePullPolicy: {{ $values.image.pullPolicy }}
args:
  - serve
  - --config=/etc/sluice
  - --grpc-listen={{ $values.envoy.enabled | ternary "unix:/run/sluice/grpc.sock" (printf "0.0.0.0:%d" (int $values.grpc.port)) }}
  {{- if and (not $values.envoy.enabled) $values.grpc.tls.enabled }}
  {{- if $values.grpc.tls.secretName }}
  - --grpc-tls-cert=/etc/tls/tls.crt
  - --grpc-tls-key=/etc/tls/tls.key
  {{- else }}
  - --grpc-tls=self-signed
  {{- end }}
  {{- end }}
  - --admin-host=0.0.0.0
  - --admin-port=9090
  - --log-format={{ dig "log" "format" "json" (include "sluice.config" . | fromJson) }}
ports:
  - { name: admin, containerPort: 9090 }
  {{- if not $values.envoy.enabled }}
  - { name: grpc, containerPort: {{ int $values.grpc.port }} }
  {{- end }}
{{- if or $values.envoy.enabled $values.grpc.tls.enabled }}
# The kubelet cannot ask the gRPC health service, which is {{ $values.envoy.enabled | ternary "on the Unix socket" "behind TLS" }}: these pages say the same.
startupProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- else }}
startupProbe:
  grpc: { port: {{ int $values.grpc.port }}, service: liveness }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  grpc: { port: {{ int $values.grpc.port }}, service: liveness }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
readinessProbe:
  grpc: { port: {{ int $values.grpc.port }}, service: readiness }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}
{{- if not $values.envoy.enabled }}
# The gateway hears that this pod goes before it does; then Sluice waits for running exchanges by itself.
lifecycle:
  preStop:
    exec:
      command: [sleep, '5']
{{- end }}
securityContext:
  {{- include "sluice.securityContext" . | nindent 2 }}
resources:
  {{- toYaml $values.resource | nindent 2 }}
volumeMounts:
  {{- if $values.envoy.enabled }}
  - { name: run, mountPath: /run/sluice }
  {{- else if and $values.grpc.tls.enabled $values.grpc.tls.secretName }}
  - { name: tls, mountPath: /etc/tls, readOnly: true }
  {{- end }}
  # A folder, not a subPath: changes reach it, and take effect without a restart.
  - { name: config, mountPath: /etc/sluice, readOnly: true }
  {{- if $watches }}
  - { name: api-token, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true }
  {{- end }}
{{- end -}}

{{- define "sluice.envoyContainer" -}}
{{- $values := include "sluice.values" . | fromJson -}}
name: envoy
image: "{{ $values.envoy.image.repository }}:{{ $values.envoy.image.tag }}"
imagePullPolicy: {{ $values.envoy.image.pullPolicy }}
command: [envoy]
args:
  # Envoy does not read `--option=value`.
  - --config-path
  - /run/sluice/envoy.yaml
  - --log-level
  - warning
  - --concurrency
  - {{ dig "envoy" "concurrency" 0 (include "sluice.config" . | fromJson) | default 2 | int | quote }}
  - --disable-hot-restart
ports:
  - { name: http, containerPort: 8080 }
# Answered by Sluice, through Envoy: the way that requests take.
startupProbe:
  httpGet: { path: /health, port: http{{ if $values.tls.enabled }}, scheme: HTTPS{{ end }} }
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: 60
livenessProbe:
  tcpSocket: { port: http }
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
# Whether Sluice is ready says its own probe: each request here would be one more line in its log.
readinessProbe:
  tcpSocket: { port: http }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
lifecycle:
  preStop:
    exec:
      command:
        - bash
        - -c
        # New requests go elsewhere first; then clients are let go of, and running requests may end.
        - |
          pause=5 drain={{ include "sluice.drainSeconds" . }}
          ask() {
            exec 3<>/dev/tcp/127.0.0.1/9901 || exit
            printf '%s %s HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n' "$1" "$2" >&3
            cat <&3
          }
          idle() {
            [[ $(ask GET '/stats?filter=^http.sluice.downstream_rq_active$') == *': 0'* ]]
          }
          sleep "$pause"
          ask POST /healthcheck/fail
          ask POST /drain_listeners
          until idle || ((SECONDS >= pause + drain)); do
            sleep 0.5
          done
securityContext:
  {{- include "sluice.securityContext" . | nindent 2 }}
resources:
  {{- toYaml $values.envoy.resource | nindent 2 }}
volumeMounts:
  - { name: run, mountPath: /run/sluice, readOnly: true }
  {{- if $values.tls.enabled }}
  - { name: tls, mountPath: /etc/tls, readOnly: true }
  - { name: envoy, mountPath: /etc/envoy, readOnly: true }
  {{- end }}
{{- end -}}
