/** `cache` in a gateway in memory: what responses without a body do to what is stored. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cachingGateway, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import type { FieldMap, Scope } from '../suite/transport-rig.ts'

interface World extends PlayedOrigin {
  readonly gateway: MemoryGateway
}

/** One second fresh, then to be validated. */
const FIELDS = { 'cache-control': 'max-age=1', etag: '"1"', 'x-version': 'one' }

async function stale(scope: Scope, fields: FieldMap = FIELDS): Promise<World> {
  const origin = new PlayedOrigin()
  const w = Object.assign(origin, { gateway: cachingGateway(scope, origin.serve) })
  w.answer = (request) => request.respond(200, 'one', fields)
  await w.gateway.ask({ path: '/a' }).response()
  await w.gateway.pass(2_000)
  return w
}

const get = ({ gateway }: World, fields: FieldMap = {}, method = 'GET') =>
  gateway.ask({ method, path: '/a', fields }).response()

describe('a 304 about another representation', () => {
  it('RFC 9111 §4.3.4: updates nothing, and what the origin has is fetched for the client', async (t) => {
    const w = await stale(t)
    w.answer = (request) => {
      if (request.fields['if-none-match'] !== undefined) request.respond(304, '', { ...FIELDS, etag: '"2"' })
      else request.respond(200, 'two', { ...FIELDS, etag: '"2"' })
    }
    const first = await get(w)
    assert.deepEqual([first.status, first.body, first.fields.etag], [200, 'two', '"2"'])
    assert.match(first.fields['cache-status']!, /^headgate;fwd=stale/)
    assert.equal(w.asked.length, 3)
    const second = await get(w)
    assert.equal(second.body, 'two')
    assert.match(second.fields['cache-status']!, /^headgate;hit;/)
    assert.equal(w.asked.length, 3)
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })

  it('is none where nginx says the strong form of a weak tag: what it has compressed is validated by one request', async (t) => {
    const w = await stale(t, { ...FIELDS, etag: 'W/"1"' })
    w.answer = (request) => request.respond(304, '', { ...FIELDS, etag: '"1"', 'x-version': 'two' })
    const first = await get(w)
    assert.deepEqual([first.status, first.body, first.fields.etag], [200, 'one', 'W/"1"'])
    assert.equal(first.fields['x-version'], 'two')
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })

  it('is fetched with back-pressure, whole, however slowly the client reads', async (t) => {
    const w = await stale(t)
    const body = Array.from({ length: 200_000 }, (_, i) => `${i}`).join(' ')
    w.answer = (request) => {
      if (request.fields['if-none-match'] !== undefined) request.respond(304, '', { etag: '"2"' })
      else request.respond(200, body, { etag: '"2"', 'cache-control': 'max-age=60' })
    }
    const slow = w.gateway.ask({ path: '/a' })
    await slow.head()
    slow.pause()
    // All of it is stored before the client reads on.
    assert.ok((await get(w)).body === body)
    await w.gateway.pass(100)
    slow.resume()
    assert.ok((await slow.response()).body === body)
    assert.ok((await get(w)).body === body)
    assert.equal(w.asked.length, 3)
    await w.gateway.nothingLeft()
  })

  it('is an error where the origin fails then, and is given up when the client leaves', async (t) => {
    const w = await stale(t)
    w.answer = (request) => {
      if (request.fields['if-none-match'] !== undefined) request.respond(304, '', { etag: '"2"' })
      else request.reset()
    }
    assert.ok((await get(w)).status >= 500)
    w.answer = (request) => request.respond(200, 'one', FIELDS)
    await get(w)
    await w.gateway.pass(2_000)
    w.answer = (request) => {
      if (request.fields['if-none-match'] !== undefined) request.respond(304, '', { etag: '"2"' })
    }
    const before = w.asked.length
    const leaving = w.gateway.ask({ path: '/a' })
    await w.gateway.until(() => w.asked.length === before + 2)
    leaving.vanish()
    await w.gateway.pass(100)
    await w.gateway.nothingLeft()
  })

  it('RFC 9111 §4.3.2: lets the origin judge the conditions of the client itself', async (t) => {
    const w = await stale(t)
    w.answer = (request) => request.respond(304, '', { etag: '"2"' })
    const answer = await get(w, { 'if-none-match': '"2"' })
    assert.deepEqual([answer.status, answer.fields.etag], [304, '"2"'])
    assert.equal(w.asked[2]!.fields['if-none-match'], '"2"')
    await w.gateway.nothingLeft()
  })
})

describe('a 304 about what is stored', () => {
  it('RFC 9111 §3.2: gives it new fields, but none of a connection, a client or the framing', async (t) => {
    const w = await stale(t)
    const fields = { 'cache-control': 'max-age=60', etag: '"1"', 'x-version': 'two', 'set-cookie': 'a=b', 'x-new': 'c' }
    w.answer = (request) => request.respond(304, '', fields)
    for (const asked of [2, 2]) {
      const answer = await get(w)
      assert.deepEqual([answer.status, answer.body, w.asked.length], [200, 'one', asked])
      assert.deepEqual([answer.fields['x-version'], answer.fields['x-new']], ['two', 'c'])
      assert.equal(answer.fields['set-cookie'], undefined)
    }
    await w.gateway.nothingLeft()
  })

  it('RFC 9111 §4.3.3: serves it once where it says that it must not be stored any longer', async (t) => {
    const w = await stale(t)
    w.answer = (request) => request.respond(304, '', { etag: '"1"', 'cache-control': 'no-store' })
    const answer = await get(w)
    assert.deepEqual([answer.status, answer.body], [200, 'one'])
    w.answer = (request) => request.respond(200, 'two', FIELDS)
    assert.equal((await get(w)).body, 'two')
    assert.equal(w.asked[2]!.fields['if-none-match'], undefined)
    await w.gateway.nothingLeft()
  })
})

describe('a response to a request of which nothing may be stored', () => {
  for (const [method, fields] of [
    ['GET', { authorization: 'Bearer eHl6' }],
    ['GET', { 'x-http-method-override': 'PUT' }],
    ['HEAD', { authorization: 'Bearer eHl6' }],
  ] as const)
    it(`leaves what others have stored: ${method} with ${Object.keys(fields)}`, async (t) => {
      const w = await stale(t)
      w.answer = (request) => request.respond(method === 'HEAD' ? 200 : 304, '', { ...FIELDS, 'content-length': '3' })
      assert.equal((await get(w, fields, method)).body, method === 'HEAD' ? '' : 'one')
      // Validated by one of them for all.
      w.answer = () => {}
      const others = Array.from({ length: 3 }, () => get(w))
      await w.gateway.pass(1)
      assert.equal(w.asked.length, 3)
      assert.equal(w.asked[2]!.fields['if-none-match'], '"1"')
      w.asked[2]!.respond(304, '', FIELDS)
      for (const other of others) assert.equal((await other).body, 'one')
      await w.gateway.nothingLeft()
    })
})

describe('a 200 to HEAD', () => {
  it('RFC 9111 §4.3.5: makes what is stored of a GET fresh again, with its fields', async (t) => {
    const w = await stale(t)
    const fields = { 'cache-control': 'max-age=60', etag: '"1"', 'x-version': 'two', 'content-length': '3' }
    w.answer = (request) => request.respond(200, '', fields)
    const head = await get(w, {}, 'HEAD')
    assert.deepEqual([head.status, head.body, w.asked[1]!.method], [200, '', 'HEAD'])
    assert.equal(w.asked[1]!.fields['if-none-match'], undefined)
    await w.gateway.pass(10)
    const answer = await get(w)
    assert.deepEqual([answer.body, answer.fields['x-version'], w.asked.length], ['one', 'two', 2])
    await w.gateway.nothingLeft()
  })

  for (const [what, fields] of [
    ['another tag', { etag: '"2"' }],
    ['another length', { etag: '"1"', 'content-length': '4' }],
    ['another date of change', { 'last-modified': 'Sun, 06 Nov 1994 08:49:37 GMT' }],
  ] as const)
    it(`leaves what is stored stale where it says ${what}`, async (t) => {
      const w = await stale(t)
      const same = { 'cache-control': 'max-age=60', 'content-length': '3' }
      w.answer = (request) => request.respond(200, '', { ...same, ...fields })
      await get(w, {}, 'HEAD')
      await w.gateway.pass(10)
      w.answer = (request) => request.respond(200, 'two', FIELDS)
      assert.equal((await get(w)).body, 'two')
      await w.gateway.nothingLeft()
    })

  it('RFC 9111 §4.3.5: makes what is fresh stale, where the client had it asked for', async (t) => {
    const w = await stale(t, { ...FIELDS, 'cache-control': 'max-age=60' })
    const fields = { etag: '"2"', 'cache-control': 'max-age=60', 'content-length': '3' }
    w.answer = (request) => request.respond(200, '', fields)
    await get(w, { 'cache-control': 'no-cache' }, 'HEAD')
    await w.gateway.pass(10)
    w.answer = (request) => request.respond(200, 'two', FIELDS)
    assert.equal((await get(w)).body, 'two')
    await w.gateway.nothingLeft()
  })

  it('says nothing of it where it is no 200', async (t) => {
    const w = await stale(t, { ...FIELDS, 'cache-control': 'max-age=60' })
    w.answer = (request) => request.respond(500, '', { etag: '"2"' })
    assert.equal((await get(w, { 'cache-control': 'no-cache' }, 'HEAD')).status, 500)
    assert.equal((await get(w)).body, 'one')
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })
})

describe('a request that asks for something newer than what is fresh', () => {
  it('leaves it to the others where its own response is for itself alone', async (t) => {
    const w = await stale(t)
    w.answer = (request) => request.respond(200, 'all', { 'cache-control': 'max-age=60', etag: '"2"' })
    assert.equal((await get(w)).body, 'all')
    await w.gateway.pass(2_000)
    const answers: readonly [number, FieldMap][] = [
      [200, { 'cache-control': 'private' }],
      [200, { 'cache-control': 'max-age=60', 'set-cookie': 'a=b' }],
      [304, { 'cache-control': 'private', etag: '"2"' }],
    ]
    for (const [status, fields] of answers) {
      w.answer = (request) => request.respond(status, status === 304 ? '' : 'own', fields)
      for (const asked of ['max-age=0', 'min-fresh=100']) {
        const own = await get(w, { 'cache-control': asked })
        assert.equal(own.body, status === 304 ? 'all' : 'own')
        const other = await get(w)
        assert.equal(other.body, 'all', `${status} ${asked}`)
        assert.match(other.fields['cache-status']!, /^headgate;hit;/)
      }
    }
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})
