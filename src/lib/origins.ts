/** How far ahead something is looked for before it is looked up. */
const AHEAD = 32

/**
 * For each object of the new list its index in the former one, -1 where it is in none. Two lists seldom differ in more
 * than a few, and those that stay are in the same order: a walk finds them, and what it does not find is looked up.
 */
export function originsOf(before: readonly object[], after: readonly object[]): Int32Array<ArrayBuffer> {
  const origins = new Int32Array(after.length).fill(-1)
  const missed: number[] = []
  const passed = new Map<object, number>()
  let at = 0
  for (let i = 0; i < after.length; i++) {
    const found = indexAhead(before, after[i]!, at)
    if (found === -1) {
      missed.push(i)
      continue
    }
    for (; at < found; at++) passed.set(before[at]!, at)
    origins[i] = at++
  }
  if (missed.length === 0) return origins
  for (; at < before.length; at++) passed.set(before[at]!, at)
  for (const i of missed) origins[i] = passed.get(after[i]!) ?? -1
  return origins
}

function indexAhead(list: readonly object[], one: object, from: number): number {
  const end = Math.min(from + AHEAD, list.length)
  for (let at = from; at < end; at++) if (list[at] === one) return at
  return -1
}

/** The same the other way: for each object of the former list its index in the new one, or -1. */
export function destinationsOf(origins: Int32Array, before: number): Int32Array<ArrayBuffer> {
  const destinations = new Int32Array(before).fill(-1)
  for (let i = 0; i < origins.length; i++) if (origins[i] !== -1) destinations[origins[i]!] = i
  return destinations
}

export interface ListDifference<T> {
  /** In the former list only. */
  readonly gone: readonly T[]
  /** In the new list only. */
  readonly fresh: readonly T[]
}

/** Compares by identity. */
export function listDifference<T extends object>(before: readonly T[], after: readonly T[]): ListDifference<T> {
  if (before === after) return { gone: [], fresh: [] }
  const origins = originsOf(before, after)
  const stays = new Uint8Array(before.length)
  const fresh: T[] = []
  for (let i = 0; i < after.length; i++)
    if (origins[i] === -1) fresh.push(after[i]!)
    else stays[origins[i]!] = 1
  const gone: T[] = []
  for (let i = 0; i < before.length; i++) if (stays[i] === 0) gone.push(before[i]!)
  return { gone, fresh }
}
