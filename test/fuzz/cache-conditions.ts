/**
 * Fuzzer of conditional requests on stored responses: `node test/fuzz/cache-conditions.ts [seconds]`. They are answered
 * as the steps of RFC 9110 §13.2.2 and RFC 9111 §4.3.2 say, taken one after the other. What it finds goes into
 * cache-conditions.seeds.json, which cache-conditions.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { type Answer, judgeAnswer } from '../../src/cache/answer.ts'
import { NOW, numbersOf, received, storedHead } from '../cache/stored.ts'

/** `a`, weak or not. */
interface Tag {
  readonly weak: boolean
  readonly opaque: string
}

export interface ConditionCase {
  readonly method: 'GET' | 'HEAD' | 'QUERY'
  readonly status: number
  /** Null: the field is absent. Dates are seconds before now. */
  readonly etag: Tag | null
  readonly modified: number | null
  readonly date: number | null
  readonly ifMatch: boolean
  readonly ifUnmodifiedSince: boolean
  readonly ifNoneMatch: '*' | 'broken' | readonly Tag[] | null
  readonly ifModifiedSince: number | 'broken' | null
  readonly ifRange: Tag | number | 'broken' | null
  readonly range: boolean
}

const tag = fc.record({ weak: fc.boolean(), opaque: fc.constantFrom('', 'a', 'b', 'a,b', 'W/') })
const seconds = fc.constantFrom(0, 1, 2, 60)
const nullable = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary)
const broken = fc.constant('broken' as const)

export const conditionCase: fc.Arbitrary<ConditionCase> = fc.record({
  method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD', 'QUERY'),
  status: fc.constantFrom(200, 200, 200, 203, 404),
  etag: nullable(tag),
  modified: nullable(seconds),
  date: nullable(seconds),
  ifMatch: fc.nat({ max: 9 }).map((n) => n === 0),
  ifUnmodifiedSince: fc.nat({ max: 9 }).map((n) => n === 0),
  ifNoneMatch: nullable(fc.oneof(fc.array(tag, { minLength: 1, maxLength: 3 }), fc.constant('*' as const), broken)),
  ifModifiedSince: nullable(fc.oneof(seconds, broken)),
  ifRange: nullable(fc.oneof(tag, seconds, broken)),
  range: fc.boolean(),
})

const tagText = ({ weak, opaque }: Tag): string => `${weak ? 'W/' : ''}"${opaque}"`
const dateText = (ago: number): string => new Date(NOW - ago * 1_000).toUTCString()

function requestOf(given: ConditionCase): string[] {
  const { ifMatch, ifUnmodifiedSince, ifNoneMatch, ifModifiedSince, ifRange, range } = given
  const lines: string[] = []
  const add = (name: string, value: string): void => void lines.push(`${name}: ${value}`)
  if (ifMatch) add('If-Match', '"a"')
  if (ifUnmodifiedSince) add('If-Unmodified-Since', dateText(0))
  if (ifNoneMatch !== null)
    add('If-None-Match', typeof ifNoneMatch === 'string' ? ifNoneMatch : ifNoneMatch.map(tagText).join(', '))
  if (ifModifiedSince !== null)
    add('If-Modified-Since', ifModifiedSince === 'broken' ? 'broken' : dateText(ifModifiedSince))
  if (ifRange !== null)
    add(
      'If-Range',
      ifRange === 'broken' ? 'broken' : typeof ifRange === 'number' ? dateText(ifRange) : tagText(ifRange),
    )
  if (range) add('Range', 'bytes=0-0')
  return lines
}

/** The steps, by what the texts mean. */
function expected(given: ConditionCase): Answer['type'] {
  const { method, status, etag, modified, date, ifNoneMatch, ifModifiedSince } = given
  // RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are not for a cache.
  if (given.ifMatch || given.ifUnmodifiedSince) return 'Forward'
  // RFC 9110 §13.2.1.
  const judged = status >= 200 && status < 300
  // Step 3.
  if (judged && ifNoneMatch !== null) {
    if (ifNoneMatch === '*') return 'NotModified'
    if (ifNoneMatch !== 'broken' && etag !== null && ifNoneMatch.some(({ opaque }) => opaque === etag.opaque))
      return 'NotModified'
  }
  // Step 4: only without If-None-Match.
  else if (judged && method !== 'QUERY' && ifModifiedSince !== null && ifModifiedSince !== 'broken') {
    const changed = modified ?? date ?? 0
    if (changed >= ifModifiedSince) return 'NotModified'
  }
  // Step 5.
  if (method !== 'GET' || !given.range || status !== 200) return 'Whole'
  return given.ifRange === null || rangeHolds(given) ? 'Parts' : 'Whole'
}

function rangeHolds({ ifRange, etag, modified, date }: ConditionCase): boolean {
  if (ifRange === 'broken' || ifRange === null) return false
  if (typeof ifRange === 'number') return modified === ifRange && modified - (date ?? 0) >= 1
  return etag !== null && !etag.weak && !ifRange.weak && etag.opaque === ifRange.opaque
}

/** Throws when a conditional request is answered otherwise than by the steps. */
export function checkConditions(given: ConditionCase): void {
  const { etag, modified, date, status } = given
  const lines: string[] = []
  if (etag !== null) lines.push(`ETag: ${tagText(etag)}`)
  if (modified !== null) lines.push(`Last-Modified: ${dateText(modified)}`)
  if (date !== null) lines.push(`Date: ${dateText(date)}`)
  const head = storedHead(status, ...lines)
  const stored = { head, numbers: numbersOf(head), length: 10, part: null }
  const { type } = judgeAnswer(given.method, received(...requestOf(given)), stored, NOW)
  assert.equal(type, expected(given))
}

export const seeds: readonly ConditionCase[] = JSON.parse(
  readFileSync(new URL('cache-conditions.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const time = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(conditionCase, checkConditions), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: time * 1000,
    examples: seeds.map((seed): [ConditionCase] => [seed]),
  })
}
