/** Buffered chunks of a body, bounded by the caller. Small chunks are merged: a body may come byte by byte. */

/** What each chunk costs besides its bytes. */
const CHUNK_COST = 128
/** As many of the last chunks become one. */
const JOIN = 256

const NONE: readonly Uint8Array[] = Object.freeze([])

export class HeldBytes {
  #chunks: Uint8Array[] | null = null
  /** The last chunks of them that are still as they came. */
  #loose = 0
  bytes = 0

  /** @returns bytes of memory that are held now */
  add(chunk: Uint8Array): number {
    this.#chunks ??= []
    this.#chunks.push(chunk)
    this.bytes += chunk.length
    if (++this.#loose === JOIN) {
      this.#chunks.push(Buffer.concat(this.#chunks.splice(-JOIN)))
      this.#loose = 0
    }
    return this.bytes + this.#chunks.length * CHUNK_COST
  }

  /** All of them, in order; none are held from here. */
  take(): readonly Uint8Array[] {
    const chunks = this.#chunks
    this.#chunks = null
    this.#loose = 0
    this.bytes = 0
    return chunks ?? NONE
  }

  /** As one, which stays held. */
  joined(): Uint8Array {
    const whole = Buffer.concat(this.#chunks ?? NONE)
    this.take()
    this.add(whole)
    return whole
  }
}
