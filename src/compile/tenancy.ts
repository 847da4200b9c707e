/**
 * What the settings grant to namespaces. In Strict whatever no grant covers is refused; in Shared nothing is asked
 * here. Namespaces that are chosen by labels and not known are not chosen: a grant that cannot be looked up is none.
 */
import type { Namespace } from '../api/kubernetes.ts'
import type { LabelSelector, NamespaceGrant } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import { coveringWildcards } from '../pattern/host.ts'
import type { Resource, ResourceSet } from './resource-set.ts'

export type Namespaces = { get(key: string): Resource<Namespace> | undefined }

export function grants(grant: NamespaceGrant, namespace: string, namespaces: Namespaces): boolean {
  if (grant.from === 'All') return true
  if (grant.from === 'Names') return grant.names?.includes(namespace) === true
  const known = namespaces.get(`/${namespace}`)
  if (known === undefined || grant.selector === undefined) return false
  return selects(grant.selector, namespace, known.object.metadata.labels ?? {})
}

/**
 * The API server gives every namespace this label and lets nobody write another value; in a folder it stands for
 * itself.
 */
const NAME_LABEL = 'kubernetes.io/metadata.name'

/**
 * As Kubernetes does it: all stated must hold, an empty selector holds for all. The labels are never copied: there may
 * be thousands.
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

/** Whether a settings' grant looks at labels, so that Namespaces have to be read. */
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
  mayUse(namespace: string, hostname: string): boolean {
    if (!this.strict) return true
    const granted = this.hostnamesOf(namespace)
    if (granted.has('*') || granted.has(hostname)) return true
    return hostname !== '*' && coveringWildcards(hostname).some((wildcard) => granted.has(wildcard))
  }

  /** Patterns that the namespace was given. */
  hostnamesOf(namespace: string): ReadonlySet<string> {
    return this.#granted(this.#hostnames, namespace, this.settings.hostnames ?? [], ({ names }) => names)
  }

  /**
   * Whether Backends and Services of the namespace may lead to a place outside of Services.
   * @param host address or DNS name
   */
  mayReach(namespace: string, host: string, port: number): boolean {
    if (!this.strict) return true
    const given = this.settings.upstreams.externalTargets ?? []
    const granted = this.#granted(this.#targets, namespace, given, ({ hosts }) => hosts.map(normalTarget))
    if (granted.has(target(host, port))) return true
    // The labels of an address have no order that a wildcard could mean.
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

/** Made once for the same settings and Namespaces. */
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

/** How a person writes a target into the settings. */
export function targetText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
