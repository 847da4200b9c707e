/**
 * Verifications of signatures with keys that take long, in fair turns by namespace: they occupy threads of libuv's
 * pool, which look-ups of names and files need as well.
 */
import type { Turn } from '../auth/token-signature.ts'
import { FairTurns } from '../lib/fair-turns.ts'
import { networkOf } from './client-network.ts'

/** In this worker, for tokens and for assertions. */
const VERIFICATIONS = new FairTurns({ atOnce: 3, maxWaiting: 256, maxWaitingOfMember: 64 })
/** Of one IPv6 customer. */
const NETWORK_BITS = 64

/** What a turn rejects with where too many of the namespace wait, or of the client. */
export const TOO_MANY = new Error('too many verifications wait')

/** @param client its address; empty where nobody waits for it but the gateway */
export function turnOf(namespace: string, client: string): Turn {
  const network = client === '' ? '' : networkOf(client, NETWORK_BITS)
  return (work) => VERIFICATIONS.run(namespace, network, work) ?? Promise.reject(TOO_MANY)
}
