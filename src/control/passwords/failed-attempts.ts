/** Wrong passwords by client: a bucket for each network, which fills again by one in some seconds (GCRA). */
import type { Milliseconds } from '../../lib/clock.ts'
import { FairMap } from '../../lib/fair-map.ts'

/** Wrong ones at once. */
export const BURST = 10
/** After which one more may be wrong. */
export const INTERVAL: Milliseconds = 6_000
/** Of all namespaces, in fair shares; each takes some 300 bytes. */
const MAX_CLIENTS = 32_768

export class FailedAttempts {
  readonly #now: () => Milliseconds
  /** When the bucket is full again. */
  readonly #full = new FairMap<Milliseconds>(MAX_CLIENTS)

  /** @param now monotonic */
  constructor(now: () => Milliseconds) {
    this.#now = now
  }

  /** @returns how long a client has to wait before another try; 0 = not at all */
  wait(owner: string, client: string): Milliseconds {
    const full = this.#full.get(owner, client)
    return full === undefined ? 0 : Math.max(0, Math.ceil(full - this.#now() - (BURST - 1) * INTERVAL))
  }

  failed(owner: string, client: string): void {
    const now = this.#now()
    this.#full.set(owner, client, Math.max(this.#full.get(owner, client) ?? now, now) + INTERVAL)
  }
}
