/**
 * What must hold of the objects of an installation, whatever its values: used on what the chart renders, and on plain
 * manifests.
 */
import { parse } from 'yaml'
import { createValidator } from '../../src/api/validate.ts'
import { parseCommand } from '../../src/cli/parse.ts'
import { readSchemas } from '../../src/source/crds.ts'
import type { KubernetesObject } from './helm.ts'

/** Without a namespace of their own. */
const CLUSTER_WIDE = ['Namespace', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition', 'IngressClass']

const NAME = /^[a-z0-9]([-.a-z0-9]{0,61}[a-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-.A-Za-z0-9_]{0,61}[A-Za-z0-9])?)?$/

export interface Expected {
  readonly hostPorts?: boolean
  /** The settings ask for what this version does not have. */
  readonly unbuilt?: boolean
}

// biome-ignore lint/suspicious/noExplicitAny: parts of manifests, read by paths that each check states.
type Part = any

/** @returns a sentence for each thing that is wrong */
export function problemsOf(objects: readonly KubernetesObject[], expected: Expected = {}): string[] {
  return [
    ...names(objects),
    ...pods(objects, expected),
    ...selectors(objects),
    ...references(objects),
    ...permissions(objects),
    ...settings(objects, expected),
  ]
}

export const workloadOf = (objects: readonly KubernetesObject[]): KubernetesObject =>
  objects.find(
    ({ kind, metadata }) =>
      (kind === 'Deployment' || kind === 'DaemonSet') && metadata.labels?.['app.kubernetes.io/component'] === 'gateway',
  )!

const called = ({ kind, metadata }: KubernetesObject): string => `${kind} ${metadata.name}`

function* names(objects: readonly KubernetesObject[]): Generator<string> {
  const seen = new Set<string>()
  for (const object of objects) {
    const { kind, metadata } = object
    const id = `${kind} ${metadata.namespace ?? ''}/${metadata.name}`
    if (seen.has(id)) yield `${id} is there twice`
    seen.add(id)
    if (!NAME.test(metadata.name)) yield `${id}: not a name of at most 63 characters`
    if (CLUSTER_WIDE.includes(kind) !== (metadata.namespace === undefined)) yield `${id}: its namespace is wrong`
    for (const [key, value] of Object.entries(metadata.labels ?? {}))
      if (typeof value !== 'string' || !LABEL_VALUE.test(value)) yield `${id}: label ${key}: ${value}`
    for (const [key, value] of Object.entries(metadata.annotations ?? {}))
      if (typeof value !== 'string') yield `${id}: annotation ${key} is not a string`
  }
}

interface Pod {
  readonly of: string
  readonly labels: Readonly<Record<string, string>>
  readonly spec: Part
}

function podsOf(objects: readonly KubernetesObject[]): Pod[] {
  return objects.flatMap((object) => {
    if (object.kind === 'Pod') return [{ of: called(object), labels: object.metadata.labels ?? {}, spec: object.spec }]
    const template = object.spec?.template
    return template === undefined ? [] : [{ of: called(object), labels: template.metadata.labels, spec: template.spec }]
  })
}

/** The `restricted` pod security standard and more. */
function* pods(objects: readonly KubernetesObject[], { hostPorts = false }: Expected): Generator<string> {
  for (const { of, spec } of podsOf(objects)) {
    const { securityContext: pod = {} } = spec
    if (pod.runAsNonRoot !== true) yield `${of} may run as root`
    if (pod.runAsUser === 0 || pod.runAsGroup === 0 || pod.fsGroup === 0) yield `${of} runs as root`
    if (pod.seccompProfile?.type !== 'RuntimeDefault') yield `${of} has no seccomp profile`
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC', 'shareProcessNamespace', 'hostUsers'])
      if (spec[field] !== undefined) yield `${of} has ${field}`
    for (const volume of spec.volumes ?? [])
      if (volume.hostPath !== undefined) yield `${of}: volume ${volume.name} is a folder of the node`
    for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
      const security = container.securityContext ?? {}
      if (security.privileged) yield `${of} is privileged`
      if (security.allowPrivilegeEscalation !== false) yield `${of} may escalate`
      if (security.readOnlyRootFilesystem !== true) yield `${of} writes to its root`
      if (security.capabilities?.drop?.join() !== 'ALL' || security.capabilities.add !== undefined)
        yield `${of} has capabilities`
      if (security.runAsUser !== undefined || security.seccompProfile !== undefined) yield `${of} says it twice`
      if (container.resources?.requests === undefined) yield `${of} requests nothing`
      const ports: Part[] = container.ports ?? []
      if (!hostPorts && ports.some((port) => port.hostPort !== undefined)) yield `${of} has a port of its node`
      if (ports.some((port) => port.containerPort < 1024)) yield `${of} opens a port that only root may open`
    }
  }
}

function matches(labels: Readonly<Record<string, string>>, selector: Readonly<Record<string, string>>): boolean {
  const entries = Object.entries(selector)
  return entries.length > 0 && entries.every(([key, value]) => labels[key] === value)
}

/** What selects the gateway's pods selects them, and nothing else; ports that are named are there. */
function* selectors(objects: readonly KubernetesObject[]): Generator<string> {
  const gateway = workloadOf(objects)
  const { labels } = gateway.spec.template.metadata
  const ports = gateway.spec.template.spec.containers[0].ports.map((port: Part) => port.name)
  const others = podsOf(objects).filter((pod) => pod.of !== called(gateway))
  const selecting: [string, Readonly<Record<string, string>>][] = [[called(gateway), gateway.spec.selector.matchLabels]]
  for (const object of objects) {
    const spec = object.spec ?? {}
    const { component } = { component: object.metadata.labels?.['app.kubernetes.io/component'] }
    if (component !== 'gateway') continue
    if (object.kind === 'Service') {
      selecting.push([called(object), spec.selector])
      for (const { targetPort } of spec.ports)
        if (!ports.includes(targetPort)) yield `${called(object)}: no port ${targetPort}`
      if (new Set(spec.ports.map((port: Part) => port.port)).size !== spec.ports.length)
        yield `${called(object)}: a port twice`
    }
    if (object.kind === 'PodDisruptionBudget') selecting.push([called(object), spec.selector.matchLabels])
    if (object.kind === 'NetworkPolicy') {
      selecting.push([called(object), spec.podSelector.matchLabels])
      const opened = spec.ingress.flatMap((rule: Part) => rule.ports.map((port: Part) => port.port))
      if ([...new Set(opened)].toSorted().join() !== ports.toSorted().join())
        yield `${called(object)} opens ${opened}, the pods have ${ports}`
    }
    if (object.kind === 'ServiceMonitor') {
      const [service, ...more] = objects.filter(
        ({ kind, metadata }) => kind === 'Service' && matches(metadata.labels ?? {}, spec.selector.matchLabels),
      )
      if (service === undefined || more.length > 0) yield `${called(object)} selects not exactly one Service`
      else if (!service.spec.ports.some((port: Part) => port.name === spec.endpoints[0].port))
        yield `${called(object)}: no such port`
      else if (!spec.namespaceSelector.matchNames.includes(service.metadata.namespace))
        yield `${called(object)} looks elsewhere`
    }
    if (object.kind === 'HorizontalPodAutoscaler') {
      if (spec.scaleTargetRef.name !== gateway.metadata.name) yield `${called(object)} scales something else`
      if (gateway.spec.replicas !== undefined) yield `${called(gateway)}: replicas would undo what the autoscaler did`
    }
  }
  for (const spread of gateway.spec.template.spec.topologySpreadConstraints ?? [])
    selecting.push([`spread over ${spread.topologyKey}`, spread.labelSelector.matchLabels])
  for (const [who, selector] of selecting) {
    if (!matches(labels, selector)) yield `${who} does not select the pods`
    for (const other of others) if (matches(other.labels, selector)) yield `${who} selects ${other.of} too`
  }
}

/** Volumes, probes, the time to end: within the pod. */
function* references(objects: readonly KubernetesObject[]): Generator<string> {
  const gateway = workloadOf(objects)
  const { spec } = gateway.spec.template
  const [container] = spec.containers
  const volumes: string[] = spec.volumes.map((volume: Part) => volume.name)
  if (new Set(volumes).size !== volumes.length) yield `volumes of one name: ${volumes}`
  const mounted: string[] = container.volumeMounts.map((mount: Part) => mount.name)
  if (volumes.toSorted().join() !== mounted.toSorted().join()) yield `volumes ${volumes}, mounted ${mounted}`
  const paths: string[] = container.volumeMounts.map((mount: Part) => mount.mountPath)
  // Nothing can be mounted below a ConfigMap that is read-only.
  for (const path of paths)
    if (paths.some((other) => other !== path && other.startsWith(`${path}/`)))
      yield `something is mounted below ${path}`
  for (const probe of ['startupProbe', 'readinessProbe', 'livenessProbe'])
    if (!container.ports.some((port: Part) => port.name === container[probe]?.httpGet.port))
      yield `${probe}: no such port`
  for (const volume of spec.volumes) {
    const name: string | undefined = volume.configMap?.name
    if (name?.startsWith(gateway.metadata.name) !== true) continue
    const map = objects.find((object) => object.kind === 'ConfigMap' && object.metadata.name === name)
    if (map === undefined) yield `volume ${volume.name}: no ConfigMap ${name}`
    for (const { key } of volume.configMap.items ?? [])
      if (map?.data?.[key] === undefined) yield `ConfigMap ${name}: no ${key}`
  }
  const sleep = container.lifecycle?.preStop?.sleep?.seconds ?? 0
  const drain = drainOf(container.args)
  if (drain === undefined) yield `headgate would not understand ${container.args.join(' ')}`
  else if (spec.terminationGracePeriodSeconds * 1000 < sleep * 1000 + drain + 5000)
    yield `${spec.terminationGracePeriodSeconds} s are not enough for ${sleep} s and a drain of ${drain} ms`
}

/** Milliseconds that the flags allow for the end, undefined where they are not understood. */
function drainOf(args: readonly string[]): number | undefined {
  const command = parseCommand(args.flatMap((arg) => (arg === '--kubernetes' ? ['--config', 'x'] : [arg])))
  return command.name === 'run' ? command.drainDelay + command.drainTimeout : undefined
}

/** No wildcards, nothing that would let the gateway take more than it was given, nobody else bound. */
function* permissions(objects: readonly KubernetesObject[]): Generator<string> {
  const gateway = workloadOf(objects)
  const account = gateway.spec.template.spec.serviceAccountName
  for (const object of objects.filter(({ kind }) => kind === 'Role' || kind === 'ClusterRole')) {
    const forPeople = Object.keys(object.metadata.labels ?? {}).some((key) => key.includes('aggregate-to'))
    for (const { apiGroups, resources, verbs, resourceNames } of object.rules) {
      const all = [...apiGroups, ...resources, ...verbs]
      if (all.some((word: string) => word.includes('*'))) yield `${called(object)} has a wildcard`
      if (forPeople) continue
      const writes = verbs.filter((verb: string) => !['get', 'list', 'watch'].includes(verb))
      if (writes.length === 0) continue
      const what = resources.filter((name: string) => !name.endsWith('/status') && name !== 'events')
      if (what.length > 0 && object.kind === 'ClusterRole') yield `${called(object)} writes ${what} everywhere`
      if (what.length > 0 && resourceNames === undefined && writes.join() !== 'create')
        yield `${called(object)} writes any ${what}`
      if (resources.includes('secrets')) yield `${called(object)} writes Secrets`
    }
  }
  for (const object of objects.filter(({ kind }) => kind === 'RoleBinding' || kind === 'ClusterRoleBinding')) {
    const { kind, name } = object.roleRef
    const role = objects.find(
      (other) =>
        other.kind === kind && other.metadata.name === name && other.metadata.namespace === object.metadata.namespace,
    )
    if (role === undefined) yield `${called(object)}: no ${kind} ${name}`
    const [subject, ...more] = object.subjects
    if (more.length > 0 || subject.name !== account || subject.namespace !== gateway.metadata.namespace)
      yield `${called(object)} binds someone else`
  }
}

const validator = createValidator(readSchemas())

/** The settings file is one that Headgate takes, and says what the pod says. */
function* settings(objects: readonly KubernetesObject[], { unbuilt = false }: Expected): Generator<string> {
  const gateway = workloadOf(objects)
  const [container] = gateway.spec.template.spec.containers
  const volume = gateway.spec.template.spec.volumes.find((candidate: Part) => candidate.name === 'settings')
  const map = objects.find(({ kind, metadata }) => kind === 'ConfigMap' && metadata.name === volume.configMap.name)
  const given: Part = parse(map?.data?.['settings.yaml'] ?? '')
  const verdict = validator.checkSettings(structuredClone(given))
  if (!verdict.ok) {
    const refused = verdict.problems.filter(({ reason }) => !unbuilt || reason !== 'NotImplemented')
    for (const { path, message } of refused) yield `settings: ${path.join('.')}: ${message}`
  }
  const listening = [
    ...given.listeners.map((listener: Part) => [listener.name, listener.port]),
    ['signals', Number(given.signals.address.slice(1))],
    ...(given.peers === undefined ? [] : [['peers', Number(given.peers.address.slice(1))]]),
  ]
  const open = container.ports.map((port: Part) => [port.name, port.containerPort])
  if (JSON.stringify(listening) !== JSON.stringify(open)) yield `settings listen on ${listening}, the pod opens ${open}`
}
