/** `cache` in a gateway in memory: what is asked of the origin, and what is answered from what is stored. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import { cachingGateway, cachingRules, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import type { Asking, FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'

interface World extends PlayedOrigin {
  readonly gateway: MemoryGateway
}

function world(scope: Scope, cache: object = {}, policies: object = {}): World {
  const origin = new PlayedOrigin()
  return Object.assign(origin, { gateway: cachingGateway(scope, origin.serve, { cache, policies }) })
}

const get = ({ gateway }: World, path = '/a', fields: FieldMap = {}, more: Asking = {}) =>
  gateway.ask({ path, fields, ...more }).response()

describe('a response that may be stored', () => {
  it('is asked for once, and answered with its age', async (t) => {
    const w = world(t)
    const first = await get(w)
    assert.deepEqual([first.status, first.body], [200, 'body of /a'])
    assert.equal(first.fields['cache-status'], 'headgate;fwd=uri-miss;stored')
    await w.gateway.pass(5_000)
    const second = await get(w)
    assert.deepEqual([second.status, second.body], [200, 'body of /a'])
    assert.equal(second.fields['cache-status'], 'headgate;hit;ttl=55')
    assert.equal(second.fields.age, '5')
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})

/** Headers of the origin: fresh for a second, then stale for a while. */
const STALE = { 'cache-control': 'max-age=1, stale-while-revalidate=60, stale-if-error=60', etag: '"1"' }

describe('requests for one key that meet', () => {
  it('are one fetch, of which all get the body as it arrives', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const requests = Array.from({ length: 20 }, () => w.gateway.ask({ path: '/a' }))
    await w.gateway.until(() => w.asked.length === 1)
    const [origin] = w.asked
    origin!.head(200, { 'cache-control': 'max-age=60', 'content-length': '6' })
    origin!.write('abc')
    for (const request of requests) assert.equal((await request.head()).status, 200)
    origin!.write('def')
    origin!.end()
    for (const request of requests) assert.equal((await request.response()).body, 'abcdef')
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('share no fetch with one of another variant where the keys of both are too long', async (t) => {
    const w = world(t, { key: { by: ['cookie:long'] } })
    const long = `long=${'l'.repeat(40_000)}`
    const send = (variant: string) => w.gateway.ask({ path: '/a', fields: { cookie: long, 'x-variant': variant } })
    const open: (() => void)[] = []
    w.answer = (request) => {
      const variant = `${request.fields['x-variant']}`
      request.head(200, { 'cache-control': 'max-age=60', vary: 'x-variant, cookie' })
      request.write(variant)
      open.push(() => request.end())
    }
    for (const [variants, said] of [
      [['first'], 'headgate;fwd=uri-miss'],
      [['a', 'b'], 'headgate;fwd=bypass'],
      [['a', 'b'], 'headgate;fwd=bypass'],
    ] as const) {
      const all = variants.map(send)
      for (const one of all) await one.head()
      for (const end of open.splice(0)) end()
      const got = await Promise.all(all.map((one) => one.response()))
      assert.deepEqual(
        got.map(({ body, fields }) => [body, fields['cache-status']]),
        variants.map((variant) => [variant, said]),
      )
    }
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })

  it('store nothing for those without a field where the key with it is too long', async (t) => {
    const w = world(t, { key: { by: ['cookie:long'] } })
    w.answer = (request) =>
      request.respond(200, `${request.fields['x-variant']}`.slice(0, 9), {
        'cache-control': 'max-age=60',
        vary: 'x-variant',
      })
    const ask = (fields: FieldMap) => get(w, '/a', { cookie: `long=${'l'.repeat(40_000)}`, ...fields })
    await ask({ 'x-variant': 'first' })
    const long = await ask({ 'x-variant': 'x'.repeat(25_500) })
    assert.deepEqual([long.body, long.fields['cache-status']], ['xxxxxxxxx', 'headgate;fwd=bypass'])
    const without = await ask({})
    assert.deepEqual([without.body, without.fields['cache-status']], ['undefined', 'headgate;fwd=vary-miss;stored'])
    await w.gateway.nothingLeft()
  })

  it('go on at once, each by itself, when the response cannot be stored', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const requests = Array.from({ length: 20 }, () => w.gateway.ask({ path: '/a' }))
    await w.gateway.until(() => w.asked.length === 1)
    w.asked[0]!.respond(200, 'mine', { 'cache-control': 'private' })
    await w.gateway.until(() => w.asked.length === 20)
    for (const [i, origin] of w.asked.entries()) if (i > 0) origin.respond(200, `${i}`, { 'cache-control': 'private' })
    const bodies = await Promise.all(requests.map(async (request) => (await request.response()).body))
    assert.equal(new Set(bodies).size, 20)
    await w.gateway.nothingLeft()
  })

  it('get the response that the first one asked for and did not wait for', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const first = w.gateway.ask({ path: '/a' })
    await w.gateway.until(() => w.asked.length === 1)
    const second = w.gateway.ask({ path: '/a' })
    await w.gateway.pass(100)
    first.vanish()
    await w.gateway.pass(100)
    w.asked[0]!.respond(200, 'body', { 'cache-control': 'max-age=60' })
    assert.equal((await second.response()).body, 'body')
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })

  it('find what another worker has written to its end while they look', async (t) => {
    const w = world(t)
    const { responses } = w.gateway
    const begin = responses.begin.bind(responses)
    let once = true
    responses.begin = (...asked) => {
      const begun = begin(...asked)
      if (typeof begun === 'string' || begun.type !== 'under-way' || !once) return begun
      once = false
      let gone = false
      return {
        type: 'under-way',
        get state() {
          return gone ? 'whole' : begun.state
        },
        follow: (changed) => begun.follow(changed),
        cancel: () => begun.cancel(),
        hold() {
          gone = true
          return null
        },
      }
    }
    w.answer = () => {}
    const requests = [1, 2].map(() => w.gateway.ask({ path: '/a' }))
    await w.gateway.until(() => w.asked.length === 1)
    w.asked[0]!.head(200, { 'cache-control': 'max-age=60', 'content-length': '4' })
    w.asked[0]!.write('bo')
    for (const request of requests) await request.head()
    w.asked[0]!.write('dy')
    w.asked[0]!.end()
    for (const request of requests) assert.equal((await request.response()).body, 'body')
    assert.deepEqual([w.asked.length, once], [1, false])
    await w.gateway.nothingLeft()
  })

  it('wait for no longer than the settings say', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const first = w.gateway.ask({ path: '/a' })
    await w.gateway.until(() => w.asked.length === 1)
    const second = w.gateway.ask({ path: '/a' })
    await w.gateway.pass(4_900)
    assert.equal(w.asked.length, 1)
    await w.gateway.until(() => w.asked.length === 2)
    w.asked[1]!.respond(200, 'second', { 'cache-control': 'max-age=60' })
    assert.equal((await second.response()).body, 'second')
    w.asked[0]!.respond(200, 'first', { 'cache-control': 'max-age=60' })
    assert.equal((await first.response()).body, 'first')
    await w.gateway.nothingLeft()
  })

  it('get all of it however slowly the first client reads', async (t) => {
    const w = world(t)
    const body = 'x'.repeat(1024 * 1024)
    w.answer = (request) => request.respond(200, body, { 'cache-control': 'max-age=60' })
    const slow = w.gateway.ask({ path: '/a' })
    await slow.head()
    slow.pause()
    assert.equal((await get(w)).body.length, body.length)
    slow.resume()
    assert.equal((await slow.response()).body, body)
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })
})

describe('a stale response', () => {
  it('is served while it is validated in the background', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(200, 'one', STALE)
    await get(w)
    await w.gateway.pass(2_000)
    w.answer = (request) => request.respond(304, '', STALE)
    const stale = await get(w)
    assert.deepEqual([stale.body, stale.fields['cache-status']], ['one', 'headgate;hit;ttl=-1'])
    await w.gateway.until(() => w.asked.length === 2)
    assert.equal(w.asked[1]!.fields['if-none-match'], '"1"')
    await w.gateway.pass(100)
    assert.match((await get(w)).fields['cache-status']!, /^headgate;hit;ttl=[01]$/)
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })

  it('is served where the origin fails, and kept', async (t) => {
    const w = world(t)
    const fields = { ...STALE, 'cache-control': 'max-age=1, stale-if-error=60' }
    w.answer = (request) => request.respond(200, 'one', fields)
    await get(w)
    await w.gateway.pass(2_000)
    w.answer = (request) => request.respond(503, 'down', {})
    for (const asked of [2, 3]) {
      const served = await get(w)
      assert.deepEqual([served.status, served.body], [200, 'one'])
      assert.equal(served.fields['cache-status'], 'headgate;fwd=stale;fwd-status=503;ttl=-1')
      assert.equal(w.asked.length, asked)
    }
    w.answer = (request) => request.reset()
    assert.equal((await get(w)).body, 'one')
    w.answer = (request) => request.respond(304, '', fields)
    assert.equal((await get(w)).fields['cache-status'], 'headgate;fwd=stale;fwd-status=304;ttl=1;stored')
    await w.gateway.nothingLeft()
  })
})

describe('a client that has the response already', () => {
  it('is told so, also by the request that fetches it for all', async (t) => {
    const w = world(t)
    w.answer = (request) =>
      request.respond(200, 'one', { 'cache-control': 'max-age=60', etag: '"1"', 'content-type': 'a/b' })
    const first = await get(w, '/a', { 'if-none-match': '"1"' })
    assert.deepEqual([first.status, first.body, first.fields['content-type']], [304, '', undefined])
    assert.equal(w.asked[0]!.fields['if-none-match'], undefined)
    const second = await get(w, '/a', { 'if-none-match': '"1"' })
    assert.deepEqual([second.status, second.body, second.fields.etag], [304, '', '"1"'])
    assert.equal((await get(w)).body, 'one')
    assert.equal(w.asked.length, 1)
    await w.gateway.nothingLeft()
  })
})

describe('a rule whose maxTTL is 0', () => {
  it('has no cache, not one that validates or serves stale responses either', async (t) => {
    const w = world(t, { maxTTL: '0s', staleWhileRevalidate: '1h' })
    w.answer = (request) => request.respond(200, 'x', { 'cache-control': 'max-age=60', etag: '"1"' })
    for (let i = 0; i < 2; i++) assert.equal((await get(w)).fields['cache-status'], undefined)
    assert.deepEqual(
      w.asked.map(({ fields }) => fields['if-none-match']),
      [undefined, undefined],
    )
  })
})

describe('a response that grows beyond what may be kept', () => {
  it('goes to all who read along, and is found by nobody', async (t) => {
    const w = world(t, { maxObjectBytes: 1_000 })
    w.answer = () => {}
    const requests = Array.from({ length: 3 }, () => w.gateway.ask({ path: '/a' }))
    await w.gateway.until(() => w.asked.length === 1)
    const [origin] = w.asked
    origin!.head(200, { 'cache-control': 'max-age=60' })
    origin!.write('x'.repeat(900))
    for (const request of requests) await request.head()
    origin!.write('y'.repeat(900))
    origin!.end()
    const whole = 'x'.repeat(900) + 'y'.repeat(900)
    for (const request of requests) assert.equal((await request.response()).body, whole)
    w.answer = (request) => request.respond(200, whole, { 'cache-control': 'max-age=60' })
    const next = await get(w)
    assert.deepEqual([next.body, next.fields['cache-status']], [whole, 'headgate;fwd=uri-miss'])
    await w.gateway.nothingLeft()
  })

  it('goes to its own client, however slow that is, without what is not stored being lost', async (t) => {
    const w = world(t, { maxObjectBytes: 300_000 })
    w.answer = () => {}
    const slow = w.gateway.ask({ path: '/a' })
    await w.gateway.until(() => w.asked.length === 1)
    const [origin] = w.asked
    origin!.head(200, { 'cache-control': 'max-age=60' })
    await slow.head()
    slow.pause()
    let whole = ''
    for (let i = 0; i < 40; i++) {
      const piece = String.fromCharCode(97 + (i % 26)).repeat(16_384)
      whole += piece
      origin!.write(piece)
      await w.gateway.pass(1)
    }
    origin!.end()
    await w.gateway.pass(100)
    slow.resume()
    assert.equal((await slow.response()).body, whole)
    await w.gateway.nothingLeft()
  })
})

describe('a purge', () => {
  const hard = { ...PLAIN, kind: 'all', namespace: namespaceLabel('default') } as const

  it('acts on what is stored, and on a fetch under way', async (t) => {
    const w = world(t)
    await get(w)
    assert.match((await get(w)).fields['cache-status']!, /;hit;/)
    w.gateway.purges.append(hard)
    assert.equal((await get(w)).fields['cache-status'], 'headgate;fwd=uri-miss;stored')
    w.answer = () => {}
    const under = w.gateway.ask({ path: '/b' })
    await w.gateway.until(() => w.asked.length === 3)
    w.gateway.purges.append(hard)
    w.asked[2]!.respond(200, 'old', { 'cache-control': 'max-age=60' })
    assert.equal((await under.response()).fields['cache-status'], 'headgate;fwd=uri-miss')
    w.answer = (request) => request.respond(200, 'new', { 'cache-control': 'max-age=60' })
    assert.equal((await get(w, '/b')).body, 'new')
    await w.gateway.nothingLeft()
  })

  it('that comes behind the head is met by who finds it', async (t) => {
    const w = world(t)
    w.answer = () => {}
    const under = w.gateway.ask({ path: '/b' })
    await w.gateway.until(() => w.asked.length === 1)
    w.asked[0]!.head(200, { 'cache-control': 'max-age=60' })
    w.asked[0]!.write('old')
    await under.head()
    w.gateway.purges.append(hard)
    w.asked[0]!.end()
    assert.equal((await under.response()).body, 'old')
    w.answer = (request) => request.respond(200, 'new', { 'cache-control': 'max-age=60' })
    assert.equal((await get(w, '/b')).body, 'new')
    await w.gateway.nothingLeft()
  })

  it('that is soft makes it stale', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(200, 'one', { ...STALE, 'cache-control': 'max-age=60, stale-if-error=60' })
    await get(w)
    w.gateway.purges.append({ ...hard, soft: true })
    w.answer = (request) => request.reset()
    assert.equal((await get(w)).fields['cache-status'], 'headgate;fwd=stale;fwd-status=502;ttl=0')
    w.answer = (request) => request.respond(304, '', STALE)
    assert.match((await get(w)).fields['cache-status']!, /fwd=stale;fwd-status=304/)
    await w.gateway.nothingLeft()
  })
})

describe('an error page for a status of Backends', () => {
  const errors = [{ codes: ['404'], source: 'Backend', contentType: 'text/plain', body: 'nothing here' }]
  const missing = (request: ServedRequest) => request.respond(404, 'raw', { 'cache-control': 'max-age=60' })

  it('is also on a response that was stored', async (t) => {
    const w = world(t)
    w.answer = missing
    assert.equal((await get(w)).body, 'raw')
    await w.gateway.link(cachingRules({}, { errors }))
    const response = await get(w)
    assert.deepEqual([response.status, response.body], [404, 'nothing here'])
    assert.match(response.fields['cache-status']!, /^headgate;hit/)
    await w.gateway.nothingLeft()
  })

  it('leaves nothing behind: without the page the response is fetched as it is', async (t) => {
    const w = world(t, {}, { errors })
    w.answer = missing
    for (let i = 0; i < 3; i++) assert.equal((await get(w)).body, 'nothing here')
    assert.equal(w.asked.length, 3)
    await w.gateway.link(cachingRules())
    assert.equal((await get(w)).body, 'raw')
    assert.equal((await get(w)).body, 'raw')
    assert.equal(w.asked.length, 4)
    await w.gateway.nothingLeft()
  })

  it('leaves nothing to be stored, and lets nobody wait for it', async (t) => {
    const w = world(t, {}, { errors })
    w.answer = () => {}
    const requests = Array.from({ length: 5 }, () => w.gateway.ask({ path: '/a' }))
    await w.gateway.until(() => w.asked.length === 1)
    missing(w.asked[0]!)
    await w.gateway.until(() => w.asked.length === 5)
    for (const origin of w.asked.slice(1)) missing(origin)
    for (const request of requests) assert.equal((await request.response()).body, 'nothing here')
    await w.gateway.nothingLeft()
  })
})

describe('QUERY', () => {
  it('has its content in the key', async (t) => {
    const w = world(t)
    w.answer = (request) =>
      void request.body().then((body) => request.respond(200, body, { 'cache-control': 'max-age=60' }))
    const query = (body: string) => get(w, '/q', { 'content-type': 'a/b' }, { method: 'QUERY', body })
    for (const [body, asked] of [
      ['one', 1],
      ['two', 2],
      ['one', 2],
      ['two', 2],
    ] as const) {
      assert.equal((await query(body)).body, body)
      assert.equal(w.asked.length, asked)
    }
    await w.gateway.nothingLeft()
  })

  /** A QUERY that does not tell how long its content is. */
  const untold = async (w: World, parts: readonly string[], path = '/q', fields: FieldMap = {}): Promise<string> => {
    const request = w.gateway.ask({ path, method: 'QUERY', length: 'unknown', fields })
    for (const part of parts) request.write(part)
    request.end()
    return (await request.response()).body
  }

  it('has its content in the key where its length is not told, too: chunked, or by HTTP/2', async (t) => {
    const w = world(t)
    w.answer = (request) =>
      void request.body().then((body) => request.respond(200, `of ${body}`, { 'cache-control': 'max-age=60' }))
    assert.equal(await untold(w, ['on', 'e']), 'of one')
    assert.equal(await untold(w, ['o', 'n', 'e']), 'of one')
    assert.equal((await get(w, '/q', {}, { method: 'QUERY', body: 'one' })).body, 'of one')
    assert.equal(w.asked.length, 1)
    assert.equal(await untold(w, ['two']), 'of two')
    assert.equal(w.asked.length, 2)
    await untold(w, ['three'], '/q', { 'cache-control': 'only-if-cached' })
    assert.equal(w.asked.length, 2)
    await w.gateway.nothingLeft()
  })

  it('passes by with its trailers, which no key has', async (t) => {
    const w = world(t)
    w.answer = (request) =>
      void request.body().then(() => {
        const { tenant = 'nobody' } = request.trailers
        request.respond(200, `of ${tenant}`, { 'cache-control': 'max-age=60' })
      })
    const trailed = async (trailers: FieldMap): Promise<string> => {
      const request = w.gateway.ask({ path: '/q', method: 'QUERY', length: 'unknown' })
      request.write('one')
      request.end(trailers)
      return (await request.response()).body
    }
    assert.equal(await trailed({ tenant: 'ann' }), 'of ann')
    assert.equal(await trailed({ tenant: 'ben' }), 'of ben')
    assert.equal(await trailed({}), 'of nobody')
    assert.equal(await trailed({ tenant: 'ann' }), 'of ann')
    assert.equal(await trailed({}), 'of nobody')
    const results = w.gateway.log().map(({ cache }) => cache)
    const bypass = 'bypass RequestContent'
    assert.deepEqual(results, [bypass, bypass, 'miss NotStored', bypass, 'hit Memory'])
    await w.gateway.nothingLeft()
  })

  it('passes by as it is where it turns out longer than a key takes', async (t) => {
    const w = world(t, { key: { query: { include: ['a'] } } })
    w.answer = (request) =>
      void request
        .body()
        .then((body) => request.respond(200, `${request.target} ${body.length}`, { 'cache-control': 'max-age=60' }))
    const parts = Array.from({ length: 7 }, () => 'x'.repeat(10_000))
    for (let i = 0; i < 2; i++) assert.equal(await untold(w, parts, '/q?b=2&a=1'), '/q?b=2&a=1 70000')
    assert.equal(w.asked.length, 2)
    assert.deepEqual(
      w.gateway.log().map(({ cache }) => cache),
      ['bypass RequestContent', 'bypass RequestContent'],
    )
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})
