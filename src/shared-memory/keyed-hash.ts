/**
 * HalfSipHash-1-3 (Aumasson, Bernstein; the numbers of rounds are those of Linux' hash tables), 64 bits over the UTF-16
 * units of a text, or over bytes: a hash for tables whose keys clients choose. Without the secret nobody finds two keys
 * that meet in a table; and it takes a tenth of what a digest takes.
 *
 * The rounds are written out over local variables: state in variables of the module took four times as long.
 */
export interface HashState {
  readonly v0: number
  readonly v1: number
  readonly v2: number
  readonly v3: number
}

/** The two words of the last {@link hashText} or {@link hashBytes}: no object is made for each. */
export const HASHED = { low: 0, high: 0 }

/** Of {@link absorbText} and {@link absorbBytes}: the state that they leave. */
const STATE = { v0: 0, v1: 0, v2: 0, v3: 0 }

/** The state behind a text that all keys of a kind begin with, whatever it is made of. */
export function hashPrefix(secret: readonly [number, number], prefix: string): HashState {
  const [low, high] = secret
  const initial = { v0: low, v1: high ^ 0xee, v2: low ^ 0x6c796765, v3: high ^ 0x74656462 }
  // Its length goes first, so that no prefix and key are another prefix and key.
  const { length } = prefix
  absorbText(initial, String.fromCharCode(length & 0xffff, length >>> 16) + prefix)
  return { ...STATE }
}

/** Leaves the hash of prefix and text in {@link HASHED}. */
export function hashText(prefix: HashState, text: string): void {
  absorbText(prefix, text)
  finish()
}

/** Leaves the hash of prefix and the first bytes in {@link HASHED}: not that of a text with the same bytes. */
export function hashBytes(prefix: HashState, bytes: Uint8Array, length: number): void {
  absorbBytes(prefix, bytes, length)
  finish()
}

function finish(): void {
  let { v0, v1, v2, v3 } = STATE
  v2 ^= 0xee
  for (let i = 0; i < 6; i++) {
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    if (i !== 2) continue
    HASHED.low = (v1 ^ v3) | 0
    v1 ^= 0xdd
  }
  HASHED.high = (v1 ^ v3) | 0
}

/** Two units a word, the last word with the length. */
function absorbText(from: HashState, text: string): void {
  let { v0, v1, v2, v3 } = from
  const { length } = text
  for (let i = 0; i <= length; i += 2) {
    const unit = i < length ? text.charCodeAt(i) : 0
    const word = i + 1 < length ? unit | (text.charCodeAt(i + 1) << 16) : unit | (length << 16)
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  STATE.v0 = v0
  STATE.v1 = v1
  STATE.v2 = v2
  STATE.v3 = v3
}

/** Four bytes a word, the last word with the lowest byte of the length. */
function absorbBytes(from: HashState, bytes: Uint8Array, length: number): void {
  let { v0, v1, v2, v3 } = from
  for (let i = 0; i <= length; i += 4) {
    let word = 0
    if (i + 3 < length) word = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    else {
      word = length << 24
      for (let byte = i; byte < length; byte++) word |= bytes[byte]! << ((byte - i) * 8)
    }
    v3 ^= word
    v0 = (v0 + v1) | 0
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0
    v0 = (v0 << 16) | (v0 >>> 16)
    v2 = (v2 + v3) | 0
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2
    v0 = (v0 + v3) | 0
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0
    v2 = (v2 + v1) | 0
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2
    v2 = (v2 << 16) | (v2 >>> 16)
    v0 ^= word
  }
  STATE.v0 = v0
  STATE.v1 = v1
  STATE.v2 = v2
  STATE.v3 = v3
}
