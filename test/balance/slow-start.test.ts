import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { Bench, tally } from '../suite/balancer.ts'

const ALGORITHMS = ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random'] as const

describe('slow start', () => {
  for (const algorithm of ALGORITHMS)
    it(`lets the share of a new endpoint grow under ${algorithm}`, () => {
      const bench = new Bench()
      const endpoints = bench.endpoints(1, 1, 1, 1)
      const fresh = endpoints[2]!
      const balancer = createBalancer(algorithm, bench, 30_000)
      balancer.update(endpoints)
      const shareAt = (age: number) => {
        bench.ages.set(fresh.slot, age)
        return (tally(balancer, 8_000).get(fresh) ?? 0) / 8_000
      }
      const [begin, half, end] = [shareAt(0), shareAt(15_000), shareAt(30_000)]
      assert.ok(begin > 0.01 && begin < 0.06, `${begin}`)
      assert.ok(half > 0.1 && half < 0.2, `${half}`)
      assert.ok(end > 0.21 && end < 0.29, `${end}`)
    })

  it('shares alike where all are new, and takes the only one there is', () => {
    const bench = new Bench()
    const endpoints = bench.endpoints(1, 1, 1, 1)
    for (const { slot } of endpoints) bench.ages.set(slot, 0)
    const balancer = createBalancer('LeastRequest', bench, 30_000)
    balancer.update(endpoints)
    for (const count of tally(balancer, 4_000).values()) assert.ok(Math.abs(count - 1_000) < 200, `${count}`)
    for (const { slot } of endpoints.slice(1)) bench.down.add(slot)
    assert.equal(balancer.pick(NO_KEY, null), endpoints[0])
  })

  it('is over for weeks and years, beside an endpoint that is a little younger', () => {
    const table = new EndpointTable(EndpointTable.allocate(1, 16))
    const bench = Object.assign(new Bench(), { age: (slot: number, now: number) => table.age(slot, now) })
    const endpoints = bench.endpoints(1, 1, 1, 1)
    const balancer = createBalancer('RoundRobin', bench, 30_000)
    balancer.update(endpoints)
    for (const { slot } of endpoints.slice(0, 3)) table.enlist(slot, 1_000)
    for (const days of [20, 25, 30, 49, 50, 400]) {
      bench.time = 1_000 + days * 86_400_000
      table.retire(endpoints[3]!.slot)
      table.enlist(endpoints[3]!.slot, bench.time - 60_000)
      for (const count of tally(balancer, 4_000).values())
        assert.ok(Math.abs(count - 1_000) < 200, `${count} of 4000 after ${days} days`)
    }
  })

  it('begins when an endpoint is put into use, again when it comes back, and not while it stays', () => {
    const table = new EndpointTable(EndpointTable.allocate(1, 16))
    table.enlist(3, 1_000)
    assert.equal(table.age(3, 1_500), 500)
    table.enlist(3, 2_000)
    assert.equal(table.age(3, 2_500), 1_500)
    table.retire(3)
    table.enlist(3, 5_000)
    assert.equal(table.age(3, 5_100), 100)
    assert.equal(table.age(4, 5_100), Number.POSITIVE_INFINITY)
  })
})
