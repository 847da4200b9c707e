/**
 * What compiling a regular expression may cost, read off its text in one pass and without compiling it: a pattern of a
 * thousand characters compiles to a million instructions where counted repetitions nest (`(…){1000}`), or takes a third
 * of a second where case folding visits every character of Unicode, and both would be found out too late.
 */

export interface PatternCost {
  /** Upper bound of the instructions of the compiled program. Factoring and simplification can only make it smaller. */
  readonly instructions: number
  /**
   * Microseconds that compiling takes at the most, by order of magnitude; counts what instructions do not: large
   * character classes.
   */
  readonly compile: number
}

/** Microseconds for a Unicode class (`\pL`, `\p{Greek}`, and negated), up to 700 ranges. */
const UNICODE_CLASS = 120
const FOLDED_UNICODE_CLASS = 500
/**
 * Microseconds for a range beyond ASCII with case folding, which visits each of 125,000 characters.
 */
const FOLDED_RANGE = 5_000
/** Microseconds for one instruction. */
const INSTRUCTION = 1

/** One group that is open. */
interface CostFrame {
  /** Instructions of the alternatives read so far, the last atom not counted. */
  sum: number
  /** Instructions of the last atom, which a quantifier multiplies. */
  last: number
}

/**
 * Never throws: for an invalid pattern the result is arbitrary, because the compiler rejects it cheaply.
 *
 * @param source a pattern in RE2 syntax
 */
export function patternCost(source: string): PatternCost {
  const frames: CostFrame[] = []
  const fold = /\(\?[a-zA-Z]*i/.test(source)
  const unicodeClass = fold ? FOLDED_UNICODE_CLASS : UNICODE_CLASS
  let frame: CostFrame = { sum: 0, last: 0 }
  let compile = 0
  const atom = (instructions: number): void => {
    frame.sum += frame.last
    frame.last = instructions
  }
  for (let i = 0; i < source.length; ) {
    const char = source[i]!
    if (char === '\\') {
      if (source[i + 1] === 'Q') {
        const end = source.indexOf('\\E', i + 2)
        const text = source.slice(i + 2, end === -1 ? undefined : end)
        for (const _ of text) atom(1)
        i = end === -1 ? source.length : end + 2
        continue
      }
      const next = escapeEnd(source, i)
      if (isUnicodeClass(source, i)) compile += unicodeClass
      atom(1)
      i = next
    } else if (char === '[') {
      const { end, unicode, wide } = readClass(source, i)
      compile += unicode * unicodeClass + (fold ? wide * FOLDED_RANGE : 0)
      atom(1)
      i = end
    } else if (char === '(') {
      // Flags are not an atom: a repetition after them applies to the atom before them.
      FLAGS.lastIndex = i
      if (FLAGS.test(source)) {
        i = FLAGS.lastIndex
        continue
      }
      frames.push(frame)
      // A capture is two instructions, and an empty alternative is one. Flags and names of a group are read as
      // literals, which only adds.
      frame = { sum: 3, last: 0 }
      i++
    } else if (char === ')') {
      const size = frame.sum + frame.last
      frame = frames.pop() ?? { sum: 0, last: 0 }
      atom(size)
      i++
    } else if (char === '*' || char === '+' || char === '?') {
      frame.last += 2
      i++
    } else if (char === '|') {
      atom(2)
      i++
    } else if (char === '{') {
      REPEAT.lastIndex = i
      const repeat = REPEAT.exec(source)
      if (repeat === null) {
        atom(1)
        i++
        continue
      }
      const [whole, fewest, comma, most] = repeat
      frame.last = repeated(frame.last, Number(fewest), comma, most)
      i += whole.length
    } else {
      atom(1)
      i += source.codePointAt(i)! > 0xffff ? 2 : 1
    }
  }
  let instructions = FRAME + frame.sum + frame.last
  for (const { sum, last } of frames) instructions += sum + last
  return { instructions, compile: compile + instructions * INSTRUCTION }
}

/** `x{n}` is n copies, `x{n,m}` has m - n optional ones behind them, `x{n,}` a loop. */
function repeated(size: number, fewest: number, comma: string | undefined, most: string | undefined): number {
  const copies = Math.max(fewest, Number(most ?? 0), 1)
  return size * copies + (comma === undefined ? 0 : Math.max(Number(most ?? 0) - fewest, 0) + 2)
}

/** Of the program itself: its start, its end, the whole as group 0. */
const FRAME = 4

const REPEAT = /\{(0|[1-9][0-9]{0,8})(,(0|[1-9][0-9]{0,8})?)?\}/y
const FLAGS = /\(\?[a-zA-Z-]*\)/y

/** Behind an escape that begins at `at`. */
function escapeEnd(source: string, at: number): number {
  const char = source[at + 1]
  if ((char === 'p' || char === 'P' || char === 'x') && source[at + 2] === '{') {
    const end = source.indexOf('}', at + 3)
    return end === -1 ? source.length : end + 1
  }
  if (char === 'p' || char === 'P') return at + 3
  return at + 2
}

function isUnicodeClass(source: string, at: number): boolean {
  const char = source[at + 1]
  return source[at] === '\\' && (char === 'p' || char === 'P')
}

/**
 * A class in brackets.
 *
 * @returns where it ends, how many Unicode classes it names, and how many ranges may reach beyond ASCII
 */
function readClass(source: string, at: number): { end: number; unicode: number; wide: number } {
  let i = at + 1
  if (source[i] === '^') i++
  let unicode = 0
  let wide = 0
  // A leading bracket is a literal.
  for (let first = true; i < source.length; first = false) {
    const char = source[i]!
    if (char === ']' && !first) return { end: i + 1, unicode, wide }
    if (char === '[' && source[i + 1] === ':') {
      const end = source.indexOf(':]', i + 2)
      if (end !== -1) {
        i = end + 2
        continue
      }
    }
    if (char === '-' && !isAscii(source[i + 1])) wide++
    if (char === '\\') {
      if (isUnicodeClass(source, i)) unicode++
      i = escapeEnd(source, i)
    } else i++
  }
  return { end: source.length, unicode, wide }
}

/** Whether a range that ends so stays within ASCII. */
function isAscii(char: string | undefined): boolean {
  return char !== undefined && char !== '\\' && char < '\x80'
}
