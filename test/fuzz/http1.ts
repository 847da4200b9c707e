/**
 * Fuzzer of message heads: `node test/fuzz/http1.ts [seconds]`. Requests and responses made of what matters to a
 * parser, and valid heads with single bytes changed, are read by the parser and by the slow oracle. What it finds goes
 * into http1.seeds.json, which http1.test.ts runs for ever.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { fieldsText } from '../../src/http/field-lines.ts'
import { INCOMPLETE, REFUSED, RequestHead, StatusHead } from '../../src/http/head.ts'
import type { Fields } from '../../src/message/fields.ts'
import type { HeadLimits } from '../../src/message/head.ts'
import {
  limitPassed,
  readFieldsSlowly,
  readRequestSlowly,
  readStatusSlowly,
  type SlowReading,
} from '../http/head-oracle.ts'

const ROOMY: HeadLimits = { head: 10_000, headers: 100, uri: 2_000 }
const TIGHT: HeadLimits = { head: 60, headers: 2, uri: 8 }

const PIECES = [
  '\r\n',
  '\r\n',
  '\r\n\r\n',
  '\r',
  '\n',
  ' ',
  '\t',
  ':',
  ': ',
  'GET ',
  'GET / HTTP/1.1\r\n',
  'POST /a?b HTTP/1.0\r\n',
  'HTTP/1.1 200 OK\r\n',
  'HTTP/1.1 204\r\n',
  'HTTP/1.0 ',
  '404',
  ' HTTP/1.1\r\n',
  ' HTTP/2.0\r\n',
  'host: h\r\n',
  'x:y\r\n',
  'X-Long: \t caf\xe9 \t\r\n',
  'content-length: 5\r\n',
  '/',
  '#',
  '\0',
  '\x7f',
  '\x80',
  '\xff',
  'HTTP/1.',
  '1',
  'a',
  '"',
  '(',
]

export const headText: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      { weight: 20, arbitrary: fc.constantFrom(...PIECES) },
      { weight: 1, arbitrary: fc.nat({ max: 255 }).map((byte) => String.fromCharCode(byte)) },
    ),
    { maxLength: 14 },
  )
  .map((pieces) => pieces.join(''))

export const VALID: readonly string[] = [
  'GET / HTTP/1.1\r\nhost: h\r\n\r\n',
  '\r\nPOST /p?q HTTP/1.0\r\nA:b\r\nc: \t d e \r\n\r\nbody',
  'OPTIONS * HTTP/1.1\r\nhost:\r\n\r\n',
  'HTTP/1.1 200 OK\r\nx: 1\r\nY:  z\r\n\r\nbody',
  'HTTP/1.0 304\r\n\r\n',
]

/** Bytes with a meaning somewhere, and some beside them. */
const BYTES = '\0\t\n\v\f\r !"#()/,:;@A[]a{}~\x7f\x80\xa0\xff01'

/** Every head that differs from this one in one byte: put in, left out or replaced. */
export function* mutations(text: string): Generator<string> {
  for (let at = 0; at <= text.length; at++) {
    const before = text.slice(0, at)
    if (at < text.length) yield before + text.slice(at + 1)
    for (const byte of BYTES) {
      yield before + byte + text.slice(at)
      if (at < text.length) yield before + byte + text.slice(at + 1)
    }
  }
}

/** Throws when parser and oracle differ about this text, or the parser about one of its beginnings. */
export function checkHead(text: string): void {
  checkRequest(text, ROOMY)
  checkRequest(text, TIGHT)
  checkStatus(text)
}

function checkRequest(text: string, limits: HeadLimits): void {
  const head = new RequestHead()
  const end = parsed(head, text, limits)
  const reading = readRequestSlowly(text)
  if (typeof reading === 'string') {
    refusedRightly(head.fault, end, reading, limitPassed(text, limits))
    return
  }
  const [, method, target, major, minor] = reading.start
  const wrong =
    (target!.length > limits.uri && 'UriTooLong') ||
    (major !== '1' && 'VersionNotSupported') ||
    limitPassed(text, limits)
  if (wrong) {
    assert.deepEqual([end, head.fault?.reason], [REFUSED, wrong], shown(text))
    return
  }
  assert.equal(end, reading.end, shown(text))
  assert.deepEqual([head.method, head.target, head.minor], [method, target, minor === '0' ? 0 : 1])
  sameFields(head, reading.fields)
  for (let length = 0; length < reading.end; length++)
    assert.equal(parsed(new RequestHead(), text.slice(0, length), limits), INCOMPLETE, shown(text.slice(0, length)))
}

function checkStatus(text: string): void {
  const head = new StatusHead()
  const end = parsed(head, text, ROOMY)
  const reading = readStatusSlowly(text)
  if (typeof reading === 'string') {
    refusedRightly(head.fault, end, reading, undefined)
    return
  }
  assert.equal(end, reading.end, shown(text))
  assert.deepEqual([head.minor, head.status], [reading.start[1] === '0' ? 0 : 1, Number(reading.start[2])])
  sameFields(head, reading.fields)
  for (let length = 0; length < reading.end; length++)
    assert.equal(parsed(new StatusHead(), text.slice(0, length), ROOMY), INCOMPLETE, shown(text.slice(0, length)))
}

/** In the middle of other bytes, so that an offset from the wrong place is noticed. */
function parsed(head: RequestHead | StatusHead, text: string, limits: HeadLimits): number {
  const bytes = Buffer.from(`x\r\n${text}: \r\n\r\n`, 'latin1')
  const end = head.parse(bytes, 3, 3 + text.length, limits)
  return end < 0 ? end : end - 3
}

/** A parser may notice late that a text cannot become a head, but never gives up one that can. */
function refusedRightly(
  fault: RequestHead['fault'],
  end: number,
  reading: SlowReading,
  limit: string | undefined,
): void {
  assert.ok(end === INCOMPLETE || end === REFUSED)
  if (end === INCOMPLETE) assert.equal(fault, null)
  else
    assert.ok(reading === 'impossible' || limit !== undefined || fault!.reason === 'VersionNotSupported', fault!.detail)
}

function sameFields(head: RequestHead | StatusHead, expected: readonly (readonly [string, string])[]): void {
  const fields: [string, string][] = []
  head.fields.forEach((name, value) => void fields.push([name, value]))
  assert.deepEqual(fields, expected)
  writtenPlainly(head.fields, expected)
}

/** What is written of parsed fields says the same, without white space around values, also when one was taken out. */
function writtenPlainly(fields: Fields, expected: readonly (readonly [string, string])[]): void {
  for (let removed = -1; removed < Math.min(expected.length, 3); removed++) {
    if (removed >= 0) fields.removeAt(removed)
    const text = fieldsText(fields)
    const again = readFieldsSlowly(`${text}\r\n`)
    assert.ok(typeof again === 'object', shown(text))
    assert.deepEqual(again.fields, expected.slice(removed + 1), shown(text))
    for (const line of text.split('\r\n')) assert.doesNotMatch(line, /^[^:]+:(?:[\t ]{2}|\t|.*[^:][\t ]$)/, shown(text))
  }
}

function shown(text: string): string {
  return JSON.stringify(text)
}

export const seeds: readonly string[] = JSON.parse(readFileSync(new URL('http1.seeds.json', import.meta.url), 'utf8'))

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 60)
  fc.assert(fc.property(headText, checkHead), {
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: seconds * 1000,
    examples: seeds.map((seed): [string] => [seed]),
  })
}
