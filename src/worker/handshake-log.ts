/** Failed handshakes in the process log: what a person needs to find the cause, bounded whatever clients do. */
import type { Logger } from 'pino'
import type { Milliseconds } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'
import type { FailedHandshake } from '../listener/handshake-failure.ts'
import type { HandshakeFailure } from '../shared-memory/metric-labels.ts'

const RATE = { perSecond: 1, burst: 20 }

/** What scanners, probes and impatient clients cause: it says nothing of the configuration. */
const QUIET: ReadonlySet<HandshakeFailure> = new Set(['ClientGone', 'NotTls', 'Timeout', 'MalformedHello'])

export class HandshakeLog {
  readonly #log: Logger
  readonly #bucket: TokenBucket
  #dropped = 0

  /** @param now monotonic */
  constructor(log: Logger, now: () => Milliseconds) {
    this.#log = log
    this.#bucket = new TokenBucket(RATE, now)
  }

  failed({ reason, detail, serverName, address, listener }: FailedHandshake): void {
    const level = QUIET.has(reason) ? 'debug' : 'info'
    if (!this.#log.isLevelEnabled(level)) return
    if (this.#bucket.take() > 0) {
      this.#dropped++
      return
    }
    const dropped = this.#dropped === 0 ? {} : { dropped: this.#dropped }
    this.#dropped = 0
    const context = { reason, serverName, client: address, listener: listener.name, ...dropped }
    this.#log[level](context, `a TLS handshake failed: ${detail}`)
  }
}
