/** Finds what `JSON.parse` does not report about a text that it accepts: duplicate keys, and the offsets of values. */

/** Exceeds the nesting of any manifest; keeps the recursion below far from the stack limit. */
const MAX_DEPTH = 200

interface Visitor {
  /** Called for the key of a member, or (`step` is a number) for an element. Returns false to stop. */
  enter(depth: number, step: string | number, at: number): boolean
}

/** The result of a scan. Meaningless for a text that is not JSON. */
export interface JsonReport {
  /** The first duplicate key of an object: RFC 8259 §4 does not define which value applies, so it is an error. */
  readonly duplicate: { readonly key: string; readonly offset: number } | null
  /** Offset of the first object with too many tokens, at which the scan stops. */
  readonly excess: number | null
  /** Offsets of the elements of a top-level `items`. */
  readonly items: readonly number[]
}

/** Tokens between two yields: some milliseconds. */
const STEP = 8_192

/**
 * Scans a text once, in slices.
 *
 * @param maxTokens limit of brackets, separators, names and values per object: the whole text, or an element of a list
 *   at the top level, as in a `List`
 * @throws {RangeError} when the nesting is too deep
 * @yields periodically, so that the caller may pause
 */
export function* inspectJson(text: string, maxTokens: number): Generator<void, JsonReport> {
  const pattern = tokenPattern()
  /** For each open bracket: the keys of an object so far, or null for a list. */
  const open: (Set<string> | null)[] = []
  const items: number[] = []
  let duplicate: JsonReport['duplicate'] = null
  let key = false
  let topKey = ''
  let begins = true
  let tokenCount = 0
  let start = 0
  let steps = 0
  for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
    if (++steps % STEP === 0) yield
    const [token] = found
    const level = open.at(-1)
    const inTopList = open.length === 2 && level === null && open[0] !== null
    if (begins && inTopList && token !== ']') {
      if (topKey === 'items') items.push(found.index)
      tokenCount = 0
      start = found.index
    }
    begins = false
    if (++tokenCount > maxTokens) return { duplicate, excess: start, items }
    if (token === '{' || token === '[') {
      if (open.push(token === '{' ? new Set() : null) > MAX_DEPTH) throw new RangeError('nested too deeply')
      key = token === '{'
      begins = true
    } else if (token === '}' || token === ']') {
      open.pop()
      key = false
    } else if (token === ',') {
      key = level instanceof Set
      begins = true
    } else if (key && level instanceof Set && token.startsWith('"')) {
      const name = nameOf(token)
      if (open.length === 1) topKey = name
      if (level.has(name)) duplicate ??= { key: name, offset: found.index }
      level.add(name)
      key = false
    }
  }
  return { duplicate, excess: null, items }
}

/** Decodes a key; an invalid JSON string is returned as it is. */
function nameOf(token: string): string {
  if (!token.includes('\\')) return token.slice(1, -1)
  try {
    return JSON.parse(token) as string
  } catch {
    return token
  }
}

/**
 * Returns the offset of the key or element at `path`, or of the last existing step of the path.
 *
 * @param text valid JSON
 */
export function locateInJson(text: string, path: readonly (string | number)[]): number {
  let best = /[^\s]/.exec(text)?.index ?? 0
  /** Number of steps of the path that match the current position. */
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

/** Matches every bracket, separator, string and other value. */
function tokenPattern(): RegExp {
  return /[[\]{},:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s[\]{},:"]+/g
}

function scan(text: string, visitor: Visitor): void {
  const pattern = tokenPattern()
  let stopped = false

  const next = () => pattern.exec(text)
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
