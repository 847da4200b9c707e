import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { ConsistentHash } from '../../src/balance/consistent-hash.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { hashKey } from '../../src/lib/hash.ts'
import { Bench, balancerSuite } from '../suite/balancer.ts'

balancerSuite('ConsistentHash')

/** Nothing is in flight, so that no key moves on for load. */
class Idle extends Bench {
  override requests(): number {
    return Number.POSITIVE_INFINITY
  }
}

const KEYS = Array.from({ length: 4_000 }, (_, i) => hashKey(`user-${i}`))

function owners(balancer: ConsistentHash, keys = KEYS): Endpoint[] {
  return keys.map((key) => balancer.pick(key, null)!)
}

function hashed(bench: Bench, endpoints: readonly Endpoint[]): ConsistentHash {
  const balancer = new ConsistentHash(bench)
  balancer.update(endpoints)
  return balancer
}

describe('consistent hash', () => {
  it('sends a key to the same endpoint, whatever the order of the list and the history of the replica', () => {
    const bench = new Idle()
    const endpoints = bench.endpoints(...Array.from({ length: 20 }, () => 1))
    const expected = owners(hashed(bench, endpoints))
    const other = hashed(bench, endpoints.slice(7))
    other.update([...endpoints].reverse().slice(3))
    other.update([...endpoints].reverse())
    assert.deepEqual(owners(other), expected)
  })

  for (const count of [2, 3, 10, 100, 1_000])
    it(`shares keys evenly among ${count} equal endpoints`, () => {
      const bench = new Idle()
      const balancer = hashed(bench, bench.endpoints(...Array.from({ length: count }, () => 1)))
      const counts = new Map<Endpoint, number>()
      const keys = 400 * count
      for (let i = 0; i < keys; i++) {
        const endpoint = balancer.pick(hashKey(`k${i}`), null)!
        counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
      }
      assert.equal(counts.size, count)
      const most = Math.max(...counts.values()) / 400
      const least = Math.min(...counts.values()) / 400
      // Of 400 keys each, 4 standard deviations of pure chance are 20 % already.
      assert.ok(most < 1.35 && least > 0.65, `${most}, ${least}`)
    })

  it('shares keys by weight', () => {
    const bench = new Idle()
    const endpoints = bench.endpoints(1, 2, 3, 4, 40, 1, 1, 1, 1, 1)
    const balancer = hashed(bench, endpoints)
    const total = endpoints.reduce((sum, { weight }) => sum + weight, 0)
    const counts = new Map<Endpoint, number>()
    for (let i = 0; i < 40_000; i++) {
      const endpoint = balancer.pick(hashKey(`k${i}`), null)!
      counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1)
    }
    for (const endpoint of endpoints) {
      const share = counts.get(endpoint)! / 40_000 / (endpoint.weight / total)
      assert.ok(share > 0.7 && share < 1.4, `weight ${endpoint.weight}: ${share} of its share`)
    }
  })

  it('moves on removal only the keys of what was removed, and on addition only keys to what was added', () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 60 }), fc.nat(), (count, which) => {
        const bench = new Idle()
        const endpoints = bench.endpoints(...Array.from({ length: count }, () => 1))
        const removed = endpoints[which % count]!
        const balancer = hashed(bench, endpoints)
        const before = owners(balancer)
        balancer.update(endpoints.filter((endpoint) => endpoint !== removed))
        const without = owners(balancer)
        for (const [i, owner] of before.entries()) if (owner !== removed) assert.equal(without[i], owner)
        balancer.update(endpoints)
        assert.deepEqual(owners(balancer), before)
      }),
      { numRuns: 30 },
    )
  })

  it('moves only the keys of an endpoint that is withdrawn, draining or was tried', () => {
    const bench = new Idle()
    const endpoints = bench.endpoints(...Array.from({ length: 30 }, () => 1))
    const balancer = hashed(bench, endpoints)
    const before = owners(balancer)
    const gone = endpoints[4]!
    const check = () => {
      for (const [i, owner] of owners(balancer).entries())
        if (before[i] !== gone) assert.equal(owner, before[i])
        else assert.notEqual(owner, gone)
    }
    bench.down.add(gone.slot)
    check()
    bench.down.delete(gone.slot)
    gone.state = 'draining'
    check()
    gone.state = 'ready'
    assert.deepEqual(owners(balancer), before)
    for (const [i, key] of KEYS.entries()) {
      const owner = balancer.pick(key, [gone])
      if (before[i] === gone) assert.notEqual(owner, gone)
      else assert.equal(owner, before[i])
    }
  })

  it('bounds the load of each endpoint by its share and a quarter, though every key is the same', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    const balancer = hashed(bench, endpoints)
    const first = balancer.pick(hashKey('one'), null)!
    for (let i = 0; i < 1_000; i++) {
      const { slot } = balancer.pick(hashKey('one'), null)!
      bench.load.set(slot, bench.inFlight(slot) + 1)
    }
    assert.equal(bench.inFlight(first.slot), 125)
    assert.ok(Math.max(...bench.load.values()) <= 125)
  })

  it('keeps the bound of what is left when half is withdrawn', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(...Array.from({ length: 200 }, () => 1))
    for (const { slot } of endpoints.slice(0, 100)) bench.down.add(slot)
    const balancer = hashed(bench, endpoints)
    let moved = 0
    for (let i = 0; i < 4_000; i++) {
      const { slot } = balancer.pick(KEYS[i]!, null)!
      bench.load.set(slot, bench.inFlight(slot) + 1)
    }
    const max = Math.max(...bench.load.values())
    assert.ok(max <= 75, `${max}: the mean is 40`)
    for (const [i, key] of KEYS.entries()) if (balancer.pick(key, null) !== balancer.pick(KEYS[i]!, null)) moved++
    assert.equal(moved, 0)
  })

  it('chooses by load where there is no key', () => {
    const bench = new Bench()
    const [busy, idle] = bench.endpoints(1, 1)
    bench.load.set(busy!.slot, 5)
    const balancer = hashed(bench, [busy!, idle!])
    for (let i = 0; i < 50; i++) assert.equal(balancer.pick(NO_KEY, null), idle)
  })
})
