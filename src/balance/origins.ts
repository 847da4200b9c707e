import type { Endpoint } from './endpoint.ts'

/** How far ahead an endpoint is looked for before it is looked up. */
const AHEAD = 32

/**
 * For each endpoint of the new list its index in the former one, -1 where it is in none. Two lists seldom differ in
 * more than a few endpoints, and those that stay are in the same order: a walk finds them, and what it does not find is
 * looked up.
 */
export function originsOf(before: readonly Endpoint[], after: readonly Endpoint[]): Int32Array<ArrayBuffer> {
  const origins = new Int32Array(after.length).fill(-1)
  const missed: number[] = []
  const passed = new Map<Endpoint, number>()
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

function indexAhead(list: readonly Endpoint[], endpoint: Endpoint, from: number): number {
  const end = Math.min(from + AHEAD, list.length)
  for (let at = from; at < end; at++) if (list[at] === endpoint) return at
  return -1
}

/** The same the other way: for each endpoint of the former list its index in the new one, or -1. */
export function destinationsOf(origins: Int32Array, before: number): Int32Array<ArrayBuffer> {
  const destinations = new Int32Array(before).fill(-1)
  for (let i = 0; i < origins.length; i++) if (origins[i] !== -1) destinations[origins[i]!] = i
  return destinations
}
