/**
 * The body of a request as its stream receives it: flow control follows what its reader takes, so a slow upstream stops
 * its client, and only the bytes that were on their way by then are held.
 */
import { ReceiveWindow } from '../http/flow-control.ts'
import { HeldBody } from './held-body.ts'

/** Bytes that the client may have on their way on a new stream, and on one whose reader keeps up. */
export const STREAM_WINDOW = 65_535
const LARGEST_STREAM_WINDOW = 1024 * 1024
/** Windows that a reader must have taken without a pause before its next one is twice as large. */
const WINDOWS_TO_GROW = 4

export class ReceivingBody {
  readonly #window = new ReceiveWindow(STREAM_WINDOW)
  /** Bytes still to come by the content-length; -1 = not stated. */
  #owed: number
  #held: HeldBody | null = null
  /** Bytes that the reader was given and has not yet made room for. */
  #given = 0
  paused = false
  /** Taken since the last pause, or since the window has grown. */
  #taken = 0

  /** @param length bytes; -1 = unknown */
  constructor(length: number) {
    this.#owed = length
  }

  /** A DATA frame begins. @returns false: over the window, FLOW_CONTROL_ERROR */
  receive(length: number): boolean {
    return this.#window.receive(length)
  }

  /** @returns false: more than the content-length says */
  count(bytes: number): boolean {
    if (this.#owed < 0) return true
    if (bytes > this.#owed) return false
    this.#owed -= bytes
    return true
  }

  /** The body may end here. */
  get complete(): boolean {
    return this.#owed <= 0
  }

  get waiting(): boolean {
    return this.#held !== null
  }

  hold(bytes: Buffer, start: number, end: number): void {
    this.#held ??= new HeldBody()
    this.#held.add(bytes, start, end)
  }

  /** The reader has got these bytes, and takes no more for now. */
  pause(bytes: number): void {
    this.paused = true
    this.#given += bytes
    this.#taken = 0
  }

  /** The reader takes bytes again. @returns the increment of the window to announce */
  resume(): number {
    this.paused = false
    const given = this.#given
    this.#given = 0
    return given === 0 ? 0 : this.#window.consume(given)
  }

  /** What was held meanwhile, which is the receiver's own. */
  take(): Buffer {
    const held = this.#held!
    this.#held = null
    return held.take()
  }

  /** Bytes were taken at once. @returns the increment of the window to announce */
  consume(bytes: number): number {
    const window = this.#window
    this.#taken += bytes
    if (this.#taken >= WINDOWS_TO_GROW * window.size && window.size < LARGEST_STREAM_WINDOW) {
      this.#taken = 0
      return window.consume(bytes) + window.grow(Math.min(2 * window.size, LARGEST_STREAM_WINDOW))
    }
    return window.consume(bytes)
  }

  drop(): void {
    this.#held?.drop()
    this.#held = null
  }
}
