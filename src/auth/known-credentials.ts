/**
 * What came of credentials that were good, so that one that comes again is judged without its digest: found by a hash
 * with a secret, so that neither the place of another credential nor the time of a comparison can be aimed at.
 */
import { HASHED, type HashState, hashPrefix, hashText } from '../shared-memory/keyed-hash.ts'

/** Of one list of credentials in one worker: a few hundred KiB at most. */
const MAX_KNOWN = 2_048
/** Of the second word of a hash: with the first they are a whole number that a double holds. */
const HIGH_BITS = 21

interface Known<Value> {
  readonly text: string
  readonly value: Value
}

export class KnownCredentials<Value> {
  readonly #prefix: HashState
  readonly #known = new Map<number, Known<Value>>()

  /** @param secret 8 bytes drawn by chance, known to nobody else */
  constructor(secret: Uint8Array) {
    const words = new DataView(secret.buffer, secret.byteOffset, 8)
    this.#prefix = hashPrefix([words.getInt32(0), words.getInt32(4)], 'credential')
  }

  get(text: string): Value | undefined {
    const known = this.#known.get(this.#placeOf(text))
    // Not in constant time: a text comes here that has the same 53 bits of the hash, which nobody can make up.
    return known?.text === text ? known.value : undefined
  }

  /** Only for one that is good: what clients make up leaves nothing behind. */
  remember(text: string, value: Value): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(this.#placeOf(text), { text, value })
  }

  #placeOf(text: string): number {
    hashText(this.#prefix, text)
    return (HASHED.low >>> 0) * 2 ** HIGH_BITS + (HASHED.high >>> (32 - HIGH_BITS))
  }
}
