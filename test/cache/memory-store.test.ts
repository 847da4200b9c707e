import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { MemoryStores } from '../../src/cache/memory-store.ts'
import type { StoreScope } from '../../src/cache/store.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { storeSuite } from '../suite/store.ts'

storeSuite('in memory', () => {
  const time = new VirtualTime()
  const stores = new MemoryStores({ bytes: 65_536, maxValueBytes: 4_096 }, time.keeper())
  return {
    open: (scope) => stores.open(scope),
    async pass(milliseconds) {
      time.now += milliseconds
    },
  }
})

const scope = (owner: string): StoreScope => ({ owner, name: 'cache' })
const bytes = (length: number): Uint8Array => new Uint8Array(length)

describe('stores in memory', () => {
  const started = (limit: number) => {
    const time = new VirtualTime()
    return { time, stores: new MemoryStores({ bytes: limit, maxValueBytes: limit }, time.keeper()) }
  }

  it('forget what was not used for the longest time', async () => {
    // 1,000 bytes, 256 for the entry, and 2 for each character of `7 cache 0` or the like
    const { stores } = started(10 * 1_300)
    const store = stores.open(scope('shop'))
    for (let i = 0; i < 10; i++) await store.set(`${i}`, bytes(1_000), 1_000)
    assert.equal(stores.statistics().entries, 10)
    await store.get('0')
    await store.set('new', bytes(1_000), 1_000)
    const there = await Promise.all([0, 1, 2].map(async (i) => (await store.get(`${i}`)) !== undefined))
    assert.deepEqual(there, [true, false, true])
    assert.equal(stores.statistics().evictions, 1)
  })

  it('make room for an owner at the cost of the one who has the most', async () => {
    const { stores } = started(20_000)
    const noisy = stores.open(scope('noisy'))
    const calm = stores.open(scope('calm'))
    for (let i = 0; i < 100; i++) await noisy.set(`${i}`, bytes(1_000), 1_000)
    for (let i = 0; i < 5; i++) await calm.set(`${i}`, bytes(1_000), 1_000)
    for (let i = 0; i < 100; i++) await noisy.set(`more ${i}`, bytes(1_000), 1_000)
    for (let i = 0; i < 5; i++) assert.notEqual(await calm.get(`${i}`), undefined)
  })

  it('say false where the new entry itself had to go', async () => {
    const { stores } = started(10_000)
    for (let i = 0; i < 9; i++) await stores.open(scope(`small ${i}`)).set('a', bytes(600), 1_000)
    const large = stores.open(scope('large'))
    assert.equal(await large.set('a', bytes(4_000), 1_000), false)
    assert.equal(await large.get('a'), undefined)
    assert.equal(stores.statistics().entries, 9)
  })

  it('count what is asked, found, forgotten before its time and refused', async () => {
    const { stores, time } = started(4_000)
    const store = stores.open(scope('shop'))
    await store.set('a', bytes(1_000), 100)
    await store.get('a')
    await store.get('b')
    time.now += 100
    await store.get('a')
    await store.set('too long', bytes(4_001), 100)
    for (let i = 0; i < 4; i++) await store.set(`${i}`, bytes(1_000), 100)
    const { hits, misses, refused, evictions } = stores.statistics()
    assert.deepEqual([hits, misses, refused, evictions], [1, 2, 1, 1])
  })

  it('behave as maps whose bytes are bounded, whatever is done to them', async () => {
    const owner = fc.constantFrom('a', 'b', 'c')
    const key = fc.constantFrom('1', '2', '3', '4', '5', '6')
    const step = fc.oneof(
      fc.record({ do: fc.constant('set' as const), owner, key, length: fc.nat(1_500), ttl: fc.nat(50) }),
      fc.record({ do: fc.constant('get' as const), owner, key }),
      fc.record({ do: fc.constant('delete' as const), owner, key }),
      fc.record({ do: fc.constant('pass' as const), time: fc.nat(20) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
        const { stores, time } = started(6_000)
        const model = new Map<string, { length: number; until: number }>()
        for (const at of steps) {
          if (at.do === 'pass') {
            time.now += at.time
            continue
          }
          const store = stores.open(scope(at.owner))
          const id = `${at.owner} ${at.key}`
          if (at.do === 'set') {
            const kept = await store.set(at.key, bytes(at.length), at.ttl)
            if (kept) model.set(id, { length: at.length, until: time.now + at.ttl })
            else model.delete(id)
          } else if (at.do === 'delete') {
            await store.delete(at.key)
            model.delete(id)
          } else {
            // It may have been forgotten, but is never older, or another.
            const found = await store.get(at.key)
            const expected = model.get(id)
            if (found !== undefined) assert.ok(expected !== undefined && expected.until > time.now)
            if (found !== undefined) assert.equal(found.length, expected!.length)
            if (found === undefined) model.delete(id)
          }
          const { bytes: held, entries } = stores.statistics()
          assert.ok(held >= 0 && held <= 6_000 && entries * 256 <= held, `${held} bytes of ${entries}`)
        }
        for (const one of ['a', 'b', 'c']) for (let i = 1; i <= 6; i++) await stores.open(scope(one)).delete(`${i}`)
        assert.deepEqual([stores.statistics().bytes, stores.statistics().entries], [0, 0])
      }),
    )
  })
})
