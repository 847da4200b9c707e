/**
 * Stores the body of a response while its own client gets it. A client that is slower than the origin does not slow
 * down what others wait for: as long as bytes are stored it is given them from there.
 */
import type { Fill, HeldEntry, PassedBody } from '../../cache/response-memory.ts'
import { GatewayError } from '../../lib/error.ts'
import type { BodyWaker, LentBodyStep, LentSink } from '../../message/body.ts'
import { faultOf } from '../../message/body-pipe.ts'
import type { Fields } from '../../message/fields.ts'
import { type Passer, PassOn, type PassServices } from './pass-on.ts'

/** Bytes that are copied in one turn for a slow client: the system may take whole megabytes at once. */
const PIECE = 64 * 1024
/** Lent to whoever sends them on. */
const PIECE_BYTES = Buffer.allocUnsafeSlow(PIECE)

const NOBODY = 'it is not kept, and nobody reads it any more'
const SLOW = 'the client reads so slowly that what is kept for it was given up'

export interface FillTarget {
  readonly fill: Fill
  /** More than these bytes are not kept. */
  readonly maxBytes: number
  /** The body is whole. @param keep false: who reads along gets it, and nobody else */
  whole(keep: boolean): void
  /** It will not be stored, though the response goes on. @param passes to those who read along; null: to nobody */
  lost(tooLarge: boolean, passes: PassOn | null): void
  /** Its own client has left, or there has been none. */
  readonly unattended: boolean
  readonly passing: PassServices
  /** It ends before its end. */
  fail(): void
  nextTurn(run: () => void): void
}

export class FillStep implements LentBodyStep, Passer {
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
  #givesOn = false
  /** The sink takes no more for now. */
  #full = false
  /** Gives it to those who read along, since it is not stored any more; null: it is, or nobody does. */
  #passes: PassOn | null = null
  /** Its client gets no more of it. */
  #dropped = false
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

  get behind(): HeldEntry | null {
    return this.#behind
  }

  get given(): number {
    return this.#given
  }

  get waits(): boolean {
    return this.#behind === null && !this.#full && !this.#dropped && !this.#target.unattended
  }

  data(chunk: Uint8Array): boolean {
    const stored = this.#store(chunk, 0, chunk.length)
    if (this.#dropped) return this.#dropsOn(stored)
    if (this.#behind !== null) return stored || this.#wait(chunk)
    return this.#goesOn(this.#sink.write(chunk), stored)
  }

  lend(bytes: Buffer, start: number, end: number): boolean {
    const stored = this.#store(bytes, start, end)
    if (this.#dropped) return this.#dropsOn(stored)
    if (this.#behind !== null) return stored || this.#wait(bytes.subarray(start, end))
    return this.#goesOn(this.#sink.lend(bytes, start, end), stored)
  }

  /** Its source is told to stop, and may still have some. */
  #wait(chunk: Uint8Array): false {
    // What is passed on is read from there.
    if (this.#passes?.open !== true) this.#keep(Buffer.from(chunk))
    return false
  }

  #keep(chunk: Uint8Array): void {
    this.#pending ??= []
    this.#pending.push(chunk)
    this.#pendingBytes += chunk.length
  }

  /** @param room of the sink, which has just been given all @returns whether its source may go on */
  #goesOn(room: boolean, stored: boolean): boolean {
    if (room) return stored || this.#passes?.open !== true
    this.#full = true
    return stored && this.#fallsBehind()
  }

  /** The sink takes no more for now. @returns whether its source may go on */
  #fallsBehind(): boolean {
    if (this.#passes?.open === true) this.#behind = this.#passes.hold()
    else if (this.#stores) this.#behind = this.#target.fill.hold()
    this.#given = this.#received
    return this.#behind !== null
  }

  end(trailers: Fields | null): void {
    if (this.#stores) {
      this.#stores = false
      this.#target.whole(!this.#tooLarge)
    }
    this.#ended = true
    this.#trailers = trailers
    this.#passes?.end()
    if (this.#dropped) return this.#failSlow()
    if (this.#behind === null) return this.#sink.end(trailers)
    if (this.#given === this.#until && !this.#full) this.#caughtUp()
  }

  drained(): void {
    this.#full = false
    if (this.#dropped) return
    const held = this.#behind
    if (held !== null) {
      if (!this.#givesOn) this.#give(held)
    } else if (this.#passes === null || this.#passes.pendingBytes === 0) this.#source.wake()
  }

  /** Where that ends which can be read from memory. */
  get #until(): number {
    return this.#received - this.#pendingBytes - (this.#passes?.pendingBytes ?? 0)
  }

  #give(held: HeldEntry): void {
    const until = this.#until
    const copied = held.copyBody(this.#given, PIECE_BYTES, 0, Math.min(PIECE, until - this.#given))
    // Slow readers hold so much that it was taken from this one, and the bytes are nowhere else.
    if (copied === 0 && this.#given < until) return this.#lost()
    this.#given += copied
    this.#full = copied > 0 && !this.#sink.lend(PIECE_BYTES, 0, copied)
    if (this.#behind === null) return
    this.#sink.flush()
    if (this.#full) return
    if (this.#given === this.#until) return this.#caughtUp()
    this.#givesOn = true
    this.#target.nextTurn(() => this.#giveOn())
  }

  /** Nobody who would end the exchange calls this: it ends by what was thrown. */
  #giveOn(): void {
    this.#givesOn = false
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
    this.#passes?.fail()
    this.#behind?.release()
    this.#behind = null
    this.#pending = null
  }

  #lost(): void {
    this.abort()
    this.#failSlow()
  }

  #caughtUp(): void {
    const pending = [...(this.#pending ?? []), ...(this.#passes?.pending ?? [])]
    this.#pending = null
    this.#pendingBytes = 0
    const behind = this.#behind!
    this.#behind = null
    for (const chunk of pending) this.#full = !this.#sink.write(chunk)
    behind.release()
    if (this.#ended) this.#sink.end(this.#trailers)
    else if (!this.#full && (this.#passes?.pendingBytes ?? 0) === 0) this.#source.wake()
  }

  drop(): void {
    this.#dropped = true
    this.#behind?.release()
    this.#behind = null
  }

  /** @returns whether its source may go on */
  #dropsOn(stored: boolean): boolean {
    if (this.#passes?.open === true) return stored
    this.#failSlow()
    return true
  }

  #failSlow(): void {
    this.#sink.fail(new GatewayError('MemoryLimit', SLOW))
  }

  passesOn(): void {
    const isReady = this.#dropped || this.#behind !== null || !this.#full
    if (!this.#ended && (isReady || this.#fallsBehind())) this.#wake()
  }

  passedOver(rest: readonly Uint8Array[]): void {
    if (this.#dropped) return this.#ended ? undefined : this.#failSlow()
    if (this.#target.unattended && !this.#ended) return this.#sink.fail(new GatewayError('ClientGone', NOBODY))
    if (this.#behind !== null) for (const chunk of rest) this.#keep(chunk)
    else if (!this.#ended && !this.#full) this.#wake()
  }

  /** In a turn of nobody's. */
  #wake(): void {
    try {
      this.#source.wake()
    } catch (error) {
      this.abort()
      this.#sink.fail(faultOf(error))
    }
  }

  /** @returns false: the bytes are not stored, and more of them should not come */
  #store(bytes: Uint8Array, start: number, end: number): boolean {
    this.#received += end - start
    if (this.#passes?.open === true) return this.#passes.write(bytes, start, end)
    if (!this.#stores) return false
    const { fill, maxBytes } = this.#target
    this.#tooLarge = this.#received > maxBytes
    let passed: PassedBody | boolean = false
    // Who reads along gets all of it.
    if (this.#tooLarge && !fill.followed) fill.fail()
    else passed = fill.pass(bytes, start, end)
    if (passed === true) return true
    this.#stores = false
    this.#passes = passed === false ? null : new PassOn(passed, this.#target.passing, this)
    this.#target.lost(this.#tooLarge, this.#passes)
    if (passed === false) return false
    return this.#passes!.write(bytes, end - (this.#received - passed.written), end)
  }
}
