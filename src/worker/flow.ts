/**
 * The way of a request, in the order it is walked: find the rule, pass the filters, try endpoints, relay, end. Written
 * so that a plain request runs from its head to the upstream's socket in one turn of the loop without a promise.
 */

import type { WeightedSplits } from '../balance/weighted-split.ts'
import type { ClientResolver } from '../exchange/client-address.ts'
import type { Clock, Random } from '../lib/clock.ts'
import { GatewayError } from '../lib/error.ts'
import { REASONS, type Reason, type ReasonInfo } from '../lib/reason.ts'
import type { AccessLog } from '../log/access-line.ts'
import type { BodyStepFactory } from '../message/body.ts'

import type { Duplex } from '../message/duplex.ts'

import type { ResponseHead } from '../message/head.ts'
import { type CompleteResponse, isComplete, type LocalResponse } from '../message/local-response.ts'
import { normalizeHost } from '../pattern/host.ts'
import { hasEncodedSlash, normalizePath } from '../pattern/path.ts'
import { validateQuery } from '../pattern/query.ts'
import { responseBodySteps } from '../policy/body-steps.ts'
import {
  type ChainResult,
  type Replacement,
  runEnd,
  runLocalResponse,
  runRequest,
  runResponse,
} from '../policy/chain.ts'
import { problemResponse } from '../policy/problem.ts'
import { makeRequestId } from '../policy/request-id/request-id.ts'
import { match } from '../routing/match.ts'
import type { EndpointTable } from '../shared-memory/endpoint-table.ts'
import type { WorkerMetrics } from '../shared-memory/metrics.ts'
import type { Downstream, DownstreamHandler, IncomingRequest, RequestHandler } from '../transport/downstream.ts'
import type { Peer, PeerListener } from '../transport/peer.ts'
import type { Timers } from '../transport/timers.ts'
import type { Attempt } from './attempt.ts'
import { ProxyExchange } from './exchange.ts'
import { HostCache } from './host-cache.ts'
import type { LinkedTables } from './linked.ts'
import { sendLocalBody } from './local-body.ts'
import { LoopGuard } from './loop-guard.ts'
import { serverOptions, takeHop } from './max-forwards.ts'
import { Report, summaryOf } from './report.ts'
import { attemptFailed, forward, retry } from './tries.ts'
import { openTunnel } from './tunnel.ts'

export interface FlowContext {
  /** Row of this worker in every ledger. */
  readonly worker: number
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly endpoints: EndpointTable
  readonly metrics: WorkerMetrics
  readonly splits: WeightedSplits
  /** An error nobody expected: for the process log. */
  unexpected(error: unknown): void
}

/** Milliseconds that filters may take over an answer that must not wait any more. */
const ANSWER_GRACE = 5_000

function closes(reason: Reason): boolean {
  return (REASONS[reason] as ReasonInfo).close === true
}

export class Flow implements RequestHandler {
  readonly worker: number
  readonly clock: Clock
  readonly random: Random
  readonly timers: Timers
  readonly endpoints: EndpointTable
  readonly metrics: WorkerMetrics
  readonly splits: WeightedSplits
  readonly #context: FlowContext
  readonly #hosts = new HostCache()
  readonly #report: Report
  /** Tables now in force; null until the first commit. */
  current: LinkedTables | null = null
  clients: ClientResolver
  accessLog: AccessLog
  loops = new LoopGuard({ seed: '', passes: 1 })
  /** Exchanges under way: what a drain waits for. */
  active = 0

  constructor(context: FlowContext, clients: ClientResolver, accessLog: AccessLog) {
    this.#context = context
    this.worker = context.worker
    this.clock = context.clock
    this.random = context.random
    this.timers = context.timers
    this.endpoints = context.endpoints
    this.metrics = context.metrics
    this.splits = context.splits
    this.clients = clients
    this.accessLog = accessLog
    this.#report = new Report(context.metrics)
  }

  // ---- in ----

  begin(downstream: Downstream, incoming: IncomingRequest): DownstreamHandler {
    const x = new ProxyExchange(this, downstream, incoming)
    this.active++
    this.metrics.exchangeStarted()
    try {
      this.#enter(x)
    } catch (error) {
      this.rescue(x, error)
    }
    return x
  }

  #enter(x: ProxyExchange): void {
    const { incoming } = x
    const { target } = incoming
    const mark = target.indexOf('?')
    const rawPath = mark < 0 ? target : target.slice(0, mark)
    x.originalPath = rawPath
    if (mark >= 0) x.query = target.slice(mark + 1)
    const host = this.#hosts.normalize(incoming.authority, normalizeHost)
    const client = this.clients.resolve(x.downstream.peer, incoming.authority, host, x.request)
    x.clientAddress = client.address
    x.trusted = client.trusted
    x.forwarding = client.forwarding
    const tables = this.current
    if (tables === null) return this.refuse(x, 'NotReady')
    if (host === undefined) return this.refuse(x, 'BadHost')
    x.host = host.host
    if (x.method === 'OPTIONS' || x.method === 'TRACE') takeHop(x)
    // `OPTIONS *` asks about the server and not about any resource: it is answered here.
    if (target === '*') return this.#send(x, serverOptions())
    const path = normalizePath(rawPath, 'KeepEncodedSlash')
    if (path === undefined || (x.query !== undefined && !validateQuery(x.query))) return this.refuse(x, 'BadPath')
    x.path = path
    x.originalPath = path
    const found = match(tables.tables, x)
    const strictly =
      typeof found === 'string' || tables.policies[found.rule.policyIndex]?.policy.pathEncoding === 'Strict'
    if (strictly && hasEncodedSlash(path)) return this.refuse(x, 'BadPath')
    if (typeof found === 'string') return this.refuse(x, found)
    x.tables = tables
    x.ruleView = found.rule
    x.matchedPrefix = found.prefixLength
    x.linked = tables.policies[found.rule.policyIndex] ?? null
    if (found.rule.refuse !== undefined) return this.refuse(x, found.rule.refuse)
    if (incoming.cdnLoop) {
      const loop = this.loops.detect(x.request, found.rule)
      if (loop !== undefined) return this.fail(x, new GatewayError('LoopDetected', loop))
    }
    if (x.linked === null) throw new Error(`no policy set ${found.rule.policyIndex} for ${found.rule.key}`)
    const chain = x.linked.chain
    if (chain === null) return forward(this, x)
    const outcome = runRequest(chain, x)
    if (outcome instanceof Promise) {
      x.deciding = true
      x.watch()
      outcome.then(
        (late) => this.#decided(x, late),
        (error: unknown) => this.rescue(x, error),
      )
    } else this.#decided(x, outcome)
  }

  /** The filters have spoken. */
  #decided(x: ProxyExchange, outcome: ChainResult): void {
    // A deadline may have struck meanwhile, and its refusal be on its way.
    if (x.ended || x.answering || outcome?.type === 'ended') return
    x.deciding = false
    try {
      if (outcome?.type === 'respond') this.answer(x, outcome.response, outcome.from)
      else forward(this, x)
    } catch (error) {
      this.rescue(x, error)
    }
  }

  // ---- upstream ----

  attemptFailed(x: ProxyExchange, attempt: Attempt, error: GatewayError): void {
    attemptFailed(this, x, attempt, error)
  }

  /** The wait before the next try is over. */
  retry(x: ProxyExchange): void {
    retry(this, x)
  }

  // ---- back ----

  /**
   * The upstream's head passes the filters.
   * @returns undefined: relay it · null: something else has been sent · a promise: whether to relay it
   */
  responseArrived(x: ProxyExchange, head: ResponseHead): undefined | null | Promise<boolean> {
    const chain = x.linked!.chain
    if (chain === null) return undefined
    // Whoever is called again at the end may have kept the head; the buffer it lies in holds another's by then.
    if (chain.end !== null) head.fields.detach()
    const replacement = runResponse(chain, x, head, chain.length)
    if (replacement === undefined) return undefined
    if (replacement instanceof Promise) return replacement.then((late) => this.#replaced(x, late))
    return this.#replaced(x, replacement) ? undefined : null
  }

  /** @returns whether the upstream's response is to be relayed after all */
  #replaced(x: ProxyExchange, replacement: Replacement): boolean {
    if (replacement === undefined) return true
    if (replacement.type === 'replace' && !x.ended) {
      x.attempt?.abort()
      x.attempt = null
      this.#send(x, replacement.response, replacement.from)
    }
    return false
  }

  /** An answer of ours takes the way back from position `from` of the chain. */
  answer(x: ProxyExchange, answer: LocalResponse, from: number): void {
    if (answer.reason !== undefined) x.reason = answer.reason
    const chain = x.linked?.chain ?? null
    if (chain === null) return this.#send(x, answer)
    const replacement = runLocalResponse(chain, x, answer, from)
    if (replacement instanceof Promise) {
      x.answering = true
      this.timers.arm(x, this.timers.now + ANSWER_GRACE)
      replacement
        .then((late) => {
          if (!x.ended && late?.type === 'replace') this.#send(x, late.response, late.from)
        })
        .catch((error: unknown) => this.rescue(x, error))
    } else if (replacement?.type === 'replace') this.#send(x, replacement.response, replacement.from)
  }

  #send(x: ProxyExchange, answer: LocalResponse, from = 0): void {
    const chain = x.linked?.chain ?? null
    const head: ResponseHead = {
      status: answer.status,
      fields: answer.fields,
      bodyLength: answer.body === null ? 0 : answer.body.length,
    }
    let steps: BodyStepFactory[] | null = null
    try {
      if (chain !== null) steps = responseBodySteps(chain, x, head, from)
    } catch (error) {
      if (answer.reason === undefined) return this.rescue(x, error)
      // A refusal goes out without the steps of a filter that cannot make them.
      this.#context.unexpected(error)
    }
    x.status = answer.status
    if (answer.reason !== undefined) x.reason = answer.reason
    x.headSent = true
    if (steps === null && isComplete(answer)) {
      x.downstream.sendAnswer(answer, answer.reason !== undefined && closes(answer.reason))
      return this.finish(x)
    }
    x.downstream.sendHead(head, answer.reason !== undefined && closes(answer.reason) ? 'untrusted' : 'dropped')
    sendLocalBody(this, x, answer, steps ?? [])
    // A step, or the source of a stream, may take its time.
    if (!x.ended) x.watch()
  }

  /** A chunk of a response's body that nobody will change any more. */
  sendChunk(x: ProxyExchange, chunk: Uint8Array): void {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    x.downstream.sendBody(bytes, 0, bytes.length)
  }

  // ---- refusals ----

  refuse(x: ProxyExchange, reason: Reason): void {
    // A filter that has not decided yet was not passed: it sees nothing of the way back.
    this.answer(x, problemResponse(reason, x), x.deciding ? x.entered - 1 : x.entered)
  }

  /**
   * The one place that turns an error into what the client gets: a response while that is possible, a cut connection
   * after.
   */
  fail(x: ProxyExchange, error: GatewayError): void {
    if (x.ended) return
    if (x.restOnly) return this.endRest(x)
    x.reason = error.reason
    x.detail = error.detail
    // Whatever the filters made of an answer of ours, they would make of this one: it is not tried again.
    if (x.answerBody === null) this.#retract(x)
    x.attempt?.abort()
    x.attempt = null
    if (!x.headSent && !x.answering && error.status !== 0) {
      try {
        this.refuse(x, error.reason)
      } catch (unexpected) {
        this.#context.unexpected(unexpected)
        this.cut(x)
      }
    } else this.cut(x)
  }

  /** What has not left was never sent: neither its status nor its bytes count. */
  #retract(x: ProxyExchange): void {
    if (!x.headSent || !x.downstream.progress.retract()) return
    x.headSent = false
    x.status = 0
  }

  /** Gives an exchange up: all that is left to tell the client is that its connection breaks. */
  cut(x: ProxyExchange): void {
    x.downstream.abort()
    this.#retract(x)
    this.finish(x)
  }

  rescue(x: ProxyExchange, error: unknown): void {
    if (error instanceof GatewayError) return this.fail(x, error)
    this.#context.unexpected(error)
    this.fail(
      x,
      new GatewayError('InternalError', error instanceof Error ? error.message : String(error), { cause: error }),
    )
  }

  clientGone(x: ProxyExchange, detail: string): void {
    if (!x.restOnly || x.downstream.progress.lost > 0) {
      x.reason ??= 'ClientGone'
      x.detail ||= detail
      this.#retract(x)
    }
    x.attempt?.abort()
    x.attempt = null
    this.finish(x)
  }

  // ---- the end ----

  /** The response is out, and the rest of the request's body has gone to the upstream or goes no further. */
  endRest(x: ProxyExchange): void {
    x.downstream.endRest()
    this.finish(x)
  }

  finish(x: ProxyExchange): void {
    if (x.ended) return
    x.ended = true
    this.timers.disarm(x)
    x.body?.abort()
    x.answerBody?.abort()
    x.answerSource?.abort()
    x.abortSignal()
    x.attempt?.abort()
    x.attempt = null
    x.share?.exit()
    if (x.counted) this.endpoints.release(this.worker, x.backend!.slot)
    const chain = x.linked?.chain ?? null
    if (chain !== null) runEnd(chain, x, summaryOf)
    this.active--
    this.#report.exchange(x, this.timers.touch(), this.clock.wall(), this.accessLog)
  }

  upgraded(x: ProxyExchange, head: ResponseHead, upstream: Duplex): void {
    x.status = 101
    x.headSent = true
    this.timers.disarm(x)
    openTunnel(x, head, upstream)
  }

  refused(peer: Peer, error: GatewayError, method: string, target: string): CompleteResponse {
    const id = makeRequestId(this.random)
    this.metrics.exchangeStarted()
    const answer = problemResponse(error.reason, { id })
    const bytesOut = method === 'HEAD' ? 0 : (answer.body?.length ?? 0)
    this.#report.refusal(peer, error, method, target, id, bytesOut, this.clock.wall(), this.accessLog)
    return answer
  }

  connectionOpened(listener: PeerListener): void {
    this.metrics.connectionOpened(listener.metricsRow)
  }

  connectionClosed(listener: PeerListener): void {
    this.metrics.connectionClosed(listener.metricsRow)
  }
}
