import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { IdentityTable, identityDigest } from '../../src/shared-memory/identity-table.ts'
import { Ledger } from '../../src/shared-memory/ledger.ts'
import { CONTROL_THREAD, ProcessBlock, workerThread } from '../../src/shared-memory/process-block.ts'
import { SlotReclaimer } from '../../src/shared-memory/slot-reclaimer.ts'
import {
  LIMIT,
  type MainSays,
  NAMES,
  random,
  SHARED_NAMES,
  SHARED_SLOTS,
  SLOTS,
  type StressData,
  sharedDigest,
  type ThreadSays,
  WORKERS,
} from './thread-messages.ts'

const WORKER = new URL('./thread-worker.ts', import.meta.url)
const CONTROL = new URL('./thread-control.ts', import.meta.url)

/** Milliseconds of hammering; HEADGATE_STRESS_MS makes it longer. */
const DURATION = Number(process.env.HEADGATE_STRESS_MS ?? 8_000)

/** What the supervisor does, without its patience: threads are ended at random points and replaced at once. */
class Arena {
  readonly block = new ProcessBlock(ProcessBlock.allocate(WORKERS))
  readonly buffers = EndpointTable.allocate(WORKERS, SLOTS)
  readonly table = new EndpointTable(this.buffers)
  readonly tickets = new SharedArrayBuffer(SLOTS * LIMIT * 4)
  readonly names = IdentityTable.allocate(SHARED_SLOTS)
  readonly lone = Ledger.allocate(WORKERS, 1)
  readonly owners = new SharedArrayBuffer(4)
  readonly nextName = new SharedArrayBuffer(4)
  readonly violations: string[] = []
  readonly #workers: (Worker | undefined)[] = Array.from({ length: WORKERS })
  readonly #unclaimed = new Map<number, MessagePort>()
  readonly #chance: () => number
  #control: Worker | undefined
  killed = 0

  constructor(seed: number) {
    this.#chance = random(seed)
  }

  start(): void {
    for (let index = 0; index < WORKERS; index++) this.#startWorker(index)
    this.#startControl()
  }

  /** Ends one thread in the middle of whatever it is doing. */
  async killOne(): Promise<void> {
    const victim = Math.floor(this.#chance() * (WORKERS + 1))
    this.killed++
    if (victim === WORKERS) {
      await this.#control!.terminate()
      this.#control = undefined
      this.block.setLive(CONTROL_THREAD, false)
      this.#startControl()
      return
    }
    await this.#workers[victim]!.terminate()
    this.#workers[victim] = undefined
    this.#clear(victim)
    this.#tellControl({ type: 'gone', index: victim })
    this.#startWorker(victim)
  }

  /** All threads end in good order, the workers first. @returns how much each has done, control's frees last */
  async finish(): Promise<number[]> {
    const done: number[] = []
    for (const thread of [...this.#workers, this.#control]) {
      thread!.postMessage({ type: 'finish' } satisfies MainSays)
      for (;;) {
        const [message] = (await once(thread!, 'message')) as [ThreadSays]
        if (message.type !== 'finished') continue
        done.push(message.rounds)
        break
      }
      await thread!.terminate()
    }
    return done
  }

  #clear(index: number): void {
    // Tickets first: whoever the ledger lets in must find one.
    const tickets = new Int32Array(this.tickets)
    for (let i = 0; i < tickets.length; i++) Atomics.compareExchange(tickets, i, index + 1, 0)
    Atomics.compareExchange(new Int32Array(this.owners), 0, index + 1, 0)
    this.table.clearWorker(index)
    new Ledger(this.lone, WORKERS).clearRow(index)
    this.block.clearWorker(index)
  }

  #startWorker(index: number): void {
    const { port1, port2 } = new MessageChannel()
    this.block.setLive(workerThread(index), true)
    this.#workers[index] = this.#start(WORKER, workerThread(index), [{ index, port: port1 }])
    if (this.#control === undefined) this.#unclaimed.set(index, port2)
    else this.#tellControl({ type: 'port', index, port: port2 }, [port2])
  }

  #startControl(): void {
    const ports = this.#workers.map((worker, index) => {
      const waiting = this.#unclaimed.get(index)
      if (waiting !== undefined) return { index, port: waiting }
      const { port1, port2 } = new MessageChannel()
      worker!.postMessage({ type: 'port', index, port: port1 } satisfies MainSays, [port1])
      return { index, port: port2 }
    })
    this.#unclaimed.clear()
    this.block.setLive(CONTROL_THREAD, true)
    this.#control = this.#start(CONTROL, CONTROL_THREAD, ports)
  }

  #start(entry: URL, thread: number, ports: StressData['ports']): Worker {
    const data: StressData = {
      seed: Math.floor(this.#chance() * 2 ** 31),
      process: this.block.buffer,
      endpoints: this.buffers,
      tickets: this.tickets,
      names: this.names,
      nextName: this.nextName,
      lone: this.lone,
      owners: this.owners,
      thread,
      ports,
    }
    const worker = new Worker(entry, { workerData: data, transferList: ports.map((entry_) => entry_.port) })
    worker.on('message', (message: ThreadSays) => {
      if (message.type === 'violation') this.violations.push(message.what)
    })
    worker.on('error', (error) => this.violations.push(`thread ${thread} failed: ${error}`))
    return worker
  }

  #tellControl(message: MainSays, transfer: MessagePort[] = []): void {
    this.#control?.postMessage(message, transfer)
  }
}

describe('shared memory under threads that are ended at random points', () => {
  it('keeps every promise: nothing torn, nothing leaked, no slot given twice, no limit exceeded', async (t) => {
    const seed = Number(process.env.HEADGATE_SEED ?? randomInt(1, 2 ** 31))
    t.diagnostic(`HEADGATE_SEED=${seed}`)
    const arena = new Arena(seed)
    const chance = random(seed + 1)
    arena.start()
    const end = performance.now() + DURATION
    while (performance.now() < end && arena.violations.length === 0) {
      // Sometimes before the new thread has even loaded, mostly in the thick of it.
      await delay(20 + chance() ** 3 * 700)
      await arena.killOne()
    }
    await delay(300)
    const done = await arena.finish()
    t.diagnostic(
      `${arena.killed} threads ended; the last ones did ${done.slice(0, WORKERS).join(', ')} rounds, control freed ${done.at(-1)} slots`,
    )
    assert.deepEqual(arena.violations, [])
    assert.ok(arena.killed >= 5, 'threads were ended')
    assert.ok(
      done.slice(0, WORKERS).every((rounds) => rounds > 0),
      'every worker has worked',
    )

    const { table, block } = arena
    for (let slot = 0; slot < SLOTS; slot++) assert.equal(table.inFlight(slot), 0, `slot ${slot} leaked`)
    assert.ok(new Int32Array(arena.tickets).every((holder) => holder === 0))

    // Whatever is in the tables is a whole name, once, where it is looked for.
    const endpoints = new Map(Array.from({ length: NAMES }, (_, name) => [identityDigest('endpoint', name), name]))
    wholeAndOnce(arena.buffers.identities, endpoints)
    const shared = new Map(Array.from({ length: SHARED_NAMES }, (_, name) => [sharedDigest(name), name]))
    wholeAndOnce(arena.names, shared)

    // And everything can be given back once nobody is left.
    for (let worker = 0; worker < WORKERS; worker++) block.setLive(workerThread(worker), false)
    const last = new SlotReclaimer(table, block)
    last.adopt(new Set())
    last.seal()
    last.sweep()
    assert.equal(table.identities.size, 0)
    assert.equal(last.pending, 0)
  })
})

function wholeAndOnce(buffer: SharedArrayBuffer, known: ReadonlyMap<bigint, number>): void {
  const table = new IdentityTable(buffer)
  const words = new BigUint64Array(buffer, 8)
  const seen = new Set<bigint>()
  for (const slot of table.used()) {
    const word = words[slot]!
    assert.ok(known.has(word), `slot ${slot} holds ${word}, which is no name`)
    assert.ok(!seen.has(word), `name ${known.get(word)} has two slots`)
    assert.equal(table.find(word), slot, `name ${known.get(word)} is not found`)
    seen.add(word)
  }
}
