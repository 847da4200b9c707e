/** What `JSON.parse` does not tell about a text that it accepts: keys written twice, and where a value stands. */

/** Deeper nesting than any manifest has; recursion below stays far from the stack's end. */
const MAX_DEPTH = 200

interface Visitor {
  /** An object whose members are entered at `depth`. */
  open?(depth: number): void
  /** A member's key at `at`, or (`step` a number) an element. False: do not look for more. */
  enter(depth: number, step: string | number, at: number): boolean
}

/**
 * The first key that an object holds twice: RFC 8259 §4 leaves open which of them counts, so neither does.
 *
 * @param text valid JSON
 * @throws {RangeError} when the nesting is too deep
 */
export function findDuplicateKey(text: string): { key: string; offset: number } | null {
  const keys: Set<string>[] = []
  let found: { key: string; offset: number } | null = null
  scan(text, {
    open(depth) {
      keys[depth] = new Set()
    },
    enter(depth, step, at) {
      if (typeof step === 'number') return true
      const level = keys[depth]!
      if (level.has(step)) found = { key: step, offset: at }
      level.add(step)
      return found === null
    },
  })
  return found
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

/** Offsets of the elements of a top-level `items`: what {@link locateInJson} says for each, in one pass over a List of thousands. */
export function offsetsOfItems(text: string): number[] {
  const offsets: number[] = []
  let inside = false
  scan(text, {
    enter(depth, step, at) {
      if (depth === 0) inside = step === 'items'
      else if (depth === 1 && inside && typeof step === 'number') offsets.push(at)
      return true
    },
  })
  return offsets
}

function scan(text: string, visitor: Visitor): void {
  const token = /[[\]{},:]|"(?:[^"\\]|\\.)*"|[^\s[\]{},:"]+/g
  let stopped = false

  const next = () => token.exec(text)
  const value = (first: RegExpExecArray | null, depth: number): void => {
    if (first === null || stopped) return
    if (depth > MAX_DEPTH) throw new RangeError('nested too deeply')
    if (first[0] === '{') members(depth)
    else if (first[0] === '[') elements(depth)
  }
  const members = (depth: number): void => {
    visitor.open?.(depth)
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
