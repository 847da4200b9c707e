{{/* Names stop at 46 characters, so that suffixes fit below the 63 that labels and most names may have. */}}
{{- define "headgate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 46 | trimSuffix "-" -}}
{{- end -}}

{{- define "headgate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 46 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 46 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide, two releases of one name in two namespaces must not meet; a cut name is told apart by a digest. */}}
{{- define "headgate.clusterName" -}}
{{- $name := printf "%s-%s" .Release.Namespace (include "headgate.fullname" .) -}}
{{- if gt (len $name) 53 -}}
{{- printf "%s-%s" ($name | trunc 42 | trimSuffix "-") ($name | sha256sum | trunc 10) -}}
{{- else -}}
{{- $name -}}
{{- end -}}
{{- end -}}

{{- define "headgate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "headgate.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* For good: a selector cannot be changed by an upgrade. */}}
{{- define "headgate.selector" -}}
app.kubernetes.io/name: {{ include "headgate.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" | quote }}
app.kubernetes.io/component: gateway
{{- end -}}

{{/* The same as a label selector in one line. */}}
{{- define "headgate.selectorText" -}}
{{- $parts := list -}}
{{- range $key, $value := include "headgate.selector" . | fromYaml -}}
{{- $parts = append $parts (printf "%s=%s" $key $value) -}}
{{- end -}}
{{- join "," $parts -}}
{{- end -}}

{{- define "headgate.labels" -}}
{{- $own := include "headgate.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" (.Chart.AppVersion | trunc 63) -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-") -}}
{{- mergeOverwrite (deepCopy .Values.commonLabels) $own | toYaml -}}
{{- end -}}

{{/* Names of objects, namespaces and releases may read as numbers or as null, and are quoted wherever they stand. */}}
{{/* Takes (dict "root" . "name" … "labels" … "annotations" … "cluster" true): metadata of an object. */}}
{{- define "headgate.metadata" -}}
name: {{ .name | quote }}
{{- if not .cluster }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
{{- end }}
labels:
  {{- mergeOverwrite (deepCopy (.labels | default dict)) (include "headgate.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with mergeOverwrite (deepCopy .root.Values.commonAnnotations) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "headgate.peersSecretName" -}}
{{- default (printf "%s-peers" (include "headgate.fullname" .)) .Values.peers.keySecretName -}}
{{- end -}}

{{/*
The settings, by what belongs to one start: the ports that the pods have open, and what is read then only. Other settings act while pods
run; for these there are other pods, which must not be given what a kubelet still remembers of a ConfigMap of the same name.
*/}}
{{- define "headgate.settingsName" -}}
{{- $settings := include "headgate.settings" . | fromYaml -}}
{{- $start := pick $settings "admin" "signals" "peers" "watchNamespaces" "stateDirectory" "stateKeyFile" -}}
{{- with (($settings.limits | default dict).memory) -}}{{- $_ := set $start "memory" . -}}{{- end -}}
{{- with (($settings.cache | default dict).memory) -}}{{- $_ := set $start "cacheMemory" . -}}{{- end -}}
{{- with (($settings.cache | default dict).files) -}}{{- $_ := set $start "cacheFiles" . -}}{{- end -}}
{{- $ports := dict -}}
{{- range $settings.listeners -}}{{- $_ := set $ports .name .port -}}{{- end -}}
{{- $_ := set $start "ports" $ports -}}
{{- printf "%s-settings-%s" (include "headgate.fullname" .) ($start | toJson | sha256sum | trunc 6) -}}
{{- end -}}

{{/* Code of plugins as JSON, by their names; as with the settings, other code has another name. */}}
{{- define "headgate.pluginSources" -}}
{{- $sources := dict -}}
{{- range .Values.plugins -}}{{- if .source -}}{{- $_ := set $sources .name .source -}}{{- end -}}{{- end -}}
{{- toJson $sources -}}
{{- end -}}

{{- define "headgate.pluginsName" -}}
{{- printf "%s-plugins-%s" (include "headgate.fullname" .) (include "headgate.pluginSources" . | sha256sum | trunc 6) -}}
{{- end -}}

{{- define "headgate.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "headgate.defaultCertificateName" -}}
{{- $certificate := .Values.defaultCertificate -}}
{{- if $certificate.secretName -}}
{{- $certificate.secretName -}}
{{- else if $certificate.certificate -}}
{{- include "headgate.fullname" . }}-default
{{- end -}}
{{- end -}}

{{- define "headgate.defaultCertificateNamespace" -}}
{{- $certificate := .Values.defaultCertificate -}}
{{- if $certificate.secretName -}}
{{- default .Release.Namespace $certificate.namespace -}}
{{- else -}}
{{- .Release.Namespace -}}
{{- end -}}
{{- end -}}
