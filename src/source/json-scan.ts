/** What `JSON.parse` does not tell about a text that it accepts: keys written twice, and where a value stands. */

/** Deeper nesting than any manifest has; recursion below stays far from the stack's end. */
const MAX_DEPTH = 200

interface Visitor {
  /** A member's key at `at`, or (`step` a number) an element. False: do not look for more. */
  enter(depth: number, step: string | number, at: number): boolean
}

/** What a look through a JSON text finds. Of a text that is not JSON nothing is meant by it. */
export interface JsonReport {
  /** The first key that an object holds twice: RFC 8259 §4 leaves open which of them counts, so neither does. */
  readonly duplicate: { readonly key: string; readonly offset: number } | null
  /** Where the first object begins that has more signs than allowed; nothing behind its end was looked at. */
  readonly excess: number | null
  /** Offsets of the elements of a top-level `items`. */
  readonly items: readonly number[]
}

/** Tokens between two pauses: some milliseconds. */
const STEP = 8_192

/**
 * Goes through a text once, in slices.
 *
 * @param maxSigns brackets, separators, names and values of one object: of the whole text, or of an element of a list
 *   right below the top, as in a `List`
 * @throws {RangeError} when the nesting is too deep
 * @yields now and then, so that the caller may do something else
 */
export function* inspectJson(text: string, maxSigns: number): Generator<void, JsonReport> {
  const token = tokens()
  /** For each open bracket: the keys of an object so far, or null for a list. */
  const open: (Set<string> | null)[] = []
  const items: number[] = []
  let duplicate: JsonReport['duplicate'] = null
  let key = false
  let topKey = ''
  let begins = true
  let signs = 0
  let start = 0
  let steps = 0
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    if (++steps % STEP === 0) yield
    const [sign] = found
    const level = open.at(-1)
    const inTopList = open.length === 2 && level === null && open[0] !== null
    if (begins && inTopList && sign !== ']') {
      if (topKey === 'items') items.push(found.index)
      signs = 0
      start = found.index
    }
    begins = false
    if (++signs > maxSigns) return { duplicate, excess: start, items }
    if (sign === '{' || sign === '[') {
      if (open.push(sign === '{' ? new Set() : null) > MAX_DEPTH) throw new RangeError('nested too deeply')
      key = sign === '{'
      begins = true
    } else if (sign === '}' || sign === ']') {
      open.pop()
      key = false
    } else if (sign === ',') {
      key = level instanceof Set
      begins = true
    } else if (key && level instanceof Set && sign.startsWith('"')) {
      const name = nameOf(sign)
      if (open.length === 1) topKey = name
      if (level.has(name)) duplicate ??= { key: name, offset: found.index }
      level.add(name)
      key = false
    }
  }
  return { duplicate, excess: null, items }
}

/** A key as it is written; what is no JSON text stands for itself. */
function nameOf(token: string): string {
  if (!token.includes('\\')) return token.slice(1, -1)
  try {
    return JSON.parse(token) as string
  } catch {
    return token
  }
}

/**
 * Offset of the key or element that `path` leads to, or of the last step of it that exists.
 *
 * @param text valid JSON
 */
export function locateInJson(text: string, path: readonly (string | number)[]): number {
  let best = /[^\s]/.exec(text)?.index ?? 0
  /** How many steps of the path lead to where the scan is. */
  let matched = 0
  scan(text, {
    enter(depth, step, at) {
      if (depth < matched) return false
      if (depth !== matched || path[depth] !== step) return true
      matched++
      best = at
      return matched < path.length
    },
  })
  return best
}

/** Every bracket, separator, text and other value. */
function tokens(): RegExp {
  return /[[\]{},:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s[\]{},:"]+/g
}

function scan(text: string, visitor: Visitor): void {
  const token = tokens()
  let stopped = false

  const next = () => token.exec(text)
  const value = (first: RegExpExecArray | null, depth: number): void => {
    if (first === null || stopped) return
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply')
    if (first[0] === '{') members(depth)
    else if (first[0] === '[') elements(depth)
  }
  const members = (depth: number): void => {
    for (let key = next(); key !== null && !stopped; key = next()) {
      if (key[0] === '}') return
      if (key[0] === ',') continue
      if (!visitor.enter(depth, JSON.parse(key[0]) as string, key.index)) {
        stopped = true
        return
      }
      next()
      value(next(), depth + 1)
    }
  }
  const elements = (depth: number): void => {
    let index = 0
    for (let item = next(); item !== null && !stopped; item = next()) {
      if (item[0] === ']') return
      if (item[0] === ',') continue
      if (!visitor.enter(depth, index++, item.index)) {
        stopped = true
        return
      }
      value(item, depth + 1)
    }
  }
  value(next(), 0)
}
