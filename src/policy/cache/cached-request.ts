/** What the cache remembers of a request that goes to the origin, or waits for one that does. */
import type { Forwarded } from '../../cache/cache-status.ts'
import type { CacheResult } from '../../cache/results.ts'
import type { RequestDirectives } from '../../cache/verdicts.ts'
import type { Fields } from '../../message/fields.ts'
import { attribute } from '../attribute.ts'
import type { Fetch } from './fetch.ts'
import type { KeyRule } from './request-key.ts'

export interface CachedRequest {
  readonly rule: KeyRule
  readonly directives: RequestDirectives
  /** Of a QUERY; null: the request has none. */
  readonly content: Uint8Array | null
  result: CacheResult
  forwarded: Forwarded
  /** It has waited for the fetch of another request. */
  collapsed: boolean
  /** Null: whatever comes is not stored. */
  fetch: Fetch | null
  /** Of a HEAD: its response says something of what is stored of a GET. Null: nothing is. */
  readonly probe: Pick<Fetch, 'onProbe' | 'release'> | null
  /** Name and value of the client's conditions, while the request has others. */
  conditions: readonly (readonly [string, string])[]
  /** Its response is being stored. */
  stored: boolean
  /** The body goes where it is stored. */
  reading: boolean
  /** Its client has it, so that it is stored and not sent. */
  unsent: boolean
}

export const CACHED_REQUEST = attribute<CachedRequest>('cached request')

/** Takes fields out of a request. @returns what they were */
export function takeFields(request: Fields, names: readonly string[]): readonly (readonly [string, string])[] {
  const taken: (readonly [string, string])[] = []
  for (const name of names) {
    if (!request.has(name)) continue
    for (const value of request.all(name)) taken.push([name, value])
    request.remove(name)
  }
  return taken
}

/** Of what was taken, the fields with these names. */
export function putBack(request: Fields, names: readonly string[], taken: CachedRequest['conditions']): void {
  for (const [name, value] of taken) if (names.includes(name)) request.add(name, value)
}

/** Puts the client's conditions back in place of those that validated what was stored. */
export function restoreFields(request: Fields, names: readonly string[], taken: CachedRequest['conditions']): void {
  for (const name of names) request.remove(name)
  for (const [name, value] of taken) request.add(name, value)
}
