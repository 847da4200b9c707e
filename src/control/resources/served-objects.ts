/** The versions of objects that are in force, by kind, and what a change of one of them asks for. */
import { KIND_NAMES, type Kind, type KindMap } from '../../api/kinds.ts'
import type { EndpointSlice } from '../../api/kubernetes.ts'
import type { KubeObject } from '../../api/object.ts'
import type { SettingsObject } from '../../api/settings.ts'
import type { ResourceSet, ServedResource } from '../../compile/resource-set.ts'
import { hasNonPodEndpoint } from '../../compile/slice-endpoints.ts'
import { FrozenMapBuilder } from '../../snapshot/frozen-map.ts'
import type { ReleasedHostnames } from './hostname-reservations.ts'
import { type Impact, ImpactSum } from './impact.ts'
import { hostnamesOf, serviceOf } from './object-claims.ts'
import type { ServedReferences } from './served-references.ts'

type ObjectsOfSet = Pick<
  ResourceSet,
  'routes' | 'ingresses' | 'backends' | 'services' | 'endpointSlices' | 'payloads' | 'namespaces'
>

type Maps = { readonly [K in Kind]: FrozenMapBuilder<ServedResource<KindMap[K]>> }

export class ServedObjects {
  #settings: SettingsObject
  readonly #maps = Object.fromEntries(KIND_NAMES.map((kind) => [kind, new FrozenMapBuilder()])) as unknown as Maps
  readonly #references: ServedReferences
  readonly #slices = new FrozenMapBuilder<ReadonlyMap<string, ServedResource<EndpointSlice>>>()
  readonly #sliceService = new Map<string, string>()
  #released: ReleasedHostnames[] = []

  constructor(settings: SettingsObject, references: ServedReferences) {
    this.#settings = settings
    this.#references = references
    references.useSettings(settings)
  }

  useSettings(settings: SettingsObject): void {
    this.#settings = settings
    this.#references.useSettings(settings)
  }

  get(kind: 'Route' | 'Backend', key: string): ServedResource<KubeObject> | undefined {
    return this.#maps[kind].get(key)
  }

  /** In Strict: hostnames that objects have ceased to name since the last call. */
  releasedHostnames(): readonly ReleasedHostnames[] {
    const released = this.#released
    this.#released = []
    return released
  }

  /** The current objects, immutable; unchanged maps are the same objects. */
  freeze(): ObjectsOfSet {
    return {
      routes: this.#maps.Route.freeze(),
      ingresses: this.#maps.Ingress.freeze(),
      backends: this.#maps.Backend.freeze(),
      services: this.#maps.Service.freeze(),
      endpointSlices: this.#slices.freeze(),
      payloads: this.#references.payloads(),
      namespaces: this.#maps.Namespace.freeze(),
    }
  }

  /** Replaces the served version, or removes it. */
  put(kind: Kind, key: string, resource: ServedResource<KubeObject> | undefined): Impact {
    if (kind === 'EndpointSlice') return this.#putSlice(key, resource as ServedResource<EndpointSlice> | undefined)
    const map: FrozenMapBuilder<ServedResource<never>> = this.#maps[kind] as never
    const before: ServedResource<KubeObject> | undefined = map.get(key)
    if (before === undefined && resource === undefined) return 'ignore'
    if (before !== undefined && this.#settings.tenancy === 'Strict') this.#release(before, resource)
    if (resource === undefined) map.delete(key)
    else map.set(key, resource as ServedResource<never>)
    return this.#references.put(kind, key, resource?.object)
  }

  #release(before: ServedResource<KubeObject>, now: ServedResource<KubeObject> | undefined): void {
    const still = new Set(hostnamesOf(now, this.#settings))
    const hostnames = hostnamesOf(before, this.#settings).filter((hostname) => !still.has(hostname))
    if (hostnames.length > 0) this.#released.push({ namespace: before.object.metadata.namespace, hostnames })
  }

  /** See {@link ServedReferences.impactOf}. */
  impactOf(kind: Kind, key: string): Impact {
    return this.#references.impactOf(kind, key)
  }

  #putSlice(key: string, slice: ServedResource<EndpointSlice> | undefined): Impact {
    const before = this.#sliceService.get(key)
    const now = slice === undefined ? undefined : serviceOf(slice.object)
    const impact = new ImpactSum()
    const old = before === undefined ? undefined : this.#slices.get(before)?.get(key)
    if (before !== undefined) {
      const rest = new Map(this.#slices.get(before))
      rest.delete(key)
      if (rest.size === 0) this.#slices.delete(before)
      else this.#slices.set(before, rest)
      this.#sliceService.delete(key)
      impact.add(this.#references.endpointsImpact(before))
    }
    // In Strict such a slice may be refused, which a status has to report.
    if (this.#settings.tenancy === 'Strict' && [old, slice].some((one) => one !== undefined && hasNonPodEndpoint(one)))
      for (const service of [before, now])
        if (service !== undefined && this.#references.graph.has('Service', service)) impact.add('rebuild')
    if (now !== undefined && slice !== undefined) {
      this.#slices.set(now, new Map(this.#slices.get(now)).set(key, slice))
      this.#sliceService.set(key, now)
      impact.add(this.#references.endpointsImpact(now))
    }
    return impact.value
  }
}
