{{/*
What the controller may do, in one place: docs/status.md and docs/kubernetes-source.md say what for. Rules that hold in each watched
namespace, or everywhere. No wildcards; nothing is created, changed or deleted but what stands here.
*/}}
{{- define "headgate.rulesOfNamespaces" -}}
{{ include "headgate.rulesOfKinds" . }}
{{- if not .Values.rbac.secretNames }}
# Read by name, once a Route, an Ingress or a Backend refers to them.
{{ include "headgate.rulesOfSecrets" . }}
{{- end }}
# Beside the object that they are about.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, get, patch]
{{- end -}}

{{/* Objects that have no namespace. */}}
{{- define "headgate.rulesOfCluster" -}}
# Namespaces: for grants by their labels.
{{ include "headgate.rulesOfClusterKinds" . }}
{{- end -}}

{{/* In the release's namespace: the Lease, the last good versions, the Service whose addresses go into statuses. A name cannot limit `create`. */}}
{{- define "headgate.rulesOfRelease" -}}
{{- $fullname := include "headgate.fullname" . -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ $fullname | quote }}]
  verbs: [get, update]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames:
  - {{ $fullname }}-last-good
  {{- range $part := until 8 }}
  {{- if $part }}
  - {{ $fullname }}-last-good-{{ $part }}
  {{- end }}
  {{- end }}
  verbs: [get, update, delete]
{{- if .Values.service.enabled }}
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ $fullname | quote }}]
  verbs: [list, watch]
{{- end }}
{{- if include "headgate.hostPorts" . | fromJsonArray }}
# Which nodes' host ports lead to us.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
{{- end }}
{{- end -}}

{{/* Secrets that may be read by name, as JSON by namespace: those of the values, and those of the settings where no other rule covers them. */}}
{{- define "headgate.secretNames" -}}
{{- $found := deepCopy (.Values.rbac.secretNames | default dict) -}}
{{- $settings := include "headgate.settings" . | fromYaml -}}
{{- $tls := $settings.tls | default dict -}}
{{- range $field := list "defaultCertificate" "sessionTicketKey" -}}
{{- with get $tls $field -}}
{{- $covered := and (not $.Values.rbac.secretNames) (or (not $.Values.watchNamespaces) (has .namespace $.Values.watchNamespaces)) -}}
{{- if not $covered -}}
{{- $_ := set $found .namespace (append (get $found .namespace | default list) .secretName | uniq) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $settings.redis -}}
{{- $covered := and (not $.Values.rbac.secretNames) (or (not $.Values.watchNamespaces) (has .namespace $.Values.watchNamespaces)) -}}
{{- range $name := compact (list .secretName (dig "tls" "caSecretName" "" .)) -}}
{{- if not $covered -}}
{{- $_ := set $found $settings.redis.namespace (append (get $found $settings.redis.namespace | default list) $name | uniq) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* Takes (dict "root" . "kind" "Role" "name" …): who is bound. */}}
{{- define "headgate.binding" -}}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ .kind }}, name: {{ .name | quote }} }
subjects:
- { kind: ServiceAccount, name: {{ include "headgate.serviceAccountName" .root | quote }}, namespace: {{ .root.Release.Namespace | quote }} }
{{- end -}}
