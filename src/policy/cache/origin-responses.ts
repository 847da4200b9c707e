/** The way back: what becomes of a response of the origin, or of its failure. */
import { emptyNumbers, readNumbers } from '../../cache/cache-numbers.ts'
import { type CacheStatus, cacheStatusMember } from '../../cache/cache-status.ts'
import { REPRESENTATION_FIELDS } from '../../cache/encode-head.ts'
import { CONDITION_FIELDS, judgePreconditions } from '../../cache/preconditions.ts'
import type { CacheResult } from '../../cache/results.ts'
import { isErrorStatus, judgeReuse, mayServeOnError, reuseVerdict } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { ReuseVerdict } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { REASONS } from '../../lib/reason.ts'
import type { BodyTee, LentSink } from '../../message/body.ts'
import type { ResponseHead } from '../../message/head.ts'
import type { LocalResponse } from '../../message/local-response.ts'
import type { Exchange } from '../exchange.ts'
import type { ResponseDecision } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import { CACHED_REQUEST, type CachedRequest, restoreFields } from './cached-request.ts'
import { fetchAnew } from './fetch-anew.ts'
import type { StaleResponse } from './fetch-contract.ts'
import { FillStep } from './fill-step.ts'
import { invalidate } from './invalidate.ts'
import { CACHE_NAME, serve } from './serve.ts'
import { detailOf, NO_DETAIL, tell } from './words.ts'

/** That a fetch goes on without its client. */
const WITHOUT_CLIENT: Milliseconds = 600_000

/** Bytes of a body that a client waits for that is not sent it. */
const MAX_UNSENT = 1024 * 1024

const NUMBERS = emptyNumbers()
const HEAD = new StoredHead()
const VERDICT: ReuseVerdict = reuseVerdict()

export class OriginResponses {
  readonly #services: FilterServices

  constructor(services: FilterServices) {
    this.#services = services
  }

  onResponse(
    x: Exchange,
    head: ResponseHead,
    local: LocalResponse | null,
  ): ResponseDecision | Promise<ResponseDecision> {
    const request = x.get(CACHED_REQUEST)
    if (request === undefined) {
      if (local === null) this.#passedBy(x, head)
      return undefined
    }
    if (request.conditions.length > 0 || request.fetch?.stale != null)
      restoreFields(x.request, CONDITION_FIELDS, request.conditions)
    const { fetch } = request
    const { stale = null } = fetch ?? {}
    if (fetch !== null && stale !== null && isFailure(head, local) && this.#mayServe(request, stale)) {
      fetch.fail()
      return this.#serveStale(x, request, stale, 'stale StaleIfError', { forwardedStatus: head.status })
    }
    if (local !== null || fetch === null) {
      fetch?.fail()
      if (local === null) request.probe?.onProbe(head.status, head.fields)
      this.#addStatus(x, head, request, {})
      return undefined
    }
    return this.#judge(x, head, request)
  }

  #judge(x: Exchange, head: ResponseHead, request: CachedRequest): ResponseDecision | Promise<ResponseDecision> {
    const fetch = request.fetch!
    const outcome = fetch.onHead(head.status, head.fields, head.bodyLength)
    switch (outcome.type) {
      case 'updated': {
        const stale: StaleResponse = { hold: fetch.stale!.hold, numbers: outcome.numbers }
        const result = request.result.replace('miss', 'revalidated') as CacheResult
        return this.#serveStale(
          x,
          request,
          stale,
          result,
          { forwardedStatus: 304, stored: outcome.stored },
          outcome.head,
        )
      }
      case 'stored':
        request.stored = true
        this.#addStatus(x, head, request, { stored: true })
        if (request.conditions.length > 0) this.#toNotModified(x, head, request)
        return undefined
      case 'mismatch':
        return this.#anew(x, request)
      case 'not-stored':
        this.#addStatus(x, head, request, { reason: outcome.reason })
        return undefined
    }
  }

  /**
   * The client has what came (RFC 9111 §4.3.2): it gets the head of a 304, and the body is stored for others. Its
   * response ends with the body, so a long one is sent instead.
   */
  #toNotModified(x: Exchange, head: ResponseHead, request: CachedRequest): void {
    const held = request.fetch!.fill.hold()
    if (held === null) return
    const stored = HEAD.at(held.bytes, held.headAt)
    readNumbers(held.view, held.numbersAt, NUMBERS)
    const short = head.bodyLength !== undefined && head.bodyLength <= MAX_UNSENT
    if (
      short &&
      judgePreconditions(x.method, x.request, stored, NUMBERS, this.#services.clock.wall()) === 'NotModified'
    ) {
      request.unsent = true
      head.status = 304
      head.bodyLength = 0
      for (const name of REPRESENTATION_FIELDS) head.fields.remove(name)
      if (head.fields.has('etag')) head.fields.remove('last-modified')
      head.fields.remove('content-length')
    }
    held.release()
  }

  /** What is stored is not what the origin has, and it has not sent what it has. */
  #anew(x: Exchange, request: CachedRequest): Promise<ResponseDecision> {
    return fetchAnew(x, request.fetch!, request.content, this.#services).then((response) => {
      const { forwarded, collapsed, result } = request
      response.fields.add('cache-status', this.#member(x, { forwarded, collapsed }, `${result}, Mismatch`))
      return { type: 'replace', response }
    })
  }

  /** It did not concern the cache; what it has changed does. */
  #passedBy(x: Exchange, head: ResponseHead): void {
    // No final one: the upgrade is the client's and the Backend's.
    if (head.status < 200) return
    invalidate(x, head, this.#services)
    const forwarded = x.cacheResult === 'bypass Method' ? 'method' : 'bypass'
    head.fields.add('cache-status', this.#member(x, { forwarded }, x.cacheResult))
  }

  #mayServe({ directives }: CachedRequest, { hold, numbers }: StaleResponse): boolean {
    return !hold.entry.gone && mayServeOnError(numbers, directives, this.#services.clock.wall())
  }

  #serveStale(
    x: Exchange,
    request: CachedRequest,
    { hold, numbers }: StaleResponse,
    result: CacheResult,
    status: Pick<CacheStatus, 'forwardedStatus' | 'stored'>,
    head?: Buffer,
  ): ResponseDecision {
    const now = this.#services.clock.wall()
    const verdict = judgeReuse(numbers, request.directives, now, VERDICT)
    request.result = result
    const { forwarded, collapsed } = request
    const response = serve(x, {
      entry: hold.entry,
      numbers,
      ...(head === undefined ? {} : { head }),
      age: verdict.age,
      now,
      status: { forwarded, ttl: verdict.ttl, collapsed, ...status, ...detailOf(x, result, this.#services.cache) },
      hold: hold.retain(),
      fetch: null,
      services: this.#services,
    })
    return response === null ? undefined : { type: 'replace', response }
  }

  #addStatus(
    x: Exchange,
    head: ResponseHead,
    { forwarded, collapsed, result }: CachedRequest,
    { stored = false, reason }: { readonly stored?: boolean; readonly reason?: string },
  ): void {
    const why = reason === undefined ? result : `${result}, ${reason}`
    head.fields.addOwn('cache-status', this.#member(x, { forwarded, stored, collapsed }, why))
  }

  #member(x: Exchange, status: CacheStatus, why: string): string {
    const detail = detailOf(x, why, this.#services.cache)
    return cacheStatusMember(CACHE_NAME, detail === NO_DETAIL ? status : { ...status, ...detail })
  }

  bodyTee(x: Exchange): BodyTee | undefined {
    const request = x.get(CACHED_REQUEST)
    const fetch = request?.fetch
    if (fetch == null || !request!.stored) return undefined
    request!.reading = true
    if (!request!.unsent) return fetch
    return { tee: (sink, source) => new FillStep(fetch, ended(sink), source) }
  }

  /** Who waits for the response, or finds it stored, does not lose it because its client has left. */
  onClientGone(x: Exchange): Milliseconds {
    const request = x.get(CACHED_REQUEST)
    const fetch = request?.fetch
    if (fetch?.open !== true || !(request!.stored || fetch.followed)) return 0
    fetch.unattended = true
    return WITHOUT_CLIENT
  }

  onEnd(x: Exchange): void {
    const request = x.get(CACHED_REQUEST)
    if (request === undefined) return
    // Another filter has put something in the place of its body: so it would be with the next one.
    if (request.stored && !request.reading) {
      request.fetch?.fail()
      request.fetch?.lost(true, null)
    }
    request.fetch?.release()
    request.probe?.release()
    tell(x, request.result, this.#services.cache)
  }
}

/** Of a body that its client has: it gets the end alone. */
function ended(sink: LentSink): LentSink {
  return {
    write: () => true,
    lend: () => true,
    flush() {},
    end: (trailers) => sink.end(trailers),
    fail: (error) => sink.fail(error),
  }
}

/** RFC 5861 §4: the origin could not be asked, or says that it has failed. */
function isFailure({ status }: ResponseHead, local: LocalResponse | null): boolean {
  if (local === null) return isErrorStatus(status)
  return local.reason !== undefined && REASONS[local.reason].source === 'upstream'
}
