/** The versions of objects that are in force, by kind, and what a change of one of them asks for. */
import type { Backend } from '../../api/backend.ts'
import type { Ingress } from '../../api/ingress.ts'
import type { EndpointSlice } from '../../api/kubernetes.ts'
import type { Kind, KubeObject } from '../../api/object.ts'
import type { Route } from '../../api/route.ts'
import type { SettingsObject } from '../../api/settings.ts'
import type { KindMap } from '../../api/validate.ts'
import { listsOthers } from '../../compile/endpoints.ts'
import type { Resource, ResourceSet } from '../../compile/resource-set.ts'
import { FrozenMapBuilder } from '../../snapshot/frozen-map.ts'
import type { Released } from './hostname-reservations.ts'
import { type Impact, ImpactSum } from './impact.ts'
import { hostnamesOf, serviceOf, usesOf } from './object-uses.ts'
import { ServiceUsers } from './service-users.ts'

type ObjectsOfSet = Pick<
  ResourceSet,
  'routes' | 'ingresses' | 'backends' | 'services' | 'endpointSlices' | 'secrets' | 'configMaps' | 'namespaces'
>

export class ServedObjects {
  #settings: SettingsObject
  readonly #maps = {
    Route: new FrozenMapBuilder<Resource<Route>>(),
    Backend: new FrozenMapBuilder<Resource<Backend>>(),
    Ingress: new FrozenMapBuilder<Resource<Ingress>>(),
    Service: new FrozenMapBuilder<Resource<KindMap['Service']>>(),
    Secret: new FrozenMapBuilder<Resource<KindMap['Secret']>>(),
    ConfigMap: new FrozenMapBuilder<Resource<KindMap['ConfigMap']>>(),
    Namespace: new FrozenMapBuilder<Resource<KindMap['Namespace']>>(),
  }
  readonly #slices = new FrozenMapBuilder<ReadonlyMap<string, Resource<EndpointSlice>>>()
  readonly #sliceService = new Map<string, string>()
  readonly #users = new ServiceUsers()
  #released: Released[] = []

  constructor(settings: SettingsObject) {
    this.#settings = settings
  }

  /** `namespace/name` of every Service that an object refers to. */
  get servicesInUse(): Iterable<string> {
    return this.#users.services
  }

  useSettings(settings: SettingsObject): void {
    this.#settings = settings
  }

  get(kind: 'Route' | 'Backend', key: string): Resource<KubeObject> | undefined {
    return this.#maps[kind].get(key)
  }

  /** In Strict: hostnames that objects have ceased to name since the last call. */
  releasedHostnames(): readonly Released[] {
    const released = this.#released
    this.#released = []
    return released
  }

  /** As of now, immutable; the same maps as long as nothing in them changed. */
  freeze(): ObjectsOfSet {
    return {
      routes: this.#maps.Route.freeze(),
      ingresses: this.#maps.Ingress.freeze(),
      backends: this.#maps.Backend.freeze(),
      services: this.#maps.Service.freeze(),
      endpointSlices: this.#slices.freeze(),
      secrets: this.#maps.Secret.freeze(),
      configMaps: this.#maps.ConfigMap.freeze(),
      namespaces: this.#maps.Namespace.freeze(),
    }
  }

  /** Puts a version in force, or none. */
  put(kind: Kind, key: string, resource: Resource<KubeObject> | undefined): Impact {
    if (kind === 'EndpointSlice') return this.#putSlice(key, resource as Resource<EndpointSlice> | undefined)
    const map: FrozenMapBuilder<Resource<never>> = this.#maps[kind] as never
    const before: Resource<KubeObject> | undefined = map.get(key)
    if (before === undefined && resource === undefined) return 'ignore'
    if (before !== undefined && this.#settings.tenancy === 'Strict') this.#release(before, resource)
    for (const [service, id] of usesOf(before)) this.#users.count(service, id, -1)
    for (const [service, id] of usesOf(resource)) this.#users.count(service, id, 1)
    if (resource === undefined) map.delete(key)
    else map.set(key, resource as Resource<never>)
    return this.impactOf(kind, key)
  }

  #release(before: Resource<KubeObject>, now: Resource<KubeObject> | undefined): void {
    const still = new Set(hostnamesOf(now, this.#settings))
    const hostnames = hostnamesOf(before, this.#settings).filter((hostname) => !still.has(hostname))
    if (hostnames.length > 0) this.#released.push({ namespace: before.object.metadata.namespace, hostnames })
  }

  /**
   * What a change of an object that is not an EndpointSlice asks for. No field that names a Secret or a ConfigMap
   * passes the door yet.
   */
  impactOf(kind: Kind, key: string): Impact {
    if (kind === 'Secret' || kind === 'ConfigMap' || kind === 'EndpointSlice') return 'ignore'
    if (kind === 'Service') return this.#users.has(key) ? 'rebuild' : 'ignore'
    return 'rebuild'
  }

  #putSlice(key: string, slice: Resource<EndpointSlice> | undefined): Impact {
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
      impact.add(this.#users.impactOf(before))
    }
    // In Strict such a slice may be refused, which a status has to report.
    if (this.#settings.tenancy === 'Strict' && [old, slice].some((one) => one !== undefined && listsOthers(one)))
      for (const service of [before, now]) if (service !== undefined && this.#users.has(service)) impact.add('rebuild')
    if (now !== undefined && slice !== undefined) {
      this.#slices.set(now, new Map(this.#slices.get(now)).set(key, slice))
      this.#sliceService.set(key, now)
      impact.add(this.#users.impactOf(now))
    }
    return impact.value
  }
}
