/** Replicas in memory that share an archive: what one has fetched the others do not ask the origin for. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { labelOf, namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import { prefixOf } from '../../src/store/archive/records.ts'
import { cachingGateway, HISTORY, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { recordArchive } from '../lib/record-archive.ts'
import type { Asking, FieldMap, Scope, ServedRequest } from '../suite/transport-rig.ts'

interface World extends PlayedOrigin {
  readonly replicas: readonly [MemoryGateway, MemoryGateway]
  readonly records: HeapRecords
  /** Of replica 0 or 1. */
  get(replica: 0 | 1, path?: string, fields?: FieldMap, more?: Asking): Promise<Answer>
  /** Until nothing is being put any more. */
  put(commits: number): Promise<void>
}

interface Answer {
  readonly status: number
  readonly body: string
  readonly fields: FieldMap
  readonly complete: boolean
}

function world(scope: Scope, cache: object = { store: 'Tiered' }): World {
  const origin = new PlayedOrigin()
  const records = new HeapRecords()
  const replica = (): MemoryGateway =>
    cachingGateway(scope, origin.serve, { cache, archive: recordArchive({ records }) })
  const replicas = [replica(), replica()] as const
  const own: Omit<World, keyof PlayedOrigin> = {
    replicas,
    records,
    get: (at, path = '/a', fields = {}, more = {}) => replicas[at].ask({ path, fields, ...more }).response(),
    put: (commits) => replicas[0].until(() => records.commits >= commits, `${commits} puts`),
  }
  return Object.assign(origin, own)
}

async function over({ replicas }: World): Promise<void> {
  for (const gateway of replicas) {
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  }
}

const statusOf = ({ fields }: Answer): string | undefined => fields['cache-status'] as string | undefined

describe('what one replica has fetched', () => {
  it('another one finds, with its age, and keeps in its memory', async (t) => {
    const w = world(t)
    assert.equal((await w.get(0)).body, 'body of /a')
    await w.put(1)
    for (const gateway of w.replicas) await gateway.pass(5_000)
    const found = await w.get(1)
    assert.deepEqual([found.status, found.body, found.fields.age], [200, 'body of /a', '5'])
    assert.equal(statusOf(found), 'headgate;hit;ttl=55')
    const { lookups } = w.records
    assert.equal((await w.get(1)).body, 'body of /a')
    assert.equal(w.records.lookups, lookups, 'the memory has it')
    assert.equal(w.asked.length, 1)
    const lines = w.replicas[1].log().map(({ cache }) => cache)
    assert.deepEqual(lines, ['hit Archive', 'hit Memory'])
    await over(w)
  })

  it('is asked for each time where the memory is no tier', async (t) => {
    const w = world(t, { store: 'Redis' })
    await w.get(0)
    await w.put(1)
    for (let i = 0; i < 3; i++) assert.equal((await w.get(1)).body, 'body of /a')
    assert.equal((await w.get(0)).body, 'body of /a')
    assert.equal(w.asked.length, 1)
    assert.equal(w.records.lookups, 5)
    await over(w)
  })

  it('is found by its variant, also where the memory knows another variant already', async (t) => {
    const w = world(t)
    w.answer = (request) =>
      request.respond(200, `in ${request.fields['accept-language']}`, {
        'cache-control': 'max-age=60',
        vary: 'accept-language',
      })
    const ask = (at: 0 | 1, language: string) => w.get(at, '/a', { 'accept-language': language })
    assert.equal((await ask(0, 'de')).body, 'in de')
    await w.put(1)
    assert.equal((await ask(0, 'fr')).body, 'in fr')
    await w.put(2)
    assert.equal((await ask(1, 'de')).body, 'in de')
    assert.equal((await ask(1, 'fr')).body, 'in fr')
    assert.equal(w.asked.length, 2)
    assert.equal((await ask(1, 'it')).body, 'in it')
    await w.put(3)
    assert.equal((await ask(0, 'it')).body, 'in it')
    assert.equal(w.asked.length, 3)
    await over(w)
  })

  it('answers a HEAD, a part and a condition of another replica', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(200, 'abcdefghij', { 'cache-control': 'max-age=60', etag: '"1"' })
    await w.get(0)
    await w.put(1)
    for (const [fields, more, status, body] of [
      [{}, { method: 'HEAD' }, 200, ''],
      [{ range: 'bytes=2-4' }, {}, 206, 'cde'],
      [{ 'if-none-match': '"1"' }, {}, 304, ''],
    ] as const) {
      const fresh = world(t)
      for (const [name, record] of w.records.records) fresh.records.records.set(name, record)
      const answer = await fresh.get(1, '/a', fields, more)
      assert.deepEqual([answer.status, answer.body], [status, body], JSON.stringify(fields))
      assert.equal(fresh.asked.length, 0)
      await over(fresh)
    }
    await over(w)
  })

  it('counts as stored once the archive has it, where the memory is no tier', async (t) => {
    for (const [what, store, fault, reason] of [
      ['it is there', 'Redis', null, 'Stored'],
      ['it is away', 'Redis', 'away', 'NoRoom'],
      ['it is slow', 'Redis', 'timeout', 'NoRoom'],
      ['the memory has it', 'Tiered', 'away', 'Stored'],
    ] as const) {
      const w = world(t, { store })
      w.records.fault = fault
      const judged = t.mock.method(w.replicas[0].cacheCounts, 'judged')
      assert.equal((await w.get(0)).body, 'body of /a')
      await w.replicas[0].until(() => judged.mock.callCount() > 0, what)
      assert.deepEqual(
        judged.mock.calls.map((call) => call.arguments[0]),
        [reason],
        what,
      )
      await over(w)
    }
  })

  it('does not count as stored where nobody knows what was purged', async (t) => {
    const w = world(t, { store: 'Redis' })
    const { purges, cacheCounts } = w.replicas[0]
    purges.append({ ...PLAIN, kind: 'history', label: 0 })
    const judged = t.mock.method(cacheCounts, 'judged')
    await w.get(0)
    await w.replicas[0].until(() => judged.mock.callCount() > 0, 'a count')
    assert.equal(judged.mock.calls[0]!.arguments[0], 'NoRoom')
    await over(w)
  })

  for (const store of ['Tiered', 'Redis'])
    it(`is not looked for by who wants the origin to be asked, which is said of the request (${store})`, async (t) => {
      const w = world(t, { store })
      w.answer = (request) =>
        request.respond(200, 'one', { 'cache-control': 'max-age=60', ...(request.target === '/v' && { vary: 'x-v' }) })
      for (const path of ['/a', '/v']) await w.get(0, path)
      await w.put(2)
      const { lookups } = w.records
      const { answer } = w
      w.answer = (request) => {
        assert.equal(w.records.lookups, lookups)
        w.answer = answer
        answer(request)
      }
      const answers = [
        await w.get(1, '/a', { 'cache-control': 'no-cache' }),
        await w.get(1, '/v', { 'cache-control': 'no-cache' }),
        await w.get(1, '/v', { 'cache-control': 'no-cache', 'x-v': 'other' }),
      ]
      assert.deepEqual(answers.map(statusOf), Array(3).fill('headgate;fwd=request;stored'))
      await w.replicas[1].nothingLeft()
      const lines = w.replicas[1].log().map(({ cache }) => cache)
      assert.deepEqual(lines, Array(3).fill('miss RequestNoCache'))
      await over(w)
    })

  it('is one lookup however many ask, and the origin is not asked', async (t) => {
    const w = world(t)
    await w.get(0)
    await w.put(1)
    const { lookups } = w.records
    const answers = await Promise.all(Array.from({ length: 50 }, () => w.get(1)))
    for (const { body } of answers) assert.equal(body, 'body of /a')
    assert.equal(w.records.lookups, lookups + 1)
    assert.equal(w.asked.length, 1)
    await over(w)
  })

  it('streams to all who wait, also in many pieces', async (t) => {
    for (const store of ['Tiered', 'Redis']) {
      const w = world(t, { store })
      const body = 'long '.repeat(120_000)
      w.answer = (request) => request.respond(200, body, { 'cache-control': 'max-age=60' })
      assert.equal((await w.get(0)).body, body)
      await w.put(1)
      assert.ok(w.records.pieces.size > 3)
      const answers = await Promise.all(Array.from({ length: 5 }, () => w.get(1)))
      for (const answer of answers) assert.ok(answer.body === body)
      assert.equal(w.asked.length, 1, store)
      await over(w)
    }
  })
})

describe('an archive', () => {
  it('that cannot be asked costs nothing but the origin', async (t) => {
    const w = world(t)
    for (const fault of ['absent', 'away', 'full', 'timeout', 'broken'] as const) {
      w.records.fault = fault
      const answer = await w.get(0, `/${fault}`)
      assert.deepEqual([answer.status, answer.body], [200, `body of /${fault}`])
      assert.equal((await w.get(0, `/${fault}`)).body, `body of /${fault}`, 'from the memory')
    }
    assert.equal(w.asked.length, 5)
    await over(w)
  })

  it('whose data is foreign is passed by, and written over', async (t) => {
    const w = world(t)
    await w.get(0)
    await w.put(1)
    for (const name of w.records.records.keys()) w.records.records.set(name, randomBytes(300))
    assert.equal((await w.get(1)).body, 'body of /a')
    await w.put(2)
    assert.equal(w.asked.length, 2)
    const other = world(t)
    for (const [name, record] of w.records.records) other.records.records.set(name, record)
    assert.equal((await other.get(1)).body, 'body of /a')
    assert.equal(other.asked.length, 0)
    await over(w)
    await over(other)
  })

  it('that loses a piece ends the body early, and the next request has it whole', async (t) => {
    const w = world(t)
    const body = 'long '.repeat(120_000)
    w.answer = (request) => request.respond(200, body, { 'cache-control': 'max-age=60' })
    await w.get(0)
    await w.put(1)
    w.records.hasPiece = (index) => index < 2
    assert.equal((await w.get(1)).complete, false)
    w.records.hasPiece = () => true
    assert.ok((await w.get(1)).body === body)
    await over(w)
  })
})

describe('a stale response in an archive', () => {
  it('is validated, and its new head is put without its body', async (t) => {
    const w = world(t)
    w.answer = (request) => {
      const fields = { 'cache-control': 'max-age=1', etag: '"1"' }
      if (request.fields['if-none-match'] === '"1"') request.respond(304, '', fields)
      else request.respond(200, 'body', fields)
    }
    await w.get(0)
    await w.put(1)
    const [before] = [...w.records.records.values()].map(prefixOf)
    for (const gateway of w.replicas) await gateway.pass(2_000)
    const { body } = await w.get(1)
    assert.equal(body, 'body')
    assert.equal(w.asked.length, 2)
    assert.equal(w.asked[1]!.fields['if-none-match'], '"1"')
    await w.put(2)
    assert.deepEqual([...w.records.records.values()].map(prefixOf), [before], 'its body is the one of before')
    const again = await w.get(0)
    assert.equal(again.body, 'body')
    assert.equal(w.asked.length, 2, 'the other replica has validated it')
    await over(w)
  })
})

describe('a HEAD of a stale response in an archive', () => {
  const BODY = 'a long body\n'.repeat(30_000)
  const HEAD = { 'cache-control': 'max-age=1', 'last-modified': 'Thu, 01 Jan 2026 00:00:00 GMT' }

  for (const store of ['Tiered', 'Redis'] as const)
    for (const [what, has] of [
      ['that is whole', () => true],
      ['of which a piece is gone', (index: number) => index < 2],
    ] as const)
      it(`${what} gives nobody its own body, which is empty, for that of a GET (${store})`, async (t) => {
        const w = world(t, { store })
        w.answer = (request) => request.respond(200, BODY, HEAD)
        await w.get(0)
        await w.put(1)
        for (const gateway of w.replicas) await gateway.pass(2_000)
        w.records.hasPiece = has
        w.answer = () => {}
        const head = w.get(1, '/a', {}, { method: 'HEAD' })
        await w.replicas[1].until(() => w.asked.length === 2, 'the HEAD at the origin')
        // What the archive has, or has not, is in the memory by now.
        for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
        w.asked[1]!.respond(200, BODY, HEAD)
        assert.equal((await head).status, 200)
        w.answer = (request) => request.respond(200, BODY, HEAD)
        w.records.hasPiece = () => true
        for (const replica of [1, 0] as const) {
          const got = await w.get(replica)
          assert.ok(got.complete && got.body === BODY, `${got.body.length} of ${BODY.length} bytes, ${statusOf(got)}`)
        }
        await over(w)
      })
})

describe('a stale response in an archive that has changed', () => {
  it('is replaced with its body, for all replicas', async (t) => {
    for (const store of ['Tiered', 'Redis']) {
      const w = world(t, { store })
      let version = 1
      w.answer = (request) =>
        request.respond(200, `version ${version}`, { 'cache-control': 'max-age=1', etag: `"${version}"` })
      await w.get(0)
      await w.put(1)
      for (const gateway of w.replicas) await gateway.pass(2_000)
      version = 2
      // Also in the memory of the one that put it, which looks whether the archive has a newer one.
      for (const [i, at] of ([0, 1] as const).entries()) {
        assert.equal((await w.get(at)).body, 'version 2', `${store} ${at}`)
        await w.put(2)
        assert.equal(w.asked.length, 2, `${store} ${i}`)
      }
      version = 3
      for (const gateway of w.replicas) await gateway.pass(2_000)
      assert.equal((await w.get(1)).body, 'version 3')
      await w.put(3)
      assert.equal((await w.get(0)).body, 'version 3')
      await over(w)
    }
  })
})

describe('a stale response in an archive that may be served while it is validated', () => {
  it('is fetched anew in the background, whatever the store', async (t) => {
    for (const store of ['Tiered', 'Redis']) {
      const w = world(t, { store })
      let version = 1
      w.answer = (request) =>
        request.respond(200, `version ${version}`, { 'cache-control': 'max-age=1, stale-while-revalidate=60' })
      await w.get(0)
      await w.put(1)
      for (const gateway of w.replicas) await gateway.pass(2_000)
      version = 2
      assert.equal((await w.get(1)).body, 'version 1', store)
      await w.replicas[1].pass(100)
      await w.put(2)
      assert.equal((await w.get(1)).body, 'version 2', store)
      assert.equal(w.asked.length, 2, store)
      await over(w)
    }
  })
})

describe('purges', () => {
  it('concern what is in the archive, in each replica that has heard of them', async (t) => {
    const w = world(t)
    await w.get(0)
    await w.put(1)
    const [, other] = w.replicas
    const label = labelOf('path', 'rig.test/a')
    other.purges.append({ ...PLAIN, kind: 'label', namespace: namespaceLabel('default'), label, position: 5 })
    assert.equal((await w.get(1)).body, 'body of /a')
    assert.equal(w.asked.length, 2)
    await over(w)
  })

  it('of a history that nobody knows concern everything', async (t) => {
    const w = world(t)
    await w.get(0)
    await w.put(1)
    const [, other] = w.replicas
    other.purges.append({ ...PLAIN, kind: 'history', label: HISTORY + 1 })
    assert.equal((await w.get(1)).body, 'body of /a')
    assert.equal(w.asked.length, 2)
    await over(w)
  })

  it('gives what the archive has to clients that want no request to the origin, whoever is asking it just then', async (t) => {
    const w = world(t)
    await w.get(0)
    await w.put(1)
    const only = { 'cache-control': 'only-if-cached' }
    const answers = await Promise.all([w.get(1), w.get(1, '/a', only), w.get(1, '/a', only)])
    assert.deepEqual(
      answers.map(({ status, body }) => [status, body]),
      answers.map(() => [200, 'body of /a']),
    )
    assert.equal(w.asked.length, 1)
    // What is on its way from the origin is not waited for: nothing is stored of it.
    const waiting: ServedRequest[] = []
    w.answer = (request) => waiting.push(request)
    const plain = w.get(1, '/b')
    await w.replicas[1].until(() => waiting.length === 1, 'a request to the origin')
    assert.equal((await w.get(1, '/b', only)).status, 504)
    waiting[0]!.respond(200, 'body of /b', { 'cache-control': 'max-age=60' })
    assert.equal((await plain).status, 200)
    assert.equal((await w.get(1, '/b', only)).status, 200)
    await over(w)
  })

  it('gives what another replica has validated to clients that want no request to the origin', async (t) => {
    const w = world(t)
    w.answer = (request) => request.respond(200, 'one', { 'cache-control': 'max-age=60', etag: '"1"' })
    await w.get(1)
    await w.put(1)
    for (const gateway of w.replicas) await gateway.pass(70_000)
    w.answer = (request) => request.respond(200, 'two', { 'cache-control': 'max-age=60' })
    await w.get(0, '/a', { 'cache-control': 'no-cache' })
    await w.put(2)
    const { status, body } = await w.get(1, '/a', { 'cache-control': 'only-if-cached' })
    assert.deepEqual([status, body], [200, 'two'])
    await over(w)
  })
})

describe('parts beside an archive', () => {
  const BODY = 'abcdefghijklmnopqrstuvwxyz'
  /** An origin that knows ranges of the form `a-b`. */
  const answer = (request: ServedRequest): void => {
    const fields = { 'cache-control': 'max-age=60', etag: '"1"' }
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.fields.range ?? '')
    if (match === null) return request.respond(200, BODY, fields)
    const [first, last] = [Number(match[1]), Number(match[2])]
    const range = `bytes ${first}-${last}/${BODY.length}`
    request.respond(206, BODY.slice(first, last + 1), { ...fields, 'content-range': range })
  }

  for (const store of ['Tiered', 'Redis'])
    it(`are of one replica alone, and a whole that the archive has comes first: ${store}`, async (t) => {
      const w = world(t, { store })
      w.answer = answer
      const range = async (replica: 0 | 1, bytes: string, asked: number): Promise<void> => {
        const { status, body } = await w.get(replica, '/a', { range: `bytes=${bytes}` })
        const [first, last] = bytes.split('-').map(Number)
        assert.deepEqual([status, body], [206, BODY.slice(first, last! + 1)])
        assert.equal(w.asked.length, asked, `${store} ${replica} ${bytes}`)
      }
      await range(0, '2-9', 1)
      await range(0, '3-4', 1)
      await range(1, '3-4', 2)
      await range(0, '5-12', 3)
      assert.equal(w.asked[2]!.fields.range, 'bytes=10-12')
      assert.equal(w.records.commits, 0)
      assert.equal((await w.get(1)).body, BODY)
      await w.put(1)
      await range(0, '13-20', 4)
      await range(0, '2-12', 4)
      for (const replica of w.replicas) await replica.nothingLeft()
    })

  it('that have all bytes at once are put as the whole', async (t) => {
    const w = world(t)
    w.answer = answer
    assert.equal((await w.get(0, '/a', { range: 'bytes=0-25' })).body, BODY)
    await w.put(1)
    const whole = await w.get(1)
    assert.deepEqual([whole.status, whole.body, w.asked.length], [200, BODY, 1])
    for (const replica of w.replicas) await replica.nothingLeft()
  })
})
