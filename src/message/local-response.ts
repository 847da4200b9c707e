import type { Milliseconds } from '../lib/clock.ts'
import type { Reason } from '../lib/reason.ts'
import type { BodyControl, BodySink, BodySource } from './body.ts'
import type { Fields } from './fields.ts'

/** A response that the gateway gives itself. */
export interface LocalResponse {
  readonly status: number
  readonly fields: Fields
  /** Already encoded; omitted for HEAD, 204 and 304 by the codec. */
  readonly body: Uint8Array | BodySource | null
  /** Set when it is a refusal: goes to the log and the metrics. */
  readonly reason?: Reason
  /** What the access log says beside the reason; nothing of the credential, and nothing that the client gets. */
  readonly detail?: string
  /** It is the response of a Backend, from what was stored of it. */
  readonly ofBackend?: true
  /** The body is part of a protocol: no error page takes its place. */
  readonly verbatim?: true
  /** Who has made it can say later whether it is still the response to the same request. */
  readonly repeatable?: Repeatable
}

/** What is asked about a response before it is given again to a request that is the same in all that was read of it. */
export interface Repeatable {
  /**
   * Counts the response as given, where it is.
   *
   * @param address of the client
   * @param now wall clock
   * @param body where the body is to be put, if the response is given; null: it is not needed
   * @returns flat, name, value, …: the fields that stand behind the stored ones, the same object as long as they are
   *   the same; null: it has to be found out anew what the response is
   */
  again(address: string, now: Milliseconds, body: BodyPlace | null): readonly string[] | null
  /** Another one with the same says the same, whenever it is asked. */
  readonly key: string
}

/** Memory for a body that is about to be sent. */
export interface BodyPlace {
  /** Where the first byte goes in what {@link take} gives. */
  readonly at: number
  /** @param bytes of the body */
  take(bytes: number): Buffer
}

/** Told of what a codec sends. */
export interface SentText {
  /**
   * Of a response on a connection that goes on, each character a byte.
   *
   * @param body undefined: it is sent as bytes, or there is none
   */
  sent(head: string, body: string | undefined): void
}

/** One whose body is in memory as a whole. */
export interface CompleteResponse extends LocalResponse {
  readonly body: Uint8Array | null
  /** In place of the body: a character for each of its bytes. */
  readonly text?: string
  /** Called by a codec that writes heads as text, where all that is stated is sent. */
  readonly sent?: SentText
}

/**
 * A short body as text, a character for each byte: HTTP/1.1 writes it behind its head, without a copy between. For all
 * others it is a source as any.
 */
export class TextBody implements BodySource {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  get length(): number {
    return this.text.length
  }

  get bytes(): Buffer {
    return Buffer.from(this.text, 'latin1')
  }

  start(sink: BodySink): BodyControl {
    return inPieces(this.bytes).start(sink)
  }
}

/** Bytes of a piece. */
const PIECE = 64 * 1024

/** A body in memory as a source of pieces: a slow client holds some of them, and not a copy of all. */
export function inPieces(bytes: Uint8Array): BodySource {
  return {
    length: bytes.length,
    start(sink) {
      let at = 0
      const resume = (): void => {
        while (at < bytes.length) {
          const piece = bytes.subarray(at, at + PIECE)
          at += piece.length
          if (!sink.write(piece) && at < bytes.length) return
        }
        at = Number.POSITIVE_INFINITY
        sink.end(null)
      }
      resume()
      return { resume: () => void (at < bytes.length && resume()), abort: () => void (at = Number.POSITIVE_INFINITY) }
    },
  }
}

/** Of a body that nobody will read: a stream lets go of what it holds. */
export function discardBody({ body }: Pick<LocalResponse, 'body'>): void {
  if (body === null || body instanceof Uint8Array) return
  try {
    body.start(DEAF).abort()
  } catch {
    // Nobody waits for it, and what takes its place goes out.
  }
}

const DEAF: BodySink = { write: () => false, end() {}, fail() {} }
