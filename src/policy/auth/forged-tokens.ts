/**
 * Holds off whoever sends tokens whose signatures are not good, by its network, before the next one is verified: each
 * costs some 60 µs of the worker, and its sender nothing. Who is below the rate is told for each that it is not good;
 * tokens that are known need no verification, and pass.
 */
import type { Milliseconds } from '../../lib/clock.ts'
import { networkOf } from '../client-network.ts'
import type { FilterServices } from '../services.ts'

/** One forged token in so many milliseconds, and so many at once: together 3 % of a worker's time. */
const INTERVAL: Milliseconds = 2
const BURST = 1_000
/** Of one IPv6 customer. */
const NETWORK_BITS = 64
/** Key, number and map slots. */
const ENTRY_BYTES = 192

export class ForgedTokens {
  readonly #owner: string
  readonly #services: Pick<FilterServices, 'clock' | 'memos'>

  /** @param owner a namespace: others do not hear of what is sent to it */
  constructor(owner: string, services: Pick<FilterServices, 'clock' | 'memos'>) {
    this.#owner = owner
    this.#services = services
  }

  /** @returns how long the client is held off; 0 = it is not */
  holdOff(client: string): Milliseconds {
    const full = this.#services.memos.get(this.#owner, keyOf(client)) as Milliseconds | undefined
    if (full === undefined) return 0
    return Math.max(0, Math.ceil(full - this.#services.clock.monotonic() - (BURST - 1) * INTERVAL))
  }

  count(client: string): void {
    const { clock, memos } = this.#services
    const key = keyOf(client)
    const now = clock.monotonic()
    const before = (memos.get(this.#owner, key) as Milliseconds | undefined) ?? now
    // Generic cell rate algorithm: when the bucket is full again.
    const full = Math.max(before, now) + INTERVAL
    memos.set(this.#owner, key, full, ENTRY_BYTES, full - now)
  }
}

function keyOf(client: string): string {
  return `forged ${networkOf(client, NETWORK_BITS)}`
}
