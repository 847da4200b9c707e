/**
 * 32-bit hashes for consistent hashing. They have no secret: replicas that know nothing of each other send a key to the
 * same endpoint, and to the same part of a split. Whoever chooses keys can aim at one endpoint, against which the load
 * of each is bounded.
 */

/** FNV-1a over UTF-16 units with a last mix, so that texts that differ in one character are far apart. */
export function hashKey(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mix(hash)
}

/** The finalizer of MurmurHash3: every bit depends on every bit. */
export function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

/** 2³² divided by the golden ratio: its multiples are spread evenly. */
export const GOLDEN = 0x9e3779b9
