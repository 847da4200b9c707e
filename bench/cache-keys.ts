/**
 * What the parts of a hit cost that stand in no store: `node bench/cache-keys.ts`. Nanoseconds a call, the best of seven
 * rounds.
 */
import { emptyNumbers } from '../src/cache/cache-numbers.ts'
import { encodeHead } from '../src/cache/encode-head.ts'
import { KeyWriter, keyPrefix, writeTarget } from '../src/cache/key.ts'
import { judgePreconditions } from '../src/cache/preconditions.ts'
import { StoredHead } from '../src/cache/stored-head.ts'
import { writeVariant } from '../src/cache/vary.ts'
import { Fields } from '../src/message/fields.ts'

const CALLS = 200_000
const ROUNDS = 7

function received(...lines: readonly string[]): Fields {
  const fields = new Fields()
  fields.clear(Buffer.from(lines.map((line) => `${line}\r\n`).join(''), 'latin1'))
  let at = 0
  for (const line of lines) {
    const colon = line.indexOf(':')
    fields.push(at, at + colon, at + colon + 2, at + line.length)
    at += line.length + 2
  }
  fields.end = at
  return fields
}

const DATE = 'Sun, 29 Nov 2026 12:00:00 GMT'
const prefix = keyPrefix({
  backend: 'shop/shop',
  namespace: 'shop',
  route: 'shop/web',
  rule: 'assets',
  policy: 'x'.repeat(22),
  version: '42',
})
const target = {
  method: 'GET',
  origin: { scheme: 'https', host: 'shop.example.com', port: 443 },
  originalPath: '/assets/css/main.4af3.css',
  path: '/assets/css/main.4af3.css',
  query: undefined,
  upstreamHost: undefined,
} as const
const request = received(
  'Host: shop.example.com',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64)',
  'Accept: text/css,*/*;q=0.1',
  'Accept-Encoding: gzip, deflate, br, zstd',
  'Accept-Language: de-DE,de;q=0.9,en;q=0.8',
  'Referer: https://shop.example.com/',
)
const response = received(
  'Content-Type: text/css',
  'Cache-Control: max-age=600',
  'ETag: "abc"',
  'Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT',
  `Date: ${DATE}`,
  'Server: nginx',
)

const writer = new KeyWriter()
const encoded = encodeHead(200, response, [], DATE)!
const head = new StoredHead().at(encoded, 0)
const fields = new Fields()
const numbers = emptyNumbers()
/** Read at the end, so that nothing of it is left out. */
let sum = 0

function measure(name: string, call: () => number): void {
  for (let i = 0; i < CALLS; i++) sum += call()
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.hrtime.bigint()
    for (let i = 0; i < CALLS; i++) sum += call()
    best = Math.min(best, Number(process.hrtime.bigint() - start) / CALLS)
  }
  console.log(`${name.padEnd(44)} ${best.toFixed(0).padStart(5)} ns`)
}

function key(vary: readonly string[]): number {
  writeTarget(writer, prefix, target)
  writeVariant(writer, vary, request)
  return writer.length
}

measure(`key (${key([])} bytes)`, () => key([]))
measure('key with a variant by Accept-Encoding', () => key(['accept-encoding']))
measure(`fields of a head (${encoded.length} bytes)`, () => head.fields(fields).end)
measure('preconditions of a request without any', () => judgePreconditions('GET', request, head, numbers, 0).length)
if (sum === 0) throw new Error('nothing was measured')
