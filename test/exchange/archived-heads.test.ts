/** What a 200 to a HEAD makes of what an archive has of a GET (RFC 9111 §4.3.5). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { cachingGateway, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import { recordArchive } from '../lib/record-archive.ts'
import type { FieldMap, Scope } from '../suite/transport-rig.ts'

const OLD = 'as it was'
const FRESH = { 'cache-control': 'max-age=60', etag: '"1"' }
const AGAIN = { 'cache-control': 'no-cache' }

/** Two replicas that share an archive, which has a response to a GET; the HEAD is answered by these fields. */
async function world(scope: Scope, store: string, head: FieldMap, status = 200) {
  const origin = new PlayedOrigin()
  const records = new HeapRecords()
  const replica = () => cachingGateway(scope, origin.serve, { cache: { store }, archive: recordArchive({ records }) })
  const replicas = [replica(), replica()] as const
  origin.answer = (request) => {
    if (request.method === 'HEAD') return request.respond(status, '', head)
    request.respond(200, origin.asked.length === 1 ? OLD : 'new', FRESH)
  }
  const ask = (at: 0 | 1, method = 'GET', fields: FieldMap = {}) => replicas[at].ask({ method, fields }).response()
  assert.equal((await ask(0)).body, OLD)
  await replicas[0].until(() => records.commits === 1)
  return { origin, records, replicas, ask }
}

const length = String(OLD.length)

describe('a 200 to a HEAD that is about another response than an archive has', () => {
  for (const store of ['Tiered', 'Redis'])
    for (const [name, head] of [
      ['another tag', { ...FRESH, etag: '"2"', 'content-length': length }],
      ['another length', { ...FRESH, 'content-length': '7' }],
    ] as const)
      it(`RFC 9111 §4.3.5: ${name}, ${store}: neither this replica nor another one finds it any more`, async (t) => {
        const w = await world(t, store, head)
        assert.equal((await w.ask(0, 'HEAD', AGAIN)).status, 200)
        await w.replicas[0].until(() => w.records.records.size === 0)
        for (const at of [1, 0] as const) assert.equal((await w.ask(at)).body, 'new')
        for (const gateway of w.replicas) {
          await gateway.nothingLeft()
          assert.deepEqual(gateway.errors, [])
        }
      })

  it('is found where the HEAD confirms it, or fails', async (t) => {
    for (const [head, status] of [
      [{ ...FRESH, 'content-length': length }, 200],
      [{ ...FRESH, etag: '"2"' }, 404],
      [{ ...FRESH, etag: '"2"' }, 500],
    ] as const) {
      const w = await world(t, 'Redis', head, status)
      await w.ask(0, 'HEAD', AGAIN)
      assert.equal((await w.ask(1)).body, OLD, `${status} ${JSON.stringify(head)}`)
      assert.equal(w.origin.asked.length, 2)
    }
  })
})
