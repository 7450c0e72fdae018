{{- define "sagamesh.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Short enough for what is put behind it. */}}
{{- define "sagamesh.fullname" -}}
{{- $name := include "sagamesh.name" . }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- .Values.fullnameOverride | default $both | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* What never changes: a selector cannot be changed. Of (dict "context" $ "component" "operator"). */}}
{{- define "sagamesh.selector" -}}
app.kubernetes.io/name: {{ include "sagamesh.name" .context }}
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "sagamesh.labels" -}}
{{ include "sagamesh.selector" . }}
app.kubernetes.io/part-of: sagamesh
app.kubernetes.io/version: {{ .context.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .context.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .context.Chart.Name (.context.Chart.Version | replace "+" "_") }}
{{- with .context.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "sagamesh.image" -}}
{{- $tag := printf ":%s" (.image.tag | default .context.Chart.AppVersion) }}
{{- with .image.digest }}{{ $tag = printf "@%s" . }}{{ end }}
{{- printf "%s/%s%s" (.context.Values.imageRegistry | default .image.registry) .image.repository $tag }}
{{- end }}

{{- define "sagamesh.serviceAccount" -}}
{{- $own := get .context.Values .component }}
{{- $own.serviceAccount.name | default (printf "%s-%s" (include "sagamesh.fullname" .context) .component) }}
{{- end }}

{{- define "sagamesh.nats" -}}
{{- if .Values.natsServer.enabled }}
{{- $name := .Values.natsServer.nameOverride | default "nats" }}
{{- $both := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) }}
{{- printf "nats://%s.%s.svc:4222" (.Values.natsServer.fullnameOverride | default $both) .Release.Namespace }}
{{- else }}
{{- .Values.nats.url }}
{{- end }}
{{- end }}

{{- define "sagamesh.injectors" -}}
{{- .Values.injector.replicas | default (.Values.highAvailability.enabled | ternary 2 1) }}
{{- end }}

{{/* Where a pod is placed, and by which rights it runs: all that *restricted* asks for. */}}
{{- define "sagamesh.pod" -}}
{{- $own := get .context.Values .component -}}
serviceAccountName: {{ include "sagamesh.serviceAccount" . }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .context.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "sagamesh.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "sagamesh.probes" -}}
livenessProbe:
  httpGet: {path: /livez, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: http}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
