/**
 * Control and workers with messages on their way between them, under any order of changes, builds, deliveries, restarts
 * and requests: what a worker may pick is always the endpoint that its slot belongs to.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Endpoint } from '../../../src/balance/endpoint.ts'
import { EndpointDirectory } from '../../../src/control/endpoints/endpoint-directory.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import { identityDigest } from '../../../src/shared-memory/identity-table.ts'
import { ProcessBlock, workerThread } from '../../../src/shared-memory/process-block.ts'
import { SlotReclaimer } from '../../../src/shared-memory/slot-reclaimer.ts'
import type { EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import type { ToWorker } from '../../../src/thread/messages.ts'
import { WorkerState } from '../../../src/thread/worker-state.ts'
import { DialGuard } from '../../../src/transport/dial-guard.ts'
import { EndpointSets } from '../../../src/worker/endpoint-sets.ts'

const WORKERS = 2
const RULES = { denyCIDRs: [], loopback: true, ownPorts: [], ownAddresses: [], places: [], closedPorts: [] }
const NAMES = { addresses: () => [], failure: () => undefined, forget: () => {} }

type Tables = ReadonlyMap<string, string>
type Message = ToWorker | { readonly type: 'connects'; readonly generation: number; readonly tables: Tables }

/**
 * As a worker: endpoints act as they come, also ahead of tables that it is still linking, and what no tables name any
 * more is in use until control withdraws it.
 */
class FakeWorker {
  readonly queue: Message[] = []
  readonly #linking: Message[] = []
  readonly inUse = new Map<string, readonly Endpoint[]>()
  readonly requests: { readonly id: string; readonly endpoint: Endpoint }[] = []
  generation = 0
  tables: Tables = new Map()
  readonly #sets = new EndpointSets({
    connects: (id) => this.tables.get(id),
    changed: (id, { endpoints }) => {
      if (this.inUse.has(id)) this.inUse.set(id, endpoints)
    },
    withdrawn: (id) => {
      if (!this.tables.has(id)) this.inUse.delete(id)
    },
  })

  readonly #passEpoch: (epoch: number) => void

  constructor(passEpoch: (epoch: number) => void) {
    this.#passEpoch = passEpoch
  }

  deliver(): void {
    const message = this.queue.shift()
    if (message === undefined) return
    if (message.type === 'backends') this.#sets.retain(message.ids)
    else if (message.type === 'endpoints') for (const _ of this.#sets.take(message));
    else this.#linking.push(message)
  }

  link(): void {
    const message = this.#linking.shift()
    if (message === undefined) return
    if (message.type === 'epoch') this.#passEpoch(message.epoch)
    else if (message.type === 'connects') this.#link(message.generation, message.tables)
  }

  get idle(): boolean {
    return this.queue.length + this.#linking.length === 0
  }

  #link(generation: number, tables: Tables): void {
    const before = this.tables
    this.generation = generation
    this.tables = tables
    for (const id of before.keys()) if (!tables.has(id) && !this.#sets.has(id)) this.inUse.delete(id)
    for (const [id, connects] of tables) {
      const set = this.#sets.use(id, connects, before.get(id))
      this.inUse.set(id, set?.endpoints ?? [])
    }
  }
}

class World {
  readonly #table = new EndpointTable(EndpointTable.allocate(WORKERS, 16))
  readonly #block = new ProcessBlock(ProcessBlock.allocate(WORKERS))
  readonly #workers: FakeWorker[] = []
  readonly #listed = new Map<string, { connects: string; addresses: EndpointAddress[] }>()
  #state = new WorkerState()
  #directory!: EndpointDirectory
  #reclaimer!: SlotReclaimer
  #prepared: Tables = new Map()
  #tables: Tables = new Map()
  /** What this control thread has built: only then do changes of pods reach workers. */
  readonly #built = new Map<string, string>()
  readonly #leaving = new Set<string>()
  #generation = 0

  constructor() {
    for (let i = 0; i < WORKERS; i++) {
      this.#block.setLive(workerThread(i), true)
      this.#workers.push(new FakeWorker((epoch) => this.#block.passEpoch(i, epoch)))
    }
    this.startControl()
  }

  startControl(): void {
    this.#reclaimer = new SlotReclaimer(this.#table, this.#block)
    const send = (message: ToWorker): void => this.#send(message)
    this.#directory = new EndpointDirectory(this.#table, this.#reclaimer, NAMES, { send, problem: () => {} })
    this.#directory.guardBy(new DialGuard(RULES))
    this.#state = new WorkerState()
    this.#built.clear()
    this.#leaving.clear()
    this.build()
    this.#send({ type: 'backends', ids: [...this.#listed.keys()] })
  }

  list(id: string, connects: string, numbers: readonly number[]): void {
    const addresses = numbers.map(
      (i): EndpointAddress => ({ address: `10.0.0.${i}`, port: 80, weight: 1, state: 'ready' }),
    )
    this.#listed.set(id, { connects, addresses })
  }

  /** As `EndpointFeed`: pods act at once, by the protocol of the last build. */
  pods(id: string, numbers: readonly number[]): void {
    const known = this.#listed.get(id)
    const connects = this.#built.get(id)
    if (known === undefined) return
    this.list(id, known.connects, numbers)
    if (connects === known.connects) this.#directory.set(id, this.#listed.get(id)!.addresses, connects)
    this.seal()
  }

  remove(id: string): void {
    this.#listed.delete(id)
  }

  build(): void {
    this.prepare()
    this.publish()
  }

  prepare(): void {
    for (const [id, { connects, addresses }] of this.#listed) {
      this.#built.set(id, connects)
      this.#leaving.delete(id)
      this.#directory.set(id, addresses, connects)
    }
    this.#prepared = new Map([...this.#listed].map(([id, { connects }]) => [id, connects]))
  }

  publish(): void {
    this.#tables = this.#prepared
    this.#send({ type: 'connects', generation: ++this.#generation, tables: this.#tables })
    this.seal()
  }

  seal(): void {
    const epoch = this.#reclaimer.seal()
    if (epoch !== undefined) this.#send({ type: 'epoch', epoch })
  }

  deliver(worker: number, count: number): void {
    const one = this.#workers[worker]!
    for (let i = Math.min(count, one.queue.length); i > 0; i--) one.deliver()
  }

  link(worker: number, count: number): void {
    const one = this.#workers[worker]!
    for (let i = 0; i < count && !one.idle; i++) one.link()
    if (this.#workers.every(({ generation }) => generation === this.#generation)) this.#settle()
  }

  /** A worker ends, and its replacement begins with what is kept for it. */
  restart(worker: number): void {
    this.#table.clearWorker(worker)
    const fresh = new FakeWorker((epoch) => this.#block.passEpoch(worker, epoch))
    this.#block.clearWorker(worker)
    this.#block.setLive(workerThread(worker), true)
    fresh.queue.push(...this.#state.messages())
    fresh.queue.push({ type: 'connects', generation: this.#generation, tables: this.#tables })
    fresh.queue.push({ type: 'epoch', epoch: this.#block.epoch })
    this.#workers[worker] = fresh
  }

  request(worker: number, pick: number): void {
    const { inUse, requests } = this.#workers[worker]!
    const all = [...inUse].flatMap(([id, endpoints]) => endpoints.map((endpoint) => ({ id, endpoint })))
    const eligible = all.filter(({ endpoint }) => this.#table.eligible(endpoint.slot))
    const chosen = eligible[pick % Math.max(eligible.length, 1)]
    if (chosen === undefined) return
    this.#table.acquire(worker, chosen.endpoint.slot)
    requests.push(chosen)
  }

  end(worker: number): void {
    const ended = this.#workers[worker]!.requests.shift()
    if (ended !== undefined) this.#table.release(worker, ended.endpoint.slot)
  }

  tend(): void {
    this.#directory.tend()
  }

  check(): void {
    for (const { inUse, requests } of this.#workers) {
      for (const { id, endpoint } of requests) this.#checkSlot(id, endpoint, 'a request holds it')
      for (const [id, endpoints] of inUse)
        for (const endpoint of endpoints) this.#checkSlot(id, endpoint, 'a worker has it in use')
    }
  }

  checkAll(): void {
    this.build()
    for (let i = 0; i < WORKERS; i++) this.deliver(i, Number.POSITIVE_INFINITY)
    for (let i = 0; i < WORKERS; i++) this.link(i, Number.POSITIVE_INFINITY)
    this.letGo()
    for (let i = 0; i < WORKERS; i++) this.deliver(i, Number.POSITIVE_INFINITY)
    this.#workers.forEach(({ inUse }) => {
      assert.deepEqual([...inUse.keys()].sort(), [...this.#listed.keys()].sort())
      for (const [id, endpoints] of inUse) {
        assert.deepEqual(
          endpoints.map(({ address, slot }) => [address, slot]),
          this.#directory.rows(id).map(({ address, slot }) => [address, slot]),
        )
        for (const { slot } of endpoints) assert.ok(this.#table.eligible(slot))
      }
    })
  }

  #checkSlot(id: string, { address, port, slot }: Endpoint, why: string): void {
    assert.equal(this.#table.identities.find(identityDigest(id, address, port)), slot, why)
  }

  #settle(): void {
    this.#directory.settle((id) => this.#tables.get(id))
    this.#reclaimer.adopt(this.#directory.inUse())
    for (const id of this.#directory.ids()) if (!this.#tables.has(id) && !this.#listed.has(id)) this.#leaving.add(id)
    this.seal()
  }

  /** Nobody waits for what no tables name. */
  letGo(): void {
    for (const id of this.#leaving) {
      this.#built.delete(id)
      this.#directory.withdraw(id)
    }
    this.#leaving.clear()
    this.seal()
  }

  #send(message: Message): void {
    if (message.type !== 'connects') this.#state.keep(message)
    for (const { queue } of this.#workers) queue.push(message)
  }
}

describe('slots of endpoints', () => {
  it('belong to the endpoints that workers have, whatever happens in which order', () => {
    const id = fc.constantFrom('a/x', 'b/y')
    const connects = fc.constantFrom('HTTP', 'H2C')
    const numbers = fc.uniqueArray(fc.nat(5), { maxLength: 5 })
    const worker = fc.nat(WORKERS - 1)
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.tuple(fc.constant('list' as const), id, connects, numbers) },
      { weight: 4, arbitrary: fc.tuple(fc.constant('pods' as const), id, numbers) },
      { weight: 3, arbitrary: fc.tuple(fc.constantFrom('prepare' as const, 'publish' as const)) },
      { weight: 8, arbitrary: fc.tuple(fc.constant('deliver' as const), worker, fc.integer({ min: 1, max: 6 })) },
      { weight: 6, arbitrary: fc.tuple(fc.constant('link' as const), worker, fc.integer({ min: 1, max: 3 })) },
      { weight: 4, arbitrary: fc.tuple(fc.constant('request' as const), worker, fc.nat(20)) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('end' as const), worker) },
      { weight: 4, arbitrary: fc.tuple(fc.constant('tend' as const)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('remove' as const), id) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('letGo' as const)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('restart' as const), worker) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('startControl' as const)) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const world = new World()
        for (const [what, ...values] of steps) {
          ;(world[what] as (...values: readonly unknown[]) => void)(...values)
          world.check()
        }
        world.checkAll()
      }),
      { numRuns: 1_000 },
    )
  })
})
