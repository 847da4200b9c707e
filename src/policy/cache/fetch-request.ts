/** What is remembered of a request for as long as its response is fetched. */
import { presenceIn } from '../../cache/field-presence.ts'
import type { Purges } from '../../cache/purges.ts'
import type { StoringRequest } from '../../cache/verdicts.ts'
import type { Exchange } from '../exchange.ts'
import { type KeyedRequest, keyCopy } from './claims.ts'
import { SharedHold } from './entry-body.ts'
import type { FetchRequest, StaleResponse } from './fetch-contract.ts'
import type { Lookup } from './lookup.ts'
import type { Recalls } from './recall.ts'
import type { RequestKeys } from './request-key.ts'

export class FetchRequests {
  readonly #keys: RequestKeys
  readonly #purges: Purges
  readonly #recalls: Recalls | null

  constructor(keys: RequestKeys, purges: Purges, recalls: Recalls | null) {
    this.#keys = keys
    this.#purges = purges
    this.#recalls = recalls
  }

  /** @param key a copy of that in `KEY` */
  of({ x, rule, content, recalled, storing }: KeyedRequest, found: Lookup, key = keyCopy()): FetchRequest {
    x.request.detach()
    const { primaryLength, names, recordSerial, seen, part, entry, numbers } = found
    const validated = entry === null ? null : numbers.received
    return {
      rule,
      key,
      primaryLength,
      names,
      recordSerial,
      seen,
      part,
      storing: storing ?? this.storing(x, content),
      origin: x.origin,
      labelled: {
        namespace: rule.namespaceLabel,
        host: x.host,
        path: x.originalPath,
        query: x.query,
        match: this.#keys.match,
        route: x.route,
        rule: x.rule,
      },
      sent: found.now,
      began: this.#purges.newest,
      keep: this.#recalls?.keepOf(rule, key.bytes.subarray(0, primaryLength), recalled, validated) ?? null,
    }
  }

  storing(x: Exchange, content: Uint8Array | null): StoringRequest {
    return {
      // A HEAD has a GET made in the background.
      method: x.method === 'HEAD' ? 'GET' : x.method,
      fields: x.request,
      // The cache is the last filter, and takes and gives back other fields than these alone.
      present: presenceIn(x.request),
      credentials: this.#keys.isPersonal(x),
      identityInKey: this.#keys.isolates(x),
      keyedFields: this.#keys.fields,
      content: content === null ? 'None' : 'InKey',
    }
  }
}

/** Held, so that it can be served once it has been validated, or where the origin fails. */
export function staleOf({ entry, numbers }: Lookup): StaleResponse | null {
  const held = entry?.hold() ?? null
  return held === null ? null : { hold: new SharedHold(held), numbers: { ...numbers } }
}
