/**
 * Fuzzer of stored heads: `node test/fuzz/cache-head.ts [seconds]`. A head comes back as a slow model says, also after
 * an update, and bytes that were changed are refused or are a head that may be sent. What it finds goes into
 * cache-head.seeds.json, which cache-head.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { encodeHead, isStoredHead, updateHead } from '../../src/cache/encode-head.ts'
import { parseHttpDate } from '../../src/cache/http-date.ts'
import { StoredHead } from '../../src/cache/stored-head.ts'
import { Fields } from '../../src/message/fields.ts'

type Line = readonly [name: string, value: string]

export interface HeadCase {
  readonly status: number
  readonly lines: readonly Line[]
  readonly newer: readonly Line[]
  readonly excluded: readonly string[]
  /** Bytes to be changed: where, as a part of 2³², and to what. */
  readonly changes: readonly (readonly [at: number, byte: number])[]
}

const DATE = 'Sun, 29 Nov 2026 12:00:00 GMT'
const NOW = Date.parse(DATE)

const NAMES = [
  'Connection',
  'Keep-Alive',
  'Transfer-Encoding',
  'Content-Length',
  'Content-Encoding',
  'Content-Range',
  'Content-Type',
  'Set-Cookie',
  'Proxy-Authenticate',
  'Age',
  'Date',
  'ETag',
  'Last-Modified',
  'X-A',
  'x-a',
  'X-B',
  'cache-control',
]
const VALUES = ['', 'a', 'x-a', 'x-b, X-A,date', '"tag"', DATE, 'Sun, 06 Nov 1994 08:49:37 GMT', '\xff', 'a  b', ',']
const lines = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...VALUES)), { maxLength: 8 })

export const headCase: fc.Arbitrary<HeadCase> = fc.record({
  status: fc.constantFrom(200, 206, 301, 404, 599),
  lines,
  newer: lines,
  excluded: fc.subarray(['x-b', 'etag', 'cache-control']),
  changes: fc.array(fc.tuple(fc.nat({ max: 2 ** 32 - 1 }), fc.nat({ max: 255 })), { maxLength: 3 }),
})

const HOP = ['connection', 'keep-alive', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade']
const NEVER = [...HOP, 'content-length', 'proxy-authenticate', 'age', 'set-cookie']

function fieldsOf(given: readonly Line[]): Fields {
  const fields = new Fields()
  const text = given.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  fields.clear(Buffer.from(text, 'latin1'))
  let at = 0
  for (const [name, value] of given) {
    fields.push(at, at + name.length, at + name.length + 2, at + name.length + 2 + value.length)
    at += name.length + value.length + 4
  }
  fields.end = at
  return fields
}

/** RFC 9111 §3.1 as a filter of lines. */
function storable(given: readonly Line[], excluded: readonly string[]): Line[] {
  const lower = given.map(([name, value]): Line => [name.toLowerCase(), value])
  const named = lower.filter(([name]) => name === 'connection').flatMap(([, value]) => value.toLowerCase().split(/, */))
  return lower.filter(([name]) => ![...NEVER, ...named, ...excluded].includes(name))
}

function dated(given: readonly Line[]): Line[] {
  const dates = given.filter(([name]) => name === 'date')
  if (dates.length === 1 && !Number.isNaN(parseHttpDate(dates[0]![1], NOW))) return [...given]
  return [...given.filter(([name]) => name !== 'date'), ['date', DATE]]
}

function read(bytes: Buffer): Line[] {
  const found: Line[] = []
  new StoredHead()
    .at(bytes, 0)
    .fields(new Fields())
    .forEach((name, value) => {
      found.push([name, value])
    })
  return found
}

/** Throws when a head does not come back as the model says, or bytes are taken for a head that must not be sent. */
export function checkHead({ status, lines: given, newer, excluded, changes }: HeadCase): void {
  const bytes = encodeHead(status, fieldsOf(given), excluded, DATE)!
  const stored = dated(storable(given, excluded).filter(([name]) => name !== 'content-range' || status === 206))
  assert.deepEqual(read(bytes), stored)
  assert.ok(isStoredHead(bytes, 0, bytes.length))
  const head = new StoredHead().at(bytes, 0)
  assert.equal(head.byteLength, bytes.length)
  const only = (name: string): string | undefined => {
    const values = stored.filter((line) => line[0] === name)
    return values.length === 1 ? values[0]![1] : undefined
  }
  assert.deepEqual([head.etag, head.lastModified, head.date], [only('etag'), only('last-modified'), only('date')])

  const updating = storable(newer, excluded).filter(([name]) => name !== 'content-encoding' && name !== 'content-range')
  const names = new Set(['date', ...updating.map(([name]) => name)])
  const updated = updateHead(head, fieldsOf(newer), excluded, DATE)!
  assert.deepEqual(read(updated), dated([...stored.filter(([name]) => !names.has(name)), ...updating]))
  assert.ok(isStoredHead(updated, 0, updated.length))

  for (const [at, byte] of changes) bytes[Math.floor((at / 2 ** 32) * bytes.length)] = byte
  if (!isStoredHead(bytes, 0, bytes.length)) return
  for (const [name, value] of read(bytes)) {
    assert.match(name, /^[!#$%&'*+\-.^_`|~0-9a-z]+$/)
    assert.match(value, /^[\t\x20-\x7e\x80-\xff]*$/)
    assert.ok(!NEVER.includes(name))
  }
}

export const seeds: readonly HeadCase[] = JSON.parse(
  readFileSync(new URL('cache-head.seeds.json', import.meta.url), 'utf8'),
)

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(headCase, checkHead), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [HeadCase] => [seed]),
  })
}
