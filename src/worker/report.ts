/**
 * What an exchange leaves behind: one line in the access log, a few cells in the metrics. The objects are used again
 * and again.
 */
import type { GatewayError } from '../lib/error.ts'
import { REASON_LIST, type Reason } from '../lib/reason.ts'
import type { AccessEntry, AccessLog } from '../log/access-line.ts'
import type { ExchangeSummary } from '../policy/exchange.ts'
import { type EndedExchange, methodClass, type WorkerMetrics } from '../shared-memory/metrics.ts'
import type { Peer } from '../transport/peer.ts'
import type { ProxyExchange } from './exchange.ts'

const REASON_INDEX: ReadonlyMap<Reason, number> = new Map(REASON_LIST.map((reason, index) => [reason, index]))

/** What filters are told at the end. */
export function summaryOf(x: ProxyExchange): ExchangeSummary {
  const now = x.flow.timers.now
  return {
    status: x.status,
    bytesIn: x.body === null ? x.bytesIn : x.body.bytesIn,
    bytesOut: x.bytesOut + x.downstream.progress.bodySent,
    attempts: x.attempts,
    reason: x.reason,
    duration: now - x.startedAt,
    upstreamDuration:
      x.upstreamStartedAt < 0 ? -1 : (x.upstreamEndedAt < 0 ? now : x.upstreamEndedAt) - x.upstreamStartedAt,
  }
}

export class Report {
  readonly #metrics: WorkerMetrics
  readonly #ended: EndedExchange = {
    listener: 0,
    method: 0,
    status: 0,
    reason: -1,
    backendRow: -1,
    durationMs: 0,
    upstreamMs: -1,
    bytesIn: 0,
    bytesOut: 0,
  }
  readonly #entry: AccessEntry = {
    time: 0,
    id: '',
    client: '',
    listener: '',
    method: '',
    host: '',
    path: '',
    query: undefined,
    protocol: '',
    status: 0,
    reason: '',
    detail: '',
    route: '',
    rule: '',
    backend: '',
    endpoint: '',
    attempts: 0,
    duration: 0,
    upstreamDuration: -1,
    bytesIn: 0,
    bytesOut: 0,
    userAgent: '',
  }

  constructor(metrics: WorkerMetrics) {
    this.#metrics = metrics
  }

  /** @param now monotonic milliseconds @param wall milliseconds since the epoch */
  exchange(x: ProxyExchange, now: number, wall: number, log: AccessLog): void {
    const duration = now - x.startedAt
    const upstream =
      x.upstreamStartedAt < 0 ? -1 : (x.upstreamEndedAt < 0 ? now : x.upstreamEndedAt) - x.upstreamStartedAt
    const bytesIn = x.body === null ? x.bytesIn : x.body.bytesIn
    const bytesOut = x.bytesOut + x.downstream.progress.bodySent
    const { peer } = x.downstream
    const ended = this.#ended
    ended.listener = peer.listener.metricsRow
    ended.method = methodClass(x.method)
    ended.status = x.status
    ended.reason = x.reason === null ? -1 : REASON_INDEX.get(x.reason)!
    ended.backendRow = x.backend === null ? -1 : x.backend.metricsRow
    ended.durationMs = duration
    ended.upstreamMs = upstream
    ended.bytesIn = bytesIn
    ended.bytesOut = bytesOut
    this.#metrics.exchangeEnded(ended)
    const entry = this.#entry
    entry.time = wall - duration
    entry.id = x.id
    entry.client = x.clientAddress
    entry.listener = peer.listener.name
    entry.method = x.method
    entry.host = x.host
    entry.path = x.originalPath
    entry.query = x.query
    entry.protocol = x.incoming.protocol
    entry.status = x.status
    entry.reason = x.reason ?? ''
    entry.detail = x.detail
    entry.route = x.route
    entry.rule = x.rule
    entry.backend = x.backend === null ? '' : x.backend.id
    entry.endpoint = x.endpoint === null ? '' : x.endpoint.authority
    entry.attempts = x.attempts
    entry.duration = duration
    entry.upstreamDuration = upstream
    entry.bytesIn = bytesIn
    entry.bytesOut = bytesOut
    entry.userAgent = ''
    log.write(entry)
  }

  /** A request that never became an exchange. */
  refusal(
    peer: Peer,
    error: GatewayError,
    method: string,
    target: string,
    id: string,
    bytesOut: number,
    wall: number,
    log: AccessLog,
  ): void {
    const ended = this.#ended
    ended.listener = peer.listener.metricsRow
    ended.method = methodClass(method)
    ended.status = error.status
    ended.reason = REASON_INDEX.get(error.reason)!
    ended.backendRow = -1
    ended.durationMs = 0
    ended.upstreamMs = -1
    ended.bytesIn = 0
    ended.bytesOut = bytesOut
    this.#metrics.exchangeEnded(ended)
    const entry = this.#entry
    const mark = target.indexOf('?')
    entry.time = wall
    entry.id = id
    entry.client = peer.address
    entry.listener = peer.listener.name
    entry.method = method
    entry.host = ''
    entry.path = mark < 0 ? target : target.slice(0, mark)
    entry.query = mark < 0 ? undefined : target.slice(mark + 1)
    entry.protocol = 'HTTP/1.1'
    entry.status = error.status
    entry.reason = error.reason
    entry.detail = error.detail
    entry.route = ''
    entry.rule = ''
    entry.backend = ''
    entry.endpoint = ''
    entry.attempts = 0
    entry.duration = 0
    entry.upstreamDuration = -1
    entry.bytesIn = 0
    entry.bytesOut = bytesOut
    entry.userAgent = ''
    log.write(entry)
  }
}
