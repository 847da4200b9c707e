{{/* Written by helm/generate.ts from the table of kinds, src/api/kinds.ts. */}}
{{- define "headgate.rulesOfKinds" -}}
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
  resources: [services, configmaps]
  verbs: [list, watch]
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
{{- end -}}
{{- define "headgate.rulesOfSecrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [list, watch]
{{- end -}}
{{- define "headgate.rulesOfClusterKinds" -}}
- apiGroups: [""]
  resources: [namespaces]
  verbs: [list, watch]
{{- end -}}
