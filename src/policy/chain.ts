/**
 * The filters of one policy set, put together once at link time. On a request only the hooks that somebody has are
 * walked, and the walk stays synchronous until a filter really returns a promise.
 *
 * Positions count the filters in the order of a request. A response given at a position goes back through `onResponse`
 * of the filters before it, the outermost last; `from` says where that way back begins, {@link Chain.length} for a
 * response from the upstream.
 */
import { GatewayError } from '../lib/error.ts'
import type { BodyStepFactory, BodyTee } from '../message/body.ts'
import type { ResponseHead } from '../message/head.ts'
import { discardBody, type LocalResponse } from '../message/local-response.ts'
import { builtInFilters } from './built-in.ts'
import { guardedServices } from './callback-guard.ts'
import type { Exchange, ExchangeSummary } from './exchange.ts'
import type { Filter, RequestBodyStep, RequestDecision, ResponseDecision } from './filter.ts'
import type { PolicySet } from './policy-set.ts'
import { problemResponse } from './problem.ts'
import type { FilterRegistry } from './registry.ts'
import type { FilterServices } from './services.ts'

/** One hook of one filter, in its place. All of one shape, so that the walk calls them the same way. */
interface Hook<Run> {
  readonly position: number
  readonly name: string
  readonly run: Run
}

type RequestHook = (x: Exchange) => RequestDecision | Promise<RequestDecision>
type ResponseHook = (
  x: Exchange,
  head: ResponseHead,
  local: LocalResponse | null,
) => ResponseDecision | Promise<ResponseDecision>
type RequestBodyHook = (x: Exchange) => RequestBodyStep | undefined
type ResponseBodyHook = (x: Exchange, head: ResponseHead) => BodyStepFactory | BodyTee | undefined

/** Frozen; each list is null when no filter has that hook. */
export interface Chain {
  /** How many filters there are. */
  readonly length: number
  readonly request: readonly Hook<RequestHook>[] | null
  /** In reverse order. */
  readonly response: readonly Hook<ResponseHook>[] | null
  readonly requestBody: readonly Hook<RequestBodyHook>[] | null
  /** In reverse order: the innermost sees the upstream's bytes first. */
  readonly responseBody: readonly Hook<ResponseBodyHook>[] | null
  readonly clientGone: readonly Hook<(x: Exchange) => number>[] | null
  readonly end: readonly Hook<(x: Exchange, summary: ExchangeSummary) => void>[] | null
  readonly warmUp: readonly Hook<(signal: AbortSignal) => Promise<void>>[] | null
  /** One filter alone has hooks that an exchange calls. */
  readonly single: boolean
  /** Fields that a client cannot send in trailers; null when there are none. */
  readonly requestFields: ReadonlySet<string> | null
  /** Some filter may have kept the head of a response until the end. */
  readonly keepsHeads: boolean
  /** Some filter knows browsers by cookies of sessions. */
  readonly sessions: boolean
  /** All of them, in the order of a request. */
  readonly filters: readonly Filter[]
  readonly report: FilterServices['report']
}

/** What came of the way in. `undefined`: send it upstream. */
export type ChainResult =
  | undefined
  /** To be given to {@link runLocalResponse} with `from`. */
  | { readonly type: 'respond'; readonly response: LocalResponse; readonly from: number }
  /** The exchange ended while a filter was waited for: there is nothing left to do. */
  | { readonly type: 'ended' }

/** The result of the response hooks. `undefined`: the upstream's response is relayed. */
export type Replacement =
  | undefined
  /**
   * The response is finished, every filter has seen it; body steps of positions before `from` still apply to its body.
   */
  | { readonly type: 'replace'; readonly response: LocalResponse; readonly from: number }
  | { readonly type: 'ended' }

const ENDED = Object.freeze({ type: 'ended' as const })
const HOOKS = ['onRequest', 'onResponse', 'requestBody', 'responseBody', 'onClientGone', 'onEnd', 'warmUp'] as const
/** Without plugins. */
export const BUILT_IN: FilterRegistry = builtInFilters()

/**
 * @param registry the built-in filters unless plugins were added to one's own
 * @returns null when no filter has anything to do for this policy set
 * @throws {TypeError} when the policy set holds what validation should have refused, naming the filter
 */
export function composeChain(
  policy: PolicySet,
  services: FilterServices,
  registry: FilterRegistry = BUILT_IN,
): Chain | null {
  const filters = Object.freeze(createFilters(policy, services, registry))
  const report: Chain['report'] = (name, error) => services.report(name, error)
  const chain: Chain = {
    length: filters.length,
    request: hooks(filters, (filter) => filter.onRequest?.bind(filter)),
    response: reversed(hooks(filters, (filter) => filter.onResponse?.bind(filter))),
    requestBody: hooks(filters, (filter) => filter.requestBody?.bind(filter)),
    responseBody: reversed(hooks(filters, (filter) => filter.responseBody?.bind(filter))),
    clientGone: hooks(filters, (filter) => filter.onClientGone?.bind(filter)),
    end: hooks(filters, (filter) => filter.onEnd?.bind(filter)),
    warmUp: hooks(filters, (filter) => filter.warmUp?.bind(filter)),
    single: filters.filter((filter) => HOOKS.some((hook) => filter[hook] !== undefined)).length === 1,
    requestFields: fieldsOf(filters),
    keepsHeads: filters.some(({ onEnd, forgetsHeads }) => onEnd !== undefined && forgetsHeads !== true),
    sessions: filters.some(({ sessions }) => sessions === true),
    filters,
    report,
  }
  const { request, response, requestBody, responseBody, end } = chain
  if (request !== null || response !== null || requestBody !== null || responseBody !== null || end !== null)
    return Object.freeze(chain)
  dispose(filters, report)
  return null
}

function fieldsOf(filters: readonly Filter[]): ReadonlySet<string> | null {
  const names = new Set(filters.flatMap(({ requestFields = [] }) => requestFields))
  return names.size === 0 ? null : names
}

/** @throws {TypeError} when the policy set holds what validation should have refused, naming the filter */
export function createFilters(policy: PolicySet, services: FilterServices, registry: FilterRegistry): Filter[] {
  const filters: Filter[] = []
  for (const definition of registry.definitions) {
    try {
      const filter = definition.create(policy, guardedServices(services, definition.name))
      if (filter !== undefined) filters.push(filter)
    } catch (error) {
      dispose(filters, (name, cause) => services.report(name, cause))
      throw new TypeError(`${definition.name}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      })
    }
  }
  return filters
}

function hooks<Run>(
  filters: readonly Filter[],
  pick: (filter: Filter) => Run | undefined,
): readonly Hook<Run>[] | null {
  const found: Hook<Run>[] = []
  for (const [position, filter] of filters.entries()) {
    const run = pick(filter)
    if (run !== undefined) found.push({ position, name: filter.name, run })
  }
  return found.length === 0 ? null : Object.freeze(found)
}

function reversed<Run>(list: readonly Hook<Run>[] | null): readonly Hook<Run>[] | null {
  return list === null ? null : Object.freeze(list.toReversed())
}

/**
 * The way in. A filter that throws is reported and answered for with the error's reason, `InternalError` where it has
 * none.
 */
export function runRequest(chain: Chain, x: Exchange): ChainResult | Promise<ChainResult> {
  const list = chain.request
  if (list === null) {
    x.entered = chain.length
    return undefined
  }
  return walkRequest(chain, list, x, 0)
}

function walkRequest(
  chain: Chain,
  list: readonly Hook<RequestHook>[],
  x: Exchange,
  start: number,
): ChainResult | Promise<ChainResult> {
  for (let i = start; i < list.length; i++) {
    const hook = list[i]!
    x.entered = hook.position + 1
    try {
      const decision = hook.run(x)
      if (decision === undefined) continue
      if (isPromise(decision)) return awaitRequest(chain, list, x, i, decision)
      return { type: 'respond', response: decision.response, from: hook.position }
    } catch (error) {
      return { type: 'respond', response: failure(chain, hook.name, x, error), from: hook.position }
    }
  }
  x.entered = chain.length
  return undefined
}

async function awaitRequest(
  chain: Chain,
  list: readonly Hook<RequestHook>[],
  x: Exchange,
  i: number,
  pending: Promise<RequestDecision>,
): Promise<ChainResult> {
  const hook = list[i]!
  let decision: RequestDecision
  try {
    decision = await pending
  } catch (error) {
    // The exchange has ended, and a filter whose wait was aborted often rejects.
    if (x.ended) return ENDED
    return { type: 'respond', response: failure(chain, hook.name, x, error), from: hook.position }
  }
  if (x.ended) {
    if (decision !== undefined) discardBody(decision.response)
    return ENDED
  }
  if (decision !== undefined) return { type: 'respond', response: decision.response, from: hook.position }
  return walkRequest(chain, list, x, i + 1)
}

/**
 * The way back of a response from the upstream, 101 included. `head` is changed in place. Once a filter has put another
 * response in its place, the filters further out see that one.
 *
 * @param from positions before it are called: {@link Chain.length} for a response from the upstream
 */
export function runResponse(
  chain: Chain,
  x: Exchange,
  head: ResponseHead,
  from: number,
): Replacement | Promise<Replacement> {
  if (chain.response === null) return undefined
  return walkResponse(chain, chain.response, { x, head, from, local: null }, 0)
}

/**
 * The way back of a response that the gateway gives itself: one from {@link runRequest}, or a refusal after the chain
 * was passed.
 *
 * @returns the response as every filter left it, or one that a filter put in its place
 */
export function runLocalResponse(
  chain: Chain,
  x: Exchange,
  response: LocalResponse,
  from: number,
): Replacement | Promise<Replacement> {
  if (chain.response === null) return { type: 'replace', response, from }
  return walkResponse(chain, chain.response, { x, head: headOf(response), from, local: response }, 0)
}

interface WayBack {
  readonly x: Exchange
  head: ResponseHead
  /** Positions from here on see no more of it. */
  from: number
  /** What stands in place of the upstream's response; null while it is the upstream's own. */
  local: LocalResponse | null
}

function walkResponse(
  chain: Chain,
  list: readonly Hook<ResponseHook>[],
  way: WayBack,
  start: number,
): Replacement | Promise<Replacement> {
  for (let i = start; i < list.length; i++) {
    const hook = list[i]!
    if (hook.position >= way.from) continue
    try {
      const decision = hook.run(way.x, way.head, way.local)
      if (decision === undefined) continue
      if (isPromise(decision)) return awaitResponse(chain, list, way, i, decision)
      replace(way, decision.response, hook.position)
    } catch (error) {
      replace(way, failure(chain, hook.name, way.x, error), hook.position)
    }
  }
  if (way.local === null) return undefined
  const { head, from } = way
  // Filters changed the head; the body is the response's own.
  return { type: 'replace', response: { ...way.local, status: head.status, fields: head.fields }, from }
}

async function awaitResponse(
  chain: Chain,
  list: readonly Hook<ResponseHook>[],
  way: WayBack,
  i: number,
  pending: Promise<ResponseDecision>,
): Promise<Replacement> {
  const hook = list[i]!
  try {
    const decision = await pending
    if (way.x.ended) return givenUp(way, decision?.response)
    if (decision !== undefined) replace(way, decision.response, hook.position)
  } catch (error) {
    if (way.x.ended) return givenUp(way)
    replace(way, failure(chain, hook.name, way.x, error), hook.position)
  }
  return walkResponse(chain, list, way, i + 1)
}

/** The exchange ended meanwhile: releases the bodies of local responses. */
function givenUp(way: WayBack, late?: LocalResponse): Replacement {
  if (way.local !== null && way.local !== late) discardBody(way.local)
  if (late !== undefined) discardBody(late)
  return ENDED
}

function replace(way: WayBack, response: LocalResponse, position: number): void {
  // Unless it is the same stream under another head.
  if (way.local !== null && way.local.body !== response.body) discardBody(way.local)
  way.local = response
  way.head = headOf(response)
  way.from = position
}

function headOf({ status, fields, body }: LocalResponse): ResponseHead {
  return { status, fields, bodyLength: body === null ? 0 : body.length }
}

/**
 * Lets every filter that was entered know that the exchange is over. Once: calling it again does nothing.
 *
 * @param summaryOf called only when a filter has `onEnd`
 */
export function runEnd<X extends Exchange>(chain: Chain, x: X, summaryOf: (x: X) => ExchangeSummary): void {
  const { entered } = x
  x.entered = 0
  if (chain.end === null || entered === 0) return
  const summary = summaryOf(x)
  for (const hook of chain.end) {
    if (hook.position >= entered) return
    try {
      hook.run(x, summary)
    } catch (error) {
      chain.report(hook.name, error)
    }
  }
}

/**
 * Awaits one try at the warm-up of every filter, all at once.
 *
 * @returns null where no filter has one
 * @throws rejects with the first failure, naming the filter
 */
export function warmUpChain(chain: Chain, signal: AbortSignal): Promise<void> | null {
  if (chain.warmUp === null) return null
  return Promise.all(chain.warmUp.map((hook) => warmUp(hook, signal))).then(() => undefined)
}

async function warmUp({ name, run }: Hook<(signal: AbortSignal) => Promise<void>>, signal: AbortSignal): Promise<void> {
  try {
    await run(signal)
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
}

/** To be called once, when nothing uses the chain any more. */
export function disposeChain(chain: Chain): void {
  dispose(chain.filters, chain.report)
}

export function dispose(filters: readonly Filter[], report: FilterServices['report']): void {
  for (const filter of filters) {
    try {
      filter.dispose?.()
    } catch (error) {
      report(filter.name, error)
    }
  }
}

function failure(chain: Chain, filter: string, x: Exchange, error: unknown): LocalResponse {
  // A GatewayError is a decision, and clients can cause it as often as they like; it has its place in the access log.
  if (!(error instanceof GatewayError)) chain.report(filter, error)
  const reason = error instanceof GatewayError && error.status !== 0 ? error.reason : 'InternalError'
  return problemResponse(reason, x)
}

function isPromise<T extends object>(value: T | Promise<T | undefined>): value is Promise<T | undefined> {
  return typeof (value as Promise<T>).then === 'function'
}
