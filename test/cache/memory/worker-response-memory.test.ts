import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import {
  allocateCache,
  type CacheStatistics,
  clearWorkerMemory,
  readCacheStatistics,
} from '../../../src/cache/memory/buffers.ts'
import { divideCache, EPOCH, SERIALS, workerWords } from '../../../src/cache/memory/layout.ts'
import { WorkerResponseMemory } from '../../../src/cache/memory/worker-response-memory.ts'
import type { Fill, HeldEntry } from '../../../src/cache/response-memory.ts'
import { beginFill, bodyOf, followFill, headOf, keyOf, store } from '../../suite/response-memory.ts'

const MiB = 1_024 * 1_024

class Rig {
  readonly #workers: number
  readonly buffers
  readonly memories: WorkerResponseMemory[]

  constructor(bytes = 8 * MiB, workers = 2) {
    this.#workers = workers
    this.buffers = allocateCache(bytes, workers, [1, 2])!
    this.memories = Array.from({ length: workers }, (_, index) => this.#open(index))
  }

  /** The worker ends, wherever it is, and another one takes its place. */
  replace(index: number): WorkerResponseMemory {
    this.clear(index)
    return this.#open(index)
  }

  clear(index: number): void {
    clearWorkerMemory(this.buffers, this.#workers, index)
  }

  statistics(index: number): CacheStatistics {
    return readCacheStatistics(this.buffers, this.#workers, index)
  }

  #open(index: number): WorkerResponseMemory {
    return new WorkerResponseMemory(this.buffers, this.#workers, index, (run) => void globalThis.setImmediate(run))
  }
}

function largeRig(): Rig | undefined {
  try {
    return new Rig(10 * 1_024 * MiB)
  } catch {
    return undefined
  }
}

/** Goes on until the segment of the worker before is empty. */
function adopt(memory: WorkerResponseMemory): void {
  for (let i = 0; memory.begin(keyOf('adopts'), 'shop', 0) === 'none'; i++) assert.ok(i < 1_000)
}

function hold(memory: WorkerResponseMemory, key: string): HeldEntry {
  const held = memory.find(keyOf(key))!.hold()!
  memory.leave()
  return held
}

/** Turns of the loop, bounded: what does not come fails. */
async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 200_000, 'it does not come')
    await setImmediate()
  }
}

function text(held: HeldEntry): string {
  const bytes = Buffer.alloc(held.written)
  return bytes.latin1Slice(0, held.copyBody(0, bytes, 0, bytes.length))
}

describe('the memory of responses of a worker', () => {
  it('leaves half of the places for fetches to others where those of one namespace do not end', () => {
    const { memories } = new Rig()
    const [memory] = memories
    /** @returns fills until nothing more can begin for a while: now and then two keys want one place */
    const fill = (owner: string): Fill[] => {
      const fills: Fill[] = []
      for (let i = 0, refused = 0; refused < 100; i++) {
        const begun = memory!.begin(keyOf(`${owner} ${i}`), owner, 0)
        if (typeof begun === 'object' && begun.type === 'fill') fills.push(begun)
        else refused++
      }
      return fills
    }
    const hung = fill('hung')
    const more = fill('more')
    assert.ok(Math.abs(hung.length - 2 * more.length) <= 2, `${hung.length} and ${more.length}`)
    assert.ok(store(memory!, 'a', 'body', 'shop'))
    assert.equal(bodyOf(memory!, 'a'), 'body')
    for (const fill of [...hung, ...more]) fill.fail()
    assert.equal(fill('hung').length, hung.length, 'the places of those that have ended are free')
  })

  it('outlives the worker until its replacement has emptied it, and what is held even then', () => {
    const rig = new Rig()
    const [dies, lives] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    for (let i = 0; i < 500; i++) store(dies, `its ${i}`, `body ${i}`.repeat(100))
    for (let i = 0; i < 500; i++) store(lives, `mine ${i}`, `body ${i}`.repeat(100))
    const held = hold(lives, 'its 7')
    rig.clear(0)
    assert.equal(bodyOf(lives, 'its 8'), 'body 8'.repeat(100))
    const next = rig.replace(0)
    adopt(next)
    for (let i = 0; i < 500; i++) assert.equal(bodyOf(lives, `its ${i}`), undefined)
    for (let i = 0; i < 500; i++) assert.equal(bodyOf(next, `mine ${i}`), `body ${i}`.repeat(100))
    assert.ok(rig.statistics(0).HeldBytes > 600)
    for (let i = 0; i < 30_000; i++) store(next, `new ${i}`, 'x'.repeat(500))
    assert.equal(text(held), 'body 7'.repeat(100))
    held.release()
    next.sweep(0, 1, () => false)
    assert.equal(rig.statistics(0).HeldBytes, 0)
  })

  it('loses what is removed before the replacement of its worker has emptied it', () => {
    const rig = new Rig()
    const [dies, lives] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    for (const key of ['a', 'b', 'c']) store(dies, key, 'x'.repeat(1_000))
    const next = rig.replace(0)
    // Its own by now, and nothing that it knows of.
    next.remove(next.find(keyOf('a'))!)
    next.leave()
    lives.remove(lives.find(keyOf('b'))!)
    lives.leave()
    assert.deepEqual([bodyOf(next, 'a'), bodyOf(next, 'b')], [undefined, undefined])
    adopt(next)
    next.sweep(0, 1, () => false)
    assert.equal(bodyOf(next, 'c'), undefined)
    assert.equal(rig.statistics(0).Entries, 0)
    assert.equal(store(next, 'a', 'new'), true)
    assert.equal(bodyOf(lives, 'a'), 'new')
  })

  it('fails the fills of a worker that has died, for those who wait and those who read along', async () => {
    const rig = new Rig()
    const [dies, lives] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    beginFill(dies, 'waiting')
    const filling = beginFill(dies, 'filling')
    filling.head(headOf('h', 10))
    filling.write(Buffer.from('abc'), 0, 3)
    const [waiting, reading] = [followFill(lives, 'waiting'), followFill(lives, 'filling')]
    const held = reading.hold()!
    const told = [waiting, reading].map((fill) => new Promise<void>((resolve) => fill.follow(resolve)))
    // What was rung for before is heard first.
    await setImmediate()
    rig.clear(0)
    await Promise.all(told)
    await until(() => waiting.state !== 'waiting')
    assert.deepEqual([waiting.state, reading.state], ['failed', 'failed'])
    assert.equal(text(held), 'abc')
    held.release()
    assert.equal(store(lives, 'waiting', 'body'), true)
    assert.equal(store(lives, 'filling', 'body'), true)
  })

  it('gets back what a worker that died has held and read', () => {
    const rig = new Rig()
    const [stays, dies] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    store(stays, 'a', 'x'.repeat(1_000_000))
    // It ends in the middle of reading.
    assert.notEqual(dies.find(keyOf('a'))!.hold(), null)
    stays.remove(stays.find(keyOf('a'))!)
    stays.leave()
    const before = rig.statistics(0).UsedBytes
    stays.sweep(0, 1, () => false)
    assert.equal(rig.statistics(0).UsedBytes, before)
    rig.replace(1)
    stays.sweep(0, 1, () => false)
    assert.ok(rig.statistics(0).UsedBytes < before - 900_000)
  })

  it('takes nothing from slow readers of a namespace that holds less than another one', async () => {
    const rig = new Rig()
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    const holdGone = (key: string, namespace: string): HeldEntry => {
      assert.equal(store(here, key, 'x'.repeat(300_000), namespace), true)
      const held = hold(there, key)
      here.remove(here.find(keyOf(key))!)
      here.leave()
      here.sweep(0, 1, () => false)
      return held
    }
    const first = holdGone('first', 'quiet')
    const others: HeldEntry[] = []
    await until(() => {
      if (others.length < 11) others.push(holdGone(`other ${others.length}`, 'greedy'))
      here.sweep(0, 1, () => false)
      return [first, ...others].filter(({ gone }) => gone).length >= 9
    })
    assert.equal(first.gone, false)
    assert.equal(text(first), 'x'.repeat(300_000))
    assert.ok(rig.statistics(0).HeldBytes <= MiB, `${rig.statistics(0).HeldBytes}`)
    first.release()
    for (const held of others) held.release()
  })

  it('takes back what slow readers hold, from the one that went first, when that is more than a quarter', async () => {
    const rig = new Rig()
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    const all: HeldEntry[] = []
    for (let i = 0; i < 12; i++) {
      assert.equal(store(here, `large ${i}`, `${i % 10}`.repeat(300_000)), true)
      all.push(hold(there, `large ${i}`))
      // Those that hold it read on, and nobody else finds it.
      here.remove(here.find(keyOf(`large ${i}`))!)
      here.leave()
    }
    await until(() => {
      here.sweep(0, 1, () => false)
      return all.filter(({ gone }) => gone).length >= 8
    })
    here.sweep(0, 1, () => false)
    assert.ok(rig.statistics(0).HeldBytes <= MiB, `${rig.statistics(0).HeldBytes}`)
    assert.equal(rig.statistics(1).TakenBack, all.filter(({ gone }) => gone).length)
    for (const [i, held] of all.entries()) {
      assert.equal(held.bodyBytes, 300_000)
      assert.equal(text(held), held.gone ? '' : `${i % 10}`.repeat(300_000))
    }
    const order = all.map(({ gone }) => gone)
    assert.deepEqual(
      order,
      [...order].sort((a, b) => Number(b) - Number(a)),
      'what went first is gone',
    )
    for (let i = 0; i < 5_000; i++) assert.equal(store(here, `more ${i}`, 'x'.repeat(1_000)), true)
    for (const held of all) held.release()
  })

  it('copies nothing of a body that was taken back', () => {
    const [here, there] = new Rig().memories as [WorkerResponseMemory, WorkerResponseMemory]
    store(here, 'a', 'body')
    const found = here.find(keyOf('a'))!
    const { serial } = found
    const held = found.hold()!
    here.leave()
    const begun = there.begin(keyOf('a'), 'shop', serial)
    assert.ok(typeof begun === 'object' && begun.type === 'fill')
    begun.head(headOf('h'))
    held.release()
    assert.equal(begun.copy(held, 100), null)
    assert.equal(begun.end(), false)
    assert.equal(bodyOf(here, 'a'), 'body')
  })

  it('counts fills under way to their tenant, so that those take no entries of another one', () => {
    const rig = new Rig()
    const [here] = rig.memories as [WorkerResponseMemory]
    for (let i = 0; i < 500; i++) store(here, `calm ${i}`, 'x'.repeat(1_000), 'calm')
    const fills: Fill[] = []
    const chunk = Buffer.alloc(100_000)
    for (let i = 0; i < 100; i++) {
      const begun = here.begin(keyOf(`open ${i}`), 'greedy', 0)
      if (typeof begun === 'string' || begun.type !== 'fill') break
      begun.head(headOf('h'))
      if (begun.write(chunk, 0, chunk.length)) fills.push(begun)
    }
    assert.ok(fills.length > 10 && fills.length < 60, `${fills.length}`)
    for (let i = 0; i < 500; i++) assert.notEqual(bodyOf(here, `calm ${i}`), undefined, `${i}`)
    for (const fill of fills) fill.fail()
    assert.equal(store(here, 'greedy', 'x'.repeat(1_000_000), 'greedy'), true)
  })

  it('frees all that it has taken', () => {
    const rig = new Rig()
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    here.sweep(0, 1, () => false)
    assert.equal(rig.statistics(0).UsedBytes, 0)
    for (let i = 0; i < 3_000; i++) {
      const fill = beginFill(i % 3 === 0 ? there : here, `key ${i}`, `tenant ${i % 7}`)
      fill.head(headOf(`head ${i}`, i % 2 === 0 ? -1 : i))
      fill.write(Buffer.alloc(i, 'x'), 0, i)
      if (i % 5 === 0) fill.fail()
      else fill.end(i % 11 !== 0)
    }
    for (const memory of rig.memories) memory.sweep(0, 1e9, () => true)
    for (const index of [0, 1]) {
      const { UsedBytes, HeldBytes, Entries } = rig.statistics(index)
      assert.deepEqual({ UsedBytes, HeldBytes, Entries }, { UsedBytes: 0, HeldBytes: 0, Entries: 0 })
    }
  })

  it('goes on when the epochs go round', () => {
    const rig = new Rig(4 * MiB)
    new Int32Array(rig.buffers.memory)[EPOCH] = 2 ** 31 - 41
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    store(here, 'held', 'body')
    const held = hold(there, 'held')
    for (let i = 0; i < 20_000; i++) assert.equal(store(here, `key ${i}`, 'x'.repeat(2_000)), true)
    assert.ok(new Int32Array(rig.buffers.memory)[EPOCH]! < 0)
    assert.equal(text(held), 'body')
  })

  it('goes on when serials go round: none is that of nothing', () => {
    const rig = new Rig(4 * MiB)
    const layout = divideCache(rig.buffers.memory.byteLength, 2)!
    new Int32Array(rig.buffers.memory)[workerWords(layout, 0) + SERIALS] = -3
    const here = rig.memories[0]!
    const serials = ['a', 'b', 'c', 'd'].map((key) => {
      assert.equal(store(here, key, `body of ${key}`), true)
      // Who has found nothing learns that it is there by now.
      assert.equal(here.begin(keyOf(key), 'shop', 0), 'found', key)
      const { serial } = here.find(keyOf(key))!
      here.leave()
      return serial
    })
    assert.equal(new Set(serials).size, 4)
  })

  it('waits for a worker that reads, and stores nothing rather than writing over what it reads', () => {
    const rig = new Rig(2 * MiB)
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    store(here, 'read', 'body of what is read')
    const found = there.find(keyOf('read'))!
    let stored = 0
    for (let i = 0; i < 3_000; i++) {
      const begun = here.begin(keyOf(`key ${i}`), 'shop', 0)
      if (typeof begun === 'string' || begun.type !== 'fill') continue
      if (begun.head(headOf('h', 2_000)) && begun.write(Buffer.alloc(2_000), 0, 2_000) && begun.end()) stored++
    }
    assert.ok(stored > 100 && stored < 1_000, `${stored}`)
    const body = Buffer.alloc(found.bodyBytes)
    found.copyBody(0, body, 0, body.length)
    assert.equal(body.toString(), 'body of what is read')
    there.leave()
    assert.equal(store(here, 'again', 'x'.repeat(2_000)), true)
  })

  it('may be larger than 32 bits count, takes no memory before it is used, and no entry beyond them', (t) => {
    const before = process.memoryUsage.rss()
    const rig = largeRig()
    if (rig === undefined) return t.skip('the system gives no address space that it has no memory for')
    const [here, there] = rig.memories as [WorkerResponseMemory, WorkerResponseMemory]
    assert.equal(store(there, 'far', 'x'.repeat(100_000)), true)
    assert.equal(bodyOf(here, 'far'), 'x'.repeat(100_000))
    assert.ok(here.maxBodyBytes < 2 ** 31)
    assert.equal(beginFill(here, 'long').head(headOf('h', 2 ** 31)), false)
    assert.equal(beginFill(here, 'longer').head(headOf('h', 5 * 2 ** 30)), false)
    assert.ok(process.memoryUsage.rss() - before < 1_024 * MiB)
  })

  it('is as large as it was allocated, for any number of workers, or not at all', () => {
    for (const workers of [1, 2, 7, 64, 300])
      for (const bytes of [0, 100_000, MiB, 16 * MiB, 300 * MiB]) {
        const buffers = allocateCache(bytes, workers, [1, 2])
        assert.equal(buffers === undefined, bytes / workers < 300_000, `${bytes} for ${workers}`)
        if (buffers === undefined) continue
        assert.ok(buffers.memory.byteLength <= bytes)
        const last = new WorkerResponseMemory(buffers, workers, workers - 1, globalThis.setImmediate)
        assert.equal(store(last, 'a', 'body'), true)
        assert.equal(bodyOf(last, 'a'), 'body')
      }
  })
})
