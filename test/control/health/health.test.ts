import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import type { Endpoint } from '../../../src/balance/endpoint.ts'
import { Health } from '../../../src/control/health/health.ts'
import type { AttemptObserver, AttemptOutcome } from '../../../src/exchange/attempt-observer.ts'
import type { Reason } from '../../../src/lib/reason.ts'
import type { LinkedBackend } from '../../../src/link/linked-tables.ts'
import { EndpointTable, SLOT_STATE } from '../../../src/shared-memory/endpoint-table.ts'
import type { HealthConfig } from '../../../src/snapshot/health.ts'
import type { BackendConfig } from '../../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'
import { PassiveHealth } from '../../../src/worker/passive-health.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const ID = 'shop/api'
const BASE = 30_000
/** Longer than what control looks for marks in. */
const LOOK = 250

describe('ejections', () => {
  let time: VirtualTime
  let table: EndpointTable
  let config: HealthConfig
  let endpoints: Endpoint[]
  let rows: EndpointRow[]
  let health: Health
  let workers: AttemptObserver[]
  let changed: string[]
  let told: string[]

  beforeEach(() => {
    time = new VirtualTime()
    table = new EndpointTable(EndpointTable.allocate(2, 64))
    config = {
      panicPercent: 30,
      passive: {
        consecutiveFailures: 5,
        baseEjection: BASE,
        maxEjectionPercent: 50,
        successRate: { belowMeanPercent: 20, minRequests: 100 },
      },
      active: undefined,
    }
    endpoints = []
    rows = []
    for (let slot = 0; slot < 4; slot++) {
      const address = `10.0.0.${slot}`
      endpoints.push({ authority: `${address}:80`, address, port: 80, slot, weight: 1, state: 'ready' })
      rows.push({ address, port: 80, slot, weight: 1, state: 'ready' })
      table.enlist(slot)
    }
    changed = []
    told = []
    health = makeHealth()
    const end: AttemptObserver = { attemptStarted() {}, attemptEnded() {} }
    workers = [0, 1].map(() => new PassiveHealth(table, time, end))
  })

  function makeHealth(): Health {
    const made = new Health({
      table,
      time: time.keeper(),
      rows: () => rows,
      refuses: () => undefined,
      random: () => 0.5,
      sockets: 4,
      events: {
        changed: (id) => changed.push(id),
        tell: (_, message) => told.push(message),
        turned: (_, { message }) => told.push(message),
      },
    })
    made.usePlans(plans())
    return made
  }

  function plans(): Map<string, BackendConfig> {
    return new Map([[ID, plan()]])
  }

  function plan(): BackendConfig {
    return { id: ID, health: config } as BackendConfig
  }

  function backend(): LinkedBackend {
    return { id: ID, plan: plan(), endpoints } as unknown as LinkedBackend
  }

  /** One attempt, from its start to its end. */
  function attempt(slot: number, what: number | Reason, worker = 0, unanswered = false): void {
    begin(slot, worker)(what, unanswered)
  }

  function begin(slot: number, worker = 0): (what: number | Reason, unanswered?: boolean, reused?: boolean) => void {
    const to = backend()
    const endpoint = endpoints[slot]!
    const startedAt = time.now
    workers[worker]!.admits?.(to, endpoint)
    workers[worker]!.attemptStarted(to, endpoint)
    return (what, unanswered = false, reused = false) => {
      const [failure, status] = typeof what === 'number' ? [null, what] : [what, 0]
      const outcome = { backend: to, endpoint, failure, status, unanswered, startedAt, reused } as AttemptOutcome
      workers[worker]!.attemptEnded(outcome)
    }
  }

  function ejected(slot: number): boolean {
    return (table.state(slot) & SLOT_STATE.ejected) !== 0
  }

  function fail(slot: number, times = 5, what: number | Reason = 503): void {
    for (let i = 0; i < times; i++) attempt(slot, what, i % 2)
  }

  for (const what of [500, 502, 503, 504, 'ConnectFailure', 'ConnectTimeout', 'ResetBeforeResponse'] as const)
    it(`follow five failures in a row over all workers: ${what}`, () => {
      fail(0, 4, what)
      assert.equal(ejected(0), false)
      fail(0, 1, what)
      assert.equal(ejected(0), true)
      assert.equal(table.eligible(0), false)
    })

  for (const what of [200, 404, 429, 501, 505, 'ClientGone', 'BodyTooLarge', 'RequestTimeout', 'Overloaded'] as const)
    it(`do not follow ${what}`, () => {
      fail(0, 50, what)
      assert.equal(ejected(0), false)
    })

  it('follow a timeout only where the endpoint had all of the request', () => {
    for (const what of ['ResponseHeadTimeout', 'RequestTimeout', 'IdleTimeout'] as const)
      for (let i = 0; i < 9; i++) attempt(0, what, 0, false)
    assert.equal(ejected(0), false, 'a client that sends slowly must not have an endpoint ejected')
    for (let i = 0; i < 5; i++) attempt(0, 'RequestTimeout', 0, true)
    assert.equal(ejected(0), true)
  })

  it('do not follow failures with a success of any worker between them', () => {
    for (let i = 0; i < 20; i++) {
      fail(0, 4)
      attempt(0, 200, i % 2)
    }
    assert.equal(ejected(0), false)
  })

  it('keep to the share, and say why', async () => {
    for (const slot of [0, 1, 2, 3]) fail(slot, 20)
    assert.deepEqual([0, 1, 2, 3].map(ejected), [true, true, false, false])
    await time.pass(LOOK)
    assert.match(health.verdict(rows[0]!).reason, /5 requests in a row failed, the last one with: status 503/)
    assert.ok(changed.includes(ID))
    assert.equal(told.length, 2)
    assert.match(told[0]!, /endpoint 10\.0\.0\.0:80 is ejected for 30 s/)
    assert.deepEqual(health.report(ID).eligible, 2)
    assert.equal(health.report(ID).out?.length, 2)
  })

  it('are told of one that may not be ejected, and splits with priorities learn when it begins and ends', async () => {
    for (const slot of [0, 1]) fail(slot)
    const before = table.changes
    fail(2, 4)
    assert.equal(table.changes, before)
    fail(2, 1)
    assert.notEqual(table.changes, before)
    fail(2, 100)
    assert.ok(table.faults.inARow(2) >= 5)
    const { usable, state, reason } = health.verdict(rows[2]!, ID)
    assert.deepEqual([usable, state], [true, 'eligible'])
    assert.match(reason, /too many would be ejected/)
    assert.equal(health.verdict(rows[3]!, ID).reason, '')
    const failing = table.changes
    attempt(2, 200)
    assert.equal(table.changes, failing + 1)
    assert.deepEqual([health.verdict(rows[2]!, ID).reason, table.faults.inARow(2)], ['', 0])
    attempt(2, 200)
    assert.equal(table.changes, failing + 1)
  })

  it('end with one trial request, and a flood waits for its outcome', async () => {
    fail(0)
    await time.pass(BASE - LOOK)
    assert.equal(table.eligible(0), false)
    await time.pass(3 * LOOK)
    assert.equal(table.eligible(0), true)
    const finish = begin(0)
    assert.equal(table.eligible(0), false, 'the trial is under way')
    finish(200)
    assert.equal(table.eligible(0), true)
    await time.pass(LOOK)
    assert.equal(health.verdict(rows[0]!).state, 'eligible')
    assert.ok(told.some((text) => /takes requests again/.test(text)))
  })

  it('grow with each trial that fails, and shrink again with time', async () => {
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    for (const round of [2, 3]) {
      attempt(0, 'ConnectFailure')
      assert.equal(ejected(0), true)
      await time.pass(round * BASE - LOOK)
      assert.equal(table.eligible(0), false, `round ${round}`)
      await time.pass(3 * LOOK)
      assert.equal(table.eligible(0), true, `round ${round}`)
    }
    assert.match(health.verdict(rows[0]!).reason, /its trial failed: the upstream could not be connected/)
    attempt(0, 200)
    await time.pass(3 * BASE + 4 * LOOK)
    assert.equal(table.faults.ejections(0), 0)
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    assert.equal(table.eligible(0), true, 'the first period again')
  })

  it('do not end by a success that began before', async () => {
    const long = begin(0)
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    const trial = begin(0)
    long(200)
    assert.equal(ejected(0), true)
    trial(503)
    assert.equal(ejected(0), true)
  })

  it('offer another trial when one brought nothing, or its worker died', async () => {
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    begin(0)('ClientGone')
    assert.equal(table.eligible(0), true, 'the client went away')
    begin(0)
    assert.equal(table.eligible(0), false)
    await time.pass(BASE + 2 * LOOK)
    assert.equal(table.eligible(0), true, 'nobody ever ended the trial')
  })

  it('end without a trial where no request comes, unless probes fail', async () => {
    fail(0)
    fail(1)
    table.mark(1, SLOT_STATE.unhealthy, true)
    table.mark(2, SLOT_STATE.unhealthy, true)
    await time.pass(BASE + 2 * LOOK)
    assert.equal(health.report(ID).panic, true)
    await time.pass(BASE + 2 * LOOK)
    assert.deepEqual(
      rows.map((row) => health.verdict(row, ID).state),
      ['eligible', 'ejected', 'unhealthy', 'eligible'],
    )
    assert.equal(health.report(ID).panic, false)
    assert.ok(told.some((text) => /no request has come that could be its trial/.test(text)))
    assert.equal(table.faults.ejections(0), 1, 'it is known for what it did: the next ejection is longer')
    table.mark(1, SLOT_STATE.unhealthy, false)
    await time.pass(BASE + 2 * LOOK)
    assert.equal(health.verdict(rows[1]!).state, 'eligible')
  })

  it('begin the slow start of the endpoint anew, and let its trial come soon whatever was learned of it', async () => {
    await time.pass(1_000)
    for (let i = 0; i < 9; i++) table.latency.observe(0, 20_000, true, time.now)
    fail(0)
    await time.pass(BASE - LOOK)
    assert.ok(table.cost(0, time.now) > 100)
    await time.pass(3 * LOOK)
    assert.equal(table.cost(0, time.now), 0, 'nothing is known: PeakEWMA tries it next, once')
    assert.ok(table.age(0, time.now) > BASE)
    attempt(0, 200)
    await time.pass(LOOK)
    assert.equal(table.age(0, time.now), LOOK)
  })

  it('have one trial in all workers: who picked the endpoint too is sent on, but in panic', async () => {
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    const admitted = () => workers.map((worker) => worker.admits!(backend(), endpoints[0]!))
    assert.deepEqual(admitted(), [true, false])
    assert.deepEqual(admitted(), [false, false], 'and it stays the only one until it has ended')
    table.mark(0, SLOT_STATE.panic, true)
    assert.deepEqual(admitted(), [true, true])
  })

  it('are not repeated by a kept connection that the server closed meanwhile', async () => {
    fail(0)
    await time.pass(BASE + 2 * LOOK)
    begin(0)('ResetBeforeResponse', false, true)
    assert.equal(ejected(0), false)
    assert.equal(table.eligible(0), true, 'the trial is open again')
    begin(0)('ResetBeforeResponse', false, false)
    assert.equal(ejected(0), true)
    assert.equal(table.faults.ejections(0), 2)
  })

  it('outlive the control thread, every worker and every reload', async () => {
    fail(0)
    await time.pass(LOOK)
    health.stop()
    table.clearWorker(0)
    table.clearWorker(1)
    health = makeHealth()
    config = { ...config, panicPercent: 20 }
    health.usePlans(plans())
    rows = rows.toReversed()
    health.endpointsChanged(ID)
    assert.equal(ejected(0), true)
    await time.pass(BASE + 2 * LOOK)
    attempt(0, 200)
    assert.equal(table.eligible(0), true)
  })

  it('end where the Backend has no passive checks any more', () => {
    fail(0)
    config = { ...config, passive: { ...config.passive, consecutiveFailures: 0 } }
    health.usePlans(plans())
    assert.equal(table.eligible(0), false, 'success rates are a passive check, too')
    const off = { belowMeanPercent: 0, minRequests: 100 }
    config = { ...config, passive: { ...config.passive, successRate: off } }
    health.usePlans(plans())
    assert.equal(table.eligible(0), true)
    fail(0, 50)
    assert.equal(table.eligible(0), true)
  })

  it('end in panic where too few are left, and the panic ends with them', async () => {
    config = { ...config, panicPercent: 60 }
    health.usePlans(plans())
    fail(0)
    assert.equal(table.eligible(0), false)
    fail(1)
    assert.equal(table.eligible(0) && table.eligible(1), true)
    await time.pass(LOOK)
    assert.equal(health.report(ID).panic, true)
    assert.match(health.verdict(rows[0]!).reason, /used all the same/)
    await time.pass(BASE + LOOK)
    attempt(0, 200)
    attempt(1, 200)
    await time.pass(LOOK)
    assert.equal(health.report(ID).panic, false)
    assert.ok(told.some((text) => /\(panic\)/.test(text)))
  })
})
