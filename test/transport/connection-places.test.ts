/** One Backend in several workers: who gets the places for connections, and when. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import {
  ConnectionPlaces,
  HANDOVER,
  LOOK,
  PATIENCE,
  type PlacesContext,
} from '../../src/transport/connection-places.ts'
import { EndpointPool, type PoolContext } from '../../src/transport/pool.ts'
import { Timers } from '../../src/transport/timers.ts'
import { MemoryConnector } from '../lib/memory/upstream.ts'
import { settle, VirtualTime } from '../lib/virtual-time.ts'
import { Asked, OPTIONS, openRequest } from '../suite/pool-world.ts'
import type { UpstreamScript } from '../suite/transport-rig.ts'

const SLOT = 3
const ECHO: UpstreamScript = (request) => void request.body().then((body) => request.respond(200, body))

/** Workers that share one table, and their upstreams. */
class Site {
  readonly time = new VirtualTime()
  readonly table: EndpointTable
  readonly connector: MemoryConnector
  readonly workers: TestWorker[]
  maxConnections = 1
  maxPending = 1_000
  slot = SLOT
  readonly offset: number

  constructor(workers: number, more: { capacity?: number; slot?: number; offset?: number } = {}) {
    this.slot = more.slot ?? SLOT
    // 32 bits wrap within the tests, as they do when a machine has been up for 25 days.
    this.offset = more.offset ?? 2 ** 31 - 300
    this.table = new EndpointTable(EndpointTable.allocate(workers, 8))
    const ports = Array.from({ length: 20 }, (_, port) => [port, ECHO] as const)
    this.connector = new MemoryConnector(new Map(ports), more.capacity ?? 1)
    this.workers = Array.from({ length: workers }, (_, index) => new TestWorker(this, index))
  }

  get open(): number {
    return this.connector.open.size
  }

  get counted(): readonly [connections: number, pending: number] {
    return [this.table.connections.sum(SLOT), this.table.pending.sum(SLOT)]
  }

  /** Whatever follows at once has happened: bells are heard, and no time has passed. */
  async settled(): Promise<void> {
    for (let i = 0; i < 5; i++) {
      await settle()
      for (const worker of this.workers) worker.hear()
    }
  }
}

class TestWorker implements PoolContext, PlacesContext {
  readonly #site: Site
  readonly worker: number
  readonly timers: Timers
  readonly table: EndpointTable
  readonly places: ConnectionPlaces
  readonly limits = { head: 10_000, headers: 100, uri: 0 }
  readonly pools = new Map<number, EndpointPool>()
  hangs = false
  allowed = true
  overdrawn = false
  searches = 0
  readonly share = { take: () => !this.overdrawn, give() {} }

  constructor(site: Site, worker: number) {
    this.#site = site
    this.worker = worker
    this.table = site.table
    this.timers = new Timers(site.time.keeper(site.offset))
    this.places = new ConnectionPlaces(site.slot, this)
  }

  get maxConnections(): number {
    return this.#site.maxConnections
  }
  get maxPending(): number {
    return this.#site.maxPending
  }
  mayDial(): boolean {
    return this.allowed
  }
  connectionOpened(): void {}
  connectionFailed(): void {}
  connectionClosed(): void {}
  dropIdle(): boolean {
    this.searches++
    for (const pool of this.pools.values()) if (pool.dropIdle()) return true
    return false
  }

  hear(): void {
    if (this.hangs) return
    this.timers.touch()
    this.table.bells.answer(this.worker, (slot) => {
      if (slot === SLOT) this.places.answer()
    })
  }

  pool(port: number): EndpointPool {
    let pool = this.pools.get(port)
    if (pool === undefined) {
      const endpoint = { address: '127.0.0.1', port, authority: `127.0.0.1:${port}` } as Endpoint
      this.pools.set(port, (pool = new EndpointPool(endpoint, OPTIONS, this, this.#site.connector)))
    }
    return pool
  }

  /** A request whose body is open: it holds its connection until {@link Asked.exchange}. */
  ask(port = 0, fresh = false): Asked {
    this.timers.touch()
    const asked = new Asked()
    this.pool(port).dispatch(openRequest(), asked, fresh)
    return asked
  }
}

function states(asked: readonly Asked[]): string {
  return asked.map(({ stream, error }) => (error !== null ? 'x' : stream !== null ? 'o' : '.')).join('')
}

describe('places for connections, over several workers', () => {
  it('are taken from what lies idle in another worker, without any time passing', async () => {
    const site = new Site(3)
    site.maxConnections = 2
    const [a, b, c] = site.workers as [TestWorker, TestWorker, TestWorker]
    for (const worker of [a, b]) {
      const one = worker.ask()
      await site.settled()
      await one.exchange()
    }
    assert.deepEqual([site.open, a.places.idle, b.places.idle], [2, 1, 1])
    const asked = [c.ask(), c.ask()]
    assert.equal(states(asked), '..')
    await site.settled()
    assert.equal(states(asked), 'oo')
    assert.deepEqual([site.time.now, site.open, a.places.idle, b.places.idle], [0, 2, 0, 0])
  })

  it('are not closed for a worker with connections before one of those may have come free', async () => {
    const site = new Site(2)
    site.maxConnections = 2
    const [a, b] = site.workers as [TestWorker, TestWorker]
    const held = b.ask()
    const idle = a.ask()
    await site.settled()
    await idle.exchange()
    const first = b.ask()
    await site.settled()
    await held.exchange()
    assert.deepEqual([states([first]), first.reused, a.places.idle], ['o', true, 1], 'one came free in time')
    const second = b.ask()
    await site.settled()
    assert.deepEqual([states([second]), a.places.idle], ['.', 1])
    await site.time.pass(HANDOVER + 40)
    await site.settled()
    assert.deepEqual([states([second]), second.reused, a.places.idle, site.open], ['o', false, 0, 2])
  })

  it('are left alone by a worker that needs none while others are free', async () => {
    const site = new Site(2)
    site.maxConnections = 2
    const [a, b] = site.workers as [TestWorker, TestWorker]
    const one = a.ask()
    await site.settled()
    await one.exchange()
    const two = b.ask()
    await site.settled()
    assert.deepEqual([states([two]), a.places.idle, site.open], ['o', 1, 2])
  })

  it('go to the request that has waited longest, in whatever worker, and newcomers do not overtake', async () => {
    const site = new Site(3)
    const [a, b, c] = site.workers as [TestWorker, TestWorker, TestWorker]
    const first = a.ask()
    await site.settled()
    const asked: Asked[] = []
    for (const worker of [b, c, b, a, c]) {
      await site.time.pass(PATIENCE + 20)
      asked.push(worker.ask(1))
    }
    assert.equal(states(asked), '.....')
    await site.time.pass(1)
    await first.exchange()
    // The place is free, and the first of those who wait has not heard of it.
    const late = a.ask(2)
    await site.settled()
    assert.deepEqual([states(asked), states([late])], ['o....', '.'])
    for (let i = 0; i < asked.length; i++) {
      await asked[i]!.exchange()
      await site.settled()
      assert.equal(states(asked), 'o'.repeat(Math.min(i + 2, asked.length)).padEnd(asked.length, '.'))
      assert.equal(site.open, 1)
    }
    assert.equal(states([late]), 'o')
    await late.exchange()
    assert.deepEqual(site.counted, [1, 0])
  })

  it('are kept for requests to the same endpoint only so long as nobody has waited much longer', async () => {
    for (const [ahead, order] of [
      [PATIENCE / 2, ['same', 'other']],
      [PATIENCE + 20, ['other', 'same']],
    ] as const) {
      for (const there of [0, 1]) {
        const site = new Site(2)
        const [a, b] = site.workers as [TestWorker, TestWorker]
        const held = a.ask(0)
        await site.settled()
        const other = (there === 0 ? a : b).ask(1)
        await site.time.pass(ahead)
        const same = a.ask(0)
        const asked = { same, other }
        await held.exchange()
        await site.settled()
        const [first, second] = [asked[order[0]], asked[order[1]]]
        assert.equal(states([first, second]), 'o.', `${order[0]} first, ${there}`)
        assert.equal(first.reused, first === same)
        await first.exchange()
        await site.settled()
        assert.equal(states([second]), 'o')
        assert.equal(site.open, 1)
      }
    }
  })

  it('are not kept for a worker that hangs', async () => {
    const site = new Site(2)
    const [a, b] = site.workers as [TestWorker, TestWorker]
    const held = a.ask()
    await site.settled()
    const stuck = b.ask()
    b.hangs = true
    await site.time.pass(10)
    const waits = a.ask(1)
    await held.exchange()
    await site.settled()
    assert.equal(states([stuck, waits]), '..', 'the other one is first')
    // Its timers hang as well; these are only those of the first.
    b.timers.disarm(b.places)
    await site.time.pass(2 * LOOK + 40)
    assert.equal(states([stuck, waits]), '.o')
  })

  it('are available again when the worker that had them has died, and so is its room to wait', async () => {
    const site = new Site(2)
    site.maxPending = 1
    const [a, b] = site.workers as [TestWorker, TestWorker]
    a.ask()
    await site.settled()
    a.ask()
    assert.deepEqual(site.counted, [1, 1])
    const refused = b.ask()
    assert.match(refused.error?.detail ?? '', /maxPending \(1\)/)
    site.table.clearWorker(0)
    assert.deepEqual(site.counted, [0, 0])
    const served = b.ask()
    await site.settled()
    assert.equal(states([served]), 'o')
  })

  it('are available again within a look when the other worker dies while one waits', async () => {
    const site = new Site(2)
    const [a, b] = site.workers as [TestWorker, TestWorker]
    a.ask()
    await site.settled()
    const waits = b.ask()
    a.hangs = true
    site.table.clearWorker(0)
    await site.time.pass(LOOK + 40)
    assert.equal(states([waits]), 'o')
  })

  it('refuse a request that waited as long as connecting may take, and say why', async () => {
    const site = new Site(2)
    const [a, b] = site.workers as [TestWorker, TestWorker]
    const held = a.ask()
    await site.settled()
    const asked = [b.ask(), b.ask(1)]
    await site.time.pass(OPTIONS.connectTimeout + 40)
    assert.equal(states(asked), 'xx')
    for (const { error } of asked) {
      assert.equal(error?.reason, 'Overloaded')
      assert.match(error.detail, /connectTimeout/)
    }
    assert.deepEqual(site.counted, [1, 0])
    await held.exchange()
    assert.deepEqual([a.timers.armed, b.timers.armed], [0, 0])
  })

  it('ask the dial guard again for a request that has waited', async () => {
    const site = new Site(1)
    const [a] = site.workers as [TestWorker]
    const held = a.ask()
    await site.settled()
    const waits = a.ask(1)
    a.allowed = false
    await held.exchange()
    assert.equal(waits.error?.reason, 'AddressNotAllowed')
    assert.deepEqual([site.counted, site.open], [[0, 0], 0])
  })

  it('wait on where the namespace has its share, and cost the other namespaces nothing', async () => {
    const site = new Site(1)
    const [a] = site.workers as [TestWorker]
    const held = a.ask()
    await site.settled()
    const waits = a.ask(1)
    a.overdrawn = true
    await held.exchange()
    assert.deepEqual([states([waits]), site.counted], ['.', [0, 1]])
    a.overdrawn = false
    await site.time.pass(LOOK + 40)
    assert.equal(states([waits]), 'o')
  })

  it('follow the limit: idle connections beyond a lower one are closed, and a higher one is used at once', async () => {
    const site = new Site(1)
    site.maxConnections = 3
    const [a] = site.workers as [TestWorker]
    const asked = [a.ask(0), a.ask(1), a.ask(2)]
    await site.settled()
    await asked[0]!.exchange()
    await asked[1]!.exchange()
    site.maxConnections = 2
    a.places.limitsChanged()
    assert.equal(site.open, 2)
    site.maxConnections = 1
    a.places.limitsChanged()
    assert.equal(site.open, 1)
    const waits = a.ask(4)
    assert.equal(states([waits]), '.')
    site.maxConnections = 2
    a.places.limitsChanged()
    await site.settled()
    assert.deepEqual([states([waits]), site.counted], ['o', [2, 0]])
  })

  it('are divided among the workers where the Backend has no row to count in', async () => {
    const site = new Site(2, { slot: -1 })
    site.maxConnections = 4
    site.maxPending = 2
    const [a, b] = site.workers as [TestWorker, TestWorker]
    const asked = [a.ask(), a.ask(1), a.ask(2), a.ask(3)]
    await site.settled()
    assert.equal(states(asked), 'oo.x')
    const others = [b.ask(), b.ask(1), b.ask(2), b.ask(3)]
    await site.settled()
    assert.equal(states(others), 'oo.x')
    await asked[0]!.exchange()
    await site.settled()
    assert.equal(states(asked), 'ooox')
  })

  it('go to the next worker at once when the request goes away that was woken for one', async () => {
    const site = new Site(3)
    const [a, b, c] = site.workers as [TestWorker, TestWorker, TestWorker]
    const held = a.ask(0)
    await site.settled()
    const first = b.ask(0)
    await site.settled()
    const second = c.ask(0)
    await site.settled()
    await held.exchange()
    a.hear()
    b.pool(0).cancel(first)
    await site.settled()
    assert.notEqual(second.stream, null)
  })

  it('cost a request that waits the same with thousands of endpoints, and of others that wait', async () => {
    const endpoints = 2_000
    const site = new Site(1)
    site.maxPending = 2 * endpoints
    const [a] = site.workers as [TestWorker]
    for (let port = 0; port < endpoints; port++) site.connector.scripts.set(port, ECHO)
    const held = a.ask(0)
    await site.settled()
    const asked = Array.from({ length: endpoints }, (_, port) => a.ask(port))
    // Every half of them goes, the last first.
    for (let port = endpoints - 1; port >= 0; port -= 2) a.pool(port).cancel(asked[port]!)
    assert.deepEqual(site.counted, [1, endpoints / 2])
    await site.time.pass(10 * LOOK)
    assert.equal(a.searches, 0, 'no pool is looked at while nothing lies idle')
    await held.exchange()
    await site.settled()
    assert.equal(a.searches, 0)
    assert.equal(asked.filter(({ stream }) => stream !== null).length, 1)
    await site.time.pass(OPTIONS.connectTimeout)
    assert.deepEqual([site.counted, a.timers.armed], [[1, 0], 0])
  })

  for (const capacity of [1, 3])
    it(`are never exceeded and never lost, ${capacity} requests to a connection`, async () => {
      const workers = 3
      const limits = fc.integer({ min: 1, max: 4 })
      const step = fc.record({
        worker: fc.nat(workers - 1),
        port: fc.nat(3),
        what: fc.constantFrom('ask', 'ask', 'ask', 'end', 'end', 'cancel', 'pass', 'hear'),
        which: fc.nat(50),
      })
      await fc.assert(
        fc.asyncProperty(limits, fc.nat(99), fc.array(step, { maxLength: 60 }), async (limit, offset, steps) => {
          const site = new Site(workers, { capacity, offset: 2 ** 31 - 300 + offset })
          site.maxConnections = limit
          site.maxPending = 8
          const live: { asked: Asked; pool: EndpointPool }[] = []
          const check = (): void => {
            const [connections, pending] = site.counted
            assert.ok(connections <= limit && site.open <= limit, `${connections} connections, ${site.open} open`)
            assert.ok(pending <= 8, `${pending} wait`)
          }
          for (const { worker, port, what, which } of steps) {
            const one = live[which % Math.max(live.length, 1)]
            if (what === 'ask') {
              const asked = site.workers[worker]!.ask(port)
              live.push({ asked, pool: site.workers[worker]!.pool(port) })
            } else if (what === 'pass') await site.time.pass(which)
            else if (what === 'hear') await site.settled()
            else if (one !== undefined && what === 'cancel' && one.asked.stream === null) {
              one.pool.cancel(one.asked)
              live.splice(live.indexOf(one), 1)
            } else if (one !== undefined && what === 'end' && one.asked.stream !== null) {
              live.splice(live.indexOf(one), 1)
              await one.asked.exchange()
            }
            check()
          }
          // Everybody who still waits is served, or told that it was too late; then nothing is left but idle ones.
          while (live.length > 0) {
            await site.settled()
            const next = () => live.findIndex(({ asked }) => asked.stream !== null || asked.error !== null)
            let at = next()
            if (at < 0) {
              // What lies idle elsewhere is closed for it only then.
              await site.time.pass(HANDOVER)
              await site.settled()
              at = next()
            }
            assert.ok(at >= 0, 'somebody waits, and nobody holds anything')
            const { asked } = live[at]!
            live.splice(at, 1)
            if (asked.error === null) await asked.exchange()
            check()
          }
          await site.settled()
          let idle = 0
          for (const { places } of site.workers) idle += places.idle
          assert.deepEqual([site.counted, site.open], [[idle, 0], idle])
        }),
        { numRuns: 150 },
      )
    })
})
