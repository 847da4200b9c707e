/** Copies the body of what is stored into another entry, in as many turns as it takes. */
import type { Fill } from '../../cache/response-memory.ts'
import type { SharedHold } from './entry-body.ts'

/** Bytes that are copied in one turn. */
const BUDGET = 256 * 1024

/**
 * @param from released at the end
 * @param end the fill has all of it; not called where it has failed
 * @returns false: there is no room, or the body was taken back
 */
export function copyBody(fill: Fill, from: SharedHold, nextTurn: (run: () => void) => void, end: () => void): boolean {
  const done = fill.copy(from.entry, BUDGET)
  if (done === false) {
    nextTurn(() => copyBody(fill, from, nextTurn, end))
    return true
  }
  from.release()
  if (done === true) end()
  return done !== null
}
