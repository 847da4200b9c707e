import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import { createBalancer } from '../../src/balance/create-balancer.ts'
import { countEligible, ejectWithin, updatePanic } from '../../src/balance/eligibility.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { EndpointTable, SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { seeded } from '../suite/balancer.ts'

type Condition = 'well' | 'unhealthy' | 'ejected' | 'both' | 'trial'

const CONDITIONS: readonly Condition[] = ['well', 'unhealthy', 'ejected', 'both', 'trial']
const BITS: Readonly<Record<Condition, number>> = {
  well: 0,
  unhealthy: SLOT_STATE.unhealthy,
  ejected: SLOT_STATE.ejected,
  both: SLOT_STATE.unhealthy | SLOT_STATE.ejected,
  trial: SLOT_STATE.trial,
}

class World {
  readonly table = new EndpointTable(EndpointTable.allocate(1, 64))
  readonly endpoints: Endpoint[] = []

  add(state: Endpoint['state'], condition: Condition): Endpoint {
    const slot = this.endpoints.length
    const address = `10.0.0.${slot}`
    const endpoint: Endpoint = { authority: `${address}:80`, address, port: 80, slot, weight: 1, state }
    this.table.enlist(slot)
    this.table.mark(slot, BITS[condition], true)
    this.endpoints.push(endpoint)
    return endpoint
  }

  /** Everything that is ever picked. */
  picked(): Set<Endpoint> {
    const balancer = createBalancer('Random', {
      gauge: this.table,
      random: seeded(7),
      topology: ALONE,
      now: () => 0,
      requests: () => 1,
    })
    balancer.update(this.endpoints)
    const picked = new Set<Endpoint>()
    for (let i = 0; i < 200; i++) {
      const one = balancer.pick(NO_KEY, null)
      if (one !== undefined) picked.add(one)
    }
    return picked
  }
}

/** The table of docs/health-checks.md, said once more and in other words than the code. */
function expected(endpoints: readonly Endpoint[], of: (one: Endpoint) => Condition, panicPercent: number): Endpoint[] {
  const ready = endpoints.filter(({ state }) => state === 'ready')
  const draining = endpoints.filter(({ state }) => state === 'draining')
  const well = (list: readonly Endpoint[]) => list.filter((one) => of(one) === 'well')
  const all = ready.length > 0 ? ready : draining
  const good = well(ready).length > 0 ? well(ready) : well(draining)
  if (good.length / all.length < panicPercent / 100) return all
  const usable = (list: readonly Endpoint[]) => list.filter((one) => of(one) === 'well' || of(one) === 'trial')
  return usable(ready).length > 0 ? usable(ready) : usable(draining)
}

describe('which endpoints of a Backend are taken', () => {
  it('follows the table for every combination of up to three endpoints', () => {
    const kinds = (['ready', 'draining'] as const).flatMap((state) =>
      CONDITIONS.map((condition) => ({ state, condition })),
    )
    let cases = 0
    for (const panicPercent of [0, 30, 50, 100])
      for (const first of kinds)
        for (const second of [...kinds, undefined])
          for (const third of second === undefined ? [undefined] : [...kinds, undefined]) {
            const world = new World()
            const conditions = new Map<Endpoint, Condition>()
            for (const kind of [first, second, third])
              if (kind !== undefined) conditions.set(world.add(kind.state, kind.condition), kind.condition)
            updatePanic(world.table, world.endpoints, panicPercent)
            const wanted = expected(world.endpoints, (one) => conditions.get(one)!, panicPercent)
            const text = `${panicPercent} % ${[first, second, third].map((one) => one && `${one.state} ${one.condition}`)}`
            assert.deepEqual(world.picked(), new Set(wanted), text)
            assert.equal(countEligible(world.table, world.endpoints).eligible, wanted.length, text)
            cases++
          }
    assert.equal(cases, 4 * 10 * (1 + 10 * 11))
  })

  it('takes an endpoint that left the set in no case, not even in panic', () => {
    const world = new World()
    const gone = world.add('ready', 'well')
    world.add('ready', 'ejected')
    world.table.retire(gone.slot)
    updatePanic(world.table, world.endpoints, 100)
    assert.equal(world.picked().has(gone), false)
  })

  it('ends panic as soon as enough are well', () => {
    const world = new World()
    const [one, other] = [world.add('ready', 'unhealthy'), world.add('ready', 'unhealthy')]
    assert.equal(updatePanic(world.table, world.endpoints, 30), true)
    assert.equal(world.picked().size, 2)
    world.table.mark(one.slot, SLOT_STATE.unhealthy, false)
    assert.equal(updatePanic(world.table, world.endpoints, 30), false)
    assert.deepEqual(world.picked(), new Set([one]))
    assert.equal(world.table.eligible(other.slot), false)
  })

  it('takes one endpoint out of all workers at once', () => {
    const buffers = EndpointTable.allocate(2, 64)
    const [here, there] = [new EndpointTable(buffers), new EndpointTable(buffers)]
    here.enlist(3)
    assert.equal(there.eligible(3), true)
    here.mark(3, SLOT_STATE.unhealthy, true)
    assert.equal(there.eligible(3), false)
  })
})

describe('the cap of ejections', () => {
  it('is never exceeded, rounded down', () => {
    for (let count = 1; count <= 12; count++)
      for (const percent of [0, 1, 33, 50, 99, 100]) {
        const world = new World()
        for (let i = 0; i < count; i++) world.add('ready', 'well')
        const ejected = world.endpoints.filter(({ slot }) =>
          ejectWithin(world.table, world.endpoints, slot, percent, 503),
        )
        assert.equal(ejected.length, Math.floor((count * percent) / 100), `${percent} % of ${count}`)
      }
  })

  it('counts endpoints on trial, which are not known to be well', () => {
    const world = new World()
    const one = world.add('ready', 'trial')
    const other = world.add('ready', 'well')
    assert.equal(ejectWithin(world.table, world.endpoints, other.slot, 50, 503), false)
    world.table.restore(one.slot)
    assert.equal(ejectWithin(world.table, world.endpoints, other.slot, 50, 503), true)
  })

  it('gives a trial to one request of all workers', () => {
    const buffers = EndpointTable.allocate(2, 64)
    const [here, there] = [new EndpointTable(buffers), new EndpointTable(buffers)]
    here.enlist(0)
    assert.ok(here.eject(0))
    assert.equal(there.eligible(0), false)
    here.offerTrial(0)
    assert.equal(there.eligible(0), true)
    assert.deepEqual([there.takeTrial(0), here.takeTrial(0)], [true, false])
    assert.equal(here.eligible(0), false, 'others wait for what the trial brings')
  })

  it('lets an ejection end with the readiness that brings the endpoint back', () => {
    const table = new EndpointTable(EndpointTable.allocate(1, 64))
    table.enlist(0)
    table.mark(0, SLOT_STATE.unhealthy, true)
    table.eject(0)
    table.faults.ejected(0, 503)
    table.enlist(0)
    assert.notEqual(table.state(0) & SLOT_STATE.ejected, 0, 'a reload changes nothing')
    table.retire(0)
    table.enlist(0)
    assert.equal(table.state(0), SLOT_STATE.live | SLOT_STATE.unhealthy)
    assert.equal(table.faults.ejections(0), 0)
  })
})
