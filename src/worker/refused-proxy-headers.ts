/** Connections closed for want of a PROXY header: counted, and in the process log as far as somebody has to act. */
import type { Logger } from 'pino'
import type { Milliseconds } from '../lib/clock.ts'
import { TokenBucket } from '../lib/token-bucket.ts'
import type { RefusedProxyHeader } from '../listener/proxy-header-step.ts'
import type { ProxyHeaderRefusal } from '../shared-memory/metric-labels.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'

const RATE = { perSecond: 1, burst: 10 }

const CAUSES: Readonly<Record<ProxyHeaderRefusal, string>> = {
  missing: 'it begins with something else; have the load balancer send one',
  malformed: 'it breaks the format of versions 1 and 2',
  oversized: 'it is too long',
  checksum: 'its checksum is another one',
  untrusted: 'the address is not in proxyProtocol.trusted of the listener',
  timeout: 'none came in time',
  gone: 'the connection ended before it',
}

/** What a load balancer's health checks cause. */
const QUIET: ReadonlySet<ProxyHeaderRefusal> = new Set(['gone'])

export class RefusedProxyHeaders {
  readonly #log: Logger
  readonly #metrics: WorkerMetrics
  readonly #bucket: TokenBucket

  /** @param now monotonic */
  constructor(log: Logger, metrics: WorkerMetrics, now: () => Milliseconds) {
    this.#log = log
    this.#metrics = metrics
    this.#bucket = new TokenBucket(RATE, now)
  }

  refused({ reason, address, listener }: RefusedProxyHeader): void {
    this.#metrics.proxyHeaderRefused(reason)
    if (QUIET.has(reason) || this.#bucket.take() > 0) return
    const context = { reason, client: address, listener: listener.name }
    this.#log.info(context, `a connection was closed for want of a PROXY header: ${CAUSES[reason]}`)
  }
}
