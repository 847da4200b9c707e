/**
 * A body as a stream of HTTP/2 receives it: flow control follows what its reader takes, so a slow upstream stops its
 * client, and only the bytes that were on their way by then are held.
 */
import { ReceiveWindow } from '../http/flow-control.ts'
import { GatewayError } from '../lib/error.ts'
import { UNKNOWN_LENGTH } from '../message/body.ts'
import type { Fields } from '../message/fields.ts'
import type { Holding } from '../transport/held-memory.ts'
import { HeldBody } from './held-body.ts'

/** Bytes that the client may have on their way on a new stream, and on one whose reader keeps up. */
export const STREAM_WINDOW = 65_535
const LARGEST_STREAM_WINDOW = 1024 * 1024
/** Windows that a reader must have taken without a pause before the next one is twice as large. */
const WINDOWS_TO_GROW = 4

/** Who gets the bytes. */
export interface BodyReader {
  /** Counts what is held. */
  readonly held: Holding
  /** @param chunk the reader's own. @returns false: no more until `resume` */
  takeBody(chunk: Buffer): boolean
  /** All of it has come. */
  takeEnd(trailers: Fields | null): void
  /** The window of the stream is wider by so much. */
  windowUpdate(increment: number): void
}

export class ReceivingBody {
  readonly #reader: BodyReader
  readonly #window = new ReceiveWindow(STREAM_WINDOW)
  /** Bytes still to come by the content-length; -1 = it is not stated. */
  #owed: number
  #held: HeldBody | null = null
  /** The end has come behind bytes that are held. */
  #endHeld = false
  #trailers: Fields | null = null
  #paused = false
  /** Bytes that the reader was given and has not made room for. */
  #given = 0
  /** Bytes that were taken since the last pause, or since the window has grown. */
  #taken = 0
  /** Nobody reads it any more. */
  #unwanted = false

  /** @param length bytes, or `UNKNOWN_LENGTH` */
  constructor(reader: BodyReader, length: number) {
    this.#reader = reader
    this.#owed = length
  }

  /** A DATA frame begins. @returns false: over the window, FLOW_CONTROL_ERROR */
  begin(length: number, padding: number): boolean {
    if (!this.#window.receive(length)) return false
    if (padding > 0) this.#consume(padding)
    return true
  }

  /**
   * @param bytes the receiver's own
   * @returns what is wrong with them; null where nothing is
   */
  receive(bytes: Buffer, start: number, end: number): GatewayError | null {
    const length = end - start
    if (this.#owed !== UNKNOWN_LENGTH) {
      if (length > this.#owed) return new GatewayError('BadRequest', 'a body longer than its content-length')
      this.#owed -= length
    }
    if (this.#unwanted) this.#consume(length)
    else if (!this.#paused) this.#give(bytes.subarray(start, end))
    else if (this.#reader.held.excessive) return new GatewayError('MemoryLimit', 'too many bytes of bodies are held')
    else {
      this.#held ??= new HeldBody(this.#reader.held)
      this.#held.add(bytes, start, end)
    }
    return null
  }

  /** @returns what is wrong with the end; null where nothing is */
  end(trailers: Fields | null): GatewayError | null {
    if (this.#owed > 0) return new GatewayError('BadRequest', 'a body shorter than its content-length')
    if (this.#held === null) {
      if (!this.#unwanted) this.#reader.takeEnd(trailers)
      return null
    }
    trailers?.detach()
    this.#endHeld = true
    this.#trailers = trailers
    return null
  }

  #give(chunk: Buffer): void {
    if (this.#reader.takeBody(chunk) || this.#unwanted) this.#consume(chunk.length)
    else {
      this.#paused = true
      this.#given += chunk.length
    }
  }

  /** A reader that keeps up gets more at a time. */
  #consume(bytes: number): void {
    const window = this.#window
    this.#taken += bytes
    let increment = window.consume(bytes)
    if (this.#taken >= WINDOWS_TO_GROW * window.size && window.size < LARGEST_STREAM_WINDOW && !this.#unwanted) {
      this.#taken = 0
      increment += window.grow(Math.min(2 * window.size, LARGEST_STREAM_WINDOW))
    }
    if (increment > 0) this.#reader.windowUpdate(increment)
  }

  pause(): void {
    this.#paused = true
    this.#taken = 0
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#takeBack()
    while (this.#held !== null && !this.#paused) {
      const bytes = this.#held.take()
      this.#held = null
      this.#give(bytes)
    }
    if (!this.#endHeld || this.#held !== null || this.#unwanted) return
    this.#endHeld = false
    this.#reader.takeEnd(this.#trailers)
  }

  #takeBack(): void {
    const given = this.#given
    this.#given = 0
    if (given > 0) this.#consume(given)
    this.#taken = 0
  }

  /**
   * Nobody reads it any more: what comes is dropped, and its window given back, since a peer that sends all before it
   * reads must not wait for ever.
   */
  drop(): void {
    this.#unwanted = true
    this.#paused = false
    const held = this.#held
    this.#held = null
    this.#trailers = null
    if (held !== null) this.#given += held.length
    held?.drop()
    this.#takeBack()
  }

  /** The stream is closed. */
  close(): void {
    this.#unwanted = true
    this.#held?.drop()
    this.#held = null
    this.#trailers = null
  }
}
