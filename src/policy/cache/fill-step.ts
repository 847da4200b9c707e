/**
 * Stores the body of a response while its own client gets it. A client that is slower than the origin does not slow
 * down what others wait for: as long as bytes are stored it is given them from there.
 */
import type { Fill, HeldEntry } from '../../cache/response-memory.ts'
import { GatewayError } from '../../lib/error.ts'
import type { BodyWaker, LentBodyStep, LentSink } from '../../message/body.ts'
import { faultOf } from '../../message/body-pipe.ts'
import type { Fields } from '../../message/fields.ts'

/** Bytes that are copied in one turn for a slow client: the system may take whole megabytes at once. */
const PIECE = 64 * 1024
/** Lent to whoever sends them on. */
const PIECE_BYTES = Buffer.allocUnsafeSlow(PIECE)

export interface FillTarget {
  readonly fill: Fill
  /** More than these bytes are not kept. */
  readonly maxBytes: number
  /** The body is whole. @param keep false: who reads along gets it, and nobody else */
  whole(keep: boolean): void
  /** It will not be stored, though the response goes on. */
  lost(tooLarge: boolean): void
  /** It ends before its end. */
  fail(): void
  nextTurn(run: () => void): void
}

export class FillStep implements LentBodyStep {
  readonly #target: FillTarget
  readonly #sink: LentSink
  readonly #source: BodyWaker
  /** Bytes of the body so far, all of which are stored as long as {@link #stores}. */
  #received = 0
  #stores = true
  /** What the client has not been given yet stands in here from {@link #given} on; null: it has all. */
  #behind: HeldEntry | null = null
  #given = 0
  /** It is given more in the next turn. */
  #waits = false
  /** Received behind what is stored. */
  #pending: Uint8Array[] | null = null
  #pendingBytes = 0
  #tooLarge = false
  #ended = false
  #trailers: Fields | null = null

  constructor(target: FillTarget, sink: LentSink, source: BodyWaker) {
    this.#target = target
    this.#sink = sink
    this.#source = source
  }

  data(chunk: Uint8Array): boolean {
    const stored = this.#store(chunk, 0, chunk.length)
    if (this.#behind !== null) return stored || this.#wait(chunk)
    return this.#sink.write(chunk) || this.#fallsBehind(stored)
  }

  lend(bytes: Buffer, start: number, end: number): boolean {
    const stored = this.#store(bytes, start, end)
    if (this.#behind !== null) return stored || this.#wait(Buffer.from(bytes.subarray(start, end)))
    return this.#sink.lend(bytes, start, end) || this.#fallsBehind(stored)
  }

  /** Its source is told to stop, and may still have some. */
  #wait(chunk: Uint8Array): false {
    this.#pending ??= []
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
    return false
  }

  /** The sink takes no more for now. @returns whether its source may go on */
  #fallsBehind(stored: boolean): boolean {
    if (!stored || !this.#stores) return false
    this.#behind = this.#target.fill.hold()
    this.#given = this.#received
    return this.#behind !== null
  }

  end(trailers: Fields | null): void {
    if (this.#stores) {
      this.#stores = false
      this.#target.whole(!this.#tooLarge)
    }
    if (this.#behind === null) return this.#sink.end(trailers)
    this.#ended = true
    this.#trailers = trailers
    if (this.#given === this.#received - this.#pendingBytes) this.#caughtUp()
  }

  drained(): void {
    const held = this.#behind
    if (held === null) return this.#source.wake()
    if (!this.#waits) this.#give(held)
  }

  #give(held: HeldEntry): void {
    const until = this.#received - this.#pendingBytes
    const copied = held.copyBody(this.#given, PIECE_BYTES, 0, Math.min(PIECE, until - this.#given))
    // Slow readers hold so much that it was taken from this one, and the bytes are nowhere else.
    if (copied === 0 && this.#given < until) return this.#lost()
    this.#given += copied
    const room = copied === 0 || this.#sink.lend(PIECE_BYTES, 0, copied)
    if (this.#behind === null) return
    this.#sink.flush()
    if (!room) return
    if (this.#given === until) return this.#caughtUp()
    this.#waits = true
    this.#target.nextTurn(() => this.#giveOn())
  }

  /** Nobody who would end the exchange calls this: it ends by what was thrown. */
  #giveOn(): void {
    this.#waits = false
    if (this.#behind === null) return
    try {
      this.#give(this.#behind)
    } catch (error) {
      this.abort()
      this.#sink.fail(faultOf(error))
    }
  }

  abort(): void {
    if (this.#stores) {
      this.#stores = false
      this.#target.fail()
    }
    this.#behind?.release()
    this.#behind = null
    this.#pending = null
  }

  #lost(): void {
    this.abort()
    this.#sink.fail(new GatewayError('MemoryLimit', 'the client reads so slowly that what is kept for it was given up'))
  }

  #caughtUp(): void {
    this.#behind!.release()
    this.#behind = null
    const pending = this.#pending
    if (pending !== null) {
      this.#pending = null
      this.#pendingBytes = 0
      let room = true
      for (const chunk of pending) room = this.#sink.write(chunk)
      if (room && !this.#ended) this.#source.wake()
    }
    if (this.#ended) this.#sink.end(this.#trailers)
  }

  /** @returns false: the bytes are not stored */
  #store(bytes: Uint8Array, start: number, end: number): boolean {
    this.#received += end - start
    if (!this.#stores) return false
    const { fill, maxBytes } = this.#target
    this.#tooLarge = this.#received > maxBytes
    // Who reads along gets all of it, as far as there is room.
    if (this.#tooLarge && !fill.followed) fill.fail()
    else if (fill.write(bytes, start, end)) return true
    this.#stores = false
    this.#target.lost(this.#tooLarge)
    return false
  }
}
