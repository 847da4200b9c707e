/** The way in: what is stored for a request, or who fetches it. */
import { emptyNumbers, readNumbers } from '../../cache/cache-numbers.ts'
import { addValidators, CONDITION_FIELDS } from '../../cache/preconditions.ts'
import type { EntryKey, Fill, FillUnderWay, HeldEntry, StoredEntry } from '../../cache/response-memory.ts'
import type { CacheResult } from '../../cache/results.ts'
import { isUsable, judgeReuse, reuseVerdict } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import type { CacheRules, ReuseReason, ReuseVerdict } from '../../cache/verdicts.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { CacheServices } from '../cache-services.ts'
import type { Exchange } from '../exchange.ts'
import type { RequestDecision } from '../filter.ts'
import { problemResponse } from '../problem.ts'
import type { FilterServices } from '../services.ts'
import { reasonAlone, storesNothing } from './alone.ts'
import { fetchInBackground } from './background-fetch.ts'
import { bypassOf, contentOf } from './bypass.ts'
import { CACHED_REQUEST, type CachedRequest, putBack, takeFields } from './cached-request.ts'
import {
  type Asking,
  askingOf,
  type Claim,
  claimFor,
  claimOf,
  followOf,
  keyCopy,
  MAX_ROUNDS,
  placeOf,
} from './claims.ts'
import { type BodyCut, SharedHold } from './entry-body.ts'
import { Fetch } from './fetch.ts'
import type { FetchServices } from './fetch-contract.ts'
import { FetchRequests, staleOf } from './fetch-request.ts'
import { fetchRest } from './fetch-rest.ts'
import { follow } from './following.ts'
import { lookUp } from './look-up.ts'
import { type Lookup, Lookups } from './lookup.ts'
import type { CachePlan } from './plan.ts'
import { probeOf } from './probe.ts'
import { RangeRequests } from './range-requests.ts'
import { aboutOf, Recalls } from './recall.ts'
import { repeatably } from './repeated-hit.ts'
import { KEY, type RequestKeys } from './request-key.ts'
import { isLong, serve } from './serve.ts'
import { StoredParts } from './stored-parts.ts'
import { tagsOf } from './tags.ts'
import { detailOf, forwardedOf, hitOf, leavesUnread, PARTIAL, resultOf, tell } from './words.ts'

type Decision = RequestDecision | Promise<RequestDecision>

/** What a request for a part asks the origin for, whatever else it validates. */
const RANGE_FIELDS = ['range', 'if-range']
/** An archive has answered by then. */
const ARCHIVE_PATIENCE: Milliseconds = 20
const VERDICT: ReuseVerdict = reuseVerdict()
const NUMBERS = emptyNumbers()
const HEAD = new StoredHead()
const NO_CONDITIONS: CachedRequest['conditions'] = Object.freeze([])
const NOTHING = Object.freeze({})

export class ResponseCache {
  readonly #keys: RequestKeys
  readonly #services: FilterServices
  readonly #cache: CacheServices
  readonly #lookups: Lookups
  readonly #parts: StoredParts
  readonly #bypassOf: (x: Exchange) => CacheResult | null
  readonly #fetching: FetchServices
  readonly #recalls: Recalls | null
  readonly #requests: FetchRequests
  readonly #ranges: RangeRequests

  constructor(plan: CachePlan, keys: RequestKeys, rules: CacheRules, services: FilterServices) {
    const { cache, clock, timers } = services
    this.#keys = keys
    this.#services = services
    this.#cache = cache
    this.#lookups = new Lookups(cache.memory, cache.purges)
    this.#parts = new StoredParts(cache.memory, this.#lookups)
    this.#bypassOf = bypassOf(plan.bypass)
    const archive = cache.archives.of(plan.store)
    this.#recalls = archive === undefined ? null : new Recalls(archive, plan.store !== 'Redis', cache, clock)
    this.#requests = new FetchRequests(keys, cache.purges, this.#recalls)
    this.#fetching = {
      recalls: this.#recalls,
      parts: this.#parts,
      cache,
      rules,
      maxObjectBytes: Math.min(plan.maxObjectBytes, cache.memory.maxBodyBytes),
      tagsOf: (origin, fields, present) => tagsOf(plan.tags, origin, fields, present),
      nextTurn: (run) => void timers.nextTurn(run),
      passing: { timers, clock, patience: () => cache.settings.collapseTimeout },
      wall: () => clock.wall(),
    }
    this.#ranges = new RangeRequests(this.#fetching, this.#lookups, this.#requests, services, {
      look: (asking) => this.#look(asking),
      alone: (asking, result) => this.#alone(asking, result),
      follow: (asking, fetch) => this.#follow(asking, fetch),
      serveHeld: (asking, held, fetch) => this.#serveHeld(asking, held, fetch, 'hit Collapsed'),
    })
  }

  onRequest(x: Exchange): Decision {
    const bypass = this.#bypassOf(x)
    if (bypass !== null) {
      tell(x, bypass, this.#cache)
      return undefined
    }
    const { query } = x
    if (!this.#keys.selectQuery(x)) {
      tell(x, 'bypass Query', this.#cache)
      return undefined
    }
    const backend = x.part()
    // Whatever is stored: what a rule does not lead to any more is served to nobody.
    if (backend === null) return undefined
    const asking = askingOf(x, this.#keys.rule(x, backend))
    return x.method === 'QUERY' ? this.#lookByContent(asking, query) : this.#look(asking)
  }

  /** @param query as the client has sent it */
  async #lookByContent(asking: Asking, query: string | undefined): Promise<RequestDecision> {
    const { x } = asking
    const content = await contentOf(x)
    if (x.ended) return undefined
    if (content !== null) return this.#look({ ...asking, content })
    x.query = query
    tell(x, 'bypass RequestContent', this.#cache)
    return undefined
  }

  /** Ends in this turn unless the request waits for another one. */
  #look(asking: Asking): Decision {
    const { x, directives } = asking
    const found = lookUp(asking, this.#keys, this.#lookups, this.#services)
    if (found === null) return undefined
    const { now } = found
    if (found.entry === null && x.method === 'GET' && x.request.has('range')) this.#parts.cover(x, found, now)
    const { entry } = found
    asking.purged ||= found.state === 'purged'
    if (asking.purged && found.state === 'none') found.state = 'purged'
    try {
      if (entry === null) return this.#fetch(asking, found, 'NotStored')
      const verdict = judgeReuse(found.numbers, directives, now, VERDICT)
      switch (verdict.outcome) {
        case 'Fresh':
          return this.#serve(asking, found, entry, hitOf(asking))
        case 'Stale':
          return this.#serve(asking, found, entry, 'stale MaxStale')
        case 'StaleWhileRevalidate':
          return this.#serve(asking, found, entry, 'stale StaleWhileRevalidate')
        case 'GatewayTimeout':
          return this.#fetch(asking, found, verdict.reason)
        case 'Validate':
          if (asking.failed && verdict.staleIfError) return this.#serve(asking, found, entry, 'stale StaleIfError')
          return this.#fetch(asking, found, verdict.reason)
      }
    } finally {
      this.#cache.memory.leave()
    }
  }

  /** `only-if-cached` (RFC 9111 §5.2.1.7). */
  #refuse(x: Exchange): RequestDecision {
    tell(x, 'refused OnlyIfCached', this.#cache)
    return { type: 'respond', response: problemResponse('NotStored', x) }
  }

  #serve(asking: Asking, found: Lookup, entry: StoredEntry, result: CacheResult): RequestDecision {
    const { x, collapsed } = asking
    const held = x.method !== 'HEAD' && isLong(entry) ? entry.hold() : null
    const { age, ttl } = VERDICT
    const response = serve(x, {
      entry,
      numbers: found.numbers,
      age,
      now: found.now,
      status: { ttl, collapsed, ...(asking.filled ? PARTIAL : NOTHING), ...detailOf(x, result, this.#cache) },
      hold: held === null ? null : new SharedHold(held),
      fetch: null,
      services: this.#services,
    })
    if (response === null) return undefined
    tell(x, result, this.#cache)
    if (result === 'stale StaleWhileRevalidate') this.#renew(asking, found)
    return { type: 'respond', response: repeatably(response, result, asking, found, this.#keys, this.#cache) }
  }

  /** Unless it is being fetched already. */
  #renew(asking: Asking, found: Lookup): void {
    const { x, rule, content } = asking
    const begun = this.#cache.memory.begin(KEY, rule.namespace, found.seen)
    if (typeof begun === 'string') return
    if (begun.type !== 'fill') return begun.cancel()
    const request = this.#requests.of(asking, found)
    const fetch = new Fetch(request, this.#fetching, begun, staleOf(found))
    fetchInBackground(x, fetch, content, this.#services)
  }

  /** The origin is asked, by this request or by one that is under way. */
  #fetch(asking: Asking, found: Lookup, why: ReuseReason): Decision {
    // Parts are in the memory alone.
    const claim = this.#recalls === null || found.part !== null ? null : claimOf(asking, found, this.#cache.memory)
    if (claim !== null && asking.recalled === null) return this.#recall(asking, found, claim)
    if (asking.directives.onlyIfCached) {
      claim?.fill.withdraw()
      const { round, rule, x, recalled } = asking
      // Another request may be asking the archive just now.
      const mayHave = this.#recalls !== null && recalled === null && round === 0
      const other = mayHave ? followOf(this.#cache.memory, KEY, rule, found.seen) : null
      return other === null ? this.#refuse(x) : this.#follow(asking, other)
    }
    if (found.entry === null && this.#parts.place(asking.x, found, found.now)) {
      claim?.fill.withdraw()
      return this.#ranges.decide(asking, found) ?? this.#ask(asking, found, why, null)
    }
    return this.#ask(asking, found, why, claim)
  }

  #ask(asking: Asking, found: Lookup, why: ReuseReason, claim: Claim | null): Decision {
    const result = resultOf(found, why, this.#recalls !== null && leavesUnread(asking))
    const alone = reasonAlone(asking, found, why, this.#requests)
    if (alone !== null) {
      claim?.fill.withdraw()
      return this.#forward(asking, found, alone.result ?? result, alone.stores ? 'later' : 'never')
    }
    const key = claim?.key ?? keyCopy()
    const begun = claim?.fill ?? this.#cache.memory.begin(key, asking.rule.namespace, found.seen)
    // There is no room for a claim, or whoever had it has just ended.
    const again = begun === 'found' || (begun === 'none' && asking.round === 0 && this.#cache.memory.maxBodyBytes > 0)
    if (begun === 'none' && !again) return this.#forward(asking, found, result, 'later')
    if (begun === 'found' || begun === 'none')
      return ++asking.round < MAX_ROUNDS ? this.#again(asking) : this.#forward(asking, found, result, 'later')
    if (begun.type === 'fill') return this.#forward(asking, found, result, begun, key)
    return this.#follow(asking, begun)
  }

  /** The archive is asked before the origin is; others wait meanwhile. */
  async #recall(asking: Asking, found: Lookup, claim: Claim): Promise<RequestDecision> {
    const { x, rule, directives } = asking
    const recalls = this.#recalls!
    const place = placeOf(x, rule, found, this.#cache)
    asking.recalled = await recalls.ask({ ...place, ...aboutOf(x, found) })
    if (x.ended) {
      claim.fill.withdraw()
      return undefined
    }
    asking.purged ||= asking.recalled.purged
    const response = asking.recalled.found
    const target = response === null ? null : claimFor(response.names, claim, place)
    if (response === null || target === null) {
      asking.claim = claim
      try {
        return this.#look(asking)
      } finally {
        // Where it was of no use to the end.
        ;(asking.claim as Claim | null)?.fill.withdraw()
      }
    }
    const now = this.#services.clock.wall()
    // Where the memory is no tier of its own it keeps what is to be validated, and nothing else.
    const keep = recalls.keepsInMemory || judgeReuse(response.numbers, directives, now, VERDICT).outcome !== 'Fresh'
    const { fill } = target
    const { head } = response.response
    const { bodyBytes } = response.hit
    const cut: BodyCut = { why: null }
    const lost = (why: string): void => void (cut.why = `the archive gives no more of it, and ${why}`)
    const poured = recalls.pour(
      response,
      fill,
      keep,
      () => followOf(this.#cache.memory, target.key, rule),
      (from) => fetchRest(x, { fill, head, from, bodyBytes, keep, lost }, asking.content, this.#services),
    )
    if (poured !== null && (!keep || poured.fetch !== null))
      return this.#serveHeld(asking, poured.held, poured.fetch, 'hit Archive', cut)
    poured?.held.release()
    return this.#look(asking)
  }

  #again(asking: Asking): Decision {
    this.#cache.memory.leave()
    return this.#look(asking)
  }

  /** The request goes to the origin. */
  #forward(
    asking: Asking,
    found: Lookup,
    result: CacheResult,
    claim: Fill | 'later' | 'never',
    key?: EntryKey,
  ): undefined {
    const { x, rule, directives, content, collapsed } = asking
    x.cacheResult = result
    const stale = claim === 'never' ? null : staleOf(found)
    // Who fetches for others, or validates, asks for a whole response: the client's conditions are judged on that.
    const conditions =
      stale === null && typeof claim === 'string' ? NO_CONDITIONS : takeFields(x.request, CONDITION_FIELDS)
    if (stale !== null) {
      const { entry } = stale.hold
      addValidators(x.request, HEAD.at(entry.bytes, entry.headAt), stale.numbers)
    }
    if (found.part !== null) putBack(x.request, RANGE_FIELDS, conditions)
    const fetch =
      claim === 'never'
        ? null
        : new Fetch(this.#requests.of(asking, found, key), this.#fetching, claim === 'later' ? null : claim, stale)
    x.set(CACHED_REQUEST, {
      rule,
      directives,
      content,
      result,
      forwarded: forwardedOf(found, result),
      collapsed,
      fetch,
      probe: x.method === 'HEAD' ? probeOf(asking, found, this.#requests, this.#fetching) : null,
      conditions,
      stored: false,
      reading: false,
      unsent: false,
    })
    return undefined
  }

  /** Waits for the fetch of another request, as long as that is of use. */
  #follow(asking: Asking, fetch: FillUnderWay): Promise<RequestDecision> {
    const { clock, timers } = this.#services
    // What is on its way from the origin is not stored yet.
    const patience = asking.directives.onlyIfCached ? ARCHIVE_PATIENCE : this.#cache.settings.collapseTimeout
    if (asking.deadline === 0) asking.deadline = clock.monotonic() + patience
    asking.collapsed = true
    asking.round++
    return follow(asking.x, fetch, asking.deadline - clock.monotonic(), timers, {
      begun: () => this.#readAlong(asking, fetch),
      over: (state) => {
        asking.failed = state === 'failed'
        return this.#look(asking)
      },
      late: () => this.#alone(asking, 'miss CollapseTimeout'),
    })
  }

  /** Goes on without what it has waited for. */
  #alone(asking: Asking, result: CacheResult): RequestDecision {
    if (asking.directives.onlyIfCached) return this.#refuse(asking.x)
    const found = lookUp(asking, this.#keys, this.#lookups, this.#services)
    if (found === null) return undefined
    try {
      return this.#forward(asking, found, result, storesNothing(asking) ? 'never' : 'later')
    } finally {
      this.#cache.memory.leave()
    }
  }

  /** Another request's response has begun. */
  #readAlong(asking: Asking, fetch: FillUnderWay): Decision {
    const held = fetch.hold()
    if (held !== null) return this.#serveHeld(asking, held, fetch, 'hit Collapsed')
    // It has ended in this moment, in another worker, so it is there as a whole; or memory is left with no room for it.
    fetch.cancel()
    asking.failed = false
    return asking.round < MAX_ROUNDS ? this.#look(asking) : this.#alone(asking, 'miss NotShared')
  }

  /** @param fetch what writes it; null: it is whole */
  #serveHeld(
    asking: Asking,
    held: HeldEntry,
    fetch: FillUnderWay | null,
    result: CacheResult,
    cut: BodyCut | null = null,
  ): RequestDecision {
    const { x, directives, collapsed } = asking
    const now = this.#services.clock.wall()
    readNumbers(held.view, held.numbersAt, NUMBERS)
    if (!this.#lookups.survives(held, NUMBERS, now) || !isUsable(judgeReuse(NUMBERS, directives, now, VERDICT))) {
      fetch?.cancel()
      held.release()
      return this.#alone(asking, 'miss NotShared')
    }
    const response = serve(x, {
      entry: held,
      numbers: NUMBERS,
      age: VERDICT.age,
      now,
      status: { ttl: VERDICT.ttl, collapsed, ...detailOf(x, result, this.#cache) },
      hold: new SharedHold(held),
      fetch,
      cut,
      services: this.#services,
    })
    // It has less than was asked for.
    if (response === null) return this.#alone(asking, 'miss NotShared')
    tell(x, result, this.#cache)
    return { type: 'respond', response }
  }
}
