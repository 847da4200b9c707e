/**
 * Moves lines from the rings of all threads to one output. It has no queue of its own: bytes that the output does not
 * accept stay in the rings, which bound the memory; lines for which a ring is full are dropped and counted there. A
 * pump that dies loses nothing: the next one continues, even within a line.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { LineReader, LineRing } from '../shared-memory/line-ring.ts'
import type { LineOutput } from './output.ts'

/** Size of one write: the capacity of a Linux pipe. */
const CHUNK_BYTES = 64 * 1_024
/** Bytes moved per turn of the event loop. */
const TURN_BYTES = 1_024 * 1_024

/** Milliseconds between turns; shorter when the rings are fuller. */
const MAX_WAIT = 50
const MIN_WAIT = 2
/** Waits for a slow reader and for a failing output. */
const BLOCKED_WAIT = { first: 1, longest: 50 }
const FAILED_WAIT = { first: 100, longest: 5_000 }

/** Time for a pending write of the thread pool. */
const PENDING_WRITE_WAIT = 20

/** Minimum time between two reports of dropped lines. */
const REPORT_INTERVAL = 1_000

export interface PumpOptions {
  readonly rings: readonly SharedArrayBuffer[]
  readonly out: LineOutput
  /**
   * Called with the number of lines dropped since the last call, when the output accepts lines again, at most once a
   * second.
   */
  readonly onDrop: (lines: number) => void
  /** Called once per failure of the output, which is retried at least every five seconds. */
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
  /** The next ring; at first the one whose line is incomplete, if any. */
  #next: number
  /** The last pump died during a write: the line that may be incomplete in the output must be ended. */
  #interrupted: boolean
  #unreported = 0
  #reportedAt = Number.NEGATIVE_INFINITY
  #wait = MAX_WAIT
  /** Replaces the wait while the output accepts nothing. */
  #backoff = 0
  #failing = false
  #timer: NodeJS.Timeout | undefined
  #turn: Promise<Turn> | undefined
  #closed = false
  /** The bytes of a pending asynchronous write. */
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

  /** Lines dropped since the creation of the rings. */
  dropped(): number {
    let lines = 0
    for (const ring of this.#rings) lines += LineRing.dropped(ring)
    return lines
  }

  /** Moves pending lines without waiting for the timer. */
  kick(): void {
    if (!this.#closed && this.#turn === undefined) this.#schedule(0)
  }

  /**
   * Resolves when the output has accepted all lines written before, or after the timeout.
   *
   * @returns false when lines are left
   */
  async flush(milliseconds: number): Promise<boolean> {
    const deadline = performance.now() + milliseconds
    // The current turn may have missed lines written since it began.
    let fresh = this.#turn === undefined
    for (;;) {
      const left = deadline - performance.now()
      const turn = await withTimeout(this.#run(), left)
      if (turn === undefined) return false
      if (turn === 'idle' && fresh) return true
      fresh = true
      if (left <= 0) return false
      if (turn === 'blocked' || turn === 'broken') await delay(Math.min(left, this.#backoff))
    }
  }

  /**
   * Synchronous flush for a thread that is about to end by an error, when no promise would resolve. Closes the pump.
   */
  flushSync(milliseconds: number): void {
    const deadline = performance.now() + milliseconds
    this.#closed = true
    clearTimeout(this.#timer)
    if (this.#pending !== undefined) {
      // The thread pool continues without this event loop. The write's result is unknown: it is assumed to succeed.
      Atomics.wait(SLEEP_CELL, 0, 0, Math.min(milliseconds, PENDING_WRITE_WAIT))
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
        Atomics.wait(SLEEP_CELL, 0, 0, 1)
      }
      this.#next = (this.#next + 1) % this.#readers.length
    }
  }

  /** Flushes within the timeout, and stops. */
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
    // The log must not keep the process alive.
    this.#timer = setTimeout(() => void this.#tick(), milliseconds).unref()
  }

  async #tick(): Promise<void> {
    const turn = await this.#run()
    if (!this.#closed) this.#schedule(turn === 'more' ? 0 : this.#backoff || this.#wait)
  }

  /** Concurrent calls share one turn. */
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
      this.#backoff = Math.min(Math.max(this.#backoff * 2, FAILED_WAIT.first), FAILED_WAIT.longest)
      return turn
    }
    if (turn !== 'blocked') this.#backoff = 0
    else if (moved > 0) this.#backoff = BLOCKED_WAIT.first
    else this.#backoff = Math.min(Math.max(this.#backoff * 2, BLOCKED_WAIT.first), BLOCKED_WAIT.longest)
    if (turn !== 'blocked' || moved > 0) this.#report()
    return turn
  }

  async #pass(): Promise<{ turn: Turn; moved: number }> {
    if (this.#interrupted && !(await this.#endTornLine())) return { turn: this.#stopCause(), moved: 0 }
    let moved = 0
    let fullest = 0
    for (let visited = 0; visited < this.#readers.length; visited++) {
      const reader = this.#readers[this.#next]!
      fullest = Math.max(fullest, reader.size)
      for (let part = reader.peek(CHUNK_BYTES); part !== null; part = reader.peek(CHUNK_BYTES)) {
        const pending = { reader, bytes: part.length }
        this.#pending = pending
        const taken = await this.#write(part)
        // flushSync ran in between and has consumed the bytes.
        if (this.#pending !== pending) return { turn: 'idle', moved }
        this.#pending = undefined
        reader.consume(taken)
        moved += taken
        if (taken < part.length) return { turn: this.#stopCause(), moved }
        if (moved >= TURN_BYTES && !reader.midLine) break
      }
      this.#next = (this.#next + 1) % this.#readers.length
      if (moved >= TURN_BYTES) return { turn: 'more', moved }
    }
    this.#adapt(fullest / this.#smallest)
    return { turn: 'idle', moved }
  }

  #stopCause(): Turn {
    return this.#failing ? 'broken' : 'blocked'
  }

  async #endTornLine(): Promise<boolean> {
    if ((await this.#write(Buffer.from('\n'))) === 0) return false
    this.#interrupted = false
    for (const reader of this.#readers) reader.consume(0)
    return true
  }

  /** @param fill level of the fullest ring since the last turn, from 0 to 1 */
  #adapt(fill: number): void {
    if (fill > 1 / 4) this.#wait = Math.max(MIN_WAIT, Math.min(this.#wait, MAX_WAIT) / 2)
    else if (fill < 1 / 16) this.#wait = Math.min(MAX_WAIT, this.#wait * 2)
  }

  async #write(bytes: Buffer): Promise<number> {
    try {
      const taken = this.#out.write(bytes)
      return this.#written(typeof taken === 'number' ? taken : await taken)
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #writeNow(bytes: Buffer): number {
    try {
      return this.#written(this.#out.writeNow(bytes))
    } catch (error) {
      return this.#failed(error as Error)
    }
  }

  #written(bytes: number): number {
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
    if (this.#unreported === 0 || (now - this.#reportedAt < REPORT_INTERVAL && !this.#closed)) return
    const lines = this.#unreported
    this.#unreported = 0
    this.#reportedAt = now
    this.#onDrop(lines)
  }
}

const SLEEP_CELL = new Int32Array(new SharedArrayBuffer(4))

/** @returns undefined after the timeout */
async function withTimeout<T>(promise: Promise<T>, milliseconds: number): Promise<T | undefined> {
  const cancel = new AbortController()
  const timeout = delay(Math.max(0, milliseconds), undefined, { signal: cancel.signal }).catch(() => undefined)
  const value = await Promise.race([promise, timeout])
  cancel.abort()
  return value
}
