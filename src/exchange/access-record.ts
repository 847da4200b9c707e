/**
 * What an exchange leaves behind: one record in the access log, a few cells in the metrics. The objects are filled
 * again and again: both read them before they return.
 */
import type { Milliseconds } from '../lib/clock.ts'
import type { GatewayError } from '../lib/error.ts'
import { NO_GRPC_STATUS } from '../lib/grpc-status.ts'
import { REASON_LIST, type Reason } from '../lib/reason.ts'
import { CONSUMER, DRY_RUN, NOTE } from '../policy/attribute.ts'
import type { ExchangeSummary } from '../policy/exchange.ts'
import { fillRequestId, ID_LENGTH, isRequestId } from '../policy/request-id/request-id.ts'
import { grpcClass, methodClass, NO_GRPC_CALL } from '../shared-memory/metric-labels.ts'
import type { EndedExchange } from '../shared-memory/metrics.ts'
import type { RefusedRequest } from '../transport/downstream.ts'
import type { Peer } from '../transport/peer.ts'
import type { AccessRecord, KeptLine } from './access-log.ts'
import type { ClientLeft, ProxyExchange } from './exchange.ts'
import type { ExchangeContext } from './exchange-context.ts'

const REASON_INDEX: ReadonlyMap<Reason, number> = new Map(REASON_LIST.map((reason, index) => [reason, index]))

const GET = methodClass('GET')

const ENDED: EndedExchange = {
  listener: 0,
  method: 0,
  status: 0,
  grpc: NO_GRPC_CALL,
  reason: -1,
  backendRow: -1,
  durationMs: 0,
  upstreamMs: -1,
  bytesIn: 0,
  bytesOut: 0,
}
const RECORD: AccessRecord = {
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
  grpcStatus: NO_GRPC_STATUS,
  reason: '',
  detail: '',
  note: '',
  dryRun: '',
  cache: '',
  consumer: '',
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
  kept: null,
}

/** The summary of the exchange, for filters. */
export function summaryOf(x: ProxyExchange): ExchangeSummary {
  const { now } = x.context.timers
  const { left } = x
  return {
    status: left === null ? x.status : left.status,
    bytesIn: bytesInOf(x),
    bytesOut: bytesOutOf(x),
    attempts: x.attempts,
    reason: left === null ? x.reason : 'ClientGone',
    duration: (left === null ? now : left.at) - x.startedAt,
    upstreamDuration: upstreamDurationOf(x, now),
  }
}

function bytesInOf(x: ProxyExchange): number {
  return x.bytesIn + (x.body === null ? 0 : x.body.bytesIn)
}

function bytesOutOf(x: ProxyExchange): number {
  return x.bytesOut + x.downstream.progress.bodySent
}

/** Duration of the last attempt; -1 when nothing was sent upstream. */
function upstreamDurationOf(x: ProxyExchange, now: number): number {
  if (x.upstreamStartedAt < 0) return -1
  return (x.upstreamEndedAt < 0 ? now : x.upstreamEndedAt) - x.upstreamStartedAt
}

/** What became of the rest of a response whose client had left. */
function afterClient(x: ProxyExchange, { detail }: ClientLeft): string {
  const rest = x.reason === null ? 'the rest was fetched' : `then ${x.reason}${x.detail === '' ? '' : `, ${x.detail}`}`
  return `${detail}; ${rest}`
}

export function recordExchange(x: ProxyExchange): void {
  const { timers, clock, metrics, accessLog } = x.context
  const now = timers.touch()
  const wall = clock.wall()
  const { left } = x
  const duration = (left === null ? now : left.at) - x.startedAt
  const reason = left === null ? x.reason : 'ClientGone'
  const status = left === null ? x.status : left.status
  const upstream = upstreamDurationOf(x, now)
  const bytesIn = bytesInOf(x)
  const bytesOut = bytesOutOf(x)
  const { peer } = x.downstream
  const { call } = x
  const ended = ENDED
  ended.listener = peer.listener.metricsRow
  ended.method = methodClass(x.method)
  ended.status = status
  ended.grpc = call === null ? NO_GRPC_CALL : grpcClass(call.status)
  ended.reason = reason === null ? -1 : REASON_INDEX.get(reason)!
  ended.backendRow = x.backend === null ? -1 : x.backend.metricsRow
  ended.durationMs = duration
  ended.upstreamMs = upstream
  ended.bytesIn = bytesIn
  ended.bytesOut = bytesOut
  metrics.exchangeEnded(ended)
  const dryRun = x.get(DRY_RUN)
  if (dryRun !== undefined) metrics.dryRunDenied()
  const record = RECORD
  record.time = wall - (now - x.startedAt)
  record.id = x.id
  record.client = x.clientAddress
  record.listener = peer.listener.name
  record.method = x.method
  record.host = x.host
  record.path = x.originalPath
  record.query = x.query
  record.protocol = x.incoming.protocol
  record.status = status
  record.grpcStatus = call === null ? NO_GRPC_STATUS : call.status
  record.reason = reason ?? ''
  record.detail = left === null ? x.detail : afterClient(x, left)
  record.note = x.get(NOTE) ?? ''
  record.dryRun = dryRun ?? ''
  record.cache = x.cacheResult
  record.consumer = x.get(CONSUMER) ?? ''
  record.route = x.route
  record.rule = x.rule
  record.backend = x.backend === null ? '' : x.backend.id
  record.endpoint = x.endpoint === null ? '' : x.endpoint.authority
  record.attempts = x.attempts
  record.duration = duration
  record.upstreamDuration = upstream
  record.bytesIn = bytesIn
  record.bytesOut = bytesOut
  record.userAgent = ''
  record.kept = null
  accessLog.write(record)
}

/** Of a response that is given again. */
export interface RepeatedRecord {
  readonly host: string
  readonly path: string
  readonly query: string | undefined
  readonly status: number
  readonly cache: string
  readonly route: string
  readonly rule: string
  /** Bytes of the body. */
  readonly bytesOut: number
  /** Of this listener and rule alone. */
  readonly kept: KeptLine
}

/** One that is not read. One object for all: it is read before {@link recordRepeat} returns. */
export interface RepeatedRequest {
  peer: Peer
  /** Address. */
  client: string
  /** As a trusted proxy told it; '': none has. */
  id: string
  startedAt: Milliseconds
  wall: Milliseconds
}

const NOTHING = Buffer.alloc(0)
const ID = Buffer.alloc(ID_LENGTH)

export function nothingKept(): KeptLine {
  return { log: null, rest: NOTHING, durationAt: 0 }
}

/** What {@link recordExchange} says of a GET without a body that is answered here, in one turn. */
export function recordRepeat(
  { timers, metrics, accessLog, random }: ExchangeContext,
  { peer, client, id, startedAt, wall }: RepeatedRequest,
  { host, path, query, status, cache, route, rule, bytesOut, kept }: RepeatedRecord,
): void {
  const duration = timers.touch() - startedAt
  metrics.exchangeStarted()
  const ended = endedWithout(peer, status, bytesOut)
  ended.method = GET
  ended.reason = -1
  ended.durationMs = duration
  metrics.exchangeEnded(ended)
  const own = id === '' || !isRequestId(id)
  if (own) fillRequestId(random, ID)
  else if (id.length === ID_LENGTH) ID.latin1Write(id, 0)
  if ((own || id.length === ID_LENGTH) && accessLog.again(kept, client, wall, duration, ID)) return
  const record = recordWithout(peer, status, wall, bytesOut)
  record.id = own ? ID.latin1Slice(0, ID_LENGTH) : id
  record.client = client
  record.method = 'GET'
  record.host = host
  record.path = path
  record.query = query
  record.protocol = 'HTTP/1.1'
  record.reason = ''
  record.detail = ''
  record.cache = cache
  record.route = route
  record.rule = rule
  record.duration = duration
  record.kept = kept
  accessLog.write(record)
}

/** A request that never became an exchange. */
export interface Refusal {
  readonly peer: Peer
  readonly error: GatewayError
  readonly request: RefusedRequest
  readonly id: string
  /** Bytes of the response's body. */
  readonly bytesOut: number
}

export function recordRefusal(context: ExchangeContext, refusal: Refusal): void {
  const { peer, error, request, id, bytesOut } = refusal
  const { protocol, method, target } = request
  const ended = endedWithout(peer, error.status, bytesOut)
  ended.method = methodClass(method)
  ended.reason = REASON_INDEX.get(error.reason)!
  ended.durationMs = 0
  context.metrics.exchangeEnded(ended)
  const record = recordWithout(peer, error.status, context.clock.wall(), bytesOut)
  const mark = target.indexOf('?')
  record.id = id
  record.method = method
  record.host = ''
  record.path = mark < 0 ? target : target.slice(0, mark)
  record.query = mark < 0 ? undefined : target.slice(mark + 1)
  record.protocol = protocol
  record.reason = error.reason
  record.detail = error.detail
  record.cache = ''
  record.route = ''
  record.rule = ''
  record.duration = 0
  record.kept = null
  context.accessLog.write(record)
}

/** What is the same of all that is answered here for a request that is not read as an exchange. */
function endedWithout({ listener }: Peer, status: number, bytesOut: number): EndedExchange {
  const ended = ENDED
  ended.listener = listener.metricsRow
  ended.status = status
  ended.grpc = NO_GRPC_CALL
  ended.backendRow = -1
  ended.upstreamMs = -1
  ended.bytesIn = 0
  ended.bytesOut = bytesOut
  return ended
}

/** The same for the log. */
function recordWithout({ address, listener }: Peer, status: number, wall: Milliseconds, bytesOut: number) {
  const record = RECORD
  record.time = wall
  record.client = address
  record.listener = listener.name
  record.status = status
  record.grpcStatus = NO_GRPC_STATUS
  record.note = ''
  record.dryRun = ''
  record.consumer = ''
  record.backend = ''
  record.endpoint = ''
  record.attempts = 0
  record.upstreamDuration = -1
  record.bytesIn = 0
  record.bytesOut = bytesOut
  record.userAgent = ''
  return record
}
