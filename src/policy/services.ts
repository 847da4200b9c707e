/**
 * What filters are handed, so that they stay pure: time, chance, patterns, outgoing calls, contents, stores, limiters,
 * reports.
 */

import type { GrantStore } from '../auth/grant-store.ts'
import type { PasswordChecks } from '../auth/password-check.ts'
import type { OwnedLru } from '../cache/owned-lru.ts'
import type { Stores } from '../cache/store.ts'
import type { Clock, Milliseconds, Random, TimerClock } from '../lib/clock.ts'
import type { Limiters } from '../limit/limiter.ts'
import type { Places } from '../limit/places.ts'
import type { RemoteLimiters } from '../limit/remote-limiter.ts'
import type { BodySource } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import type { PathMode } from '../pattern/path.ts'
import type { BackgroundExchanges } from './background.ts'
import type { CacheServices } from './cache-services.ts'
import type { Contents } from './contents.ts'
import type { Exchange } from './exchange.ts'
import type { ProviderClient } from './provider-client.ts'
import type { SignIns } from './sign-ins.ts'

/** A linear-time pattern, compiled once. */
export interface FilterPattern {
  /** Replaces the first match by the substitution (`$0`…`$9`, `$$`); the same text when nothing matches. */
  replaceFirst(text: string, substitution: string): string
}

export interface OutgoingRequest {
  /** Id of the Backend; its endpoints, balancer, pools, limits and the dial guard hold as for a request of a client. */
  readonly backend: string
  readonly method: string
  /** Origin form: path and query. */
  readonly path: string
  readonly fields: Fields
  readonly body?: Uint8Array
  /** Namespace of who asks for it, which the Backend must allow; undefined: of nobody who needs permission. */
  readonly from?: string | undefined
  /** The caller reads trailers, as in gRPC. */
  readonly trailers?: boolean | undefined
  /** Until the response's head, and then between two pieces of its body. */
  readonly timeout: Milliseconds
  /** Gives the call up; else the end of the exchange does that it is made for. */
  readonly signal?: AbortSignal
  /** The exchange it is made for: what counts its passes goes along (CDN-Loop), so that a loop of calls ends, too. */
  readonly cause?: Exchange
}

export interface OutgoingResponse {
  readonly status: number
  readonly fields: Fields
  /** Must be started, and aborted if unused: the connection waits for it. */
  readonly body: BodySource
}

/** Requests of the gateway's own: external calls, mirrors, revalidation. */
export interface OutgoingClient {
  /** Rejects with a `GatewayError` when no head arrives. */
  request(request: OutgoingRequest): Promise<OutgoingResponse>
}

/** Where copies of requests go. */
export interface MirrorTarget {
  /** Id of the Backend. */
  readonly backend: string
  /** Namespace of who asks for it, which the Backend must allow; undefined: of nobody who needs permission. */
  readonly from: string | undefined
}

/** A copy that is being made of a request with its body. */
export interface MirrorCopy {
  add(chunk: Uint8Array): void
  /** The body is complete: the copy is sent. */
  end(): void
  /** There will be no copy. */
  drop(): void
}

/** Sends copies of requests, whose responses nobody sees. */
export interface Mirrors {
  /** @returns null: of this request there is no copy */
  begin(x: Exchange, target: MirrorTarget): MirrorCopy | null
}

/** Where token issuers keep what they must remember. */
export interface GrantStores {
  /** @param name absent: as the installation has it. @returns undefined where there is none of this name */
  store(name: 'Redis' | 'Embedded' | undefined): GrantStore | undefined
}

/** Whether a key set has been looked at anew since it was asked for; `unknown`: its provider did not say. */
export type KeySetCheck = 'current' | 'unknown'

/** Has control look whether a provider has other keys by now. */
export interface KeySetChecks {
  /**
   * @param keys those that were not enough; undefined: there are none
   * @returns without a promise where it has just been looked at, or cannot be now
   */
  check(url: string, keys: Uint8Array | undefined): KeySetCheck | Promise<KeySetCheck>
}

export interface FilterServices {
  readonly clock: Clock
  readonly random: Random
  /** Chance that nobody can guess. */
  randomBytes(length: number): Uint8Array
  readonly timers: Omit<TimerClock, keyof Clock>
  readonly client: OutgoingClient
  readonly mirrors: Mirrors
  /** Requests that are made once more, for nobody but the filter. */
  readonly background: BackgroundExchanges
  /** Calls to servers that no Backend describes. */
  readonly providers: ProviderClient
  /** Sign-ins of browsers at OpenID providers. */
  readonly signIns: SignIns
  /** To be asked at the time of a request: what a policy refers to changes without a rebuild. */
  readonly contents: Contents
  /** Of the providers' keys among the contents. */
  readonly keySets: KeySetChecks
  readonly passwords: PasswordChecks
  readonly cache: CacheServices
  /** Bytes by key that outlive an exchange, to be opened when the filter is made. */
  readonly stores: Stores
  /** Objects that outlive an exchange and the filter, to be had without waiting; an owner is a namespace. */
  readonly memos: OwnedLru<unknown>
  readonly grants: GrantStores
  /** How often something may happen by key, over all workers; to be opened when the filter is made. */
  readonly limiters: Limiters
  /** The same over all replicas. */
  readonly remoteLimiters: RemoteLimiters
  /** Requests in flight by name, over all workers. */
  readonly places: Places
  compilePattern(source: string): FilterPattern | { readonly error: string }
  /** @returns undefined when the path must be refused */
  normalizePath(path: string, mode: PathMode): string | undefined
  /** A filter threw: for the log and the metrics. Must not throw. */
  report(filter: string, error: unknown): void
}
