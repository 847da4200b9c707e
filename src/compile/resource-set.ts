/** What `compile` reads: every valid object in the version that is served, and what is known of the others. */
import type { Backend } from '../api/backend.ts'
import type { Ingress } from '../api/ingress.ts'
import type { Kind } from '../api/kinds.ts'
import type { EndpointSlice, Namespace, Service } from '../api/kubernetes.ts'
import type { FieldProblem } from '../api/object.ts'
import type { Route } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { FrozenMap } from '../snapshot/frozen-map.ts'

export interface Resource<T> {
  /** `namespace/name`. */
  readonly key: string
  /** Validated and defaulted. */
  readonly object: T
  /** Milliseconds since the epoch; undefined in a folder, where no creation time is given. */
  readonly created: number | undefined
  /** Set when a newer version of the object exists and cannot be used; `object` is then the last good one. */
  readonly stale?: Staleness
}

export interface Staleness {
  /** What is wrong with the newest version. */
  readonly problems: readonly FieldProblem[]
  /** `metadata.generation` of the newest version. */
  readonly generation?: number
  /** Names of the rules whose newest version adds auth or authorization: they are closed rather than served open. */
  readonly closedRules: 'all' | ReadonlySet<string>
}

/** An object that was never valid as long as it was seen, so nothing of it is served. */
export interface Refused {
  readonly kind: Kind
  readonly key: string
  readonly problems: readonly FieldProblem[]
  readonly generation?: number
}

/** Immutable; what did not change between two sets is the same object (`===`) in both. */
export interface ResourceSet {
  readonly settings: SettingsObject
  readonly routes: FrozenMap<Resource<Route>>
  readonly ingresses: FrozenMap<Resource<Ingress>>
  readonly backends: FrozenMap<Resource<Backend>>
  readonly services: FrozenMap<Resource<Service>>
  /** By the key of their Service, then by their own. */
  readonly endpointSlices: FrozenMap<ReadonlyMap<string, Resource<EndpointSlice>>>
  /** By kind and key: of ConfigMaps and Secrets what may be known to others than their users. */
  readonly payloads: FrozenMap<PayloadFace>
  /** By `/name`. */
  readonly namespaces: FrozenMap<Resource<Namespace>>
  /** By hostname; they count in Strict alone. */
  readonly reservations: FrozenMap<HostnameReservation>
  /** By {@link refusedKey}. */
  readonly refused: FrozenMap<Refused>
  /** By backend id: why none of its addresses can be used, where that is no matter of pods that come and go. */
  readonly unreachable: FrozenMap<Unreachable>
  /** By the name of a listener that is not open as the settings say: why, as a sentence. */
  readonly unopened: FrozenMap<string>
}

/** An object with a payload as those see it who refer to it. The payload itself is nowhere near a compile. */
export interface PayloadFace {
  /** Of a Secret. */
  readonly type?: string
  readonly keys: ReadonlySet<string>
  /** Keys whose content is not delivered, with why not. */
  readonly refused: ReadonlyMap<string, string>
}

/** Found out while it runs: names are resolved and addresses judged outside of `compile`. */
export interface Unreachable {
  readonly reason: 'AddressNotAllowed' | 'NameNotResolved' | 'Pending'
  /** A clause: what is wrong and what to do. */
  readonly message: string
}

export function refusedKey(kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/** A set in which there is nothing. */
export function noResources(settings: SettingsObject): ResourceSet {
  return {
    settings,
    routes: new FrozenMap(),
    ingresses: new FrozenMap(),
    backends: new FrozenMap(),
    services: new FrozenMap(),
    endpointSlices: new FrozenMap(),
    payloads: new FrozenMap(),
    namespaces: new FrozenMap(),
    reservations: new FrozenMap(),
    refused: new FrozenMap(),
    unreachable: new FrozenMap(),
    unopened: new FrozenMap(),
  }
}

/** What decides between two objects that want the same. */
export interface Age {
  readonly created: number | undefined
  /** `namespace/name`. */
  readonly key: string
}

/**
 * Negative when `a` came first: the older, then by `namespace/name`; the same on every replica, and as matches are
 * ordered.
 */
export function compareAge(a: Age, b: Age): number {
  if (a.created !== b.created) {
    if (a.created === undefined) return 1
    if (b.created === undefined) return -1
    return a.created - b.created
  }
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

/**
 * A hostname that is kept for the namespace that had it, with the age of the claim that is gone: nobody becomes the
 * older one meanwhile.
 */
export interface HostnameReservation extends Age {
  readonly namespace: string
  /**
   * Milliseconds since the epoch; undefined while the namespace has Routes for the hostname again, which are younger.
   */
  readonly until: number | undefined
}
