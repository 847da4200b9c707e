{{/* Names of the listeners that are on, in one order wherever they are listed. One that says nothing about it is on. */}}
{{- define "headgate.listeners" -}}
{{- $names := list -}}
{{- range $name := keys .Values.listeners | sortAlpha -}}
{{- $listener := get $.Values.listeners $name -}}
{{- if and $listener (ne (toString $listener.enabled) "false") -}}
{{- $names = append $names $name -}}
{{- end -}}
{{- end -}}
{{- $names | toJson -}}
{{- end -}}

{{/* Ports of nodes that lead to a listener. */}}
{{- define "headgate.hostPorts" -}}
{{- $ports := list -}}
{{- range $name := include "headgate.listeners" . | fromJsonArray -}}
{{- with (get $.Values.listeners $name).hostPort -}}{{- $ports = append $ports (toString (int .)) -}}{{- end -}}
{{- end -}}
{{- $ports | toJson -}}
{{- end -}}

{{/* Takes a listener: its port of the Service. */}}
{{- define "headgate.servicePort" -}}
{{- int (default .port .servicePort) -}}
{{- end -}}

{{/* Name of a plugin's file: as stated, else the key it has in its ConfigMap. */}}
{{- define "headgate.pluginFile" -}}
{{- if .file -}}
{{- .file -}}
{{- else if .configMap -}}
{{- .configMap.key -}}
{{- else -}}
{{- .name }}.ts
{{- end -}}
{{- end -}}

{{/* The settings file: what the chart has to know itself, over what is said in `settings`. */}}
{{- define "headgate.settings" -}}
{{- $settings := deepCopy .Values.settings -}}
{{- $_ := set $settings "ingressClass" (dict "name" .Values.ingressClass.name "default" .Values.ingressClass.default) -}}
{{- $listeners := list -}}
{{- range $name := include "headgate.listeners" . | fromJsonArray -}}
{{- $given := get $.Values.listeners $name -}}
{{- $listener := dict "name" $name "port" (int $given.port) -}}
{{- if $given.tls -}}{{- $_ := set $listener "tls" dict -}}{{- end -}}
{{- with $given.proxyProtocolFrom -}}{{- $_ := set $listener "proxyProtocol" (dict "trusted" .) -}}{{- end -}}
{{- $listeners = append $listeners $listener -}}
{{- end -}}
{{- $_ := set $settings "listeners" $listeners -}}
{{- $_ := set $settings "signals" (dict "address" (printf ":%d" (int .Values.signals.port))) -}}
{{- if .Values.peers.enabled -}}
{{- $_ := set $settings "peers" (dict "address" (printf ":%d" (int .Values.peers.port)) "keyFile" "/etc/headgate-peers/key") -}}
{{- end -}}
{{- with .Values.watchNamespaces -}}{{- $_ := set $settings "watchNamespaces" . -}}{{- end -}}
{{- if .Values.state.enabled -}}{{- $_ := set $settings "stateDirectory" "/var/lib/headgate" -}}{{- end -}}
{{- if .Values.state.keySecretName -}}{{- $_ := set $settings "stateKeyFile" "/etc/headgate-state-key/keys" -}}{{- end -}}
{{- with include "headgate.defaultCertificateName" . -}}
{{- $certificate := dict "secretName" . "namespace" (include "headgate.defaultCertificateNamespace" $) -}}
{{- $_ := set $settings "tls" (mergeOverwrite (deepCopy (default dict $settings.tls)) (dict "defaultCertificate" $certificate)) -}}
{{- end -}}
{{- with .Values.plugins -}}
{{- $plugins := list -}}
{{- range . -}}
{{- $path := printf "/etc/headgate-plugins/%s/%s" .name (include "headgate.pluginFile" .) -}}
{{- $plugins = append $plugins (dict "name" .name "path" $path "namespaces" .namespaces) -}}
{{- end -}}
{{- $_ := set $settings "plugins" $plugins -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/*
Takes (dict "entry" … "value" … "steps" … "path" …), of files/unbuilt.json and the settings: fails where something is asked for that this
version would refuse at its start, so that no upgrade seems well whose next pods do not come up.
*/}}
{{- define "headgate.refuseUnbuilt" -}}
{{- $entry := .entry -}}
{{- $key := first .steps | trimSuffix "[]" -}}
{{- $steps := rest .steps -}}
{{- if hasKey .value $key -}}
{{- $value := get .value $key -}}
{{- $path := append .path $key -}}
{{- if $steps -}}
{{- if kindIs "slice" $value -}}
{{- range $value -}}
{{- include "headgate.refuseUnbuilt" (dict "entry" $entry "value" . "steps" $steps "path" (append $path .name)) -}}
{{- end -}}
{{- else if kindIs "map" $value -}}
{{- include "headgate.refuseUnbuilt" (dict "entry" $entry "value" $value "steps" $steps "path" $path) -}}
{{- end -}}
{{- else if not (has (toJson $value) $entry.accepted) -}}
{{- $path = ternary (append .path $entry.value) (prepend $path "settings") (hasKey $entry "value") -}}
{{- fail (printf "%s is not built yet in this version; %s" (join "." $path) $entry.remedy) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What a schema cannot say, in words. */}}
{{- define "headgate.check" -}}
{{- $names := include "headgate.listeners" . | fromJsonArray -}}
{{- if not $names -}}{{- fail "listeners: none is enabled, so nothing would be served" -}}{{- end -}}
{{- $settings := include "headgate.settings" . | fromYaml -}}
{{- $adminPort := dig "admin" "address" "127.0.0.1:9901" $settings | splitList ":" | last -}}
{{- $signalsPort := toString (int .Values.signals.port) -}}
{{- if eq $adminPort $signalsPort -}}{{- fail (printf "signals.port: %s is the port of the admin API" $signalsPort) -}}{{- end -}}
{{- $ports := dict $signalsPort "signals" $adminPort "the admin API" -}}
{{- if .Values.peers.enabled -}}
{{- $peersPort := toString (int .Values.peers.port) -}}
{{- with get $ports $peersPort -}}{{- fail (printf "peers.port: %s is the port of %s" $peersPort .) -}}{{- end -}}
{{- $_ := set $ports $peersPort "peers" -}}
{{- end -}}
{{- $hostPorts := dict -}}
{{- $servicePorts := dict -}}
{{- $exposed := false -}}
{{- range $name := $names -}}
{{- $listener := get $.Values.listeners $name -}}
{{- if not $listener.port -}}{{- fail (printf "listeners.%s.port: is missing" $name) -}}{{- end -}}
{{- if and $listener.nodePort (eq $.Values.service.type "ClusterIP") -}}
{{- fail (printf "listeners.%s.nodePort: a Service of type ClusterIP has none; say service.type NodePort or LoadBalancer" $name) -}}
{{- end -}}
{{- $port := toString (int $listener.port) -}}
{{- with get $ports $port -}}{{- fail (printf "listeners.%s.port: %s is the port of %s" $name $port .) -}}{{- end -}}
{{- $_ := set $ports $port (printf "listener %s" $name) -}}
{{- if $listener.hostPort -}}
{{- $hostPort := toString (int $listener.hostPort) -}}
{{- with get $hostPorts $hostPort -}}{{- fail (printf "listeners.%s.hostPort: %s is that of listener %s" $name $hostPort .) -}}{{- end -}}
{{- $_ := set $hostPorts $hostPort $name -}}
{{- end -}}
{{- if ne (toString $listener.expose) "false" -}}
{{- $exposed = true -}}
{{- $servicePort := include "headgate.servicePort" $listener -}}
{{- with get $servicePorts $servicePort -}}{{- fail (printf "listeners.%s.servicePort: %s is that of listener %s" $name $servicePort .) -}}{{- end -}}
{{- $_ := set $servicePorts $servicePort $name -}}
{{- end -}}
{{- end -}}
{{- if and .Values.service.enabled (not $exposed) -}}{{- fail "service.enabled: no listener has expose: true, and a Service needs a port" -}}{{- end -}}
{{- if and (not .Values.service.enabled) (not $hostPorts) -}}
{{- fail "service.enabled is false and no listener has a hostPort: nothing could be reached" -}}
{{- end -}}
{{- if and (eq .Values.service.type "ClusterIP") .Values.service.externalTrafficPolicy -}}
{{- fail "service.externalTrafficPolicy: a Service of type ClusterIP has none" -}}
{{- end -}}
{{- if and (eq .Values.kind "DaemonSet") .Values.autoscaling.enabled -}}
{{- fail "autoscaling.enabled: a DaemonSet has one pod for each node and cannot be scaled" -}}
{{- end -}}
{{- if gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas) -}}
{{- fail "autoscaling: minReplicas is above maxReplicas" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (not .Values.autoscaling.cpuPercent) (not .Values.autoscaling.memoryPercent) (not .Values.autoscaling.metrics) -}}
{{- fail "autoscaling: say by what, cpuPercent, memoryPercent or metrics" -}}
{{- end -}}
{{- $budget := .Values.podDisruptionBudget -}}
{{- if and $budget.enabled (eq (kindIs "invalid" $budget.maxUnavailable) (kindIs "invalid" $budget.minAvailable)) -}}
{{- fail "podDisruptionBudget: exactly one of maxUnavailable and minAvailable; set the other one to null" -}}
{{- end -}}
{{- if and .Values.state.keySecretName (not .Values.state.enabled) -}}
{{- fail "state.keySecretName: nothing is kept that it could seal; say state.enabled, too" -}}
{{- end -}}
{{- $certificate := .Values.defaultCertificate -}}
{{- if ne (empty $certificate.certificate) (empty $certificate.key) -}}{{- fail "defaultCertificate: certificate and key go together" -}}{{- end -}}
{{- if and $certificate.secretName $certificate.certificate -}}
{{- fail "defaultCertificate: either secretName, for a Secret that is there, or certificate and key" -}}
{{- end -}}
{{- $seen := dict -}}
{{- range .Values.plugins -}}
{{- if hasKey $seen .name -}}{{- fail (printf "plugins: %s is there twice" .name) -}}{{- end -}}
{{- $_ := set $seen .name true -}}
{{- if and .volume (not .file) -}}{{- fail (printf "plugins: %s comes from a volume; say which file of it" .name) -}}{{- end -}}
{{- end -}}
{{- with dig "admin" "address" "" $settings -}}
{{- if not (regexMatch "^(127([.](25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])){3}|\\[::1\\]):[0-9]{1,5}$" .) -}}
{{- fail (printf "settings.admin.address: %s is not an address of loopback, and others are not protected in this version; say 127.0.0.1:9901, and use kubectl port-forward" .) -}}
{{- end -}}
{{- end -}}
{{- range .Files.Get "files/unbuilt.json" | fromJsonArray -}}
{{- include "headgate.refuseUnbuilt" (dict "entry" . "value" $settings "steps" .steps "path" list) -}}
{{- end -}}
{{- end -}}
