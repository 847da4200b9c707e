import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { allocateCache } from '../../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../../src/cache/memory/worker-response-memory.ts'
import type { Fill, HeldEntry } from '../../../src/cache/response-memory.ts'
import type { BodySink, LentSink } from '../../../src/message/body.ts'
import { EntryBody, SharedHold } from '../../../src/policy/cache/entry-body.ts'
import { FillStep, type FillTarget } from '../../../src/policy/cache/fill-step.ts'
import { beginFill, headOf, keyOf, store } from '../../suite/response-memory.ts'

const MIB = 1024 * 1024
/** Of one body, in one turn of the event loop. */
const MOST = 64 * 1024

const BODY = Buffer.from(Array.from({ length: MIB }, (_, i) => 97 + ((i * 31 + (i >> 8) * 7) % 26)))

function memory(): WorkerResponseMemory {
  return new WorkerResponseMemory(allocateCache(16 * MIB, 1, [1, 2])!, 1, 0, setImmediate)
}

/** Takes whatever comes at once, as the system may for a client that reads fast. */
class Client implements LentSink {
  readonly parts: Buffer[] = []
  thisTurn = 0
  ended = false
  /** It takes no more for now. */
  full = false
  /** Throws at the next piece. */
  broken = false
  failure: unknown = null
  flushes = 0

  write(chunk: Uint8Array): boolean {
    return this.lend(Buffer.from(chunk), 0, chunk.length)
  }

  lend(bytes: Buffer, start: number, end: number): boolean {
    if (this.broken) throw new Error('broken')
    this.parts.push(Buffer.from(bytes.subarray(start, end)))
    this.thisTurn += end - start
    return !this.full
  }

  flush(): void {
    this.flushes++
  }

  end(): void {
    this.ended = true
  }

  fail(error: unknown): void {
    this.failure = error
  }

  /** @returns the most bytes of a turn */
  async untilEnd(): Promise<number> {
    let most = this.thisTurn
    for (let turns = 0; !this.ended && this.failure === null; turns++) {
      assert.ok(turns < 100, 'it goes on')
      this.thisTurn = 0
      await nextTurn()
      most = Math.max(most, this.thisTurn)
    }
    return most
  }

  get bytes(): Buffer {
    return Buffer.concat(this.parts)
  }
}

const entryBody = (entry: HeldEntry): EntryBody =>
  new EntryBody({ held: new SharedHold(entry), from: 0, to: -1, fetch: null, cut: null, nextTurn: setImmediate })

describe('the body of an entry', () => {
  it('goes in pieces of a turn, however much the client takes at once', async () => {
    const stored = memory()
    store(stored, 'a', BODY.toString())
    const held = stored.find(keyOf('a'))!.hold()!
    stored.leave()
    const client: Client & BodySink = new Client()
    entryBody(held).start(client)
    const most = await client.untilEnd()
    assert.ok(most <= MOST, `${most} bytes in one turn`)
    assert.ok(client.bytes.equals(BODY))
    assert.ok(held.gone, 'and nothing holds it any more')
  })

  it('that nobody reads any more goes no further', async () => {
    const stored = memory()
    store(stored, 'a', BODY.toString())
    const held = stored.find(keyOf('a'))!.hold()!
    stored.leave()
    const client = new Client()
    const control = entryBody(held).start(client)
    control.abort()
    await nextTurn()
    await nextTurn()
    assert.equal(client.bytes.length, MOST)
    assert.equal(client.ended, false)
    assert.ok(held.gone)
  })
})

/** Nothing is passed on here. */
const PASSING: FillTarget['passing'] = {
  timers: { after: () => () => {}, nextTurn: () => () => {} },
  clock: { monotonic: () => 0 },
  patience: () => 0,
}

class Target implements FillTarget {
  readonly fill: Fill
  readonly maxBytes = 2 * MIB
  readonly unattended = false
  readonly passing = PASSING
  failed = 0

  constructor(fill: Fill) {
    this.fill = fill
  }

  whole(): void {
    this.fill.end()
  }

  lost(): void {}

  fail(): void {
    this.failed++
    this.fill.fail()
  }

  nextTurn(run: () => void): void {
    setImmediate(run)
  }
}

describe('a client behind the origin', () => {
  /** It has the first of 16 pieces, and all of them have come. */
  function behind(): { client: Client; step: FillStep; target: Target } {
    const stored = memory()
    const fill = beginFill(stored, 'a')
    fill.head(headOf('head', MIB))
    const [client, target] = [new Client(), new Target(fill)]
    const step = new FillStep(target, client, { wake() {} })
    client.full = true
    for (let at = 0; at < MIB; at += MOST) assert.equal(step.lend(BODY, at, at + MOST), true, 'the origin goes on')
    assert.equal(client.bytes.length, MOST)
    client.full = false
    client.thisTurn = 0
    return { client, step, target }
  }

  it('is given what it has not got in pieces of a turn, however much it takes at once', async () => {
    const { client, step } = behind()
    step.end(null)
    step.drained()
    // As often as the client says so.
    step.drained()
    const most = await client.untilEnd()
    assert.ok(most <= MOST, `${most} bytes in one turn`)
    assert.ok(client.bytes.equals(BODY))
  })

  it('stops where it takes no more, and goes on once it does', async () => {
    const { client, step } = behind()
    step.end(null)
    step.drained()
    client.full = true
    for (let i = 0; i < 5; i++) await nextTurn()
    const before = client.bytes.length
    assert.equal(before, 3 * MOST)
    client.full = false
    step.drained()
    await client.untilEnd()
    assert.ok(client.bytes.equals(BODY))
  })

  it('is sent each piece without waiting for more of the origin', async () => {
    const { client, step } = behind()
    step.drained()
    for (let i = 0; i < 20; i++) await nextTurn()
    assert.equal(client.bytes.length, MIB)
    assert.ok(client.flushes >= 15, `${client.flushes}`)
  })

  it('that has left is given nothing more', async () => {
    const { client, step, target } = behind()
    step.drained()
    step.abort()
    for (let i = 0; i < 5; i++) await nextTurn()
    assert.equal(client.bytes.length, 2 * MOST)
    assert.equal(target.failed, 1)
  })

  it('fails by itself where sending fails in a turn of its own', async () => {
    const { client, step, target } = behind()
    step.drained()
    client.broken = true
    await client.untilEnd()
    assert.match(String(client.failure), /broken/)
    assert.equal(target.failed, 1)
  })
})
