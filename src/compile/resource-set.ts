/** The input of `compile`: every valid object in the served version, and the problems of rejected objects. */
import type { Backend } from '../api/backend.ts'
import type { Ingress } from '../api/ingress.ts'
import type { Kind } from '../api/kinds.ts'
import type { EndpointSlice, Namespace, Service } from '../api/kubernetes.ts'
import type { FieldProblem } from '../api/object.ts'
import type { Route } from '../api/route.ts'
import type { SettingsObject } from '../api/settings.ts'
import { FrozenMap } from '../snapshot/frozen-map.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { CertificateFacts } from '../tls/certificate.ts'

export interface ServedResource<T> {
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

/** An object without a valid version: nothing of it is served. */
export interface RejectedObject {
  readonly kind: Kind
  readonly key: string
  readonly problems: readonly FieldProblem[]
  readonly generation?: number
}

/** Immutable; unchanged parts are the same objects (`===`) in two sets. */
export interface ResourceSet {
  readonly settings: SettingsObject
  readonly routes: FrozenMap<ServedResource<Route>>
  readonly ingresses: FrozenMap<ServedResource<Ingress>>
  readonly backends: FrozenMap<ServedResource<Backend>>
  readonly services: FrozenMap<ServedResource<Service>>
  /** By the key of their Service, then by their own. */
  readonly endpointSlices: FrozenMap<ReadonlyMap<string, ServedResource<EndpointSlice>>>
  /** Summaries of ConfigMaps and Secrets without their contents, by kind and key. */
  readonly payloads: FrozenMap<PayloadSummary>
  /** By `/name`. */
  readonly namespaces: FrozenMap<ServedResource<Namespace>>
  /** By hostname; effective in Strict tenancy only. */
  readonly reservations: FrozenMap<HostnameReservation>
  /** By {@link objectId}. */
  readonly rejected: FrozenMap<RejectedObject>
  /** By backend id: why none of its addresses can be used, apart from missing pods. */
  readonly unreachable: FrozenMap<Unreachable>
  /** By name of a listener that could not be opened as configured: the cause, as a sentence. */
  readonly unopenedListeners: FrozenMap<string>
  /** By Backend: endpoints that services have registered, whether or not the Backend takes them. */
  readonly registered: FrozenMap<readonly EndpointAddress[]>
  /** Of a cluster, in which other replicas may serve the same. */
  readonly clustered?: boolean
}

/** The summary of a ConfigMap or Secret that its users depend on. The payload itself never reaches the compiler. */
export interface PayloadSummary {
  /** Of a Secret. */
  readonly type?: string
  readonly keys: ReadonlySet<string>
  /** Keys whose content is not delivered, each with the cause. */
  readonly refused: ReadonlyMap<string, string>
  /** Of a Secret: other namespaces that may use it; absent = none. */
  readonly sharedWith?: ReadonlySet<string>
  /** Of a Secret of one of our types. */
  readonly secret?: SecretSummary
  /** Of a key set. */
  readonly keySet?: KeySetSummary
}

/**
 * A Secret of one of our types without its bytes. What is used may be of an earlier version, where the newest has a
 * fault.
 */
export interface SecretSummary {
  /** Of what is used; absent where nothing can be used. */
  readonly validity?: Validity
  /** Of a client of a provider: why that cannot be used now, as a clause about it. */
  readonly provider?: string
  readonly certificate?: CertificateFacts
  /** Subjects of a bundle of authorities. */
  readonly authorities?: readonly string[]
  /** Issuers of revocation lists. */
  readonly issuers?: readonly string[]
  /** Milliseconds since the epoch. */
  readonly notBefore?: number
  readonly notAfter?: number
  /** What is wrong with the newest version and what to do, as a clause. */
  readonly fault?: string
}

/** What is known of the keys of a provider. */
export interface KeySetSummary {
  /** Of the metadata, where the address is that of metadata. */
  readonly issuer?: string
  /** What is wrong with it and what to do, as a clause about the provider. */
  readonly fault?: string
}

/** By the time of the process that reads it, which compiles do not know. */
export type Validity = 'NotYetValid' | 'Valid' | 'ExpiresSoon' | 'Expired'

/** Determined at run time: names are resolved and addresses checked outside of `compile`. */
export interface Unreachable {
  readonly reason: 'AddressNotAllowed' | 'NameNotResolved' | 'Pending'
  /** A clause: what is wrong and what to do. */
  readonly message: string
}

export function objectId(kind: Kind, key: string): string {
  return `${kind} ${key}`
}

/** A set without objects. */
export function emptyResourceSet(settings: SettingsObject): ResourceSet {
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
    rejected: new FrozenMap(),
    unreachable: new FrozenMap(),
    unopenedListeners: new FrozenMap(),
    registered: new FrozenMap(),
  }
}

/** The precedence of an object over others with the same claim. */
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
 * A hostname reserved for its former namespace, with the age of the former claim, so that no other claim becomes older
 * meanwhile.
 */
export interface HostnameReservation extends Age {
  readonly namespace: string
  /**
   * Milliseconds since the epoch; undefined while the namespace has Routes for the hostname again, which are younger.
   */
  readonly until: number | undefined
}
