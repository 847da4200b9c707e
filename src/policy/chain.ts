/**
 * The filters of one policy set, put together once at link time. On a request only the hooks that somebody has are
 * walked, and the walk stays synchronous until a filter really returns a promise.
 *
 * Positions count the filters in the order of a request. An answer given at a position goes back through `onResponse`
 * of the filters before it, the outermost last; `from` says where that way back begins, {@link Chain.length} for a
 * response from the upstream.
 */
import { GatewayError } from '../lib/error.ts'
import type { BodyStepFactory } from '../message/body.ts'
import type { ResponseHead } from '../message/head.ts'
import type { LocalResponse } from '../message/local-response.ts'
import { builtInFilters } from './built-in.ts'
import type { DryExchange, Exchange } from './exchange.ts'
import type { Explanation, Filter, RequestDecision, ResponseDecision, Tunnel } from './filter.ts'
import type { PolicySet } from './policy-set.ts'
import { problemAnswer } from './problem.ts'
import type { FilterDeps, FilterRegistry } from './registry.ts'

/** One hook of one filter, in its place. All of one shape, so that the walk calls them the same way. */
interface Hook<Run> {
  readonly position: number
  readonly name: string
  readonly run: Run
}

type OnRequest = (x: Exchange) => RequestDecision | Promise<RequestDecision>
type OnResponse = (x: Exchange, head: ResponseHead) => ResponseDecision | Promise<ResponseDecision>
type RequestBody = (x: Exchange) => BodyStepFactory | undefined
type ResponseBody = (x: Exchange, head: ResponseHead) => BodyStepFactory | undefined

/** Frozen; each list is null when no filter has that hook. */
export interface Chain {
  /** How many filters there are. */
  readonly length: number
  readonly request: readonly Hook<OnRequest>[] | null
  /** In reverse order. */
  readonly response: readonly Hook<OnResponse>[] | null
  readonly requestBody: readonly Hook<RequestBody>[] | null
  /** In reverse order: the innermost sees the upstream's bytes first. */
  readonly responseBody: readonly Hook<ResponseBody>[] | null
  readonly end: readonly Hook<(x: Exchange) => void>[] | null
  readonly report: FilterDeps['report']
}

/** What came of the way in. `undefined`: send it upstream. */
export type ChainResult =
  | undefined
  /** To be given to {@link runAnswer} with `from`. */
  | { readonly type: 'answer'; readonly answer: LocalResponse; readonly from: number }
  | Tunnel
  /** The exchange ended while a filter was waited for: there is nothing left to do. */
  | { readonly type: 'ended' }

/** What came of the way back. `undefined`: the upstream's response goes on. */
export type Replacement =
  | undefined
  /**
   * The answer is finished, every filter has seen it; body steps of positions before `from` still apply to its body.
   */
  | { readonly type: 'replace'; readonly answer: LocalResponse; readonly from: number }
  | { readonly type: 'ended' }

const ENDED = Object.freeze({ type: 'ended' as const })
const BUILT_IN = builtInFilters()

/**
 * @param registry the built-in filters unless plugins were added to one's own
 * @returns null when no filter has anything to do for this policy set
 * @throws {TypeError} when the policy set holds what validation should have refused, naming the filter
 */
export function composeChain(policy: PolicySet, deps: FilterDeps, registry: FilterRegistry = BUILT_IN): Chain | null {
  const filters = createFilters(policy, deps, registry)
  const chain: Chain = {
    length: filters.length,
    request: hooks(filters, (filter) => filter.onRequest?.bind(filter)),
    response: reversed(hooks(filters, (filter) => filter.onResponse?.bind(filter))),
    requestBody: hooks(filters, (filter) => filter.requestBody?.bind(filter)),
    responseBody: reversed(hooks(filters, (filter) => filter.responseBody?.bind(filter))),
    end: hooks(filters, (filter) => filter.onEnd?.bind(filter)),
    report: (name, error) => deps.report(name, error),
  }
  const idle = !(chain.request || chain.response || chain.requestBody || chain.responseBody || chain.end)
  return idle ? null : Object.freeze(chain)
}

function createFilters(policy: PolicySet, deps: FilterDeps, registry: FilterRegistry): Filter[] {
  const filters: Filter[] = []
  for (const definition of registry.definitions) {
    try {
      const filter = definition.create(policy, deps)
      if (filter !== undefined) filters.push(filter)
    } catch (error) {
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
 * The way in. A wish for a tunnel does not end the walk: what comes after it, authorization for one, decides about
 * tunnels too. A filter that throws is reported and answered for with the error's reason, `InternalError` where it has
 * none.
 */
export function runRequest(chain: Chain, x: Exchange): ChainResult | Promise<ChainResult> {
  const list = chain.request
  if (list === null) {
    x.entered = chain.length
    return undefined
  }
  return walkRequest(chain, list, x, 0, undefined)
}

function walkRequest(
  chain: Chain,
  list: readonly Hook<OnRequest>[],
  x: Exchange,
  start: number,
  wish: Tunnel | undefined,
): ChainResult | Promise<ChainResult> {
  let tunnel = wish
  for (let i = start; i < list.length; i++) {
    const hook = list[i]!
    x.entered = hook.position + 1
    try {
      const verdict = hook.run(x)
      if (verdict === undefined) continue
      if (isPromise(verdict)) return awaitRequest(chain, list, x, i, tunnel, verdict)
      if (verdict.type === 'answer') return { type: 'answer', answer: verdict.answer, from: hook.position }
      tunnel = verdict
    } catch (error) {
      return { type: 'answer', answer: failure(chain, hook.name, x, error), from: hook.position }
    }
  }
  x.entered = chain.length
  return tunnel
}

async function awaitRequest(
  chain: Chain,
  list: readonly Hook<OnRequest>[],
  x: Exchange,
  i: number,
  tunnel: Tunnel | undefined,
  pending: Promise<RequestDecision>,
): Promise<ChainResult> {
  const hook = list[i]!
  let verdict: RequestDecision
  try {
    verdict = await pending
  } catch (error) {
    // Nobody is there any more to be told; a filter whose wait was cut off often rejects.
    if (x.ended) return ENDED
    return { type: 'answer', answer: failure(chain, hook.name, x, error), from: hook.position }
  }
  if (x.ended) return ENDED
  if (verdict?.type === 'answer') return { type: 'answer', answer: verdict.answer, from: hook.position }
  return walkRequest(chain, list, x, i + 1, verdict ?? tunnel)
}

/**
 * The way back of a response from the upstream. `head` is changed in place. Once a filter has put another response in
 * its place, the filters further out see that one.
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
  return walkResponse(chain, chain.response, { x, head, from, answer: null }, 0)
}

/**
 * The way back of an answer that the gateway gives itself: one from {@link runRequest}, or a refusal after the chain
 * was passed.
 *
 * @returns the answer as every filter left it, or one that a filter put in its place
 */
export function runAnswer(
  chain: Chain,
  x: Exchange,
  answer: LocalResponse,
  from: number,
): Replacement | Promise<Replacement> {
  if (chain.response === null) return { type: 'replace', answer, from }
  return walkResponse(chain, chain.response, { x, head: headOf(answer), from, answer }, 0)
}

interface WayBack {
  readonly x: Exchange
  head: ResponseHead
  /** Positions from here on see no more of it. */
  from: number
  /** What stands in place of the upstream's response; null while it is the upstream's own. */
  answer: LocalResponse | null
}

function walkResponse(
  chain: Chain,
  list: readonly Hook<OnResponse>[],
  way: WayBack,
  start: number,
): Replacement | Promise<Replacement> {
  for (let i = start; i < list.length; i++) {
    const hook = list[i]!
    if (hook.position >= way.from) continue
    try {
      const reply = hook.run(way.x, way.head)
      if (reply === undefined) continue
      if (isPromise(reply)) return awaitResponse(chain, list, way, i, reply)
      replace(way, reply.answer, hook.position)
    } catch (error) {
      replace(way, failure(chain, hook.name, way.x, error), hook.position)
    }
  }
  if (way.answer === null) return undefined
  const { head, from } = way
  // Filters changed the head; the body is the answer's.
  return { type: 'replace', answer: { ...way.answer, status: head.status, fields: head.fields }, from }
}

async function awaitResponse(
  chain: Chain,
  list: readonly Hook<OnResponse>[],
  way: WayBack,
  i: number,
  pending: Promise<ResponseDecision>,
): Promise<Replacement> {
  const hook = list[i]!
  try {
    const reply = await pending
    if (way.x.ended) return ENDED
    if (reply !== undefined) replace(way, reply.answer, hook.position)
  } catch (error) {
    if (way.x.ended) return ENDED
    replace(way, failure(chain, hook.name, way.x, error), hook.position)
  }
  return walkResponse(chain, list, way, i + 1)
}

function replace(way: WayBack, answer: LocalResponse, position: number): void {
  way.answer = answer
  way.head = headOf(answer)
  way.from = position
}

function headOf(answer: LocalResponse): ResponseHead {
  return { status: answer.status, fields: answer.fields, bodyLength: answer.body === null ? 0 : answer.body.length }
}

/** Steps that the request's body passes, in order; null when there are none. For {@link composeBody}. */
export function requestBodySteps(chain: Chain, x: Exchange): BodyStepFactory[] | null {
  if (chain.requestBody === null) return null
  let steps: BodyStepFactory[] | null = null
  for (const hook of chain.requestBody) {
    const step = hook.run(x)
    if (step !== undefined) (steps ??= []).push(step)
  }
  return steps
}

/**
 * Steps that the response's body passes, in order; null when there are none. To be asked after {@link runResponse} or
 * {@link runAnswer}.
 *
 * @param from of the replacement, or {@link Chain.length} where the upstream's response goes on
 */
export function responseBodySteps(
  chain: Chain,
  x: Exchange,
  head: ResponseHead,
  from: number,
): BodyStepFactory[] | null {
  if (chain.responseBody === null) return null
  let steps: BodyStepFactory[] | null = null
  for (const hook of chain.responseBody) {
    if (hook.position >= from) continue
    const step = hook.run(x, head)
    if (step !== undefined) (steps ??= []).push(step)
  }
  return steps
}

/** Tells every filter that was entered that the exchange is over. Once: calling it again does nothing. */
export function runEnd(chain: Chain, x: Exchange): void {
  const { entered } = x
  x.entered = 0
  if (chain.end === null) return
  for (const hook of chain.end) {
    if (hook.position >= entered) return
    try {
      hook.run(x)
    } catch (error) {
      chain.report(hook.name, error)
    }
  }
}

/** What the filters of a policy set would do, in the order of a request, without any effect. */
export function explainChain(
  policy: PolicySet,
  deps: FilterDeps,
  x: DryExchange,
  registry: FilterRegistry = BUILT_IN,
): Explanation[] {
  const explanations: Explanation[] = []
  for (const filter of createFilters(policy, deps, registry)) {
    const explanation = filter.explain?.(x)
    if (explanation !== undefined) explanations.push(explanation)
  }
  return explanations
}

function failure(chain: Chain, filter: string, x: Exchange, error: unknown): LocalResponse {
  // A GatewayError is a verdict, and clients can bring it about as often as they like; it has its place in the access
  // log.
  if (!(error instanceof GatewayError)) chain.report(filter, error)
  const reason = error instanceof GatewayError && error.status !== 0 ? error.reason : 'InternalError'
  return problemAnswer(reason, x)
}

function isPromise<T extends object>(value: T | Promise<T | undefined>): value is Promise<T | undefined> {
  return typeof (value as Promise<T>).then === 'function'
}
