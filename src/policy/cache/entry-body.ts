/** The body of an entry, whole or still being fetched, in pieces and with the back-pressure of who reads it. */
import type { FillUnderWay, HeldEntry } from '../../cache/response-memory.ts'
import { GatewayError } from '../../lib/error.ts'
import type { Reason } from '../../lib/reason.ts'
import type { BodyControl, BodySink, BodySource } from '../../message/body.ts'

/** Bytes of a piece, which are copied in one turn: the system may take whole megabytes at once. */
const PIECE = 64 * 1024

/** An entry that is held for several, of whom the last lets go of it. */
export class SharedHold {
  readonly entry: HeldEntry
  #holders = 1

  constructor(entry: HeldEntry) {
    this.entry = entry
  }

  retain(): this {
    this.#holders++
    return this
  }

  /** Once for each holder. */
  release(): void {
    if (--this.#holders === 0) this.entry.release()
  }
}

/** Why a body ends before its end, for the log of who reads it; set before it does. */
export interface BodyCut {
  why: string | null
}

export class EntryBody implements BodySource {
  readonly length: number | undefined
  readonly #held: SharedHold
  readonly #from: number
  readonly #to: number
  readonly #fetch: FillUnderWay | null
  readonly #cut: BodyCut | null
  readonly #nextTurn: (run: () => void) => void

  /**
   * @param held released at the end
   * @param from first byte
   * @param to behind the last one; -1: where the body ends
   * @param fetch what writes it, and has been followed by nobody yet; null: it is whole
   * @param cut null: where it is cut, the fetch of another request has failed
   */
  constructor(
    held: SharedHold,
    from: number,
    to: number,
    fetch: FillUnderWay | null,
    nextTurn: (run: () => void) => void,
    cut: BodyCut | null = null,
  ) {
    const end = to === -1 ? held.entry.bodyBytes : to
    this.length = end === -1 ? undefined : end - from
    this.#held = held
    this.#from = from
    this.#to = to
    this.#fetch = fetch
    this.#nextTurn = nextTurn
    this.#cut = cut
  }

  start(sink: BodySink): BodyControl {
    const reader = new EntryReader(this.#held, this.#from, this.#to, this.#fetch, this.#nextTurn, this.#cut, sink)
    reader.resume()
    return reader
  }
}

class EntryReader implements BodyControl {
  readonly #held: SharedHold
  readonly #to: number
  readonly #fetch: FillUnderWay | null
  readonly #cut: BodyCut | null
  readonly #sink: BodySink
  readonly #nextTurn: (run: () => void) => void
  #at: number
  #over = false
  /** It goes on in the next turn. */
  #waits = false
  /** The sink takes no more for now. */
  #full = false

  constructor(
    held: SharedHold,
    from: number,
    to: number,
    fetch: FillUnderWay | null,
    nextTurn: (run: () => void) => void,
    cut: BodyCut | null,
    sink: BodySink,
  ) {
    this.#held = held
    this.#at = from
    this.#to = to
    this.#fetch = fetch
    this.#nextTurn = nextTurn
    this.#cut = cut
    this.#sink = sink
    fetch?.follow(() => {
      if (!this.#full) this.#pump()
    })
  }

  resume(): void {
    this.#full = false
    this.#pump()
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#fetch?.cancel()
    this.#held.release()
  }

  #pump(): void {
    if (this.#waits) return
    try {
      this.#move()
    } catch (error) {
      // Whoever calls back is another request's.
      this.abort()
      this.#sink.fail(new GatewayError('InternalError', String(error), { cause: error }))
    }
  }

  #goOn(): void {
    this.#waits = true
    this.#nextTurn(() => {
      this.#waits = false
      this.#pump()
    })
  }

  #move(): void {
    for (let given = 0; !this.#over && !this.#full; ) {
      const state = this.#fetch === null ? 'whole' : this.#fetch.state
      const { written, bodyBytes, gone } = this.#held.entry
      const end = this.#to === -1 ? bodyBytes : this.#to
      if (end !== -1 && this.#at >= end && (this.#to !== -1 || state !== 'filling')) return this.#end()
      const left = Math.min(written, end === -1 ? written : end) - this.#at
      if (left > 0) {
        if (given >= PIECE) return this.#goOn()
        const piece = Buffer.allocUnsafe(Math.min(PIECE - given, left))
        const copied = this.#held.entry.copyBody(this.#at, piece, 0, piece.length)
        if (copied === 0) return this.#lost()
        this.#at += copied
        given += copied
        this.#full = !this.#sink.write(copied === piece.length ? piece : piece.subarray(0, copied))
        continue
      }
      if (gone) return this.#lost()
      if (state === 'waiting' || state === 'filling') return
      // Nothing more comes, and its end has not: what is whole has a length, so without one it is not whole either, and
      // an end here would be a wrong body.
      return this.#fail('UpstreamTruncated', this.#cut?.why ?? undefined)
    }
  }

  #end(): void {
    this.abort()
    this.#sink.end(null)
  }

  /** Slow readers hold so much that it was taken from this one. */
  #lost(): void {
    this.#fail('MemoryLimit', 'it is read so slowly that what is kept for it was given up')
  }

  #fail(
    reason: Reason = 'UpstreamTruncated',
    detail = 'the fetch of another request, which it reads, has failed',
  ): void {
    this.abort()
    this.#sink.fail(new GatewayError(reason, detail))
  }
}

/** Bodies one behind the other, each begun when the one before it has ended. */
export class JoinedBody implements BodySource {
  readonly length: number | undefined
  readonly #sources: readonly BodySource[]

  /** @param length of all of them */
  constructor(sources: readonly BodySource[], length: number) {
    this.length = length
    this.#sources = sources
  }

  start(sink: BodySink): BodyControl {
    const reader = new JoinedReader(this.#sources, sink)
    reader.begin()
    return reader
  }
}

class JoinedReader implements BodyControl {
  readonly #sources: readonly BodySource[]
  readonly #sink: BodySink
  #next = 0
  #current: BodyControl | null = null
  #over = false

  constructor(sources: readonly BodySource[], sink: BodySink) {
    this.#sources = sources
    this.#sink = sink
  }

  begin(): void {
    const source = this.#sources[this.#next++]
    if (source === undefined) {
      this.#over = true
      return this.#sink.end(null)
    }
    const at = this.#next
    const control = source.start({
      write: (chunk) => this.#sink.write(chunk),
      end: () => this.begin(),
      fail: (error) => {
        this.abort()
        this.#sink.fail(error)
      },
    })
    // Where it has ended within the call, a later one is the current one already.
    if (at === this.#next && !this.#over) this.#current = control
  }

  resume(): void {
    this.#current?.resume()
  }

  abort(): void {
    if (this.#over) return
    this.#over = true
    this.#current?.abort()
    // What has not begun holds something too.
    for (const source of this.#sources.slice(this.#next)) source.start(DEAF).abort()
  }
}

const DEAF: BodySink = { write: () => false, end() {}, fail() {} }
