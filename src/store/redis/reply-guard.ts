/**
 * Follows the frames of RESP2 and bounds them, in front of the decoder of ioredis: that makes room for as many elements
 * as an array announces, keeps a string of any length, and fails outside of any call at a push of RESP3. So whatever
 * answers at the address of Redis can break its own connection, and not the thread that asks.
 */

/** Elements of arrays that are announced and have not come. */
const MAX_ELEMENTS = 65_536
/** Of one reply, with all that it holds. */
const MAX_REPLY_BYTES = 8 * 1_024 * 1_024

const [CR, LF, MINUS, ZERO, NINE] = [0x0d, 0x0a, 0x2d, 0x30, 0x39]
const [STRING, ERROR, INTEGER, BULK, ARRAY] = [0x2b, 0x2d, 0x3a, 0x24, 0x2a]

export class ReplyGuard {
  /** Of the frame whose line is being read; 0: between two frames. */
  #type = 0
  /** Characters of the line, and the length that they state; -1: null. */
  #characters = 0
  #length = 0
  #endsLine = false
  /** Bytes of a bulk string that have not come, with its CRLF. */
  #bulk = 0
  /** Frames until the reply is whole. */
  #frames = 0
  #bytes = 0

  /** @returns what is wrong with the reply, as an object of a sentence; undefined: it goes on */
  check(chunk: Uint8Array): string | undefined {
    for (let at = 0; at < chunk.length; ) {
      if (this.#type === 0 && this.#bulk === 0 && this.#frames === 0) this.#bytes = 0
      const before = at
      if (this.#bulk > 0) {
        at += Math.min(this.#bulk, chunk.length - at)
        this.#bulk -= at - before
      } else {
        const wrong = this.#next(chunk[at++]!)
        if (wrong !== undefined) return wrong
      }
      this.#bytes += at - before
      if (this.#bytes > MAX_REPLY_BYTES) return `more than ${MAX_REPLY_BYTES} bytes`
    }
    return undefined
  }

  #next(byte: number): string | undefined {
    if (this.#type === 0) return this.#begin(byte)
    if (this.#endsLine) return byte === LF ? this.#end() : 'a line without an end'
    if (byte === CR) {
      this.#endsLine = true
      return undefined
    }
    if (byte === LF) return 'a line without an end'
    if (this.#type === BULK || this.#type === ARRAY) return this.#digit(byte)
    return undefined
  }

  #begin(byte: number): string | undefined {
    if (byte !== STRING && byte !== ERROR && byte !== INTEGER && byte !== BULK && byte !== ARRAY)
      return 'what is no reply of RESP2'
    if (this.#frames === 0) this.#frames = 1
    this.#type = byte
    this.#characters = 0
    this.#length = 0
    return undefined
  }

  #digit(byte: number): string | undefined {
    const place = this.#characters++
    if (place === 0 && byte === MINUS) this.#length = -1
    else if (this.#length < 0) return place === 1 && byte === ZERO + 1 ? undefined : 'a length that is none'
    else if (byte < ZERO || byte > NINE) return 'a length that is none'
    else this.#length = this.#length * 10 + byte - ZERO
    return this.#length > MAX_REPLY_BYTES ? `more than ${MAX_REPLY_BYTES} bytes` : undefined
  }

  #end(): string | undefined {
    const [type, length, characters] = [this.#type, this.#length, this.#characters]
    this.#type = 0
    this.#endsLine = false
    this.#frames--
    if (type !== BULK && type !== ARRAY) return undefined
    // `-1` is null, and has nothing behind it.
    if (characters === 0 || (length < 0 && characters !== 2)) return 'a length that is none'
    if (type === BULK && length >= 0) this.#bulk = length + 2
    if (type === ARRAY && length > 0) this.#frames += length
    return this.#frames > MAX_ELEMENTS ? `more than ${MAX_ELEMENTS} elements` : undefined
  }
}
