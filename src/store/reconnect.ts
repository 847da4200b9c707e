/** How long to wait before a server is dialled again. */
import type { Milliseconds, Random } from '../lib/clock.ts'

export interface ReconnectPauses {
  readonly first: Milliseconds
  readonly longest: Milliseconds
}

/**
 * It doubles from one try to the next, and is spread: who lost a server together does not come back together.
 *
 * @param attempt from 0 on
 */
export function reconnectPause(attempt: number, { first, longest }: ReconnectPauses, random: Random): Milliseconds {
  return Math.min(first * 2 ** Math.min(attempt, 10), longest) * (0.5 + random() / 2)
}
