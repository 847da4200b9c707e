import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { allocateCache, clearWorkerMemory, readCacheStatistics } from '../../src/cache/memory/buffers.ts'
import { EntryIndex } from '../../src/cache/memory/entry-index.ts'
import { divideCache } from '../../src/cache/memory/layout.ts'
import { Records } from '../../src/cache/memory/record.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import {
  CACHE_BYTES,
  COUNTERS,
  Counter,
  KEYS,
  type ResponseStressData,
  type ResponseStressSays,
  WORKERS,
} from './response-messages.ts'
import { random } from './thread-messages.ts'

const WORKER = new URL('./response-worker.ts', import.meta.url)

/** Milliseconds; HEADGATE_STRESS_MS makes it longer. */
const DURATION = Number(process.env.HEADGATE_STRESS_MS ?? 1_000)

/** What is rare. */
const IN_LONGER_RUNS: ReadonlySet<number> = new Set([Counter.TakenBack, Counter.Passed, Counter.PassedWhole])

/** On a busy machine it takes longer until everything has happened. */
const LONGEST = 30_000
/** For a worker to end what it has begun. */
const FINISH_MS = 30_000

/** What the supervisor does, without its patience: workers are ended at random points and replaced at once. */
class Arena {
  readonly cache = allocateCache(CACHE_BYTES, WORKERS, [randomInt(2 ** 31), randomInt(2 ** 31)])!
  readonly claims = new SharedArrayBuffer(WORKERS * KEYS * 4)
  readonly counters = new SharedArrayBuffer(WORKERS * COUNTERS * 8)
  readonly violations: string[] = []
  readonly #workers: Worker[] = []
  readonly #chance: () => number
  killed = 0

  constructor(seed: number) {
    this.#chance = random(seed)
  }

  async start(): Promise<void> {
    await Promise.all(Array.from({ length: WORKERS }, (_, index) => this.#start(index)))
  }

  async killOne(): Promise<void> {
    const victim = Math.floor(this.#chance() * WORKERS)
    await this.#workers[victim]!.terminate()
    this.killed++
    new Int32Array(this.claims).fill(0, victim * KEYS, (victim + 1) * KEYS)
    clearWorkerMemory(this.cache, WORKERS, victim)
    await this.#start(victim)
  }

  async finish(): Promise<void> {
    await Promise.all(
      this.#workers.map(async (worker) => {
        const finished = new Promise<void>((resolve, reject) => {
          worker.on('message', ({ type }: ResponseStressSays) => type === 'finished' && resolve())
          worker.on('error', reject)
        })
        worker.postMessage('finish')
        await finished
      }),
    )
  }

  async stop(): Promise<void> {
    for (const [index, worker] of this.#workers.entries()) {
      await worker.terminate()
      clearWorkerMemory(this.cache, WORKERS, index)
    }
  }

  sum(counter: number): number {
    const cells = new Float64Array(this.counters)
    return Array.from({ length: WORKERS }, (_, worker) => cells[worker * COUNTERS + counter]!).reduce((a, b) => a + b)
  }

  async #start(index: number): Promise<void> {
    const seed = 1 + Math.floor(this.#chance() * 2 ** 31)
    const data: ResponseStressData = { seed, index, cache: this.cache, claims: this.claims, counters: this.counters }
    const worker = new Worker(WORKER, { workerData: data })
    worker.on('message', (message: ResponseStressSays) => {
      if (message.type === 'violation') this.violations.push(message.what)
    })
    worker.on('error', (error) => this.violations.push(String(error)))
    this.#workers[index] = worker
    await once(worker, 'message')
  }
}

/** Keys that stand in the index more than once. */
function twice(cache: Arena['cache']): string[] {
  const layout = divideCache(cache.memory.byteLength, WORKERS)!
  const records = new Records(cache.memory)
  const index = new EntryIndex(records, layout)
  const seen = new Set<string>()
  const again: string[] = []
  for (let slot = 0; slot < index.slots; slot++) {
    const record = index.at(slot)
    if (record === 0) continue
    const at = records.keyAt(record)
    const key = records.bytes.latin1Slice(at, at + records.keyBytes(record))
    if (seen.has(key)) again.push(key)
    seen.add(key)
  }
  return again
}

describe('the memory of responses under stress', () => {
  it('gives no byte of one response to another, though workers evict, read slowly and die', async (test) => {
    const seed = randomInt(2 ** 31)
    const arena = new Arena(seed)
    await arena.start()
    const end = performance.now() + DURATION
    const everything = Object.entries(Counter).filter(([, counter]) => !IN_LONGER_RUNS.has(counter))
    const enough = (): boolean => arena.killed > 2 && everything.every(([, counter]) => arena.sum(counter) > 0)
    const goesOn = (now: number): boolean => now < end || (!enough() && now < end + LONGEST)
    while (goesOn(performance.now()) && arena.violations.length === 0) {
      await delay(100)
      await arena.killOne()
    }
    // What has gone wrong may well keep a worker from finishing.
    const finished = await Promise.race([arena.finish().then(() => true), delay(FINISH_MS, false, { ref: false })])
    if (!finished || arena.violations.length > 0) await arena.stop()
    assert.equal(finished, true, `seed ${seed}: a worker does not finish: ${arena.violations.join('; ')}`)
    assert.deepEqual(arena.violations, [], `seed ${seed}`)
    assert.deepEqual(twice(arena.cache), [], `seed ${seed}`)
    const sums = Object.entries(Counter).map(([name, counter]) => [name, arena.sum(counter)] as const)
    assert.ok(enough(), `${sums}`)
    test.diagnostic(`seed ${seed}: ${arena.killed} workers ended; ${sums.map((sum) => sum.join(' ')).join(', ')}`)
    const evicted = Array.from({ length: WORKERS }, (_, i) => readCacheStatistics(arena.cache, WORKERS, i).Evicted)
    assert.ok(Math.max(...evicted) > 0, `${evicted}`)
    await arena.stop()
    // Replacements take over, and everything is free again: nothing has leaked, and nobody holds anything.
    for (let worker = 0; worker < WORKERS; worker++) {
      const memory = new WorkerResponseMemory(arena.cache, WORKERS, worker, setImmediate)
      while (memory.begin({ bytes: Buffer.from('after'), length: 5 }, 'shop', 0) === 'none');
    }
  })
})
