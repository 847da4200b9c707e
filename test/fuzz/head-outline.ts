/**
 * Fuzzer of heads that are compared with one that was read before: `node test/fuzz/head-outline.ts [seconds]`. Where the
 * short way says that a head is the same but for values that nobody has read, the parser must take it, and give the same
 * request with the same framing. What it finds goes into head-outline.seeds.json, which head-outline.test.ts runs for
 * ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { HeadOutline } from '../../src/http/head-outline.ts'
import { HeadReader } from '../../src/http1/head-reader.ts'
import { GatewayError } from '../../src/lib/error.ts'
import { LINES } from '../../src/message/fields.ts'
import type { IncomingRequest } from '../../src/transport/downstream.ts'

const LIMITS = { head: 4_096, headers: 64, uri: 2_048 }

/** A head, and another one. */
export type Pair = readonly [first: string, second: string]

const NAMES = [
  ...['Host', 'Connection', 'TE', 'Expect', 'Upgrade', 'CDN-Loop', 'Keep-Alive', 'Proxy-Connection', 'Content-Length'],
  ...[
    'Transfer-Encoding',
    'Proxy-Authorization',
    'X-A',
    'x-a',
    'X_A',
    'User-Agent',
    'Cookie',
    'X-Forwarded-For',
    'hXXt',
  ],
]
const VALUES = [
  ...['h', 'H', 'page.test:80', '0', '00', '1', 'chunked', 'keep-alive', 'close', 'x-a', 'trailers', '100-continue'],
  ...[
    'websocket',
    'upgrade',
    '',
    ' ',
    'a b',
    'a: b',
    'caf\xe9',
    '\t',
    'a\t',
    '"',
    ':',
    '\0',
    '\x7f',
    'a\nb',
    'a\rb',
    'a\r\nB: c',
  ],
]
const LINES_OF = ['GET / HTTP/1.1', 'GET /a?b HTTP/1.1', 'POST / HTTP/1.1', 'GET / HTTP/1.0', 'GET http://h/ HTTP/1.1']
const ENDS = ['\r\n', '\n', '\r', '']
const COLONS = [': ', ':', ':  ', ' : ', ':\t']

const often = (usual: readonly string[], rare: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight: 40, arbitrary: fc.constantFrom(...usual) }, { weight: 1, arbitrary: fc.constantFrom(...rare) })
const value = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 4 }) },
)
const field = fc.tuple(fc.constantFrom(...NAMES), often([': '], COLONS), value, often(['\r\n'], ENDS))
const line = fc.tuple(fc.constantFrom(...LINES_OF), often(['\r\n'], ENDS))
const more = fc.array(field, { maxLength: 4 })
/** What is changed of the first head to make the second one. */
const change = fc.oneof(
  { weight: 8, arbitrary: fc.record({ at: fc.nat(5), value }) },
  { weight: 1, arbitrary: fc.record({ at: fc.nat(5), field }) },
  { weight: 1, arbitrary: fc.record({ byte: fc.nat(120), by: fc.nat(255) }) },
  { weight: 1, arbitrary: fc.record({ cut: fc.nat(120) }) },
)

export const pair: fc.Arbitrary<Pair> = fc
  .tuple(line, fc.boolean(), more, fc.array(change, { minLength: 1, maxLength: 3 }), often(['\r\n'], ENDS))
  .map(([start, hosted, others, changes, end]) => {
    const fields = [...(hosted ? [['Host', ': ', 'h', '\r\n'] as [string, string, string, string]] : []), ...others]
    const text = (of: readonly (readonly string[])[]) =>
      `${start.join('')}${of.map((one) => one.join('')).join('')}${end}`
    const first = text(fields)
    const changed = fields.map((one) => [...one] as [string, string, string, string])
    let second: string | null = null
    for (const one of changes) {
      if ('value' in one && changed[one.at] !== undefined) changed[one.at]![2] = one.value
      else if ('field' in one) changed.splice(one.at, 1, one.field)
      second = text(changed)
      if ('byte' in one)
        second = `${second.slice(0, one.byte)}${String.fromCharCode(one.by)}${second.slice(one.byte + 1)}`
      else if ('cut' in one) second = second.slice(0, one.cut)
    }
    return [first, second!] as const
  })

function read(bytes: Buffer): { request: IncomingRequest | GatewayError | null; reader: HeadReader } {
  const reader = new HeadReader()
  reader.append(bytes)
  return { request: reader.read(null, LIMITS, 1_000_000), reader }
}

/** @returns whether the second head was taken for the first one; throws where it may not be */
export function checkPair([first, second]: Pair): boolean {
  const head = Buffer.from(first, 'latin1')
  const { request, reader } = read(head)
  const outline = new HeadOutline()
  const known = outline.line(head, head.length) && outline.fields(head, head.length)
  // What has an outline is compared as a whole with what the parser took, so that is all that may be kept.
  if (request === null || request instanceof GatewayError || reader.held !== null || !known) return false
  const { fields } = request
  if (fields.layout !== LINES || outline.count !== fields.count) return assert.fail('an outline of another head')
  const compared = Uint8Array.from({ length: fields.count }, (_, i) => (fields.wasRead(i) ? 1 : 0))
  const spans = outline.copySpans()
  for (let i = 0; i < fields.count; i++)
    assert.deepEqual(
      [outline.nameStart(i), outline.colon(i), outline.valueEnd(i)],
      [fields.nameStart(i), fields.nameEnd(i), fields.valueEnd(i)],
    )
  // As it is read: behind it lies what came before it.
  const shared = Buffer.concat([Buffer.from(second, 'latin1'), Buffer.from('\n\r\n: a\r\n\r\n')])
  if (!outline.line(shared, second.length) || !outline.fields(shared, second.length)) return false
  if (!outline.fits(shared, head, spans, compared)) return false
  const own = Buffer.from(second, 'latin1')
  const other = read(own)
  const same = other.request
  assert.ok(same !== null && !(same instanceof GatewayError), `taken for ${JSON.stringify(first)}`)
  assert.equal(other.reader.held, null)
  assert.deepEqual(
    { ...same, fields: null, framing: other.reader.framing },
    { ...request, fields: null, framing: reader.framing },
  )
  const said = ({ fields: of }: IncomingRequest) =>
    Array.from({ length: of.count }, (_, i) => [of.nameAt(i), of.isRemoved(i), compared[i] === 1 ? of.valueAt(i) : ''])
  assert.deepEqual(said(same), said(request))
  assert.equal(same.fields.layout, LINES)
  for (let i = 0; i < same.fields.count; i++)
    assert.equal(shared.latin1Slice(outline.valueStart(shared, i), outline.valueEnd(i)), same.fields.valueAt(i))
  return true
}

export const seeds: readonly Pair[] = JSON.parse(
  readFileSync(new URL('head-outline.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  let taken = 0
  let all = 0
  const check = (one: Pair): void => {
    all++
    if (checkPair(one)) taken++
  }
  fc.assert(fc.property(pair, check), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [Pair] => [seed]),
  })
  console.log(`${all} pairs, ${taken} taken for the same`)
}
