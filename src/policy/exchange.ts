/**
 * One request and its response, as filters see it: neither HTTP/1.1 nor HTTP/2. The worker owns it and ends it exactly
 * once.
 */

import type { ClientOrigin } from '../message/client-origin.ts'
import type { Fields } from '../message/fields.ts'
import type { PolicySet } from './policy-set.ts'

/** What a dry run (`explain`) has as well: the request, where it came from, what was chosen for it. */
export interface DryExchange {
  readonly method: string
  /** What the request is matched by. Normal form: lower case, no port, no trailing dot; IPv6 in brackets. */
  readonly host: string
  /** Where the client stands; behind trusted proxies not what this connection says. For whatever a client is told. */
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
}

export interface Exchange extends DryExchange {
  /** Bookkeeping of `chain.ts`: how many filters of the chain were entered. 0 at the start; nobody else writes it. */
  entered: number
  /** Verified claims, consumer and the like, set by auth filters for those after them. */
  readonly attributes: Map<string, unknown>
  /** Bytes of the request body to come: a number, or undefined when its length is not known (chunked). 0 = none. */
  readonly requestBodyLength: number | undefined
  /** Limits in force for the rest of this exchange, milliseconds and bytes; filters may lower them. */
  readonly deadline: ExchangeLimits
  /** Resumes after a verdict promised through a promise is dropped: aborted exchanges ignore late answers. */
  readonly ended: boolean
}

export interface ExchangeLimits {
  request: number
  backendRequest: number
  responseHead: number
  idle: number
  maxRequestBytes: number
}
