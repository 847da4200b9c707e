/**
 * Messages between the control thread, the supervisor and the workers. Everything here is structured-cloneable plain
 * data.
 */

import type { MessagePort } from 'node:worker_threads'
import type { GrantAnswer, GrantRequest } from '../auth/grant-store.ts'
import type { PasswordAnswer, PasswordQuestion } from '../auth/password-check.ts'
import type { SignOut } from '../auth/sign-outs.ts'
import type { Topology } from '../balance/topology.ts'
import type { CachedObject } from '../cache/cached-object.ts'
import type { PurgeRecord } from '../cache/purge-record.ts'
import type { ExplainAnswer, ExplainQuestion } from '../exchange/explain.ts'
import type { LoopSettings } from '../exchange/loop-guard.ts'
import type { UpstreamLimits } from '../limit/upstream-budget.ts'
import type { TablesUpdate } from '../link/tables-update.ts'
import type { ContentChange } from '../policy/contents.ts'
import type { SignInAnswer, SignInQuestion } from '../policy/sign-ins.ts'
import type { CertificateRef } from '../snapshot/host-tls.ts'
import type { RedisLocation } from '../snapshot/redis-location.ts'
import type { EndpointAddress } from '../snapshot/snapshot.ts'
import type { DialRules } from '../transport/dial-guard.ts'
import type { SecureTwin } from '../transport/peer.ts'

/** The part of the installation settings that acts in a worker, units resolved (milliseconds, bytes). */
export interface WorkerSettings {
  /** What is to be open, with real ports; no address and port twice. */
  readonly listeners: readonly WorkerListener[]
  readonly tls: {
    /** For hostnames without a certificate of their own; null = such handshakes are refused. */
    readonly defaultCertificate: CertificateRef | null
    /** Content id of the key that replicas share for session tickets; null = one of this process. */
    readonly ticketKey: string | null
  }
  /** Of token issuers that name no store; null = none. */
  readonly grantStore: 'Redis' | 'Embedded' | null
  /** Of session tokens, as long as there is no `ticketKey`. */
  readonly sessionSeed: string
  readonly limits: {
    /** Bytes of a request or response head. */
    readonly head: number
    /** Fields in a head. */
    readonly headers: number
    /** Bytes of the request target. */
    readonly uri: number
    /** Client connections per worker. */
    readonly connections: number
  }
  readonly upstreams: UpstreamLimits
  /** What replicas share; null = the settings name no Redis. */
  readonly redis: RedisLocation | null
  readonly cache: {
    /** Milliseconds that a request waits for the response that another one is fetching. */
    readonly collapseTimeout: number
    /** Clients that get the details in Cache-Status. */
    readonly debugCIDRs: readonly string[]
  }
  /** Of this replica. */
  readonly topology: Topology
  readonly timeouts: {
    /** Of PROXY header and handshake together. */
    readonly handshake: number
    /** From the first byte of a head to its end. */
    readonly requestHead: number
    /** A keep-alive connection without a request. */
    readonly keepAlive: number
  }
  /** How the client's address is found behind trusted proxies; null: the socket's peer is the client. */
  readonly clientAddress: {
    /** Lower case: `x-forwarded-for`, `forwarded` or another header with one address. */
    readonly header: string
    readonly trustedCIDRs: readonly string[]
    /** 0 = take the rightmost untrusted address however many hops there are. */
    readonly trustedHops: number
  } | null
  readonly accessLog: {
    readonly enabled: boolean
    /** Percent of the exchanges without a reason that are logged; refusals always are. */
    readonly sample: number
    /** Constant extra members of every line. */
    readonly fields: Readonly<Record<string, string>>
  }
  /** How a request that comes back here is recognised. */
  readonly loop: LoopSettings
  /** What may never be connected, whatever a manifest has. */
  readonly dial: DialRules
}

export interface ListenerSettings {
  readonly name: string
  /** Address literal to bind, `::` or `0.0.0.0` for all. */
  readonly address: string
  readonly port: number
}

/** A listener with what it speaks. */
export interface WorkerListener extends ListenerSettings {
  readonly tls: boolean
  /** Where clients that name its port find https; null: at the default port of https. */
  readonly secureTwin: SecureTwin | null
  /** Who begins connections with a PROXY header; null = nobody does. */
  readonly proxyProtocol: { readonly trusted: readonly string[] } | null
}

/** A listener that is not open as configured; it is tried again. */
export interface ListenerFailure {
  readonly name: string
  /** What happened, for a person. */
  readonly message: string
}

export interface EndpointRow extends EndpointAddress {
  /** Row in the shared endpoint table. */
  readonly slot: number
}

/**
 * The endpoint set of a backend, or how it differs from the one sent before. Sent before the tables that name the
 * backend, and used once it is connected to by the same key. Made and read by endpoint-rows.ts.
 */
export interface EndpointsMessage {
  readonly type: 'endpoints'
  readonly backend: string
  /** See `connectionKey`; null = the backend is withdrawn. */
  readonly connects: string | null
  /** The set is complete; otherwise all that is not here is as in the newest set that was sent of the backend. */
  readonly complete: boolean
  /** Slots of endpoints that are in it no more. */
  readonly gone: readonly number[]
  /**
   * New endpoints, and others in the place of those with their slot: texts of some rows each, which cost a thread
   * nothing until it reads them.
   */
  readonly rows: readonly string[]
}

/** Control → worker, on a MessagePort made by main for each pair of them. */
export type ToWorker =
  | {
      readonly type: 'settings'
      readonly settings: WorkerSettings
      /** The worker is new, and tables are on their way to it: until it serves them it accepts no connections. */
      readonly tablesFollow?: true
    }
  | TablesUpdate
  | EndpointsMessage
  /**
   * Every Backend there is: all other endpoint sets are withdrawn. Sent by a control thread that has just begun, behind
   * its first tables, because it cannot know what the one before it had sent the worker, whose tables are in force
   * until then.
   */
  | { readonly type: 'backends'; readonly ids: readonly string[] }
  /**
   * Payloads of ConfigMaps and Secrets, those of one object together. They act at once; sent before the tables that
   * refer to them.
   */
  | { readonly type: 'contents'; readonly contents: readonly ContentChange[] }
  /** Every content there is: all others are withdrawn. Sent and taken as `backends` is. */
  | { readonly type: 'content-ids'; readonly ids: readonly string[] }
  /**
   * Store it with `ProcessBlock.passEpoch`, nothing else: everything sent before has been handled
   * (shared-memory/epoch.ts).
   */
  | { readonly type: 'epoch'; readonly epoch: number }
  /** Of one question. */
  | { readonly type: 'sign-in-answer'; readonly id: number; readonly answer: SignInAnswer }
  /** Sessions of browsers that are over, besides those that were said before. */
  | {
      readonly type: 'sign-outs'
      readonly owner: string
      /** See {@link clientKey}. */
      readonly client: string
      readonly entries: readonly SignOut[]
      /** Other replicas know of them. */
      readonly known?: true
    }
  /** What the store of token issuers answers to a request of this worker. */
  | { readonly type: 'grants'; readonly id: number; readonly answer: GrantAnswer }
  /** Behind the keys that there are now: what was asked of a key set. */
  | {
      readonly type: 'key-set-asked'
      readonly url: string
      readonly known: string
      readonly again: number
      readonly current: boolean
    }
  /** The files of the cache are at the other end, transferred; null: there are none. Answers `ask-archive`. */
  | { readonly type: 'archive'; readonly port: MessagePort | null }
  /** Of a question `check-password`. */
  | { readonly type: 'password-checked'; readonly id: number; readonly answer: PasswordAnswer }
  /** To one worker: what is stored that a purge of these would concern? Answered by `cached`. */
  | { readonly type: 'find-cached'; readonly id: number; readonly records: readonly PurgeRecord[] }
  /** To one worker: what would it do with such a request? Answered by `explained`. */
  | { readonly type: 'explain'; readonly id: number; readonly question: ExplainQuestion }
  /** Send it back at once: the endpoints that were sent before act. */
  | { readonly type: 'latency-probe'; readonly id: number }
  /** Send it back: the contents and endpoints that were sent before are read. */
  | { readonly type: 'mark'; readonly id: number }

/** Worker → control, same port. */
export type FromWorker =
  /** The generation serves in this worker; it is also stored in the process block. */
  | { readonly type: 'applied'; readonly generation: number }
  /**
   * It cannot be linked, as told by `problem`, and what changed with it is not known here; `skipped`: it differs from
   * such a generation, and was not tried.
   */
  | { readonly type: 'not-linked'; readonly generation: number; readonly skipped: boolean }
  | { readonly type: 'mark'; readonly id: number }
  | { readonly type: 'latency-probe'; readonly id: number }
  /** Answered by `sign-in-answer` with the same id. */
  | { readonly type: 'sign-in'; readonly id: number; readonly question: SignInQuestion }
  /** For the embedded store of token issuers, which control owns. */
  | { readonly type: 'grants'; readonly id: number; readonly request: GrantRequest }
  /**
   * A token names a key that is not in the set, or nothing is there of it yet: it is fetched if that may bring more.
   * `known`: digest of what the worker has, which control may have replaced in the meantime; '' = nothing.
   */
  | { readonly type: 'ask-key-set'; readonly url: string; readonly known: string }
  /** Answered by `password-checked` with the same id. */
  | { readonly type: 'check-password'; readonly id: number; readonly question: PasswordQuestion }
  /** For a way to the files of the cache, which one thread owns. */
  | { readonly type: 'ask-archive' }
  /** Answers `find-cached`. `complete`: that is all. */
  | {
      readonly type: 'cached'
      readonly id: number
      readonly objects: readonly CachedObject[]
      readonly complete: boolean
    }
  /** Answers `explain`; null: there are no tables yet. */
  | { readonly type: 'explained'; readonly id: number; readonly answer: ExplainAnswer | null }
  /** An update could not be linked: for the process log. */
  | { readonly type: 'problem'; readonly message: string }
  /** What was one is none any more: for the process log. */
  | { readonly type: 'recovered'; readonly message: string }
