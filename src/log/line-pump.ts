/**
 * Moves lines from the rings of all threads to one output. There is no queue of its own: what the output does not take
 * stays in the rings, so memory is bounded by them, and what finds a ring full is dropped and counted there. A pump
 * that dies loses nothing: the next one goes on, even within a line.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { LineReader, LineRing } from '../shared-memory/line-ring.ts'
import type { LineOutput } from './output.ts'

/** One write; a whole pipe of Linux. */
const CHUNK_BYTES = 64 * 1_024
/** What one turn may move before other work of the thread gets its turn. */
const TURN_BYTES = 1_024 * 1_024

/** Milliseconds between turns: the more the rings were found filled, the shorter. */
const LONGEST_WAIT = 50
const SHORTEST_WAIT = 2
/** A reader that is slow, and an output that fails. */
const BLOCKED_WAIT = { first: 1, longest: 50 }
const BROKEN_WAIT = { first: 100, longest: 5_000 }

/** For a write of the thread pool to come through. */
const PENDING_WAIT = 20

/** How often lost lines are told of at most. */
const REPORT_EVERY = 1_000

export interface PumpOptions {
  readonly rings: readonly SharedArrayBuffer[]
  readonly out: LineOutput
  /**
   * Lines that found a ring full since the last call. Told when the output takes lines again, at most once a second.
   */
  readonly onDrop: (lines: number) => void
  /** The output failed; it is tried again, at the latest every five seconds. Once for each time it fails. */
  readonly onError?: (error: Error) => void
}

type Turn = 'idle' | 'more' | 'blocked' | 'broken'

export class LinePump {
  readonly #rings: readonly SharedArrayBuffer[]
  readonly #readers: readonly LineReader[]
  readonly #out: LineOutput
  readonly #onDrop: (lines: number) => void
  readonly #onError: (error: Error) => void
  readonly #smallest: number
  /** The ring to begin with: the one that is within a line, if any. */
  #next: number
  /** The last pump died while the output had bytes of it: end the line that may stand there half. */
  #interrupted: boolean
  #unreported = 0
  #reportedAt = Number.NEGATIVE_INFINITY
  #wait = LONGEST_WAIT
  /** Takes the place of the wait while the output takes nothing. */
  #backoff = 0
  #failing = false
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<Turn> | undefined
  #closed = false
  /** What an output that takes its time has in hand. */
  #pending: { readonly reader: LineReader; readonly bytes: number } | undefined

  constructor(options: PumpOptions) {
    this.#rings = options.rings
    this.#readers = options.rings.map((ring) => new LineReader(ring))
    this.#out = options.out
    this.#onDrop = options.onDrop
    this.#onError = options.onError ?? (() => {})
    this.#smallest = Math.min(...options.rings.map((ring) => ring.byteLength))
    this.#next = Math.max(
      0,
      this.#readers.findIndex((reader) => reader.midLine),
    )
    this.#interrupted = this.#readers.some((reader) => reader.interrupted)
    this.#schedule(0)
  }

  /** Lines that found a ring full since the rings were made. */
  dropped(): number {
    let lines = 0
    for (const ring of this.#rings) lines += LineRing.dropped(ring)
    return lines
  }

  /** Moves at once what is waiting, without waiting for the timer. */
  kick(): void {
    if (!this.#closed && this.#turn === undefined) this.#schedule(0)
  }

  /**
   * Resolves when all that was written before has been taken by the output, or the time is over.
   *
   * @returns false when something is left
   */
  async flush(milliseconds: number): Promise<boolean> {
    const deadline = performance.now() + milliseconds
    // A turn under way may have passed by what was written since.
    let fresh = this.#turn === undefined
    for (;;) {
      const left = deadline - performance.now()
      const turn = await within(this.#run(), left)
      if (turn === undefined) return false
      if (turn === 'idle' && fresh) return true
      fresh = true
      if (left <= 0) return false
      if (turn === 'blocked' || turn === 'broken') await delay(Math.min(left, this.#backoff))
    }
  }

  /**
   * What can be done when the thread is about to end by an error: no promise would be kept any more. The pump is closed
   * by it.
   */
  flushSync(milliseconds: number): void {
    const deadline = performance.now() + milliseconds
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#pending !== undefined) {
      // The pool goes on without this thread's loop. Whether it got through is not known: it is taken for done.
      Atomics.wait(ASLEEP, 0, 0, Math.min(milliseconds, PENDING_WAIT))
      this.#pending.reader.consume(this.#pending.bytes)
      this.#pending = undefined
    }
    for (let visited = 0; visited < this.#readers.length; visited++) {
      const reader = this.#readers[this.#next]!
      for (let part = reader.peek(CHUNK_BYTES); part !== null; part = reader.peek(CHUNK_BYTES)) {
        const taken = this.#writeNow(part)
        reader.consume(taken)
        if (taken === part.length) continue
        if (this.#failing || performance.now() > deadline) return
        Atomics.wait(ASLEEP, 0, 0, 1)
      }
      this.#next = (this.#next + 1) % this.#readers.length
    }
  }

  /** Flushes, for at most the time given, and stops. */
  async close(milliseconds: number): Promise<boolean> {
    const done = await this.flush(milliseconds)
    this.#closed = true
    clearTimeout(this.#timer)
    this.#report()
    this.#out.close()
    return done
  }

  #schedule(milliseconds: number): void {
    clearTimeout(this.#timer)
    // A log keeps no process alive.
    this.#timer = setTimeout(() => void this.#tick(), milliseconds).unref()
  }

  async #tick(): Promise<void> {
    const turn = await this.#run()
    if (!this.#closed) this.#schedule(turn === 'more' ? 0 : this.#backoff || this.#wait)
  }

  /** One turn at a time, whoever asks. */
  #run(): Promise<Turn> {
    this.#turn ??= this.#move().then((turn) => {
      this.#turn = undefined
      return turn
    })
    return this.#turn
  }

  async #move(): Promise<Turn> {
    const { turn, moved } = await this.#pass()
    if (turn === 'broken') {
      this.#backoff = Math.min(Math.max(this.#backoff * 2, BROKEN_WAIT.first), BROKEN_WAIT.longest)
      return turn
    }
    if (turn !== 'blocked') this.#backoff = 0
    else if (moved > 0) this.#backoff = BLOCKED_WAIT.first
    else this.#backoff = Math.min(Math.max(this.#backoff * 2, BLOCKED_WAIT.first), BLOCKED_WAIT.longest)
    if (turn !== 'blocked' || moved > 0) this.#report()
    return turn
  }

  async #pass(): Promise<{ turn: Turn; moved: number }> {
    if (this.#interrupted && !(await this.#endTornLine())) return { turn: this.#stuck(), moved: 0 }
    let moved = 0
    let fullest = 0
    for (let visited = 0; visited < this.#readers.length; visited++) {
      const reader = this.#readers[this.#next]!
      fullest = Math.max(fullest, reader.size)
      for (let part = reader.peek(CHUNK_BYTES); part !== null; part = reader.peek(CHUNK_BYTES)) {
        const inHand = { reader, bytes: part.length }
        this.#pending = inHand
        const taken = await this.#write(part)
        // flushSync came in between and has reckoned with it.
        if (this.#pending !== inHand) return { turn: 'idle', moved }
        this.#pending = undefined
        reader.consume(taken)
        moved += taken
        if (taken < part.length) return { turn: this.#stuck(), moved }
        if (moved >= TURN_BYTES && !reader.midLine) break
      }
      this.#next = (this.#next + 1) % this.#readers.length
      if (moved >= TURN_BYTES) return { turn: 'more', moved }
    }
    this.#adapt(fullest / this.#smallest)
    return { turn: 'idle', moved }
  }

  #stuck(): Turn {
    return this.#failing ? 'broken' : 'blocked'
  }

  async #endTornLine(): Promise<boolean> {
    if ((await this.#write(Buffer.from('\n'))) === 0) return false
    this.#interrupted = false
    for (const reader of this.#readers) reader.consume(0)
    return true
  }

  /** @param fill how far the fullest ring had filled since the last turn */
  #adapt(fill: number): void {
    if (fill > 1 / 4) this.#wait = Math.max(SHORTEST_WAIT, Math.min(this.#wait, LONGEST_WAIT) / 2)
    else if (fill < 1 / 16) this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2)
  }

  async #write(bytes: Buffer): Promise<number> {
    try {
      const taken = this.#out.write(bytes)
      return this.#took(typeof taken === 'number' ? taken : await taken)
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #writeNow(bytes: Buffer): number {
    try {
      return this.#took(this.#out.writeNow(bytes))
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #took(bytes: number): number {
    if (bytes > 0) this.#failing = false
    return bytes
  }

  #failed(error: Error): 0 {
    if (!this.#failing) this.#onError(error)
    this.#failing = true
    return 0
  }

  #report(): void {
    for (const reader of this.#readers) this.#unreported += reader.takeDropped()
    const now = performance.now()
    if (this.#unreported === 0 || (now - this.#reportedAt < REPORT_EVERY && !this.#closed)) return
    const lines = this.#unreported
    this.#unreported = 0
    this.#reportedAt = now
    this.#onDrop(lines)
  }
}

const ASLEEP = new Int32Array(new SharedArrayBuffer(4))

/** @returns undefined when the time is over first */
async function within<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const cancel = new AbortController()
  const timeout = delay(Math.max(0, milliseconds), undefined, { signal: cancel.signal }).catch(() => undefined)
  const value = await Promise.race([promise, timeout])
  cancel.abort()
  return value
}
