import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type EvictionPolicy, leastRecentlyUsed, windowTinyLfu } from '../../../bench/lib/eviction-policies.ts'
import { allocateCache, sumCacheStatistics } from '../../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../../src/cache/memory/worker-response-memory.ts'
import { beginFill, headOf, keyOf, store } from '../../suite/response-memory.ts'

const REQUESTS = 40_000
const OBJECTS = 20_000
const BODY = 'x'.repeat(2_000)
const WORKERS = 2

/** xorshift32. */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

/** Few objects are asked for most, others by a scan once; `scans` of the requests. */
function trace(scans: number): number[] {
  const random = chance(4_711)
  let once = OBJECTS
  // By the inverse of the sum of 1/rank: Zipf's law.
  return Array.from({ length: REQUESTS }, () =>
    random() < scans ? ++once : Math.floor(Math.exp(random() * Math.log(OBJECTS))),
  )
}

function hitsOf(policy: EvictionPolicy, objects: readonly number[]): number {
  return objects.reduce((hits, object) => hits + Number(policy.request(object)), 0)
}

function ours(objects: readonly number[]): { readonly hits: number; readonly room: number } {
  const buffers = allocateCache(3 * 1_024 * 1_024, WORKERS, [1, 2])!
  const workers = [0, 1].map((worker) => new WorkerResponseMemory(buffers, WORKERS, worker, setImmediate))
  const random = chance(3)
  let hits = 0
  for (const object of objects) {
    const memory = workers[random() < 0.5 ? 0 : 1]!
    const found = memory.find(keyOf(`${object}`))
    memory.leave()
    if (found !== null) hits++
    else store(memory, `${object}`, BODY)
  }
  return { hits, room: sumCacheStatistics(buffers, WORKERS).Entries }
}

describe('what the memory of responses keeps', () => {
  for (const [what, scans] of [
    ['few objects are asked for most', 0],
    ['four in ten requests come once', 0.4],
  ] as const)
    it(`is hit more often than that of LRU, and nearly as often as that of W-TinyLFU, where ${what}`, () => {
      const objects = trace(scans)
      const { hits, room } = ours(objects)
      const [lru, tinyLfu] = [leastRecentlyUsed(room), windowTinyLfu(room)].map((policy) => hitsOf(policy, objects))
      assert.ok(hits >= lru! * 1.05, `${hits} hits, LRU ${lru}, room for ${room}`)
      assert.ok(hits >= tinyLfu! * 0.98, `${hits} hits, W-TinyLFU ${tinyLfu}, room for ${room}`)
    })

  it('loses nothing that is new though all that is stored was hit of late', () => {
    const buffers = allocateCache(64 * 1_024 * 1_024, 1, [1, 2])!
    const memory = new WorkerResponseMemory(buffers, 1, 0, setImmediate)
    let objects = 0
    while (sumCacheStatistics(buffers, 1).Evicted < 100) store(memory, `small ${objects++}`, 'x'.repeat(1_000))
    for (let hits = 0; hits < 3; hits++)
      for (let object = 0; object < objects; object++) {
        memory.find(keyOf(`small ${object}`))
        memory.leave()
      }
    const piece = Buffer.alloc(64 * 1_024, 'y')
    for (let object = 0; object < 50; object++) {
      const fill = beginFill(memory, `large ${object}`)
      assert.ok(fill.head(headOf('head', 16 * piece.length)))
      for (let i = 0; i < 16; i++) assert.ok(fill.write(piece, 0, piece.length), `${object}, ${i}`)
      assert.ok(fill.end())
    }
    assert.equal(sumCacheStatistics(buffers, 1).NoRoom, 0)
  })

  it('goes little by little where large bodies take the place of many small ones, so that no call takes long', () => {
    const buffers = allocateCache(64 * 1_024 * 1_024, 1, [1, 2])!
    const memory = new WorkerResponseMemory(buffers, 1, 0, setImmediate)
    const evicted = (): number => sumCacheStatistics(buffers, 1).Evicted
    const small = 'x'.repeat(1_000)
    let objects = 0
    while (evicted() < 1_000) store(memory, `small ${objects++}`, small)
    // Those that are asked for again pass by an eviction before they go.
    for (let object = objects - 30_000; object < objects; object++) {
      memory.find(keyOf(`small ${object}`))
      memory.leave()
    }
    const piece = Buffer.alloc(64 * 1_024, 'y')
    let most = 0
    const counted = (run: () => boolean): void => {
      const before = evicted()
      assert.equal(run(), true, 'there is room')
      most = Math.max(most, evicted() - before)
    }
    for (let object = 0; object < 50; object++) {
      const fill = beginFill(memory, `large ${object}`)
      counted(() => fill.head(headOf('head', 16 * piece.length)))
      for (let i = 0; i < 16; i++) counted(() => fill.write(piece, 0, piece.length))
      counted(() => fill.end())
    }
    assert.ok(evicted() > 20_000, `${evicted()}`)
    assert.ok(most <= 120, `${most} entries in one call`)
  })

  it('keeps what would not make room: while another worker reads, nothing of anybody goes for nothing', () => {
    const buffers = allocateCache(16 * 1_024 * 1_024, 2, [1, 2])!
    const [memory, other] = [0, 1].map((worker) => new WorkerResponseMemory(buffers, 2, worker, setImmediate))
    const evicted = (): number => sumCacheStatistics(buffers, 2).Evicted
    const piece = Buffer.alloc(64 * 1_024, 'y')
    const large = (object: number): boolean => {
      const fill = beginFill(memory!, `large ${object}`, 'theirs')
      if (!fill.head(headOf('head', 4 * piece.length))) return false
      for (let i = 0; i < 4; i++) if (!fill.write(piece, 0, piece.length)) return false
      return fill.end()
    }
    // Where two large ones meet, something small of another namespace stands.
    for (let object = 0; object < 200; object++) {
      assert.ok(store(memory!, `small ${object}`, 'x'.repeat(1_000), 'ours'))
      if (object % 4 === 0) assert.ok(large(object))
    }
    const before = evicted()
    other!.find(keyOf('small 0'))
    let stored = 0
    for (let object = 1_000; object < 1_020; object++) if (large(object)) stored++
    other!.leave()
    assert.ok(stored < 20, 'there is no room for all, since nothing can be free')
    assert.ok(evicted() - before <= 8, `${evicted() - before} entries went, and what they had is free for nobody`)
    for (let object = 1_020; object < 1_040; object++) assert.ok(large(object), 'then there is room again')
    for (let object = 0; object < 200; object++) {
      assert.notEqual(memory!.find(keyOf(`small ${object}`)), null, `small ${object}`)
      memory!.leave()
    }
  })
})
