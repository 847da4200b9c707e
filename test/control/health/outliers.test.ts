import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { Endpoint } from '../../../src/balance/endpoint.ts'
import { Health } from '../../../src/control/health/health.ts'
import { WINDOW } from '../../../src/control/health/outliers.ts'
import type { AttemptObserver, AttemptOutcome } from '../../../src/exchange/attempt-observer.ts'
import type { LinkedBackend } from '../../../src/link/linked-tables.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import type { HealthConfig } from '../../../src/snapshot/health.ts'
import type { BackendConfig } from '../../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'
import { PassiveHealth } from '../../../src/worker/passive-health.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const ID = 'shop/api'
const BASE = 30_000

describe('ejection by the success rate', () => {
  let time: VirtualTime
  let table: EndpointTable
  let health: Health
  let rows: EndpointRow[]
  let config: HealthConfig
  let told: string[]
  let workers: PassiveHealth[]

  beforeEach(() => {
    time = new VirtualTime()
    table = new EndpointTable(EndpointTable.allocate(2, 64))
    rows = []
    for (let slot = 0; slot < 5; slot++) {
      table.enlist(slot)
      rows.push({ address: `10.0.0.${slot}`, port: 80, slot, weight: 1, state: 'ready' })
    }
    config = {
      panicPercent: 0,
      passive: {
        consecutiveFailures: 0,
        baseEjection: BASE,
        maxEjectionPercent: 50,
        successRate: { belowMeanPercent: 20, minRequests: 100 },
      },
      active: undefined,
    }
    told = []
    health = new Health({
      table,
      time: time.keeper(),
      rows: () => rows,
      refuses: () => undefined,
      random: () => 0.5,
      sockets: 4,
      events: { changed() {}, tell() {}, turned: (_, { message }) => told.push(message) },
    })
    use()
    const end: AttemptObserver = { attemptStarted() {}, attemptEnded() {} }
    workers = [0, 1].map(() => new PassiveHealth(table, time, end))
  })

  afterEach(() => health.stop())

  function use(): void {
    health.usePlans(new Map([[ID, { id: ID, health: config } as BackendConfig]]))
  }

  /** Requests in turn by both workers, of which every n-th fails. */
  function ask(slot: number, requests: number, everyNth: number): void {
    const endpoint = { ...rows[slot]!, authority: rows[slot]!.address } as Endpoint
    const backend = { id: ID, plan: { id: ID, health: config }, endpoints: rows } as unknown as LinkedBackend
    for (let i = 1; i <= requests; i++) {
      const worker = workers[i % 2]!
      worker.admits(backend, endpoint)
      worker.attemptStarted(backend, endpoint)
      const status = i % everyNth === 0 ? 500 : 200
      const outcome = {
        backend,
        endpoint,
        failure: null,
        status,
        unanswered: false,
        startedAt: time.now,
        grpcStatus: -1,
      }
      worker.attemptEnded(outcome as AttemptOutcome)
    }
  }

  /** The first window begins within one. */
  async function begin(): Promise<void> {
    await time.pass(WINDOW)
  }

  it('meets an endpoint of which each third request fails, never many in a row, and says why', async () => {
    await begin()
    for (const { slot } of rows) ask(slot, 150, slot === 2 ? 3 : 1_000)
    await time.pass(WINDOW)
    assert.deepEqual(
      rows.map(({ slot }) => table.eligible(slot)),
      [true, true, false, true, true],
    )
    const { state, reason } = health.verdict(rows[2]!)
    assert.equal(state, 'ejected')
    assert.equal(reason, '33 % of its requests failed, and 0 % of those to the other endpoints')
    assert.match(told[0]!, /endpoint 10\.0\.0\.2:80 is ejected for 30 s: 33 % of its requests failed/)
  })

  it('does not wait for the end of the window where there is enough to tell', async () => {
    for (const { slot } of rows) ask(slot, 150, slot === 2 ? 3 : 1_000)
    await time.pass(2_000)
    assert.equal(table.eligible(2), false)
  })

  it('counts what an endpoint was ejected for once, also where its trial goes well within the window', async () => {
    config = { ...config, passive: { ...config.passive, baseEjection: 1_000 } }
    use()
    for (const { slot } of rows) ask(slot, 150, slot === 2 ? 3 : 1_000)
    await time.pass(2_000)
    assert.equal(table.faults.ejections(2), 1)
    await time.pass(1_200)
    assert.equal(table.eligible(2), true)
    ask(2, 1, 1_000)
    await time.pass(2_000)
    assert.equal(table.eligible(2), true)
    assert.equal(health.verdict(rows[2]!).state, 'eligible')
  })

  it('ends by a trial, and is longer the next time', async () => {
    await begin()
    for (const round of [1, 2]) {
      for (const { slot } of rows) ask(slot, 150, slot === 2 ? 3 : 1_000)
      for (let step = 0; step < WINDOW / 100 && table.eligible(2); step++) await time.pass(100)
      assert.equal(table.eligible(2), false)
      await time.pass(round * BASE - 500)
      assert.equal(table.eligible(2), false, `round ${round}`)
      await time.pass(1_000)
      assert.equal(table.eligible(2), true, `round ${round}`)
      ask(2, 1, 1_000)
    }
    assert.equal(table.faults.ejections(2), 2)
  })

  it('keeps to the cap, the worst first', async () => {
    await begin()
    for (const [slot, everyNth] of [1_000, 3, 1_000, 2, 2].entries()) ask(slot, 200, everyNth)
    for (const slot of [0, 2]) ask(slot, 800, 1_000)
    await time.pass(WINDOW)
    assert.deepEqual(
      rows.map(({ slot }) => table.eligible(slot)),
      [true, true, true, false, false],
    )
  })

  it('counts nothing of a window in the next one', async () => {
    await begin()
    ask(2, 60, 2)
    for (const slot of [0, 1]) ask(slot, 500, 1_000)
    await time.pass(WINDOW)
    ask(2, 60, 2)
    for (const slot of [0, 1]) ask(slot, 500, 1_000)
    await time.pass(WINDOW)
    assert.equal(table.eligible(2), true, 'sixty requests are too few, twice')
    ask(2, 60, 2)
    await time.pass(1_000)
    assert.equal(table.eligible(2), true)
  })

  it('is off where the field is 0', async () => {
    config = { ...config, passive: { ...config.passive, successRate: { belowMeanPercent: 0, minRequests: 100 } } }
    use()
    await begin()
    for (const { slot } of rows) ask(slot, 150, slot === 2 ? 1 : 1_000)
    await time.pass(2 * WINDOW)
    assert.equal(table.eligible(2), true)
    assert.equal(table.faults.requests(2), 0)
  })
})
