/**
 * What the suite of the exchange needs of a transport: clients that ask, upstreams that answer, and time that passes.
 * Names of fields are in lower case throughout.
 */
import type { BackendSpec } from '../../src/api/backend.ts'
import type { ResponseMemory } from '../../src/cache/response-memory.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import type { ResponseArchives } from '../../src/policy/cache-services.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { FilterDefinition, Phase } from '../../src/policy/registry.ts'
import type { Rules } from '../compile/world.ts'

export type FieldMap = Readonly<Record<string, string>>

export interface Scope {
  after(end: () => void | Promise<void>): void
}

export interface ReceivedHead {
  readonly status: number
  readonly fields: FieldMap
}

export interface ReceivedResponse extends ReceivedHead {
  readonly body: string
  readonly trailers: FieldMap
  /** False: it was cut. */
  readonly complete: boolean
}

/** An end of a tunnel outside of the gateway. */
export interface TunnelEnd {
  write(bytes: string | Buffer): void
  end(): void
  destroy(): void
  pause(): void
  resume(): void
  readonly received: string
  /** Bytes written that the gateway has not taken. */
  readonly unsent: number
  /** The other end has ended its direction. */
  readonly ended: boolean
  readonly closed: boolean
}

export interface Asking {
  readonly method?: string
  readonly path?: string
  readonly fields?: FieldMap
  /** Bytes of a body that follows; none by default. */
  readonly length?: number | 'unknown'
  /** The whole body, by its length. */
  readonly body?: string
  readonly upgrade?: string
}

/** A request at its client. */
export interface ClientRequest {
  write(bytes: string | Buffer): void
  end(trailers?: FieldMap): void
  /** Bytes of the body that the gateway has not taken. */
  readonly unsent: number
  /** The client reads no more of the response than its head. */
  pause(): void
  resume(): void
  /** Interim responses that have come. */
  readonly interim: readonly ReceivedHead[]
  head(): Promise<ReceivedHead>
  response(): Promise<ReceivedResponse>
  upgraded(): Promise<TunnelEnd>
  /** Its connection breaks. */
  vanish(): void
}

/** A request at its upstream. */
export interface ServedRequest {
  readonly method: string
  readonly target: string
  readonly fields: FieldMap
  /** Bytes of the body that have come. */
  readonly received: number
  /** The whole body. */
  body(): Promise<string>
  /** Of the body, once it is complete. */
  readonly trailers: FieldMap
  /** The upstream reads no more of the body. */
  pause(): void
  resume(): void
  /** The gateway has given the request up. */
  readonly gone: boolean
  interim(status: number, fields: FieldMap): void
  /** The head alone; `content-length` says how long the body is. */
  head(status: number, fields?: FieldMap): void
  write(bytes: string | Buffer): void
  /** Bytes of the response that the gateway has not taken. */
  readonly unsent: number
  end(trailers?: FieldMap): void
  respond(status: number, body?: string, fields?: FieldMap): void
  /** Its connection breaks. */
  reset(): void
  upgrade(protocol: string): TunnelEnd
}

/** What an endpoint does: answer requests, refuse connections, or never accept one. */
export type UpstreamScript = ((request: ServedRequest) => void) | 'refusing' | 'deaf'

export interface GatewayOptions {
  readonly upstreams: readonly UpstreamScript[]
  readonly backend?: Partial<BackendSpec>
  /** Default: one rule that sends everything to the Backend, once. */
  readonly rules?: Rules
  readonly filters?: readonly { readonly phase: Phase; readonly filter: Filter }[]
  readonly definitions?: readonly FilterDefinition[]
  readonly observer?: AttemptObserver
  /** Behind the memory of the cache. */
  readonly archives?: ResponseArchives
  /** Default: one in the heap, which never runs out. */
  readonly responses?: ResponseMemory
}

export interface TransportGateway {
  ask(asking?: Asking): ClientRequest
  /** Connections to upstreams that were made so far. */
  readonly connections: number
  /** Lets time pass. */
  pass(milliseconds: number): Promise<void>
  /** Waits until it holds; fails when that takes more than some seconds. */
  until(holds: () => boolean, what?: string): Promise<void>
  /** Access lines so far. */
  log(): readonly Readonly<Record<string, unknown>>[]
  /** Waits until nothing runs or is open any more. */
  nothingLeft(): Promise<void>
  /** Errors that nobody expected. */
  readonly errors: readonly unknown[]
}

export interface TransportRig {
  /** Requests that a connection to an upstream carries at a time. */
  readonly capacity: number
  /** A request for an upgrade that is not allowed goes on as a plain one: not so over HTTP/2 (RFC 8441). */
  readonly plainUpgrades: boolean
  /** Bytes, more than two ends and whatever is between them hold. */
  readonly large: number
  gateway(scope: Scope, options: GatewayOptions): Promise<TransportGateway>
}
