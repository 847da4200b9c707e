import { compilePattern, Pattern } from './regex.ts'

/** Patterns beyond those in use before another sweep is worthwhile. */
const SLACK = 64

/**
 * Compiled patterns by source, the least recently used dropped first. One per thread: a generation's patterns are
 * compiled when it is linked, so that no request waits for a compilation unless more are in use than the cache may
 * hold.
 */
export class PatternCache {
  readonly capacity: number
  readonly #maxBytes: number
  /** null: does not compile; cached to avoid another attempt. */
  readonly #patterns = new Map<string, Pattern | null>()
  /** After the last {@link retain}. */
  #retained = 0

  /**
   * @param capacity patterns held at most; one takes some kilobytes, more with use
   * @param maxBytes memory of all together, kept by {@link relieve}
   */
  constructor(capacity = 4096, maxBytes = Number.POSITIVE_INFINITY) {
    if (!(capacity >= 1)) throw new TypeError(`no such capacity: ${capacity}`)
    this.capacity = capacity
    this.#maxBytes = maxBytes
  }

  get size(): number {
    return this.#patterns.size
  }

  /** Approximate memory of all patterns; linear in their number. */
  get bytes(): number {
    let bytes = 0
    for (const pattern of this.#patterns.values()) bytes += pattern?.bytes ?? 0
    return bytes
  }

  /**
   * Whether enough patterns were added since the last {@link retain} to make another one worthwhile.
   */
  get stale(): boolean {
    return this.#patterns.size > this.#retained * 2 + SLACK
  }

  has(source: string): boolean {
    return this.#patterns.has(source)
  }

  /**
   * @returns undefined when the pattern does not compile: validation rejects such patterns, but a worker must not fail
   */
  find(source: string): Pattern | undefined {
    const known = this.#patterns.get(source)
    if (known !== undefined) {
      // The order of use is maintained only when the cache could overflow.
      if (this.#patterns.size * 2 > this.capacity) {
        this.#patterns.delete(source)
        this.#patterns.set(source, known)
      }
      return known ?? undefined
    }
    const compiled = compilePattern(source)
    const pattern = compiled instanceof Pattern ? compiled : null
    this.#patterns.set(source, pattern)
    if (this.#patterns.size > this.capacity) this.#dropOldest()
    return pattern ?? undefined
  }

  /** @throws {TypeError} when the pattern does not compile */
  get(source: string): Pattern {
    const pattern = this.find(source)
    if (pattern === undefined) throw new TypeError(`not a pattern: ${source}`)
    return pattern
  }

  /**
   * Drops every pattern that is not in use. An exchange with an earlier generation compiles its patterns again.
   */
  retain(used: ReadonlySet<string>): void {
    for (const source of this.#patterns.keys()) if (!used.has(source)) this.#patterns.delete(source)
    this.#retained = this.#patterns.size
  }

  /**
   * Reduces the memory below the bound: first it shrinks the automatons, then it drops the least recently used
   * patterns.
   */
  relieve(): void {
    let bytes = this.bytes
    if (bytes <= this.#maxBytes) return
    for (const pattern of this.#patterns.values()) pattern?.shrink()
    bytes = this.bytes
    for (const [source, pattern] of this.#patterns) {
      if (bytes <= this.#maxBytes) return
      bytes -= pattern?.bytes ?? 0
      this.#patterns.delete(source)
    }
  }

  #dropOldest(): void {
    const oldest = this.#patterns.keys().next()
    if (!oldest.done) this.#patterns.delete(oldest.value)
  }
}
