/**
 * Fuzzer of the rules of the cache: `node test/fuzz/cache-rules.ts [seconds]`. What it finds goes into
 * cache-rules.seeds.json, which cache-rules.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { parseRequestDirectives } from '../../src/cache/cache-control.ts'
import { judgeReuse, mayServeOnError, reuseVerdict } from '../../src/cache/reuse.ts'
import { judgeStoring } from '../../src/cache/storing.ts'
import { DEFAULT_TARGETS } from '../../src/cache/targeted-fields.ts'
import type { CacheRules, StoreVerdict } from '../../src/cache/verdicts.ts'
import { Fields } from '../../src/message/fields.ts'
import { type CacheCase, modelVerdict } from './cache-model.ts'

const EPOCH = Date.UTC(2026, 10, 29, 12)

const SECONDS = [
  '0',
  '1',
  '5',
  '10',
  '60',
  '2147483648',
  '99999999999999999999',
  '"5"',
  '"\\6"',
  '',
  'x',
  '-1',
  '1.5',
  '05',
]
const TIMED = ['max-age', 'Max-Age', 's-maxage', 'stale-while-revalidate', 'stale-if-error', 'max-stale', 'min-fresh']
const WORDS = [
  ...['no-store', 'No-Store', 'private', 'no-cache', 'public', 'must-revalidate', 'proxy-revalidate'],
  ...['must-understand', 'immutable', 'only-if-cached', 'no-transform', 'x', 'no-storeage', ''],
]
const ARGUMENTS = [
  '=1',
  '=""',
  '="x-a"',
  '="X-A, x-b"',
  '="a b"',
  '="',
  '="no-store"',
  '=x-a',
  '="a\\"b"',
  '=',
  ' = 1',
  '="é"',
]
const SEPARATORS = [', ', ',', ' ,\t', ',,', ';', ' ']

const often = <T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 12, arbitrary: usual }, { weight: 1, arbitrary: rare })

const directive = fc.oneof(
  {
    weight: 5,
    arbitrary: fc
      .tuple(fc.constantFrom(...TIMED), often(fc.constantFrom('0', '1', '5', '10', '60'), fc.constantFrom(...SECONDS)))
      .map((pair) => pair.join('=')),
  },
  { weight: 4, arbitrary: fc.constantFrom(...WORDS) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(...WORDS), fc.constantFrom(...ARGUMENTS)).map((pair) => pair.join('')),
  },
)

export const cacheControl = fc
  .array(fc.tuple(directive, often(fc.constant(', '), fc.constantFrom(...SEPARATORS))), { maxLength: 4 })
  .map((pieces) =>
    pieces
      .map((piece) => piece.join(''))
      .join('')
      .replace(/, $/, ''),
  )

/** Around the time of the case, or far from it, or none. */
const dateText = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: -120, max: 120 }).map((s) => new Date(EPOCH + s * 1000).toUTCString()) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: -59_011_459_200, max: 253_402_300_799 }).map((s) => new Date(s * 1000).toUTCString()),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('0', '', 'x', 'Wed, 31 Feb 2026 00:00:00 GMT', 'Sun, 29 Nov 2026 12:00:00 UTC'),
  },
)

const field = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(fc.constant('cache-control'), cacheControl) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('date', 'expires', 'last-modified'), dateText) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constant('age'), fc.constantFrom('0', '5', '70', '5, 90', '1099511627776', 'x', '-1', '')),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant('etag'), fc.constantFrom('"a"', 'W/"a"', 'a', '"a', '""')) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('vary'), fc.constantFrom('accept', '*', 'a, *', 'x*')) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constant('content-range'),
      fc.constantFrom('bytes 0-4/10', 'bytes 5-4/10', 'x 0-1/2', 'bytes 0-9/*', 'bytes 0-9/9'),
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom('set-cookie', 'warning', 'pragma', 'x-a'), fc.constant('no-cache')),
  },
)

const requestField = fc.oneof(
  { weight: 2, arbitrary: fc.tuple(fc.constant('cache-control'), cacheControl) },
  fc.tuple(fc.constantFrom('authorization', 'cookie', 'range', 'accept'), fc.constant('x')),
)

const span = fc.constantFrom(undefined, undefined, undefined, 0, 1_000, 5_500, 60_000)
const STATUSES = [
  200, 200, 200, 200, 203, 206, 226, 299, 301, 302, 304, 307, 401, 404, 412, 424, 429, 500, 501, 503, 599, 103, 600,
]

export const cacheCase: fc.Arbitrary<CacheCase> = fc.record(
  {
    method: often(fc.constant('GET'), fc.constantFrom('QUERY', 'HEAD', 'POST', 'get')),
    credentials: often(fc.constant(false), fc.constant(true)),
    identityInKey: often(fc.constant(false), fc.constant(true)),
    content: often(fc.constant('None' as const), fc.constantFrom('InKey' as const, 'NotInKey' as const)),
    request: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(requestField, { maxLength: 2 })),
    status: fc.constantFrom(...STATUSES),
    response: fc.array(field, { maxLength: 5 }),
    sent: fc.integer({ min: -3_000, max: 1_000 }),
    received: fc.integer({ min: 0, max: 999 }),
    override: fc.boolean(),
    defaultTtl: span,
    maxTtl: span,
    codeTtl: span,
    whileRevalidate: span,
    ifError: span,
    later: fc.oneof(
      fc.integer({ min: -4_000, max: 90_000 }),
      fc.constantFrom(0, 1_000, 5_000, 10_000, 60_000, 2 ** 42),
    ),
    again: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, fc.array(cacheControl, { maxLength: 2 })),
  },
  { noNullPrototype: true },
)

function fieldsOf(pairs: CacheCase['response']): Fields {
  const fields = new Fields()
  for (const [name, value] of pairs) fields.add(name, value)
  return fields
}

function rulesOf(given: CacheCase): CacheRules {
  const { override, defaultTtl, maxTtl, codeTtl, whileRevalidate, ifError, status } = given
  return {
    mode: override ? 'Override' : 'Standard',
    targets: DEFAULT_TARGETS,
    ...(defaultTtl === undefined ? {} : { defaultTtl }),
    ...(maxTtl === undefined ? {} : { maxTtl }),
    ...(codeTtl === undefined ? {} : { ttlByCode: new Map([[status, codeTtl]]) }),
    ...(whileRevalidate === undefined ? {} : { staleWhileRevalidate: whileRevalidate }),
    ...(ifError === undefined ? {} : { staleIfError: ifError }),
  }
}

function verdictOf(given: CacheCase): StoreVerdict {
  const { method, credentials, identityInKey, content, status, sent, received } = given
  return judgeStoring(
    { method, fields: fieldsOf(given.request), credentials, identityInKey, content },
    status,
    fieldsOf(given.response),
    { sent: EPOCH + sent, received: EPOCH + received },
    rulesOf(given),
  )
}

/** Throws where the rules decide otherwise than the model. */
export function checkCacheRules(given: CacheCase): void {
  const { sent, received, later } = given
  const model = modelVerdict({ ...given, sent: EPOCH + sent, received: EPOCH + received })
  const verdict = verdictOf(given)
  assert.equal(verdict.store, model.store, `stored by one alone: ${verdict.reason}`)
  assert.equal(verdict.reason === 'Stored', verdict.store)
  if (!verdict.store) return
  const directives = parseRequestDirectives(given.again)
  const now = EPOCH + received + later
  const { outcome, age, staleIfError } = judgeReuse(verdict.numbers, directives, now, reuseVerdict())
  assert.deepEqual({ store: true, outcome, age, onError: staleIfError }, model)
  assert.equal(mayServeOnError(verdict.numbers, directives, now), staleIfError)
}

const typed = fc.oneof(
  fc
    .tuple(fc.constantFrom('max-age', 's-maxage', 'stale-while-revalidate', 'stale-if-error'), fc.nat(90))
    .map((p) => p.join('=')),
  fc.constantFrom(
    'no-store',
    'private',
    'no-cache',
    'public',
    'must-revalidate',
    'proxy-revalidate',
    'must-understand',
  ),
  fc.constantFrom('immutable', 'private="x-a"', 'no-cache="x-b, x-c"', 'x-unknown', 'none'),
)

/** Directives as both kinds of field can state them, each name once. */
export const typedDirectives: fc.Arbitrary<readonly string[]> = fc.uniqueArray(typed, {
  ...{ minLength: 1, maxLength: 5, selector: (text: string) => text.split('=')[0]! },
})

/** Throws where directives mean something else in a targeted field than in Cache-Control (RFC 9213 §2.2). */
export function checkTargeted(given: CacheCase, directives: readonly string[], other: string): void {
  const rest = given.response.filter(([name]) => name !== 'cache-control' && name !== 'expires')
  const plain = [...rest, ['cache-control', directives.join(', ')] as const]
  const hidden = [['cache-control', other] as const, ['expires', '0'] as const]
  const targeted = [
    ...rest,
    ...hidden,
    ['cdn-cache-control', directives.map((one) => `${one};p=1`).join(',\t')] as const,
  ]
  assert.deepEqual(verdictOf({ ...given, response: targeted }), verdictOf({ ...given, response: plain }))
}

/** A seed states what differs. */
const USUAL: CacheCase = {
  method: 'GET',
  credentials: false,
  identityInKey: false,
  content: 'None',
  request: [],
  status: 200,
  response: [],
  sent: 0,
  received: 0,
  override: false,
  defaultTtl: undefined,
  maxTtl: undefined,
  codeTtl: undefined,
  whileRevalidate: undefined,
  ifError: undefined,
  later: 0,
  again: [],
}

export const seeds: readonly CacheCase[] = (
  JSON.parse(readFileSync(new URL('cache-rules.seeds.json', import.meta.url), 'utf8')) as Partial<CacheCase>[]
).map((seed) => ({ ...USUAL, ...seed }))

if (import.meta.main) {
  const duration = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(cacheCase, checkCacheRules), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: duration * 1000,
    examples: seeds.map((seed): [CacheCase] => [seed]),
  })
}
