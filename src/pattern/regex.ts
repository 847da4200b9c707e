/**
 * Regular expressions of manifests, in RE2 syntax with linear time: a match costs at most the length of the text times
 * a bounded size, which `RegExp` does not guarantee.
 */
import { RE2JS, RE2JSException } from 're2js'
import { GatewayError } from '../lib/error.ts'
import { patternCost } from './pattern-cost.ts'

/** Characters of a pattern. */
export const MAX_PATTERN_LENGTH = 1024
/** Instructions of a compiled pattern. */
export const MAX_PATTERN_SIZE = 1000
/**
 * Limit of {@link patternCost} for a pattern to be compiled; the estimate may be a few times too high.
 */
const MAX_ESTIMATE = 4 * MAX_PATTERN_SIZE
/**
 * Microseconds, see {@link patternCost}: a pattern is compiled in one turn of a loop, also of those that serve
 * requests.
 */
const MAX_COMPILE = 8_000
/**
 * Instructions times characters that one match may take. Most patterns run on an automaton whose cost is the length
 * alone, but where its states grow too many (`.*a.{400}b` on a's and b's) it is the product: 6 million took a second,
 * this takes some tens of milliseconds.
 */
const MAX_WORK = 1_000_000
/**
 * Bytes of the automaton that grows inside a pattern as it is used. The library allows 8 MiB for each, which two
 * thousand patterns of one Route multiply to more than any machine has. An ordinary pattern needs 2 KiB.
 */
export const MAX_AUTOMATON_BYTES = 128 * 1024
/**
 * Bytes of a compiled pattern: measured with RE2JS 2.10 at 3.8 KiB for 7 instructions, 12 KiB for 35 and 33 KiB for
 * 387.
 */
const PATTERN_BYTES = 4_096
const INSTRUCTION_BYTES = 160

/**
 * The part of RE2JS behind its public interface that holds the automaton; a test fails when a newer version has
 * another.
 */
interface Automaton {
  stateBudget: number
  memBudget: number
}

interface Program {
  readonly prefixComplete: boolean
  readonly onepass: object | null
  readonly dfa?: Automaton
}

export class Pattern {
  readonly source: string
  /** Maximum length of a text; at least 1000 characters. */
  readonly maxLength: number
  /** Instructions: with the length of a text, what a match may cost. */
  readonly size: number
  readonly #engine: RE2JS
  #automaton: Automaton | undefined

  constructor(source: string, engine: RE2JS) {
    this.source = source
    this.size = engine.programSize()
    this.maxLength = Math.floor(MAX_WORK / this.size)
    this.#engine = engine
  }

  /**
   * Whether the whole text matches.
   *
   * @throws {GatewayError} `UriTooLong` for a text over `maxLength`: treating it as no match could select another rule
   */
  matches(text: string): boolean {
    this.#limit(text)
    if (this.#automaton === undefined) this.#automaton = boundedAutomaton(this.#engine)
    return this.#engine.testExact(text)
  }

  /** Approximate bytes of memory: the program and the automaton. */
  get bytes(): number {
    const automaton = this.#automaton
    const grown = automaton === undefined ? 0 : automaton.stateBudget - automaton.memBudget
    return PATTERN_BYTES + this.size * INSTRUCTION_BYTES + grown
  }

  /** Releases the automaton, which grows again with use. */
  shrink(): void {
    this.#automaton = undefined
    this.#engine.reset()
  }

  #limit(text: string): void {
    if (text.length > this.maxLength)
      throw new GatewayError('UriTooLong', `${text.length} characters for the pattern ${this.source}`)
  }

  /**
   * Replaces the first match from the left; `$0` is the match, `$1` … `$9` are its groups (empty when they took no
   * part), `$$` is a dollar.
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

  /**
   * Whether a part of the text matches.
   *
   * @throws {GatewayError} see {@link matches}
   */
  find(text: string): boolean {
    this.#limit(text)
    return this.#engine.matcher(text).find()
  }

  get groupCount(): number {
    return this.#engine.groupCount()
  }
}

const NO_AUTOMATON: Automaton = { stateBudget: 0, memBudget: 0 }

/**
 * Creates the automaton of a pattern with a bound on its memory. When it is full it restarts, or a slower engine is
 * used.
 */
function boundedAutomaton(engine: RE2JS): Automaton {
  const { re2Input } = engine as unknown as { readonly re2Input?: Program }
  // Literals and one-pass patterns never use it.
  if (re2Input === undefined || re2Input.prefixComplete || re2Input.onepass !== null) return NO_AUTOMATON
  const automaton = re2Input.dfa
  if (typeof automaton?.stateBudget !== 'number') return NO_AUTOMATON
  automaton.stateBudget = MAX_AUTOMATON_BYTES
  automaton.memBudget = MAX_AUTOMATON_BYTES
  return automaton
}

const REFERENCE = /\$([$0-9])/g

/**
 * @returns the pattern, or the error as the end of a sentence
 */
export function compilePattern(source: string): Pattern | { readonly error: string } {
  const error = costProblem(source)
  if (error !== undefined) return { error }
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

/**
 * Why a pattern is too expensive to compile, as the end of a sentence; undefined if it is not.
 */
export function costProblem(source: string): string | undefined {
  if (source.length > MAX_PATTERN_LENGTH) return `it is longer than ${MAX_PATTERN_LENGTH} characters`
  const { instructions, compile } = patternCost(source)
  if (instructions > MAX_ESTIMATE)
    return `it may compile to ${instructions} instructions, and ${MAX_PATTERN_SIZE} is the limit; use smaller or fewer counted repetitions`
  if (compile > MAX_COMPILE)
    return 'its character classes take too long to compile; use fewer Unicode classes, or none where case is ignored'
  return undefined
}

/** Why a substitution is invalid for a pattern; undefined if it is valid. */
export function substitutionProblem(pattern: Pattern, substitution: string): string | undefined {
  for (const [, what] of substitution.matchAll(/\$(.?)/gs)) {
    if (what === '$') continue
    if (what === '' || !/[0-9]/.test(what!)) return 'a dollar must be written $$, a group $0 to $9'
    if (Number(what) > pattern.groupCount) return `there is no group ${what} in the pattern`
  }
  return undefined
}
