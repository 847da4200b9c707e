/** One pass over a request's path: the hashes of everything in a packed virtual host that could cover it. */
import { type BlockView, textBegins } from '../snapshot/block-view.ts'
import * as L from '../snapshot/pack-layout.ts'

export class PathScan {
  /** Hashes of the path's beginnings up to each slash, and their lengths; by number of path segments. */
  hashes = new Int32Array(64)
  lengths = new Int32Array(64)
  /** How many of them something configured may reach. */
  beginnings = 0
  /** An exact path could be this one; `hash` is that of the whole path. */
  exact = false
  hash = 0

  read({ words }: BlockView, virtualHost: number, path: string): void {
    const deepest = words[virtualHost + L.VHOST_DEEPEST]!
    if (deepest >= this.hashes.length) this.#grow(deepest)
    const { hashes, lengths } = this
    const tryExact =
      words[virtualHost + L.VHOST_EXACT_MASK] !== -1 && path.length <= words[virtualHost + L.VHOST_EXACT_LONGEST]!
    let hash = words[virtualHost + L.VHOST_SEED]!
    let depth = 0
    let i = 0
    // Hashing stops where nothing configured reaches any further.
    for (; i < path.length; i++) {
      const code = path.charCodeAt(i)
      if (code === 0x2f) {
        if (depth <= deepest) {
          hashes[depth] = hash
          lengths[depth] = i
        }
        if (++depth > deepest && !tryExact) break
      }
      hash = L.hashStep(hash, code)
    }
    this.exact = tryExact && i === path.length
    this.hash = hash
    // The whole path is a beginning too, unless it ends with a slash: that one has been noted.
    if (i === path.length && depth <= deepest) {
      hashes[depth] = hash
      lengths[depth] = i
      depth++
    }
    this.beginnings = Math.min(depth, deepest + 1)
  }

  #grow(deepest: number): void {
    this.hashes = new Int32Array(deepest * 2)
    this.lengths = new Int32Array(deepest * 2)
  }
}

/** Index of the first match whose key is the first `length` characters of the path, and one; 0 = there is none. */
export function findKey(
  block: BlockView,
  virtualHost: number,
  header: number,
  hash: number,
  path: string,
  length: number,
): number {
  const { words } = block
  const mask = words[virtualHost + header]!
  if (mask === -1) return 0
  const table = virtualHost + words[virtualHost + header + 1]!
  const matches = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]!
  let slot = hash & mask
  while (true) {
    const first = words[table + slot * L.PATH_SLOT_WORDS + 1]!
    if (first === 0) return 0
    if (words[table + slot * L.PATH_SLOT_WORDS] === hash) {
      const key = words[matches + (first - 1) * L.MATCH_WORDS + L.MATCH_KEY]!
      if (textBegins(block, virtualHost + key, path, length)) return first
    }
    slot = (slot + 1) & mask
  }
}

/** Indexes of the regular expressions to be tried. */
export class Candidates {
  count = 0
  #indexes = new Int32Array(64)

  at(i: number): number {
    return this.#indexes[i]!
  }

  /** Those that stand under any beginning of the path, in matching order. */
  collect(block: BlockView, virtualHost: number, scan: PathScan, path: string): void {
    const { words } = block
    const depths = words[virtualHost + L.VHOST_REGEX_DEPTHS]!
    const matches = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]!
    let count = 0
    for (let d = 0; depths !== 0 && d < scan.beginnings; d++) {
      if ((depths & L.depthBit(d)) === 0) continue
      let next = findKey(block, virtualHost, L.VHOST_REGEX_MASK, scan.hashes[d]!, path, scan.lengths[d]!)
      while (next !== 0) {
        if (count === this.#indexes.length) this.#grow()
        this.#indexes[count++] = next - 1
        next = words[matches + (next - 1) * L.MATCH_WORDS + L.MATCH_NEXT]!
      }
    }
    this.count = count
    if (count > 1) this.#indexes.subarray(0, count).sort()
  }

  #grow(): void {
    const grown = new Int32Array(this.#indexes.length * 2)
    grown.set(this.#indexes)
    this.#indexes = grown
  }
}
