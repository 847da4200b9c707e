/** Base64 (RFC 4648 §4) as gRPC-Web streams it: pieces of any size, each perhaps padded at its end. */

const NOT_BASE64 = 0xff
const PADDING = 0xfe

const VALUES = new Uint8Array(256).fill(NOT_BASE64)
for (const [value, character] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries())
  VALUES[character.charCodeAt(0)] = value
VALUES[0x3d] = PADDING

/** Decodes a stream. Padding may end any group of four characters, not only the last. */
export class Base64Decoder {
  /** Of a group of which fewer than four characters have come. */
  #bits = 0
  #characters = 0
  /** Padding characters of that group. */
  #padding = 0

  /** @returns the bytes that are complete, in memory of their own; null where the text is not valid */
  decode(text: Uint8Array): Buffer | null {
    const bytes = Buffer.allocUnsafe(Math.ceil((this.#characters + text.length) / 4) * 3)
    let bits = this.#bits
    let characters = this.#characters
    let at = 0
    for (let i = 0; i < text.length; i++) {
      const value = VALUES[text[i]!]!
      if (value >= PADDING) {
        // At the third or fourth place of a group.
        if (value === NOT_BASE64 || characters < 2) return null
        this.#padding++
        bits <<= 6
      } else {
        if (this.#padding > 0) return null
        bits = (bits << 6) | value
      }
      if (++characters < 4) continue
      bytes[at] = bits >> 16
      bytes[at + 1] = bits >> 8
      bytes[at + 2] = bits
      at += 3 - this.#padding
      bits = 0
      characters = 0
      this.#padding = 0
    }
    this.#bits = bits
    this.#characters = characters
    return bytes.subarray(0, at)
  }

  /** Whether the text may end here: no group is incomplete. */
  get complete(): boolean {
    return this.#characters === 0
  }
}

/** The text of some bytes, padded: whoever reads it has all of them at once. */
export function encodeBase64(bytes: Uint8Array): Buffer {
  const { buffer, byteOffset, byteLength } = bytes
  return Buffer.from(Buffer.from(buffer, byteOffset, byteLength).toString('base64'), 'latin1')
}
