/** A long body of an archive that goes away in the middle of it: the origin gives the rest, or the body is cut. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cachingGateway, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { recordArchive } from '../lib/record-archive.ts'
import type { FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'

const PIECE = 128 * 1_024
const BODY = Array.from({ length: 28_000 }, (_, i) => `line ${i} of the body\n`).join('')
const TAG = '"one"'
const FRESH = { 'cache-control': 'max-age=60', etag: TAG }
/** Pieces that can be read, before the archive gives no more. */
const READ = 3

interface World extends PlayedOrigin {
  readonly gateway: MemoryGateway
}

/** Two replicas with one archive: the first has put the body, the second reads it. */
async function world(scope: Scope, head: FieldMap = FRESH, store: 'Tiered' | 'Redis' = 'Tiered'): Promise<World> {
  const records = new HeapRecords()
  const origin = new PlayedOrigin()
  origin.answer = (request) => request.respond(200, BODY, head)
  const replica = (): MemoryGateway =>
    cachingGateway(scope, origin.serve, { cache: { store }, archive: recordArchive({ records }) })
  const first = replica()
  assert.equal((await first.ask({ path: '/a' }).response()).body, BODY)
  await first.until(() => records.commits >= 1, 'the put')
  await first.nothingLeft()
  origin.asked.length = 0
  records.hasPiece = (index) => index < READ
  return Object.assign(origin, { gateway: replica() })
}

/** A part as an origin gives it. */
function part(request: ServedRequest, fields: FieldMap = {}, body = BODY): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.fields.range ?? '')?.[1])
  request.respond(206, body.slice(from), {
    ...FRESH,
    'content-range': `bytes ${from}-${body.length - 1}/${body.length}`,
    ...fields,
  })
}

async function over({ gateway }: World): Promise<void> {
  await gateway.nothingLeft()
  assert.deepEqual(gateway.errors, [])
}

describe('a long body whose archive goes away in the middle of it', () => {
  for (const store of ['Tiered', 'Redis'] as const)
    it(`gets its rest from the origin, byte by byte the same version, and is whole (${store})`, async (t) => {
      const w = await world(t, FRESH, store)
      w.answer = (request) => part(request)
      const got = await w.gateway.ask({ path: '/a', fields: { 'if-none-match': '"other"' } }).response()
      assert.deepEqual([got.status, got.complete, got.body === BODY], [200, true, true])
      assert.equal(w.asked.length, 1)
      const [{ fields }] = w.asked as [ServedRequest]
      assert.deepEqual(
        [fields.range, fields['if-range'], fields['if-none-match']],
        [`bytes=${READ * PIECE}-`, TAG, undefined],
      )
      if (store === 'Tiered') {
        assert.equal((await w.gateway.ask({ path: '/a' }).response()).body, BODY)
        assert.equal(w.asked.length, 1, 'the memory has it')
      }
      await over(w)
    })

  it('gets it also for all who read along', async (t) => {
    const w = await world(t)
    w.answer = (request) => part(request)
    const clients = [1, 2, 3].map(() => w.gateway.ask({ path: '/a' }).response())
    for (const { body, complete } of await Promise.all(clients)) assert.ok(complete && body === BODY)
    assert.equal(w.asked.length, 1)
    await over(w)
  })

  it('gets it for a client that asks for a part, of which the client gets its own', async (t) => {
    const w = await world(t)
    w.answer = (request) => part(request)
    const fields = { range: `bytes=100-${BODY.length - 2}`, 'if-range': TAG }
    const { status, body, complete } = await w.gateway.ask({ path: '/a', fields }).response()
    assert.ok(status === 206 && complete && body === BODY.slice(100, -1))
    assert.equal(w.asked[0]?.fields.range, `bytes=${READ * PIECE}-`)
    await over(w)
  })

  it('goes on with the whole of an origin that gives no parts', async (t) => {
    const w = await world(t)
    w.answer = (request) => request.respond(200, BODY, FRESH)
    const got = await w.gateway.ask({ path: '/a' }).response()
    assert.ok(got.complete && got.body === BODY)
    await over(w)
  })

  const OTHER = BODY.toUpperCase()
  const cuts: readonly (readonly [string, FieldMap, (request: ServedRequest) => void, RegExp])[] = [
    [
      'the origin has another version by now',
      FRESH,
      (r) => r.respond(200, OTHER, { ...FRESH, etag: '"two"' }),
      /another version/,
    ],
    ['its part is of another version', FRESH, (r) => part(r, { etag: '"two"' }, OTHER), /another version/],
    ['its part has no tag', FRESH, (r) => part(r, { etag: '' }, OTHER), /another version/],
    ['it is another part', FRESH, (r) => part(r, { 'content-range': `bytes 0-9/${BODY.length}` }), /another part/],
    ['the whole is of another length', FRESH, (r) => part(r, {}, `${BODY}more`), /another part/],
    ['it is encoded otherwise', FRESH, (r) => part(r, { 'content-encoding': 'gzip' }), /encodes/],
    ['the length of the whole differs', FRESH, (r) => r.respond(200, `${BODY}more`, FRESH), /another length/],
    ['the origin fails', FRESH, (r) => r.respond(503, 'no'), /answers 503/],
    ['the origin breaks', FRESH, (r) => r.reset(), /did not give/],
    ['its tag is weak', { ...FRESH, etag: 'W/"one"' }, (r) => part(r, { etag: 'W/"one"' }), /no strong entity tag/],
    ['it has no tag', { 'cache-control': 'max-age=60' }, (r) => part(r), /no strong entity tag/],
  ]
  for (const [why, head, answer, said] of cuts)
    it(`is cut where ${why}, and its log line says so`, async (t) => {
      const w = await world(t, head)
      w.answer = answer
      const got = await w.gateway.ask({ path: '/a' }).response()
      assert.equal(got.complete, false)
      assert.ok(got.body.length < BODY.length && BODY.startsWith(got.body), 'no byte of anything else')
      const [line] = w.gateway.log()
      assert.equal(line?.reason, 'UpstreamTruncated')
      assert.match(String(line?.detail), said)
      await over(w)
      // The next one has a whole body, whichever.
      w.answer = (request) => request.respond(200, OTHER, FRESH)
      assert.equal((await w.gateway.ask({ path: '/a' }).response()).body, OTHER)
      await over(w)
    })

  it('is cut where the origin breaks within the rest, and nothing of it stays', async (t) => {
    const w = await world(t)
    w.answer = (request) => {
      request.head(206, {
        ...FRESH,
        'content-length': String(BODY.length - READ * PIECE),
        'content-range': `bytes ${READ * PIECE}-${BODY.length - 1}/${BODY.length}`,
      })
      request.write(BODY.slice(READ * PIECE, READ * PIECE + 1_000))
      request.reset()
    }
    const got = await w.gateway.ask({ path: '/a' }).response()
    assert.ok(!got.complete && BODY.startsWith(got.body))
    await over(w)
    w.answer = (request) => request.respond(200, BODY, FRESH)
    assert.equal((await w.gateway.ask({ path: '/a' }).response()).body, BODY)
    await over(w)
  })
})
