/** Follows the frames of a body of gRPC: five bytes, then as many as they say, again and again. */

/** Bytes before each message: flags, and the length as 32 bits. */
export const PREFIX_BYTES = 5

/** Bit of the flags in gRPC-Web: the frame holds the trailers. */
export const TRAILERS_FLAG = 0x80

export class MessageFrames {
  /** Bytes of the prefix that have come. */
  #prefix = 0
  #length = 0
  /** Bytes of the message that have yet to come. */
  #left = 0

  /** Nothing of the next frame has come. */
  get between(): boolean {
    return this.#prefix === 0 && this.#left === 0
  }

  /** @returns false where a frame claims to hold trailers, which a server does not send */
  follow(bytes: Uint8Array): boolean {
    let at = 0
    while (at < bytes.length) {
      if (this.#left > 0) {
        const taken = Math.min(this.#left, bytes.length - at)
        this.#left -= taken
        at += taken
        continue
      }
      const byte = bytes[at++]!
      if (this.#prefix === 0) {
        if ((byte & TRAILERS_FLAG) !== 0) return false
        this.#length = 0
      } else this.#length = this.#length * 256 + byte
      if (++this.#prefix < PREFIX_BYTES) continue
      this.#prefix = 0
      this.#left = this.#length
    }
    return true
  }
}
