/** A hit that is given again to the same request: whether it still is one, and what is said of its age. */
import { NO_REQUEST_DIRECTIVES } from '../../cache/cache-control.ts'
import { CacheFlag, type CacheNumbers, FLAGS_OFFSET } from '../../cache/cache-numbers.ts'
import { cacheStatusMember } from '../../cache/cache-status.ts'
import { Condition, conditionsOf } from '../../cache/preconditions.ts'
import type { EntryPlace, StoredEntry } from '../../cache/response-memory.ts'
import type { CacheResult } from '../../cache/results.ts'
import { judgeReuse, reuseVerdict } from '../../cache/reuse.ts'
import type { RequestDirectives } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Fields } from '../../message/fields.ts'
import type { BodyPlace, LocalResponse, Repeatable } from '../../message/local-response.ts'
import type { CacheServices } from '../cache-services.ts'
import type { Claiming } from './claims.ts'
import type { Lookup } from './lookup.ts'
import type { RequestKeys } from './request-key.ts'
import { CACHE_NAME } from './serve.ts'

const VERDICT = reuseVerdict()
/** Bytes of a body. */
const MAX_BODY = 64 * 1024
/** What holds back a response, or does not, for the same reason each time. */
const SETTLED = Condition.IfNoneMatch | Condition.IfModifiedSince
/** Of a date whose year has four digits (RFC 9110 §5.6.7): what one with two means changes with the time. */
const FIXED_DATE = 29

/**
 * A response with what is asked before it is given again, where it may be: a hit of a request that has come before and
 * in which nothing else makes its response another one.
 *
 * @param asking the request, its rule and its directives
 */
export function repeatably(
  response: LocalResponse,
  result: CacheResult,
  { x, rule, directives }: Claiming & { readonly directives: RequestDirectives },
  { entry, record, numbers }: Lookup,
  keys: RequestKeys,
  cache: CacheServices,
): LocalResponse {
  // The split may give the next one to another Backend.
  if (result !== 'hit Memory' || !keys.ofRequestAlone || x.divided) return response
  if (entry === null || (response.body !== null && entry.bodyBytes > MAX_BODY)) return response
  if (directives !== NO_REQUEST_DIRECTIVES || !isSettled(x.request) || !x.recurs) return response
  return { ...response, repeatable: new RepeatedHit(cache, entry.place, record, numbers, rule.namespaceLabel) }
}

/** Whether the conditions are judged by values of the request and by what one entry says of itself alone. */
function isSettled(request: Fields): boolean {
  const conditions = conditionsOf(request)
  if (conditions === 0) return true
  if ((conditions & ~SETTLED) !== 0) return false
  return (conditions & Condition.IfNoneMatch) !== 0 || request.get('if-modified-since')?.length === FIXED_DATE
}

class RepeatedHit implements Repeatable {
  readonly key: string
  readonly #cache: CacheServices
  readonly #place: EntryPlace
  /** The record of variants that led there; null: none did. */
  readonly #record: EntryPlace | null
  /** Label of the namespace whose purges concern it. */
  readonly #namespace: number
  readonly #numbers: CacheNumbers
  #age = -1
  #ttl = -1
  #added: readonly string[] = []

  constructor(
    cache: CacheServices,
    place: EntryPlace,
    record: EntryPlace | null,
    numbers: CacheNumbers,
    namespace: number,
  ) {
    this.#cache = cache
    this.#place = place
    this.#record = record
    this.key = `${namespace} ${textOf(place)} ${record === null ? '' : textOf(record)}`
    this.#namespace = namespace
    this.#numbers = { ...numbers }
  }

  again(address: string, now: Milliseconds, body: BodyPlace | null): readonly string[] | null {
    const { counts, memory, purges, settings } = this.#cache
    if (settings.isTrusted(address)) return null
    // Another record may lead elsewhere: by other names.
    if (this.#record !== null) {
      if (memory.findAt(this.#record) === null) return null
      memory.leave()
    }
    const entry = memory.findAt(this.#place)
    if (entry === null) return null
    const { checked } = entry
    // Who reads the request judges it, where there is anything to be judged.
    const kept =
      (checked === purges.newest || purges.isQuiet(this.#namespace, checked)) &&
      (entry.view.getUint32(entry.numbersAt + FLAGS_OFFSET, true) & CacheFlag.MarkedStale) === 0
    const { outcome, age, ttl } = judgeReuse(this.#numbers, NO_REQUEST_DIRECTIVES, now, VERDICT)
    const given = kept && outcome === 'Fresh' && (body === null || copyBody(entry, body))
    memory.leave()
    if (!given) return null
    counts.request('hit Memory')
    if (age !== this.#age || ttl !== this.#ttl) {
      this.#age = age
      this.#ttl = ttl
      this.#added = ['age', String(age), 'cache-status', cacheStatusMember(CACHE_NAME, { ttl, collapsed: false })]
    }
    return this.#added
  }
}

function copyBody(entry: StoredEntry, body: BodyPlace): boolean {
  const { bodyBytes } = entry
  return entry.copyBody(0, body.take(bodyBytes), body.at, bodyBytes) === bodyBytes
}

function textOf({ slot, record, serial }: EntryPlace): string {
  return `${slot}.${record}.${serial}`
}
