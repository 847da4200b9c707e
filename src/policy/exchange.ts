/**
 * One request and its response, as filters see it: neither HTTP/1.1 nor HTTP/2. The worker owns it and ends it exactly
 * once.
 */

import type { Reason } from '../lib/reason.ts'
import type { ClientCertificate } from '../message/client-certificate.ts'
import type { ClientOrigin } from '../message/client-origin.ts'
import type { Fields } from '../message/fields.ts'
import type { Attribute } from './attribute.ts'
import type { PolicySet } from './policy-set.ts'

/** What a dry run (`explain`) has as well: the request, where it came from, what was chosen for it. */
export interface DryExchange {
  readonly method: string
  /** What the request is matched by. Normal form: lower case, no port, no trailing dot; IPv6 in brackets. */
  readonly host: string
  /** `host[:port]` as the client has written it. */
  readonly authority?: string
  /** The origin that the client used, also behind trusted proxies. For URLs in responses. */
  readonly origin: ClientOrigin
  /** Path in normal form; a rewrite replaces it (and normalises it again). */
  path: string
  /** Path the client asked for, in normal form: what `path` was before any rewrite. */
  readonly originalPath: string
  /** Without `?`; undefined when the target had none, so that `/a?` and `/a` stay different. */
  query: string | undefined
  /** Hop-by-hop fields, and those that `Connection` names, are already gone. */
  readonly request: Fields
  /** The client's address (after trusted proxies), canonical literal. */
  readonly clientAddress: string
  /**
   * The socket's peer is one of the trusted proxies (settings, `clientAddress`), so what it forwards may be taken over.
   */
  readonly trusted: boolean
  /** That the client has shown in the handshake of its own connection to here; null where there is none. */
  readonly clientCertificate: ClientCertificate | null
  /** Name of the listener that accepted the connection. */
  readonly listener: string
  /** The request id: taken over from a trusted proxy or made; made on first use. */
  readonly id: string
  /** `namespace/name` and rule name of what matched. */
  readonly route: string
  readonly rule: string
  /** Length of the part of `path` that a PathPrefix match covered; 0 with another kind of match. */
  readonly matchedPrefix: number
  readonly policy: PolicySet
  /** Host to send upstream instead of the client's; undefined = keep. */
  upstreamHost: string | undefined
  /** Token of the protocol that it asks to switch to, which the rule lets pass; null: none. */
  readonly upgrade: string | null
  /** Bytes of the request body to come: a number, or undefined when its length is not known (chunked). 0 = none. */
  readonly requestBodyLength: number | undefined
  /** More than one Backend of the rule takes requests of one priority. */
  readonly divided: boolean
  /**
   * The Backend that the split of the rule gives the request, however it fares: asked again it is the same one, and it
   * is the one that the request is forwarded to.
   *
   * @returns its id; null: the one that it gets does not exist, or none takes any, so it is about to be refused
   */
  part(): string | null
  /** What a filter before this one has left, such as the claims of a verified token. */
  get<T>(key: Attribute<T>): T | undefined
}

export interface Exchange extends DryExchange {
  /** Bookkeeping of `chain.ts`: how many filters of the chain were entered. 0 at the start; nobody else writes it. */
  entered: number
  /** What became of it in the cache of its rule: for the access log. Empty: the rule has none. */
  cacheResult: string
  /**
   * The same request has come before and may come again, and nothing but its bytes and the tables decides what it gets
   * here: see `LocalResponse.repeatable`. Asked once, where that is all that is in question.
   */
  readonly recurs: boolean
  /** Limits in force for the rest of this exchange, milliseconds and bytes; filters may lower them. */
  readonly deadline: ExchangeLimits
  /** A decision that was promised is dropped once this is true: ended exchanges ignore late responses. */
  readonly ended: boolean
  /** Fires when the exchange ends, however it does: whatever is done for it alone stops. Made on first use. */
  readonly signal: AbortSignal
  set<T>(key: Attribute<T>, value: T): void
  /**
   * The whole body of the request, for a decision that depends on it; it still goes upstream afterwards. Several
   * filters may ask. Only before the filter's decision.
   *
   * @param maxBytes at most so many are held in memory
   * @throws {GatewayError} rejects with `BodyTooLarge` beyond them, which unhandled is a 413
   */
  readBody(maxBytes: number): Promise<Uint8Array>
}

/** What became of an exchange. */
export interface ExchangeSummary {
  /** Of the response that was sent; 0 when none was. */
  readonly status: number
  /** Of the request's body, as it came from the client. */
  readonly bytesIn: number
  /** Of the response's body, as it went to the client. */
  readonly bytesOut: number
  /** Tries at endpoints; 0 when the gateway answered itself. */
  readonly attempts: number
  /** Why the gateway refused or gave it up; null when it did not. */
  readonly reason: Reason | null
  /** Milliseconds since the request's head. */
  readonly duration: number
  /** Milliseconds from the first byte to an upstream to the last one from it; -1 when none was asked. */
  readonly upstreamDuration: number
}

export interface ExchangeLimits {
  request: number
  backendRequest: number
  responseHead: number
  idle: number
  maxRequestBytes: number
}
