{{/*
What the controller may do, in one place. Rules that hold in each watched namespace, or everywhere: what it reads, and the statuses and
Events it writes. No wildcards; nothing is created, changed or deleted but these.
*/}}
{{- define "headgate.rulesOfNamespaces" -}}
- apiGroups: [headgate.dev]
  resources: [routes, backends]
  verbs: [get, list, watch]
- apiGroups: [headgate.dev]
  resources: [routes/status, backends/status]
  verbs: [patch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [ingresses/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [services, secrets, configmaps]
  verbs: [get, list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [get, list, watch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{/* Objects that have no namespace. */}}
{{- define "headgate.rulesOfCluster" -}}
- apiGroups: [networking.k8s.io]
  resources: [ingressclasses]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
{{- if .Values.rbac.nodes }}
- apiGroups: [""]
  resources: [nodes]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{/* In the release's namespace: the Lease, the last good versions, the Service whose addresses go into statuses. A name cannot limit `create`. */}}
{{- define "headgate.rulesOfRelease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "headgate.fullname" . }}]
  verbs: [get, update, patch]
- apiGroups: [""]
  resources: [configmaps]
  verbs: [create]
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [{{ include "headgate.fullname" . }}-last-good]
  verbs: [get, list, watch, update, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.service.enabled }}
- apiGroups: [""]
  resources: [services]
  resourceNames: [{{ include "headgate.fullname" . }}]
  verbs: [get, list, watch]
{{- end }}
{{- with .Values.settings.redis }}
{{- with .secretName }}
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [{{ . }}]
  verbs: [get, list, watch]
{{- end }}
{{- end }}
{{- end -}}

{{/* Takes (dict "root" . "kind" "Role" "name" …): who is bound. */}}
{{- define "headgate.binding" -}}
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: {{ .kind }}, name: {{ .name }} }
subjects:
- { kind: ServiceAccount, name: {{ include "headgate.serviceAccountName" .root }}, namespace: {{ .root.Release.Namespace }} }
{{- end -}}
