/** `cache` over the real memory where that is scarce: what was taken back, and what an archive that hangs keeps in it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { allocateCache, readCacheStatistics } from '../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import type { ResponseArchive } from '../../src/cache/response-archive.ts'
import type { ResponseMemory } from '../../src/cache/response-memory.ts'
import { cachingGateway, PlayedOrigin } from '../lib/memory/caching-gateway.ts'
import { HeapRecords } from '../lib/memory/heap-records.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { recordArchive } from '../lib/record-archive.ts'
import type { Scope } from '../suite/transport-rig.ts'

/** Of one worker; a quarter of its segment may be held by clients though it is gone. */
const MEMORY = 4 * 1024 * 1024
const LARGE = 1_200_000
const SMALL = 150_000

interface World extends PlayedOrigin {
  readonly gateway: MemoryGateway
  /** Entries that were taken back from those who held them. */
  takenBack(): number
}

function world(scope: Scope, cache: object, archiveOf: (memory: ResponseMemory) => ResponseArchive | undefined): World {
  const origin = new PlayedOrigin()
  const buffers = allocateCache(MEMORY, 1, [1, 2])!
  const responses = new WorkerResponseMemory(buffers, 1, 0, (run) => void setImmediate(run))
  const gateway = cachingGateway(scope, origin.serve, { cache, archive: archiveOf(responses), responses })
  return Object.assign(origin, { gateway, takenBack: () => readCacheStatistics(buffers, 1, 0).TakenBack })
}

const bodyOf = (target: string, bytes: number): string => `${target} `.repeat(bytes).slice(0, bytes)
const get = ({ gateway }: World, path: string) => gateway.ask({ path }).response()

/** Asks for other things, and again as what is popular, until what nobody finds any more has been freed, or taken back from those who hold it. */
async function press(w: World): Promise<void> {
  for (let i = 0; i < 60; i++) {
    await get(w, `/other/${i}`)
    await get(w, `/other/${i}`)
  }
}

describe('a stale response whose memory was taken back while the origin was asked', () => {
  async function takenBack(t: Scope) {
    const w = world(t, {}, () => undefined)
    const fields = { 'cache-control': 'max-age=1, stale-if-error=60', 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' }
    w.answer = (request) => {
      if (request.method === 'POST') return request.respond(204)
      request.respond(200, bodyOf(request.target, request.target === '/a' ? LARGE : SMALL), fields)
    }
    await get(w, '/a')
    await w.gateway.pass(2_000)
    const plain = w.answer
    w.answer = () => {}
    const before = w.asked.length
    const waiting = get(w, '/a')
    await w.gateway.until(() => w.asked.length === before + 1)
    const validation = w.asked.at(-1)!
    assert.equal(validation.fields['if-modified-since'], fields['last-modified'])
    w.answer = plain
    await w.gateway.ask({ method: 'POST', path: '/a' }).response()
    await press(w)
    assert.equal(w.takenBack(), 1)
    return { w, waiting, validation }
  }

  it('is fetched anew where a 304 confirms it', async (t) => {
    const { w, waiting, validation } = await takenBack(t)
    validation.respond(304, '')
    const { status, body, complete } = await waiting
    assert.deepEqual([status, complete, body === bodyOf('/a', LARGE)], [200, true, true])
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })

  it('is not served where the origin fails', async (t) => {
    const { w, waiting, validation } = await takenBack(t)
    validation.respond(503, 'broken')
    const { status, body } = await waiting
    assert.deepEqual([status, body === 'broken'], [503, true])
    await w.gateway.nothingLeft()
    assert.deepEqual(w.gateway.errors, [])
  })
})

/** It answers, and never finishes what it is given. */
class HungRecords extends HeapRecords {
  begun = 0

  override commit(): Promise<boolean> {
    this.begun++
    return new Promise(() => {})
  }
}

describe('an archive that hangs', () => {
  it('holds no more memory than that slow clients keep what they read', async (t) => {
    const records = new HungRecords()
    const w = world(t, { store: 'Tiered' }, ({ maxBodyBytes }) =>
      recordArchive({ records, maxPutBytes: maxBodyBytes / 4 }),
    )
    w.answer = (request) =>
      request.respond(200, bodyOf(request.target, SMALL), { 'cache-control': 'max-age=60', etag: '"1"' })
    await get(w, '/slow')
    const slow = w.gateway.ask({ path: '/slow' })
    await slow.head()
    slow.pause()
    await press(w)
    assert.ok(records.begun > 1, 'several are put at a time')
    assert.equal(w.takenBack(), 0, 'entries that somebody lost')
    slow.resume()
    const { body, complete } = await slow.response()
    assert.deepEqual([complete, body === bodyOf('/slow', SMALL)], [true, true])
    assert.deepEqual(w.gateway.errors, [])
  })
})
