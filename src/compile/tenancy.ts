/**
 * Grants of the settings to namespaces. Strict tenancy refuses what no grant covers; Shared needs no grants. A selector
 * never selects an unknown Namespace: grants fail closed.
 */
import type { Namespace } from '../api/kubernetes.ts'
import type { LabelSelector, NamespaceGrant } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { coveringWildcards, joinHostPort } from '../pattern/host.ts'
import type { ResourceSet, ServedResource } from './resource-set.ts'

export type Namespaces = { get(key: string): ServedResource<Namespace> | undefined }

export function grants(grant: NamespaceGrant, namespace: string, namespaces: Namespaces): boolean {
  if (grant.from === 'All') return true
  if (grant.from === 'Names') return grant.names?.includes(namespace) === true
  const known = namespaces.get(`/${namespace}`)
  if (known === undefined || grant.selector === undefined) return false
  return selects(grant.selector, namespace, known.object.metadata.labels ?? {})
}

/**
 * The API server sets this label on every namespace and rejects other values. In a folder it is implied.
 */
const NAME_LABEL = 'kubernetes.io/metadata.name'

/**
 * The semantics of Kubernetes: all requirements must hold, and an empty selector selects everything. The labels are
 * not copied: there may be thousands.
 */
function selects(selector: LabelSelector, namespace: string, labels: Readonly<Record<string, string>>): boolean {
  const labelOf = (key: string): string | undefined =>
    key === NAME_LABEL ? namespace : Object.hasOwn(labels, key) ? labels[key] : undefined
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labelOf(key) !== value) return false
  return (selector.matchExpressions ?? []).every(({ key, operator, values = [] }) => {
    const value = labelOf(key)
    if (operator === 'Exists') return value !== undefined
    if (operator === 'DoesNotExist') return value === undefined
    if (operator === 'In') return value !== undefined && values.includes(value)
    return value === undefined || !values.includes(value)
  })
}

/** Whether a grant of the settings has a selector, so that Namespaces have to be read. */
export function grantsByLabels(settings: SettingsObject): boolean {
  if (settings.tenancy !== 'Strict') return false
  const all = [...(settings.hostnames ?? []), ...(settings.upstreams.externalTargets ?? [])]
  return all.some(({ namespaces }) => namespaces.from === 'Selector')
}

export class Tenancy {
  readonly settings: SettingsObject
  readonly namespaces: Namespaces
  readonly strict: boolean
  readonly #hostnames = new Map<string, ReadonlySet<string>>()
  readonly #targets = new Map<string, ReadonlySet<string>>()

  constructor(settings: SettingsObject, namespaces: Namespaces) {
    this.settings = settings
    this.namespaces = namespaces
    this.strict = settings.tenancy === 'Strict'
  }

  /**
   * Whether Routes and Ingresses of the namespace may name this hostname. A granted wildcard covers itself, every name
   * under it, and every wildcard under it, as the wildcard of a Route covers one or more labels; `*` covers all, and
   * hosts that nobody names.
   *
   * @param hostname in normal form; `*` for hosts that nobody names
   */
  isHostnameGranted(namespace: string, hostname: string): boolean {
    if (!this.strict) return true
    const granted = this.hostnamesOf(namespace)
    if (granted.has('*') || granted.has(hostname)) return true
    return hostname !== '*' && coveringWildcards(hostname).some((wildcard) => granted.has(wildcard))
  }

  /** The hostname patterns granted to the namespace. */
  hostnamesOf(namespace: string): ReadonlySet<string> {
    return this.#granted(this.#hostnames, namespace, this.settings.hostnames ?? [], ({ names }) => names)
  }

  /**
   * Whether Backends and Services of the namespace may use a target outside of Services.
   * @param host address or DNS name
   */
  isTargetGranted(namespace: string, host: string, port: number): boolean {
    if (!this.strict) return true
    const given = this.settings.upstreams.externalTargets ?? []
    const granted = this.#granted(this.#targets, namespace, given, ({ hosts }) => hosts.map(normalTarget))
    if (granted.has(target(host, port))) return true
    // Wildcards do not apply to addresses.
    if (canonicalAddress(host) !== undefined) return false
    return coveringWildcards(host).some((wildcard) => granted.has(target(wildcard, port)))
  }

  #granted<G extends { readonly namespaces: NamespaceGrant }>(
    known: Map<string, ReadonlySet<string>>,
    namespace: string,
    given: readonly G[],
    members: (grant: G) => readonly string[],
  ): ReadonlySet<string> {
    let granted = known.get(namespace)
    if (granted === undefined) {
      const own = given.filter((grant) => grants(grant.namespaces, namespace, this.namespaces))
      known.set(namespace, (granted = new Set(own.flatMap(members))))
    }
    return granted
  }
}

const NEWEST = new WeakMap<SettingsObject, Tenancy>()

/** Cached per settings and Namespaces. */
export function tenancyOf({ settings, namespaces }: Pick<ResourceSet, 'settings' | 'namespaces'>): Tenancy {
  let tenancy = NEWEST.get(settings)
  if (tenancy?.namespaces !== namespaces) NEWEST.set(settings, (tenancy = new Tenancy(settings, namespaces)))
  return tenancy
}

function target(host: string, port: number): string {
  return `${host} ${port}`
}

/** `host:port` of the settings; an IPv6 address is in brackets there. */
function normalTarget(text: string): string {
  const colon = text.lastIndexOf(':')
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1')
  return target(canonicalAddress(host) ?? host.toLowerCase().replace(/\.$/, ''), Number(text.slice(colon + 1)))
}

/** A target in the notation of the settings. */
export function targetText(host: string, port: number): string {
  return joinHostPort(host, port)
}
