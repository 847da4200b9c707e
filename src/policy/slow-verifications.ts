/**
 * Verifications of signatures with keys that take long, in fair turns by namespace: they occupy threads of libuv's
 * pool, which look-ups of names and files need as well.
 */
import type { Turn } from '../auth/token-signature.ts'
import { FairTurns } from '../lib/fair-turns.ts'

/** In this worker, for tokens and for assertions. */
const VERIFICATIONS = new FairTurns({ atOnce: 3, maxWaiting: 256 })

/** What a turn rejects with where too many of the namespace wait. */
export const TOO_MANY = new Error('too many verifications wait')

export function turnOf(namespace: string): Turn {
  return (work) => VERIFICATIONS.run(namespace, work) ?? Promise.reject(TOO_MANY)
}
