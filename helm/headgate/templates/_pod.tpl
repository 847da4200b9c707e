{{- define "headgate.args" -}}
- run
- --kubernetes
- --settings
- /etc/headgate/settings.yaml
- --workers
- {{ int .Values.workers | quote }}
- --log-level
- {{ .Values.log.level }}
- --log-format
- {{ .Values.log.format }}
- --drain-delay
- {{ int .Values.drain.delaySeconds }}s
- --drain-timeout
- {{ int .Values.drain.timeoutSeconds }}s
{{- with .Values.args }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Whose the process is: the name is that of its Lease and of its ConfigMaps; addresses of the Service go into statuses, or those given. */}}
{{- define "headgate.environment" -}}
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
- name: HEADGATE_INSTALLATION
  value: {{ include "headgate.fullname" . | quote }}
{{- if .Values.service.enabled }}
- name: HEADGATE_SERVICE
  value: {{ include "headgate.fullname" . | quote }}
{{- end }}
- name: HEADGATE_REPLICAS
  value: {{ include "headgate.fullname" . }}-replicas
{{- with .Values.addresses }}
- name: HEADGATE_ADDRESSES
  value: {{ join "," . | quote }}
{{- end }}
{{- with include "headgate.hostPorts" . | fromJsonArray }}
# Where they lead to our pods must not be dialled: on this node, and on those of the pods that these labels choose.
- name: HEADGATE_HOST_PORTS
  value: {{ join "," . | quote }}
- name: HEADGATE_HOST_IPS
  valueFrom: { fieldRef: { fieldPath: status.hostIPs } }
- name: HEADGATE_SELECTOR
  value: {{ include "headgate.selectorText" $ | quote }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: { drop: [ALL] }
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{- define "headgate.podSecurity" -}}
runAsNonRoot: true
{{- if not (kindIs "invalid" .Values.user) }}
runAsUser: {{ int .Values.user }}
{{- end }}
{{- if not (kindIs "invalid" .Values.group) }}
runAsGroup: {{ int .Values.group }}
fsGroup: {{ int .Values.group }}
{{- end }}
seccompProfile: { type: RuntimeDefault }
{{- end -}}

{{- define "headgate.volumes" -}}
- name: settings
  configMap: { name: {{ include "headgate.settingsName" . }} }
{{- if .Values.state.enabled }}
- name: state
  {{- toYaml .Values.state.volume | nindent 2 }}
{{- end }}
{{- with .Values.state.keySecretName }}
- name: state-key
  # 288 is 0440: the group is the pod's fsGroup.
  secret: { secretName: {{ . | quote }}, defaultMode: 288, items: [{ key: keys, path: keys }] }
{{- end }}
{{- if .Values.peers.enabled }}
- name: peers
  secret: { secretName: {{ include "headgate.peersSecretName" . | quote }}, defaultMode: 288, items: [{ key: key, path: key }] }
{{- end }}
{{- range .Values.plugins }}
- name: plugin-{{ .name }}
  {{- if .volume }}
  {{- toYaml .volume | nindent 2 }}
  {{- else if .configMap }}
  configMap:
    name: {{ .configMap.name | quote }}
    items: [{ key: {{ .configMap.key | quote }}, path: {{ include "headgate.pluginFile" . | quote }} }]
  {{- else }}
  configMap:
    name: {{ include "headgate.pluginsName" $ }}
    items: [{ key: {{ .name | quote }}, path: {{ include "headgate.pluginFile" . | quote }} }]
  {{- end }}
{{- end }}
{{- with .Values.volumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.mounts" -}}
# The folder and not the file: a mounted file would never change.
- { name: settings, mountPath: /etc/headgate, readOnly: true }
{{- if .Values.state.enabled }}
- { name: state, mountPath: /var/lib/headgate }
{{- end }}
{{- if .Values.state.keySecretName }}
- { name: state-key, mountPath: /etc/headgate-state-key, readOnly: true }
{{- end }}
{{- if .Values.peers.enabled }}
- { name: peers, mountPath: /etc/headgate-peers, readOnly: true }
{{- end }}
{{- range .Values.plugins }}
- { name: plugin-{{ .name }}, mountPath: /etc/headgate-plugins/{{ .name }}, readOnly: true }
{{- end }}
{{- with .Values.volumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "headgate.probe" -}}
httpGet: { path: {{ .path }}, port: signals }
{{ toYaml .probe }}
{{- end -}}

{{- define "headgate.spread" -}}
{{- if .Values.topologySpreadConstraints -}}
{{- toYaml .Values.topologySpreadConstraints -}}
{{- else -}}
{{- range $i, $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" -}}
{{- if $i }}
{{ end -}}
- maxSkew: 1
  topologyKey: {{ $key }}
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "headgate.selector" $ | nindent 6 }}
  # Pods of the version that is leaving must not push those of the new one aside.
  matchLabelKeys: [pod-template-hash]
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "headgate.podAnnotations" -}}
{{- $annotations := dict -}}
{{- if .Values.metrics.annotations -}}
{{- $_ := set $annotations "prometheus.io/scrape" "true" -}}
{{- $_ := set $annotations "prometheus.io/port" (toString (int .Values.signals.port)) -}}
{{- $_ := set $annotations "prometheus.io/path" "/metrics" -}}
{{- end -}}
{{- with mergeOverwrite (deepCopy .Values.commonAnnotations) (deepCopy .Values.podAnnotations) $annotations -}}
{{- toYaml . -}}
{{- end -}}
{{- end -}}

{{- define "headgate.podTemplate" -}}
metadata:
  labels:
    {{- /* Not the versions: a new chart with the same image is no reason to replace pods. */}}
    {{- mergeOverwrite (deepCopy .Values.commonLabels) (deepCopy .Values.podLabels) (include "headgate.selector" . | fromYaml) | toYaml | nindent 4 }}
  {{- with include "headgate.podAnnotations" . }}
  annotations:
    {{- . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "headgate.serviceAccountName" . | quote }}
  automountServiceAccountToken: true
  # Variables for every Service of the namespace: they would only be in the way, some begin with HEADGATE_.
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ add (int .Values.drain.preStopSeconds) (int .Values.drain.delaySeconds) (int .Values.drain.timeoutSeconds) 5 }}
  securityContext:
    {{- include "headgate.podSecurity" . | nindent 4 }}
  {{- with .Values.image.pullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
  - name: headgate
    image: {{ include "headgate.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
    {{- include "headgate.args" . | nindent 4 }}
    env:
    {{- include "headgate.environment" . | nindent 4 }}
    {{- with .Values.envFrom }}
    envFrom:
    {{- toYaml . | nindent 4 }}
    {{- end }}
    ports:
    {{- range $name := include "headgate.listeners" . | fromJsonArray }}
    {{- $listener := get $.Values.listeners $name }}
    - name: {{ $name }}
      containerPort: {{ int $listener.port }}
      {{- if $listener.hostPort }}
      hostPort: {{ int $listener.hostPort }}
      {{- end }}
      protocol: TCP
    {{- end }}
    - { name: signals, containerPort: {{ int .Values.signals.port }}, protocol: TCP }
    {{- if .Values.peers.enabled }}
    - { name: peers, containerPort: {{ int .Values.peers.port }}, protocol: TCP }
    {{- end }}
    startupProbe:
      {{- include "headgate.probe" (dict "path" "/healthz" "probe" .Values.probes.startup) | nindent 6 }}
    readinessProbe:
      {{- include "headgate.probe" (dict "path" "/readyz" "probe" .Values.probes.readiness) | nindent 6 }}
    livenessProbe:
      {{- include "headgate.probe" (dict "path" "/healthz" "probe" .Values.probes.liveness) | nindent 6 }}
    {{- if .Values.drain.preStopSeconds }}
    lifecycle: { preStop: { sleep: { seconds: {{ int .Values.drain.preStopSeconds }} } } }
    {{- end }}
    securityContext:
      {{- include "headgate.containerSecurity" . | nindent 6 }}
    {{- with .Values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
    {{- include "headgate.mounts" . | nindent 4 }}
  volumes:
  {{- include "headgate.volumes" . | nindent 2 }}
  {{- if and (eq .Values.kind "Deployment") (or .Values.topologySpread .Values.topologySpreadConstraints) }}
  topologySpreadConstraints:
  {{- include "headgate.spread" . | nindent 2 }}
  {{- end }}
  {{- range $key := list "affinity" "nodeSelector" "tolerations" "dnsConfig" }}
  {{- with get $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  {{- range $key := list "priorityClassName" "runtimeClassName" "schedulerName" "dnsPolicy" }}
  {{- with get $.Values $key }}
  {{ $key }}: {{ . | quote }}
  {{- end }}
  {{- end }}
{{- end -}}
