/** What a response without a body says of what is stored: a 304 (RFC 9111 §4.3.4), or a 200 to HEAD (§4.3.5). */
import { encodeHead, updateHead } from '../../cache/encode-head.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { judgeStoring } from '../../cache/storing.ts'
import type { CacheRules, ResponseTimes, StoreVerdict, StoringRequest } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { Fields } from '../../message/fields.ts'

/** The stored response as it is now. */
export interface HeadUpdate {
  readonly head: Buffer
  /** Whether it is still to be stored; its numbers hold in any case. */
  readonly verdict: StoreVerdict
  /** Those of the head. */
  readonly fields: Fields
}

/**
 * @param newer it is about the stored response: `judgeNotModified`, `judgeHead`
 * @returns null: there is no such head
 */
export function updateStored(
  stored: StoredHead,
  newer: Fields,
  storing: StoringRequest,
  times: ResponseTimes,
  rules: CacheRules,
): HeadUpdate | null {
  const date = dateText(times.received)
  const head = updateHead(stored, newer, [], date)
  if (head === null) return null
  const fields = new StoredHead().at(head, 0).fields(new Fields())
  // RFC 9111 §4.2.3: of the newer response, which may come from another cache.
  const age = newer.get('age')
  if (age !== undefined) fields.add('age', age)
  const verdict = judgeStoring(
    { ...storing, method: storing.method === 'HEAD' ? 'GET' : storing.method },
    stored.status,
    fields,
    times,
    rules,
  )
  if (age !== undefined) fields.remove('age')
  if (verdict.excluded.length === 0) return { head, verdict, fields }
  const without = encodeHead(stored.status, fields, verdict.excluded, date)
  return without === null ? null : { head: without, verdict, fields }
}

let second = Number.NaN
let text = ''

/** As IMF-fixdate, made once a second. */
export function dateText(wall: Milliseconds): string {
  const now = Math.floor(wall / 1_000)
  if (now !== second) {
    second = now
    text = new Date(now * 1_000).toUTCString()
  }
  return text
}
