/** A body that is too long to be kept, and that others read along. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import { allocateCache, clearWorkerMemory, readCacheStatistics } from '../../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../../src/cache/memory/worker-response-memory.ts'
import type { Fill, FillUnderWay, HeldEntry, PassedBody } from '../../../src/cache/response-memory.ts'
import type { CacheBuffers } from '../../../src/shared-memory/process-buffers.ts'
import { beginFill, bodyOf, followFill, headOf, keyOf, store } from '../../suite/response-memory.ts'

const MiB = 1_024 * 1_024
const WORKERS = 2
const CHUNK = 50_001

/** Any two places within 16 MiB differ in one of four bytes. */
function contents(from: number, to: number): Buffer {
  const bytes = Buffer.alloc(to - from)
  for (let i = 0; i < bytes.length; i++) bytes[i] = ((from + i) >>> (8 * ((from + i) % 3))) & 0xff
  return bytes
}

class Reader {
  readonly fetch: FillUnderWay
  readonly held: HeldEntry
  at = 0

  constructor(memory: WorkerResponseMemory, key = 'long') {
    this.fetch = followFill(memory, key)
    this.fetch.follow(() => {})
    this.held = this.fetch.hold()!
  }

  /** @returns bytes read */
  read(most = Number.POSITIVE_INFINITY): number {
    const begun = this.at
    while (this.at - begun < most) {
      const count = Math.min(this.held.reach(this.at) - this.at, CHUNK, most - (this.at - begun))
      if (count <= 0) break
      const bytes = Buffer.alloc(count)
      assert.equal(this.held.copyBody(this.at, bytes, 0, count), count)
      assert.ok(bytes.equals(contents(this.at, this.at + count)), `wrong bytes at ${this.at}`)
      this.at += count
    }
    return this.at - begun
  }

  /** It has all there will be. */
  get isWhole(): boolean {
    return this.fetch.state === 'whole' && this.held.bodyBytes === this.at
  }

  leave(): void {
    this.fetch.cancel()
    this.held.release()
  }
}

class Place {
  readonly #buffers: CacheBuffers
  readonly memories: readonly WorkerResponseMemory[]
  readonly fill: Fill
  passed: PassedBody | null = null
  written = 0

  /** @param beside another one in the same memory */
  constructor(bodyBytes = -1, key = 'long', beside?: Place) {
    this.#buffers = beside === undefined ? allocateCache(4 * MiB, WORKERS, [1, 2])! : beside.#buffers
    this.memories = beside?.memories ?? Array.from({ length: WORKERS }, (_, index) => this.#open(index))
    this.fill = beginFill(this.memories[0]!, key)
    this.fill.head(headOf('head', bodyBytes))
  }

  /** Until a number of bytes, or no more is taken. @returns whether all was */
  write(to: number): boolean {
    while (this.written < to) {
      const bytes = contents(this.written, Math.min(to, this.written + CHUNK))
      if (this.passed === null) {
        const outcome = this.fill.pass(bytes, 0, bytes.length)
        if (outcome === false) return false
        if (outcome === true) {
          this.written += bytes.length
          continue
        }
        this.passed = outcome
        this.written = outcome.written
      } else {
        const taken = this.passed.write(bytes, 0, bytes.length)
        this.written += taken
        if (taken < bytes.length) return false
      }
    }
    return true
  }

  replaceWriter(): WorkerResponseMemory {
    clearWorkerMemory(this.#buffers, WORKERS, 0)
    return this.#open(0)
  }

  get used(): number {
    return readCacheStatistics(this.#buffers, WORKERS, 0).UsedBytes
  }

  #open(index: number): WorkerResponseMemory {
    return new WorkerResponseMemory(this.#buffers, WORKERS, index, (run) => void globalThis.setImmediate(run))
  }
}

async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; !condition(); turns++) {
    assert.ok(turns < 200_000, 'it does not come')
    await setImmediate()
  }
}

describe('a body that is not kept', () => {
  it('is read along as a whole by all workers, however long, in bounded memory', () => {
    const place = new Place()
    const [own, other] = [new Reader(place.memories[0]!), new Reader(place.memories[1]!)]
    const most = 12 * MiB + 7
    for (let turns = 0; place.written < most; turns++) {
      assert.ok(turns < 10_000)
      place.write(most)
      own.read(100_000 + (turns % 3) * 70_000)
      other.read(150_000)
    }
    place.passed!.end()
    assert.ok(place.used < 2 * MiB)
    for (const reader of [own, other]) {
      reader.read()
      assert.equal(reader.at, most)
      assert.ok(reader.isWhole)
      reader.leave()
    }
    assert.equal(bodyOf(place.memories[1]!, 'long'), undefined, 'it is not found afterwards')
    place.memories[0]!.sweep(0, 1, () => false)
    place.memories[0]!.sweep(0, 1, () => false)
    assert.ok(place.used < 64 * 1_024, `${place.used} bytes are in use`)
  })

  it('waits for the slowest reader, who loses it when it reads nothing though told to hurry', async () => {
    const place = new Place()
    const [fast, slow] = [new Reader(place.memories[0]!), new Reader(place.memories[1]!)]
    let heard = 0
    while (place.write(12 * MiB)) assert.fail('there is room for everything')
    const passed = place.passed!
    passed.follow(() => heard++)
    assert.ok(place.written < 3 * MiB)
    fast.read()
    slow.read(300_000)
    assert.ok(passed.isAwaited)
    // Once it has read enough, then nothing.
    await until(() => {
      passed.hurry()
      return slow.held.gone
    })
    await until(() => heard > 0)
    assert.equal(fast.held.gone, false)
    assert.equal(slow.read(), 0)
    assert.equal(slow.fetch.state, 'failed')
    place.write(12 * MiB)
    const before = fast.at
    fast.read()
    assert.ok(fast.at > before + 64 * 1_024)
  })

  it('does not wait for readers that have left, and has none then', () => {
    const place = new Place()
    const readers = place.memories.map((memory) => new Reader(memory))
    place.write(12 * MiB)
    const [first, last] = readers as [Reader, Reader]
    last.leave()
    first.read()
    assert.equal(place.passed!.unread, false)
    const before = place.written
    place.write(12 * MiB)
    assert.ok(place.written > before)
    first.read()
    first.leave()
    place.write(12 * MiB)
    assert.ok(place.passed!.unread)
    place.passed!.fail()
  })

  it('lets nobody come to it late, and another request begin anew', () => {
    const place = new Place()
    const late = followFill(place.memories[1]!, 'long')
    const reader = new Reader(place.memories[1]!)
    place.write(2 * MiB)
    assert.equal(late.state, 'recorded')
    assert.equal(late.hold(), null)
    const next = beginFill(place.memories[1]!, 'long')
    next.fail()
    reader.leave()
  })

  it('fails for those who read it, at the end of what there is, where its fetch does', () => {
    const place = new Place()
    const reader = new Reader(place.memories[1]!)
    place.write(12 * MiB)
    place.passed!.fail()
    reader.read()
    assert.equal(reader.at, place.written)
    assert.equal(reader.fetch.state, 'failed')
    assert.equal(reader.held.bodyBytes, -1)
  })

  it('is whole only with as many bytes as were told', () => {
    for (const [written, state] of [
      [900_000, 'whole'],
      [899_999, 'failed'],
      [900_001, 'failed'],
    ] as const) {
      const place = new Place(900_000)
      // So that there is no room for all of it.
      const others = Array.from({ length: 40 }, (_, i) => beginFill(place.memories[0]!, `other ${i}`))
      for (const fill of others) {
        fill.head(headOf('head', -1))
        assert.ok(fill.write(Buffer.alloc(30_000), 0, 30_000))
      }
      const reader = new Reader(place.memories[1]!)
      for (let turns = 0; place.written < written && reader.fetch.state === 'filling'; turns++) {
        assert.ok(turns < 10_000)
        place.write(written)
        reader.read()
        others.pop()?.fail()
      }
      assert.ok(place.passed !== null)
      place.passed.end()
      reader.read()
      assert.equal(reader.fetch.state, state, `${written} of 900000`)
    }
  })

  it('is taken from slow readers behind its end where all of them have more than a quarter', async () => {
    const places = [new Place()]
    places.push(new Place(-1, 'too', places[0]))
    const [memory] = places[0]!.memories
    const readers = ['long', 'too'].map((key) => new Reader(places[0]!.memories[1]!, key))
    for (const [i, place] of places.entries()) {
      while (place.write(3 * MiB) || place.written < 2 * MiB) readers[i]!.read()
      while (place.write(3 * MiB)) assert.fail('there is room for everything')
      place.passed!.end()
    }
    await until(() => {
      memory!.sweep(0, 1, () => false)
      return readers[0]!.held.gone
    })
    assert.equal(readers[1]!.held.gone, false)
    readers[1]!.read()
    assert.ok(readers[1]!.isWhole)
    readers[1]!.leave()
    for (let i = 0; i < 2; i++) memory!.sweep(0, 1, () => false)
    assert.ok(places[0]!.used < 64 * 1_024, `${places[0]!.used} bytes are in use`)
  })

  it('gives nothing of others when its worker has died and another one stores in its place', async () => {
    const place = new Place()
    const reader = new Reader(place.memories[1]!)
    place.write(12 * MiB)
    const next = place.replaceWriter()
    reader.read(100_000)
    for (let i = 0; next.begin(keyOf('adopts'), 'shop', 0) === 'none'; i++) assert.ok(i < 1_000)
    for (let i = 0; i < 200; i++) store(next, `other ${i}`, 'x'.repeat(20_000))
    reader.read()
    assert.ok(reader.held.gone || reader.fetch.state === 'failed')
    assert.ok(!reader.isWhole)
    reader.leave()
  })
})
