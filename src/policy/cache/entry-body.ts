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

/** What is read of an entry. */
export interface EntryRead {
  /** Released at the end. */
  readonly held: SharedHold
  /** The first byte. */
  readonly from: number
  /** Behind the last one; -1: where the body ends. */
  readonly to: number
  /** What writes it, and has been followed by nobody yet; null: it is whole. */
  readonly fetch: FillUnderWay | null
  /** Null: where it is cut, the fetch of another request has failed. */
  readonly cut: BodyCut | null
  readonly nextTurn: (run: () => void) => void
}

export class EntryBody implements BodySource {
  readonly length: number | undefined
  readonly #read: EntryRead

  constructor(read: EntryRead) {
    const end = read.to === -1 ? read.held.entry.bodyBytes : read.to
    this.length = end === -1 ? undefined : end - read.from
    this.#read = read
  }

  start(sink: BodySink): BodyControl {
    const reader = new EntryReader(this.#read, sink)
    reader.resume()
    return reader
  }
}

class EntryReader implements BodyControl {
  readonly #read: EntryRead
  readonly #sink: BodySink
  #at: number
  #over = false
  /** It goes on in the next turn. */
  #waits = false
  /** The sink takes no more for now. */
  #full = false

  constructor(read: EntryRead, sink: BodySink) {
    this.#read = read
    this.#at = read.from
    this.#sink = sink
    read.fetch?.follow(() => {
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
    this.#read.fetch?.cancel()
    this.#read.held.release()
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
    this.#read.nextTurn(() => {
      this.#waits = false
      this.#pump()
    })
  }

  #move(): void {
    const { fetch, to } = this.#read
    const { entry } = this.#read.held
    for (let given = 0; !this.#over && !this.#full; ) {
      const state = fetch === null ? 'whole' : fetch.state
      const written = entry.reach(this.#at)
      const { bodyBytes, gone } = entry
      const end = to === -1 ? bodyBytes : to
      if (end !== -1 && this.#at >= end && (to !== -1 || state !== 'filling')) return this.#end()
      const left = Math.min(written, end === -1 ? written : end) - this.#at
      if (left > 0) {
        if (given >= PIECE) return this.#goOn()
        const piece = Buffer.allocUnsafe(Math.min(PIECE - given, left))
        const copied = entry.copyBody(this.#at, piece, 0, piece.length)
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
      return this.#fail('UpstreamTruncated', this.#read.cut?.why ?? undefined)
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
