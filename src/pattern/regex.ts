/**
 * Regular expressions of users, in RE2 syntax and linear time: no pattern in a manifest can make a request cost more than
 * its length times a bounded size, which `RegExp` cannot promise.
 */
import { RE2JS, RE2JSException } from 're2js'
import { GatewayError } from '../lib/error.ts'

/** Characters of a pattern. */
export const MAX_PATTERN_LENGTH = 1024
/** Instructions of a compiled pattern. */
export const MAX_PATTERN_SIZE = 1000
/**
 * Instructions times characters that one match may take. Most patterns run on an automaton whose cost is the length alone, but
 * where its states grow too many (`.*a.{400}b` on a's and b's) it is the product: 6 million took a second, this takes some tens of milliseconds.
 */
const MAX_WORK = 1_000_000

export class Pattern {
  readonly source: string
  /** Characters of the longest text that is looked at; never below 1000. */
  readonly maxLength: number
  /** Instructions: with the length of a text, what a match may cost. */
  readonly size: number
  readonly #engine: RE2JS

  constructor(source: string, engine: RE2JS) {
    this.source = source
    this.size = engine.programSize()
    this.maxLength = Math.floor(MAX_WORK / this.size)
    this.#engine = engine
  }

  /**
   * Whether the whole text matches.
   *
   * @throws {GatewayError} `UriTooLong` for a text over `maxLength`: "does not match" would hand the request to a rule it was kept from
   */
  matches(text: string): boolean {
    this.#limit(text)
    return this.#engine.testExact(text)
  }

  #limit(text: string): void {
    if (text.length > this.maxLength)
      throw new GatewayError('UriTooLong', `${text.length} characters for the pattern ${this.source}`)
  }

  /**
   * Replaces the first match from the left; `$0` is the match, `$1` … `$9` are its groups (empty when they took no part),
   * `$$` is a dollar.
   *
   * @param substitution checked by {@link substitutionProblem}; a group that does not exist is empty
   * @returns the text itself when nothing matches
   * @throws {GatewayError} see {@link matches}
   */
  replaceFirst(text: string, substitution: string): string {
    this.#limit(text)
    const matcher = this.#engine.matcher(text)
    if (!matcher.find()) return text
    const groups = matcher.groupCount()
    const replaced = substitution.replace(REFERENCE, (_, what: string) => {
      if (what === '$') return '$'
      const group = Number(what)
      return group > groups ? '' : (matcher.group(group) ?? '')
    })
    return text.slice(0, matcher.start()) + replaced + text.slice(matcher.end())
  }

  get groupCount(): number {
    return this.#engine.groupCount()
  }
}

const REFERENCE = /\$([$0-9])/g

/**
 * @returns the pattern, or why it cannot be one, as the end of a sentence
 */
export function compilePattern(source: string): Pattern | { readonly error: string } {
  if (source.length > MAX_PATTERN_LENGTH) return { error: `it is longer than ${MAX_PATTERN_LENGTH} characters` }
  try {
    const engine = RE2JS.compile(source)
    if (engine.programSize() > MAX_PATTERN_SIZE)
      return { error: `it compiles to ${engine.programSize()} instructions, more than ${MAX_PATTERN_SIZE}` }
    return new Pattern(source, engine)
  } catch (error) {
    if (error instanceof RE2JSException) return { error: error.message }
    throw error
  }
}

/** Why a substitution cannot be used with a pattern, or undefined. */
export function substitutionProblem(pattern: Pattern, substitution: string): string | undefined {
  for (const [, what] of substitution.matchAll(/\$(.?)/gs)) {
    if (what === '$') continue
    if (what === '' || !/[0-9]/.test(what!)) return 'a dollar must be written $$, a group $0 to $9'
    if (Number(what) > pattern.groupCount) return `there is no group ${what} in the pattern`
  }
  return undefined
}

/**
 * Compiled patterns by source, the least recently used dropped first. One per thread: a generation's patterns are compiled when
 * it is linked, so that no request waits for a compilation unless more than `capacity` are in use.
 */
export class PatternCache {
  readonly capacity: number
  /** null: it does not compile, which need not be found out again. */
  readonly #patterns = new Map<string, Pattern | null>()

  /** @param capacity patterns held at most; one takes some kilobytes, more with use */
  constructor(capacity = 4096) {
    if (!(capacity >= 1)) throw new TypeError(`no such capacity: ${capacity}`)
    this.capacity = capacity
  }

  get size(): number {
    return this.#patterns.size
  }

  has(source: string): boolean {
    return this.#patterns.has(source)
  }

  /** @returns undefined when the pattern does not compile: validation has refused that before, but a worker must not fall over it */
  find(source: string): Pattern | undefined {
    const known = this.#patterns.get(source)
    if (known !== undefined) {
      // Only a cache that could overflow pays for keeping the order of use.
      if (this.#patterns.size * 2 > this.capacity) {
        this.#patterns.delete(source)
        this.#patterns.set(source, known)
      }
      return known ?? undefined
    }
    const compiled = compilePattern(source)
    const pattern = compiled instanceof Pattern ? compiled : null
    this.#patterns.set(source, pattern)
    if (this.#patterns.size > this.capacity) {
      const oldest = this.#patterns.keys().next()
      if (!oldest.done) this.#patterns.delete(oldest.value)
    }
    return pattern ?? undefined
  }

  /** @throws {TypeError} when the pattern does not compile */
  get(source: string): Pattern {
    const pattern = this.find(source)
    if (pattern === undefined) throw new TypeError(`not a pattern: ${source}`)
    return pattern
  }
}
