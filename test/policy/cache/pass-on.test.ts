/** When who reads along is judged, and how often is looked. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { PassedBody } from '../../../src/cache/response-memory.ts'
import { type Passer, PassOn } from '../../../src/policy/cache/pass-on.ts'

const PATIENCE = 8_000
/** Less than what is between two looks. */
const STEP = 10

class Time {
  now = 0
  readonly #due: { at: number; run: () => void }[] = []

  readonly services = {
    clock: { monotonic: () => this.now },
    timers: {
      after: (delay: number, run: () => void) => this.#add(delay, run),
      nextTurn: (run: () => void) => this.#add(0, run),
    },
    patience: () => PATIENCE,
  }

  #add(delay: number, run: () => void): () => void {
    const timer = { at: this.now + delay, run }
    this.#due.push(timer)
    return () => {
      const at = this.#due.indexOf(timer)
      if (at >= 0) this.#due.splice(at, 1)
    }
  }

  /** That wait. */
  get timers(): number {
    return this.#due.length
  }

  pass(time: number, each: () => void = () => {}): void {
    for (const end = this.now + time; this.now < end; this.now += STEP) {
      each()
      for (const timer of this.#due.filter(({ at }) => at <= this.now)) {
        this.#due.splice(this.#due.indexOf(timer), 1)
        timer.run()
      }
    }
  }
}

/** A body of which is said how much room there is, and who reads it. */
class Body implements PassedBody {
  written = 0
  unread = false
  isStuck = false
  isAwaited = false
  isCrowded = false
  room = 0
  hurries = 0
  failed = false

  write(_: Uint8Array, start: number, end: number): number {
    const taken = Math.min(this.room, end - start)
    this.room -= taken
    this.written += taken
    return taken
  }

  hurry(): boolean {
    this.hurries++
    return !this.failed
  }

  follow(): void {}
  hold(): null {
    return null
  }
  isFirst(): boolean {
    return false
  }
  end(): void {}
  fail(): void {
    this.failed = true
  }
}

function begin(passesOn: (passing: PassOn) => void = () => {}): { time: Time; body: Body; passing: PassOn } {
  const [time, body] = [new Time(), new Body()]
  const passer: Passer = {
    behind: null,
    given: 0,
    waits: false,
    drop() {},
    passesOn: () => passesOn(passing),
    passedOver() {},
  }
  const passing = new PassOn(body, time.services, passer)
  passing.write(Buffer.alloc(100), 0, 100)
  return { time, body, passing }
}

describe('what is passed on', () => {
  it('is looked at by one timer, also where more comes while it goes on', () => {
    const { time, body } = begin((passing) => passing.write(Buffer.alloc(100), 0, 100))
    for (let i = 0; i < 10; i++) {
      body.room = 100
      time.pass(100)
    }
    assert.equal(time.timers, 1)
  })

  it('ends early where there has been no room for half of the patience, not where there is none for a moment', () => {
    const { time, body } = begin()
    body.isAwaited = true
    // Others wait for long; now and then there is room for a piece no more.
    let looks = 0
    time.pass(3 * PATIENCE, () => {
      body.isStuck = ++looks % 100 < 20
    })
    assert.equal(body.failed, false)
    assert.ok(body.hurries >= 4, `${body.hurries}`)
    body.isStuck = true
    time.pass(PATIENCE / 2 + 200)
    assert.ok(body.failed)
  })

  it('holds up nobody where all are slow, unless it takes the memory of others', () => {
    const { time, body } = begin()
    time.pass(3 * PATIENCE)
    assert.equal(body.hurries, 0)
    body.isCrowded = true
    time.pass(PATIENCE)
    assert.ok(body.hurries > 0)
  })
})
