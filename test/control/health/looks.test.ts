import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Health } from '../../../src/control/health/health.ts'
import { EndpointTable, SLOT_STATE } from '../../../src/shared-memory/endpoint-table.ts'
import type { ActiveHealth, HealthConfig } from '../../../src/snapshot/health.ts'
import type { BackendConfig } from '../../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

/** Success rates are looked at each second, whatever is marked. */
const PASSIVE: HealthConfig['passive'] = {
  consecutiveFailures: 5,
  baseEjection: 30_000,
  maxEjectionPercent: 50,
  successRate: { belowMeanPercent: 0, minRequests: 100 },
}
const PROBED: ActiveHealth = {
  type: 'TCP',
  protocol: 'HTTP',
  path: '/',
  port: undefined,
  interval: 100,
  timeout: 50,
  jitterPercent: 0,
  healthyAfter: 1,
  unhealthyAfter: 1,
  codes: [],
  hostname: undefined,
  headers: [],
  bodyContains: '',
  grpcService: '',
}

/** What a change of one endpoint costs the control thread. */
describe('a change of an endpoint', () => {
  let time: VirtualTime
  let table: EndpointTable
  let sets: Map<string, EndpointRow[]>
  /** How often the endpoints of a Backend were gone through. */
  let counted: Map<string, number>
  let health: Health

  beforeEach(() => {
    time = new VirtualTime()
    table = new EndpointTable(EndpointTable.allocate(1, 4_096))
    sets = new Map()
    counted = new Map()
    health = new Health({
      table,
      time: time.keeper(),
      rows(backend) {
        counted.set(backend, (counted.get(backend) ?? 0) + 1)
        return sets.get(backend) ?? []
      },
      refuses: () => 'is refused by this test',
      random: () => 0.5,
      sockets: 4_096,
      events: { changed() {}, tell() {}, turned() {} },
    })
  })

  afterEach(() => health.stop())

  function serve(sizes: Readonly<Record<string, number>>, active?: ActiveHealth): void {
    let slot = 0
    const plans = new Map<string, BackendConfig>()
    for (const [id, size] of Object.entries(sizes)) {
      const rows: EndpointRow[] = []
      for (let i = 0; i < size; i++, slot++) {
        table.enlist(slot)
        rows.push({ address: `10.0.${i >> 8}.${i & 255}`, port: 80, slot, weight: 1, state: 'ready' })
      }
      sets.set(id, rows)
      plans.set(id, { id, health: { panicPercent: 30, passive: PASSIVE, active } } as BackendConfig)
    }
    health.usePlans(plans)
    counted.clear()
  }

  it('has its own Backend looked at, and no other', async () => {
    serve({ 'a/one': 4, 'b/two': 4, 'c/three': 4 })
    table.eject(5)
    table.faults.ejected(5, 503)
    table.faults.mark(5)
    await time.pass(300)
    assert.deepEqual([...counted], [['b/two', 1]])
    assert.equal(health.verdict(sets.get('b/two')![1]!).state, 'ejected')
    await time.pass(10_000)
    assert.deepEqual([...counted.keys()], ['b/two'], 'nobody is looked at where nothing changed')
  })

  it('is found where its Backend is looked at for the first time later', async () => {
    serve({ 'a/one': 2 })
    table.enlist(3)
    table.eject(3)
    table.faults.ejected(3, 503)
    table.faults.mark(3)
    await time.pass(300)
    serve({ 'a/one': 2, 'b/two': 4 })
    assert.match(health.verdict(sets.get('b/two')![1]!).reason, /status 503/)
  })

  it('costs no more in a large Backend of which all flap with every probe', async () => {
    const size = 2_000
    serve({ 'a/large': size }, PROBED)
    let turns = 0
    await time.pass(1_000, () => {
      for (const { slot } of sets.get('a/large')!) {
        if ((table.state(slot) & SLOT_STATE.unhealthy) === 0) continue
        // As if the next probe were good.
        table.mark(slot, SLOT_STATE.unhealthy, false)
        turns++
      }
    })
    assert.ok(turns > 2_000, `${turns} endpoints have turned`)
    assert.ok(counted.get('a/large')! <= 60, `the endpoints were counted ${counted.get('a/large')} times`)
  })

  it('ends in panic all the same, soon', async () => {
    serve({ 'a/large': 300 }, PROBED)
    await time.pass(300)
    assert.equal(health.report('a/large').panic, true)
    assert.equal(health.report('a/large').eligible, 300)
  })
})
