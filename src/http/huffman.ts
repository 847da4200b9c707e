/**
 * The Huffman code of HPACK (RFC 7541 §5.2, Appendix B). The code is canonical, so it is made of the lengths alone.
 * Decoding takes four bits a step: a table of 16 KiB, which stays in the fastest cache, where one of whole bytes would
 * have 256 KiB.
 */

/** Bits of the code of each byte, and of EOS, which no string contains. */
const LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
  28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6,
  5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23,
  22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22,
  23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26,
  20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27,
  27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
  27, 27, 27, 26, 30,
]
const EOS = 256

const CODES: readonly number[] = (() => {
  const codes: number[] = []
  let code = 0
  for (let length = 1; length <= 30; length++) {
    for (const [symbol, bits] of LENGTHS.entries()) if (bits === length) codes[symbol] = code++
    code *= 2
  }
  return codes
})()

/** What a step of four bits leads to: the next node, and a byte where the step completes one. */
const BYTE_SHIFT = 8
const COMPLETES = 1 << 16
const NOWHERE = -1
const STEPS = new Int32Array(256 * 16)
/** Nodes at which a string may end: fewer than eight bits, all ones (RFC 7541 §5.2). */
const ENDS = new Uint8Array(256)

buildSteps()

function buildSteps(): void {
  // The inner nodes of the tree, the root first; a leaf is the complement of its symbol.
  const children: [number, number][] = [[0, 0]]
  for (const [symbol, code] of CODES.entries()) {
    let node = 0
    for (let bit = LENGTHS[symbol]! - 1; bit > 0; bit--) {
      const sides = children[node]!
      const side = bitOf(code, bit)
      if (sides[side] === 0) sides[side] = children.push([0, 0]) - 1
      node = sides[side]
    }
    children[node]![bitOf(code, 0)] = ~symbol
  }
  for (let node = 0; node < children.length; node++)
    for (let bits = 0; bits < 16; bits++) STEPS[node * 16 + bits] = walk(children, node, bits)
  for (let node = 0, depth = 0; depth < 8; depth++) {
    ENDS[node] = 1
    node = children[node]![1]
  }
}

function bitOf(code: number, bit: number): 0 | 1 {
  return ((code >>> bit) & 1) as 0 | 1
}

function walk(children: readonly (readonly [number, number])[], from: number, bits: number): number {
  let node = from
  let completed = 0
  for (let bit = 3; bit >= 0; bit--) {
    const next = children[node]![bitOf(bits, bit)]
    if (next >= 0) node = next
    else if (~next === EOS) return NOWHERE
    else {
      completed = COMPLETES | (~next << BYTE_SHIFT)
      node = 0
    }
  }
  return completed | node
}

/** Bytes that a string of so many bytes has at most once it is decoded: the shortest code has five bits. */
export function decodedBound(length: number): number {
  return Math.floor((length * 8) / 5)
}

/**
 * Writes the decoded string to `out`, which has the room of {@link decodedBound}.
 * @returns the offset behind it, or -1: EOS, or a padding that is too long or has other bits than ones
 */
export function decodeHuffman(bytes: Uint8Array, start: number, end: number, out: Uint8Array, to: number): number {
  let node = 0
  let at = to
  for (let i = start; i < end; i++) {
    const byte = bytes[i]!
    let step = STEPS[(node << 4) | (byte >> 4)]!
    if (step < 0) return -1
    if (step >= COMPLETES) out[at++] = step >> BYTE_SHIFT
    step = STEPS[((step & 0xff) << 4) | (byte & 0x0f)]!
    if (step < 0) return -1
    if (step >= COMPLETES) out[at++] = step >> BYTE_SHIFT
    node = step & 0xff
  }
  return ENDS[node] === 1 ? at : -1
}

/** Bytes of the encoded string. */
export function huffmanLength(bytes: Uint8Array, start: number, end: number): number {
  let bits = 0
  for (let i = start; i < end; i++) bits += LENGTHS[bytes[i]!]!
  return (bits + 7) >> 3
}

/** Writes the encoded string to `out`. @returns the offset behind it */
export function encodeHuffman(bytes: Uint8Array, start: number, end: number, out: Uint8Array, to: number): number {
  let at = to
  // Fewer than eight bits wait between two symbols, and a code has up to 30: more than the bit operators take.
  let waiting = 0
  let count = 0
  for (let i = start; i < end; i++) {
    const symbol = bytes[i]!
    let length = LENGTHS[symbol]!
    const code = CODES[symbol]!
    while (length > 0) {
      const taken = Math.min(8 - count, length)
      length -= taken
      waiting = (waiting << taken) | ((code >>> length) & ((1 << taken) - 1))
      count += taken
      if (count < 8) continue
      out[at++] = waiting
      waiting = 0
      count = 0
    }
  }
  if (count > 0) out[at++] = (waiting << (8 - count)) | (0xff >> count)
  return at
}
