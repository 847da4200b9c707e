/** Parts of a representation in a gateway in memory: what is asked of the origin, and what of it is stored and served. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { labelOf, namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import { cachingGateway, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import type { FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'

interface World extends PlayedOrigin {
  readonly gateway: MemoryGateway
  /** What the origin has. */
  body: string
  fields: FieldMap
}

/** Every four bytes say where they are. */
const bodyOf = (length: number, version = 'a'): string =>
  Array.from({ length: length / 4 }, (_, i) => `${version}${i.toString(36).padStart(3, '0')}`).join('')

const FRESH = { 'cache-control': 'max-age=60', etag: '"a"' }

/** An origin that knows ranges and If-Range. */
function respond({ body, fields }: World, request: ServedRequest): void {
  const match = /^bytes=(\d*)-(\d*)$/.exec(request.fields.range ?? '')
  const tag = request.fields['if-none-match']
  if (tag !== undefined && tag === fields.etag) return request.respond(304, '', fields)
  const ifRange = request.fields['if-range']
  if (match === null || (ifRange !== undefined && ifRange !== fields.etag)) return request.respond(200, body, fields)
  const [, from = '', to = ''] = match
  const first = from === '' ? Math.max(0, body.length - Number(to)) : Number(from)
  const last = from === '' || to === '' ? body.length - 1 : Math.min(Number(to), body.length - 1)
  if (first >= body.length) return request.respond(416, '', { 'content-range': `bytes */${body.length}` })
  const range = `bytes ${first}-${last}/${body.length}`
  request.respond(206, body.slice(first, last + 1), { ...fields, 'content-range': range })
}

function world(scope: Scope, cache: object = {}): World {
  const origin = new PlayedOrigin()
  const gateway = cachingGateway(scope, origin.serve, { cache })
  const w: World = Object.assign(origin, { gateway, body: bodyOf(4_000), fields: FRESH })
  w.answer = (request) => respond(w, request)
  return w
}

async function get(w: World, range?: string, fields: FieldMap = {}, path = '/a') {
  const asking = range === undefined ? fields : { ...fields, range: `bytes=${range}` }
  const response = await w.gateway.ask({ path, fields: asking }).response()
  return { ...response, status: response.status, cache: response.fields['cache-status'] }
}

/** A 206 with the very bytes of what the origin has. */
async function gets(w: World, range: string, first: number, last: number, asked: number, fields: FieldMap = {}) {
  const response = await get(w, range, fields)
  assert.equal(response.status, 206, JSON.stringify(response))
  assert.equal(response.fields['content-range'], `bytes ${first}-${last}/${w.body.length}`)
  assert.equal(response.body, w.body.slice(first, last + 1))
  assert.equal(w.asked.length, asked, `${range}: ${response.cache}`)
  return response
}

describe('a part that is stored', () => {
  it('RFC 9111 §3.3: serves the same range, and what lies within it', async (t) => {
    const w = world(t)
    assert.equal((await gets(w, '100-199', 100, 199, 1)).cache, 'headgate;fwd=uri-miss;stored')
    const hit = await gets(w, '100-199', 100, 199, 1)
    assert.match(hit.cache!, /^headgate;hit;ttl=/)
    assert.match(hit.fields.age ?? '', /^\d+$/)
    await gets(w, '120-130', 120, 130, 1)
    await gets(w, '199-199', 199, 199, 1)
    assert.match((await gets(w, '150-250', 150, 250, 2)).cache!, /^headgate;fwd=partial;ttl=/)
    assert.equal((await gets(w, '500-509', 500, 509, 3)).cache, 'headgate;fwd=uri-miss;stored')
    await gets(w, '-100', 3900, 3999, 4)
    await gets(w, '-50', 3950, 3999, 4)
    await gets(w, '3990-', 3990, 3999, 4)
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})

const LIES: readonly (readonly [what: string, status: number, range: string | undefined, body: string])[] = [
  ['a wrong start', 206, 'bytes 101-200/4000', bodyOf(100)],
  ['more than was asked for', 206, 'bytes 100-299/4000', bodyOf(200)],
  ['no length of the whole', 206, 'bytes 100-199/*', bodyOf(100)],
  ['a length that is not that of the body', 206, 'bytes 100-199/4000', bodyOf(60)],
  ['a whole that ends before it', 206, 'bytes 100-199/150', bodyOf(100)],
  ['no Content-Range', 206, undefined, bodyOf(100)],
  ['another unit', 206, 'items 100-199/4000', bodyOf(100)],
]

describe('a part that is no answer', () => {
  it('RFC 9111 §3.3: a part is no answer to a request for the whole, or a HEAD', async (t) => {
    const w = world(t)
    await gets(w, '100-199', 100, 199, 1)
    const whole = await get(w)
    assert.deepEqual([whole.status, whole.body === w.body, w.asked.length], [200, true, 2])
    await gets(w, '100-199', 100, 199, 2)
    await gets(w, '0-3', 0, 3, 2)
    await w.gateway.nothingLeft()
  })

  for (const [what, status, range, body] of LIES)
    it(`since it has ${what} is given to its client, and to nobody else`, async (t) => {
      const w = world(t)
      const more: FieldMap = range === undefined ? {} : { 'content-range': range }
      w.answer = (request) => request.respond(status, body, { ...FRESH, ...more })
      assert.equal((await get(w, '100-199')).body, body)
      w.answer = (request) => respond(w, request)
      await gets(w, '100-199', 100, 199, 2)
      await gets(w, '110-119', 110, 119, 2)
      assert.equal((await get(w)).body, w.body)
      await w.gateway.nothingLeft()
    })

  it('since nobody asked for a part', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(206, 'abcd', { ...FRESH, 'content-range': 'bytes 0-3/4000' })
    await get(w)
    w.answer = (request) => respond(w, request)
    await gets(w, '0-3', 0, 3, 2)
    await w.gateway.nothingLeft()
  })

  it('RFC 9111 §3.4: parts with a weak validator, or none, are not put together', async (t) => {
    for (const tag of [{ etag: 'W/"a"' }, {}] as FieldMap[]) {
      const w = world(t)
      w.fields = { 'cache-control': 'max-age=60', ...tag }
      await gets(w, '0-99', 0, 99, 1)
      await gets(w, '10-19', 10, 19, 1)
      await gets(w, '50-149', 50, 149, 2)
      assert.deepEqual([w.asked[1]!.fields.range, w.asked[1]!.fields['if-range']], ['bytes=50-149', undefined])
      await gets(w, '120-129', 120, 129, 2)
      await gets(w, '100-199', 100, 199, 3)
      await gets(w, '50-199', 50, 199, 4)
      await gets(w, '0-', 0, 3999, 5)
      assert.deepEqual([(await get(w)).status, w.asked.length], [200, 5])
      await w.gateway.nothingLeft()
    }
  })

  it('since its body is shorter or longer than its length', async (t) => {
    for (const bytes of ['short', bodyOf(400)]) {
      const w = world(t)
      w.answer = (request) => {
        request.head(206, { ...FRESH, 'content-range': 'bytes 0-99/4000', 'transfer-encoding': 'chunked' })
        request.write(bytes)
        request.end()
      }
      // It may be cut, or an error: whichever, nothing of it is stored.
      await w.gateway
        .ask({ path: '/a', fields: { range: 'bytes=0-99' } })
        .response()
        .catch(() => undefined)
      w.answer = (request) => respond(w, request)
      await gets(w, '0-99', 0, 99, 2)
      await w.gateway.nothingLeft()
    }
  })
})

describe('all of it', () => {
  it('RFC 9110 §15.3.7.3: a part that has all bytes is the whole', async (t) => {
    const w = world(t)
    await gets(w, '0-', 0, 3999, 1)
    const whole = await get(w)
    assert.deepEqual([whole.status, whole.body === w.body, w.asked.length], [200, true, 1])
    assert.equal(whole.fields['content-range'], undefined)
    await gets(w, '500-', 500, 3999, 1)
    await w.gateway.nothingLeft()
  })

  it('by an origin that ignores the range is the whole', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(200, w.body, FRESH)
    const first = await get(w, '0-99')
    assert.deepEqual([first.status, first.body === w.body], [200, true])
    await gets(w, '0-99', 0, 99, 1)
    assert.equal((await get(w)).body, w.body)
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })
})

describe('ranges that meet', () => {
  it('are one fetch where they are the same', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const asks = Array.from({ length: 20 }, () => w.gateway.ask({ path: '/a', fields: { range: 'bytes=0-99' } }))
    await w.gateway.until(() => w.asked.length === 1)
    respond(w, w.asked[0]!)
    for (const one of asks) {
      const { status, body, fields } = await one.response()
      assert.deepEqual([status, body, fields['content-range']], [206, w.body.slice(0, 100), 'bytes 0-99/4000'])
    }
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('are one fetch where they turn out to be the whole, also for those who come later', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const asks = Array.from({ length: 20 }, () => w.gateway.ask({ path: '/a', fields: { range: 'bytes=0-' } }))
    await w.gateway.until(() => w.asked.length === 1)
    const [origin] = w.asked
    origin!.head(206, { ...FRESH, 'content-range': 'bytes 0-3999/4000', 'content-length': '4000' })
    origin!.write(w.body.slice(0, 100))
    for (const one of asks) assert.equal((await one.head()).status, 206)
    const later = w.gateway.ask({ path: '/a', fields: { range: 'bytes=50-149' } })
    const whole = w.gateway.ask({ path: '/a' })
    assert.equal((await later.head()).status, 206)
    assert.equal((await whole.head()).status, 200)
    origin!.write(w.body.slice(100))
    origin!.end()
    for (const one of asks) assert.equal((await one.response()).body, w.body)
    assert.equal((await later.response()).body, w.body.slice(50, 150))
    assert.equal((await whole.response()).body, w.body)
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('go on alone where the origin sends less than was asked for', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const asks = Array.from({ length: 3 }, () => w.gateway.ask({ path: '/a', fields: { range: 'bytes=0-99' } }))
    await w.gateway.until(() => w.asked.length === 1)
    w.answer = (request) => respond(w, request)
    w.asked[0]!.respond(206, w.body.slice(0, 50), { ...FRESH, 'content-range': 'bytes 0-49/4000' })
    const bodies = await Promise.all(asks.map(async (one) => (await one.response()).body.length))
    assert.deepEqual(bodies.sort(), [100, 100, 50])
    await w.gateway.nothingLeft()
  })
})

describe('a part of another version', () => {
  const OTHER = { 'cache-control': 'max-age=60', etag: '"b"' }

  it('RFC 9111 §3.4: a part of another version takes the place of all others', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    await gets(w, '200-299', 200, 299, 2)
    w.body = bodyOf(4_000, 'b')
    w.fields = OTHER
    await gets(w, '400-499', 400, 499, 3)
    await gets(w, '0-99', 0, 99, 4)
    await gets(w, '200-299', 200, 299, 5)
    await gets(w, '400-499', 400, 499, 5)
    await w.gateway.nothingLeft()
  })

  it('of another length, with the same validator, too', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    w.body = bodyOf(3_000, 'b')
    await gets(w, '400-499', 400, 499, 2)
    await gets(w, '0-99', 0, 99, 3)
    await w.gateway.nothingLeft()
  })

  it('is told by a 416, a 404 or the whole', async (t) => {
    for (const [status, body] of [
      [416, ''],
      [404, 'gone'],
      [200, bodyOf(4_000, 'b')],
    ] as const) {
      const w = world(t)
      await gets(w, '0-99', 0, 99, 1)
      w.answer = (request) => request.respond(status, body, { 'cache-control': 'no-store', etag: '"b"' })
      assert.equal((await get(w, '200-299')).status, status)
      w.answer = (request) => respond(w, request)
      w.body = bodyOf(4_000, 'b')
      w.fields = OTHER
      await gets(w, '0-99', 0, 99, 3)
      await w.gateway.nothingLeft()
    }
  })
})

describe('a part that is stale', () => {
  const SHORT = { 'cache-control': 'max-age=1', etag: '"a"' }

  it('RFC 9111 §4.3: a stale part is validated, and served once it is fresh again', async (t) => {
    const w = world(t)
    w.fields = SHORT
    await gets(w, '0-99', 0, 99, 1)
    await w.gateway.pass(2_000)
    w.fields = FRESH
    const validated = await gets(w, '10-19', 10, 19, 2)
    assert.match(validated.cache!, /^headgate;fwd=stale;fwd-status=304/)
    assert.deepEqual([w.asked[1]!.fields['if-none-match'], w.asked[1]!.fields.range], ['"a"', 'bytes=10-19'])
    await w.gateway.pass(10)
    await gets(w, '0-99', 0, 99, 2)
    await w.gateway.nothingLeft()
  })

  it('gives way to what the origin has, of which the client gets its range', async (t) => {
    const w = world(t)
    w.fields = SHORT
    await gets(w, '0-99', 0, 99, 1)
    await w.gateway.pass(2_000)
    w.fields = { ...FRESH, etag: '"b"' }
    w.body = bodyOf(4_000, 'b')
    await gets(w, '10-19', 10, 19, 2)
    await gets(w, '12-14', 12, 14, 2)
    await gets(w, '0-99', 0, 99, 3)
    await w.gateway.nothingLeft()
  })

  it('is served while it is validated, and where the origin fails', async (t) => {
    const w = world(t)
    w.fields = { 'cache-control': 'max-age=1, stale-while-revalidate=3, stale-if-error=60', etag: '"a"' }
    await gets(w, '0-99', 0, 99, 1)
    await w.gateway.pass(2_000)
    assert.match((await get(w, '0-99')).cache!, /^headgate;hit;ttl=-1/)
    await w.gateway.until(() => w.asked.length === 2)
    assert.equal(w.asked[1]!.fields.range, 'bytes=0-99')
    await w.gateway.pass(10_000)
    w.answer = (request) => request.respond(503, 'down', {})
    await gets(w, '20-29', 20, 29, 3)
    await w.gateway.nothingLeft()
  })
})

describe('a part and what else a request says', () => {
  it('RFC 9111 §4.1: a part is chosen by Vary', async (t) => {
    const w = world(t)
    w.answer = (request) => {
      w.body = bodyOf(4_000, request.fields['accept-language'] ?? 'x')
      w.fields = { ...FRESH, etag: `"${request.fields['accept-language']}"`, vary: 'accept-language' }
      respond(w, request)
    }
    for (const [language, asked] of [
      ['d', 1],
      ['f', 2],
      ['d', 2],
      ['f', 2],
    ] as const) {
      const { body } = await get(w, '0-99', { 'accept-language': language })
      assert.equal(body, bodyOf(4_000, language).slice(0, 100))
      assert.equal(w.asked.length, asked, language)
    }
    await w.gateway.nothingLeft()
  })

  it('is judged by conditions', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    assert.equal((await get(w, '0-99', { 'if-none-match': '"a"' })).status, 304)
    await gets(w, '0-99', 0, 99, 1, { 'if-none-match': '"b"' })
    await gets(w, '0-49', 0, 49, 1, { 'if-range': '"a"' })
    const whole = await get(w, '0-99', { 'if-range': '"b"' })
    assert.deepEqual([whole.status, whole.body === w.body, w.asked.length], [200, true, 2])
    await w.gateway.nothingLeft()
  })

  it('is all that a client gets who wants nothing fetched', async (t) => {
    const w = world(t)
    const stored = { 'cache-control': 'only-if-cached' }
    assert.equal((await get(w, '0-99', stored)).status, 504)
    await gets(w, '0-99', 0, 99, 1)
    await gets(w, '10-99', 10, 99, 1, stored)
    assert.equal((await get(w, '10-100', stored)).status, 504)
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('has several ranges', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    const answer = await get(w, '0-3,500-503')
    assert.equal(answer.status, 206)
    assert.match(answer.fields['content-type'] ?? '', /^multipart\/byteranges/)
    assert.ok(answer.body.includes(w.body.slice(0, 4)) && answer.body.includes(w.body.slice(500, 504)), answer.body)
    assert.ok(answer.body.includes('content-range: bytes 500-503/4000'), answer.body)
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('is purged with the whole', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    w.gateway.purges.append({ ...PLAIN, id: 1, kind: 'all', namespace: namespaceLabel('default') })
    await gets(w, '0-99', 0, 99, 2)
    const posted = await w.gateway.ask({ path: '/a', method: 'POST', body: 'x' }).response()
    assert.ok(posted.status < 400)
    await gets(w, '0-99', 0, 99, 4)
    await w.gateway.nothingLeft()
  })
})

describe('parts of one representation', () => {
  it('are no more than 32, of which the first go', async (t) => {
    const w = world(t)
    for (let i = 0; i < 40; i++) await gets(w, `${i * 100}-${i * 100 + 9}`, i * 100, i * 100 + 9, i + 1)
    const { entries } = w.gateway.responses
    assert.ok(entries.size <= 33, `${entries.size} entries`)
    await gets(w, '3900-3909', 3900, 3909, 40)
    await gets(w, '800-809', 800, 809, 40)
    await gets(w, '700-709', 700, 709, 41)
    await w.gateway.nothingLeft()
  })
})

describe('parts that meet', () => {
  it('RFC 9111 §3.4: parts that touch become one, and the whole at last', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    await gets(w, '2000-2999', 2000, 2999, 2)
    await gets(w, '1000-1999', 1000, 1999, 3)
    await gets(w, '500-2500', 500, 2500, 3)
    assert.equal(w.gateway.responses.entries.size, 2)
    await gets(w, '2900-', 2900, 3999, 4)
    const whole = await get(w)
    assert.deepEqual([whole.status, whole.body === w.body, w.asked.length], [200, true, 4])
    assert.equal(whole.fields['content-range'], undefined)
    assert.equal(whole.fields['content-length'], '4000')
    await gets(w, '0-3999', 0, 3999, 4)
    await w.gateway.nothingLeft()
  })

  it('are read along while they become the whole, however long they are', async (t) => {
    const w = world(t)
    w.body = bodyOf(2.5 * 1024 * 1024)
    const half = w.body.length / 2
    await gets(w, `0-${half - 1}`, 0, half - 1, 1)
    await gets(w, `${half}-`, half, w.body.length - 1, 2)
    assert.ok((await get(w)).body === w.body)
    assert.ok(w.asked.length <= 3)
    await w.gateway.pass(10)
    assert.ok((await get(w)).body === w.body)
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })

  it('do not where that would copy much for little', async (t) => {
    const w = world(t)
    await gets(w, '0-3199', 0, 3199, 1)
    await gets(w, '3200-3203', 3200, 3203, 2)
    await gets(w, '3100-3203', 3100, 3203, 2)
    // And the record.
    assert.equal(w.gateway.responses.entries.size, 3)
    await w.gateway.nothingLeft()
  })

  it('RFC 9111 §3.4: parts are not put together where one of them has been purged, or is coded otherwise', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    w.gateway.purges.append({ ...PLAIN, id: 1, kind: 'all', namespace: namespaceLabel('default') })
    await gets(w, '1000-1999', 1000, 1999, 2)
    await gets(w, '0-1999', 0, 1999, 3)
    w.fields = { ...FRESH, 'content-encoding': 'gzip' }
    await gets(w, '2000-2999', 2000, 2999, 4)
    await gets(w, '1500-2500', 1500, 2500, 5)
    await w.gateway.nothingLeft()
  })

  it('have the fields of the newer, and are purged by a tag of either', async (t) => {
    const w = world(t, { tags: { header: 'x-tags' } })
    w.fields = { ...FRESH, 'x-tags': 'one', 'x-of': 'first' }
    await gets(w, '0-999', 0, 999, 1)
    w.fields = { ...FRESH, 'x-tags': 'two', 'x-of': 'second' }
    await gets(w, '1000-1999', 1000, 1999, 2)
    assert.equal((await gets(w, '900-1100', 900, 1100, 2)).fields['x-of'], 'second')
    const namespace = namespaceLabel('default')
    w.gateway.purges.append({ ...PLAIN, id: 1, kind: 'label', namespace, label: labelOf('tag', 'one') })
    await gets(w, '1000-1100', 1000, 1100, 3)
    await w.gateway.nothingLeft()
  })
})

describe('a range of which some is stored', () => {
  it('RFC 9111 §3.4: asks the origin for what is missing of a range, behind, before and between', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    const joined = await gets(w, '500-1499', 500, 1499, 2)
    assert.match(joined.cache!, /^headgate;fwd=partial;ttl=\d+$/)
    assert.deepEqual([w.asked[1]!.fields.range, w.asked[1]!.fields['if-range']], ['bytes=1000-1499', '"a"'])
    assert.equal(joined.fields['content-length'], '1000')
    await w.gateway.pass(1)
    await gets(w, '0-1499', 0, 1499, 2)
    await gets(w, '3000-3499', 3000, 3499, 3)
    await gets(w, '2500-3100', 2500, 3100, 4)
    assert.equal(w.asked[3]!.fields.range, 'bytes=2500-2999')
    await w.gateway.pass(1)
    await gets(w, '100-3200', 100, 3200, 5)
    assert.equal(w.asked[4]!.fields.range, 'bytes=1500-2499')
    await w.gateway.pass(1)
    await gets(w, '0-', 0, 3999, 6)
    assert.equal(w.asked[5]!.fields.range, 'bytes=3500-3999')
    await w.gateway.pass(1)
    const whole = await get(w)
    assert.deepEqual([whole.status, whole.body === w.body, w.asked.length], [200, true, 6])
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })

  it('is one fetch for all who ask for it, who read along', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    w.answer = () => {}
    const asks = Array.from({ length: 10 }, () => w.gateway.ask({ path: '/a', fields: { range: 'bytes=900-1099' } }))
    await w.gateway.until(() => w.asked.length === 2)
    const [, origin] = w.asked
    origin!.head(206, { ...FRESH, 'content-range': 'bytes 1000-1099/4000', 'content-length': '100' })
    origin!.write(w.body.slice(1000, 1050))
    for (const one of asks) assert.equal((await one.head()).status, 206)
    origin!.write(w.body.slice(1050, 1100))
    origin!.end()
    for (const one of asks) assert.equal((await one.response()).body, w.body.slice(900, 1100))
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })

  it('is asked for as it is by who wants it for itself alone', async (t) => {
    const alone: readonly FieldMap[] = [
      { 'cache-control': 'no-store' },
      { 'cache-control': 'no-cache' },
      { authorization: 'Basic eDp5' },
      { 'x-http-method-override': 'DELETE' },
    ]
    for (const fields of alone) {
      const w = world(t)
      await gets(w, '0-999', 0, 999, 1)
      await gets(w, '900-1099', 900, 1099, 2, fields)
      assert.deepEqual([w.asked[1]!.fields.range, w.asked[1]!.fields['if-range']], ['bytes=900-1099', undefined])
      const other = await gets(w, '1000-1099', 1000, 1099, 'no-cache' === fields['cache-control'] ? 2 : 3)
      assert.equal(w.asked.length === 3, other.cache!.includes('fwd='))
      await w.gateway.nothingLeft()
    }
  })

  it('comes from two parts that have not become one', async (t) => {
    const w = world(t)
    await gets(w, '0-3199', 0, 3199, 1)
    await gets(w, '3200-3203', 3200, 3203, 2)
    assert.match((await gets(w, '3100-3203', 3100, 3203, 2)).cache!, /^headgate;hit;ttl=/)
    await w.gateway.nothingLeft()
  })

  /** What else an origin may say: the client gets its range of the new version, or all of it, and no byte of the old. */
  const OTHERS: readonly (readonly [what: string, answer: (w: World, request: ServedRequest) => void])[] = [
    ['the whole of a new version', (w, request) => respond(w, request)],
    [
      'a part of a new version in spite of If-Range',
      (w, request) => {
        delete (request.fields as Record<string, string>)['if-range']
        respond(w, request)
      },
    ],
    ['that there is no such range', (_, request) => request.respond(416, '', { 'content-range': 'bytes */900' })],
    ['less than was asked for', (w, request) => partial(w, request, 'bytes 1000-1049/4000', 1000, 1050)],
    ['another range', (w, request) => partial(w, request, 'bytes 2000-2099/4000', 2000, 2100)],
    ['another length', (w, request) => partial(w, request, 'bytes 1000-1099/5000', 1000, 1100)],
    ['an error', (_, request) => request.respond(500, 'failed', {})],
    ['nothing', (_, request) => request.reset()],
  ]
  const partial = (w: World, request: ServedRequest, range: string, from: number, to: number): void =>
    request.respond(206, w.body.slice(from, to), { ...w.fields, 'content-range': range })

  for (const [what, answer] of OTHERS)
    it(`is never put together with ${what}`, async (t) => {
      const w = world(t)
      await gets(w, '0-999', 0, 999, 1)
      w.body = bodyOf(4_000, 'b')
      w.fields = { ...FRESH, etag: what.includes('version') || what.includes('no such') ? '"b"' : '"a"' }
      if (w.fields.etag === '"a"') w.body = bodyOf(4_000)
      w.answer = (request) => {
        if (request.fields['if-range'] === '"a"') answer(w, request)
        else respond(w, request)
      }
      const { status, body } = await get(w, '900-1099')
      assert.equal(body, status === 200 ? w.body : w.body.slice(900, 1100), `${status}`)
      assert.ok(w.asked.length > 1)
      await w.gateway.pass(10_001)
      await gets(w, '950-1049', 950, 1049, w.asked.length)
      await w.gateway.nothingLeft()
    })

  it('ends with the fetch of the rest, visibly short', async (t) => {
    const w = world(t)
    await gets(w, '0-999', 0, 999, 1)
    w.answer = () => {}
    const one = w.gateway.ask({ path: '/a', fields: { range: 'bytes=900-1099' } })
    await w.gateway.until(() => w.asked.length === 2)
    w.asked[1]!.head(206, { ...FRESH, 'content-range': 'bytes 1000-1099/4000', 'content-length': '100' })
    w.asked[1]!.write(w.body.slice(1000, 1050))
    await one.head()
    w.asked[1]!.reset()
    const cut = await one.response()
    assert.deepEqual([cut.complete, w.body.slice(900, 1100).startsWith(cut.body)], [false, true])
    w.answer = (request) => respond(w, request)
    await gets(w, '900-1099', 900, 1099, 3)
    await w.gateway.nothingLeft()
  })
})

describe('a 200 to HEAD where parts are stored', () => {
  const head = (w: World, fields: FieldMap = {}) => w.gateway.ask({ method: 'HEAD', path: '/a', fields }).response()

  it('RFC 9111 §4.3.5: makes them fresh again, with its fields', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    await gets(w, '1000-1099', 1000, 1099, 2)
    await w.gateway.pass(61_000)
    w.answer = (request) =>
      request.respond(200, '', { ...FRESH, 'x-version': 'two', 'content-length': String(w.body.length) })
    assert.equal((await head(w)).status, 200)
    await w.gateway.pass(10)
    w.answer = (request) => respond(w, request)
    for (const [range, first, last] of [
      ['0-99', 0, 99],
      ['1010-1019', 1010, 1019],
    ] as const) {
      const part = await gets(w, range, first, last, 3)
      assert.equal(part.fields['x-version'], 'two')
    }
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })

  for (const [what, fields] of [
    ['another tag', { etag: '"b"' }],
    ['another length', { etag: '"a"', 'content-length': '4004' }],
    ['another date of change', { etag: '"a"', 'last-modified': 'Sun, 06 Nov 1994 08:49:37 GMT' }],
  ] as const)
    it(`RFC 9111 §4.3.5: leaves them stale where it says ${what}`, async (t) => {
      const w = world(t)
      await gets(w, '0-99', 0, 99, 1)
      const same = { 'cache-control': 'max-age=60', 'content-length': '4000' }
      w.answer = (request) => request.respond(200, '', { ...same, ...fields })
      await head(w)
      await w.gateway.pass(10)
      w.body = bodyOf(4_000, 'b')
      w.fields = { ...FRESH, etag: '"b"' }
      w.answer = (request) => respond(w, request)
      await gets(w, '0-99', 0, 99, 3)
      await gets(w, '10-19', 10, 19, 3)
      await w.gateway.nothingLeft()
    })

  it('drops those that are stale where it says that nothing is to be stored any more', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    await w.gateway.pass(61_000)
    const fields = { 'cache-control': 'no-store', etag: '"a"', 'content-length': '4000' }
    w.answer = (request) => request.respond(200, '', fields)
    await head(w)
    await w.gateway.pass(10)
    w.answer = (request) => respond(w, request)
    await gets(w, '0-99', 0, 99, 3)
    assert.equal(w.asked[2]!.fields['if-none-match'], undefined)
    await w.gateway.nothingLeft()
  })

  it('says nothing of them where it is no 200', async (t) => {
    const w = world(t)
    await gets(w, '0-99', 0, 99, 1)
    w.answer = (request) => request.respond(500, '', { etag: '"b"' })
    await head(w)
    w.answer = (request) => respond(w, request)
    await gets(w, '0-99', 0, 99, 2)
    await w.gateway.nothingLeft()
  })
})
