/**
 * A range is asked for that no stored part has: where its beginning or its end is stored, the origin is asked for what
 * is missing between, in the background and once for all, and the client gets parts and answer as one (RFC 9111 §3.4).
 * Only where all of it is of one representation: what is missing is asked for with `If-Range`, and every piece that is
 * sent has the same strong ETag, length and coding. Else the request goes on as any other.
 */
import { toParts, withoutContentDigests } from '../../cache/answer.ts'
import { type CacheNumbers, emptyNumbers, readNumbers } from '../../cache/cache-numbers.ts'
import type { CacheStatus } from '../../cache/cache-status.ts'
import { covers, type Part } from '../../cache/partial-content.ts'
import { type ListedPart, missingOf, type PartsRecord, sameTag } from '../../cache/parts-record.ts'
import { Condition, conditionsOf } from '../../cache/preconditions.ts'
import { type ByteRange, rangesOf } from '../../cache/ranges.ts'
import type { FillUnderWay, HeldEntry, ResponseMemory } from '../../cache/response-memory.ts'
import type { CacheResult } from '../../cache/results.ts'
import { isUsable, judgeReuse, reuseVerdict } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { mayCollapse } from '../../cache/storing.ts'
import type { BodySource } from '../../message/body.ts'
import { Fields } from '../../message/fields.ts'
import type { RequestDecision } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import { fetchInBackground } from './background-fetch.ts'
import { type Asking, followOf, MAX_ROUNDS } from './claims.ts'
import { EntryBody, JoinedBody, SharedHold } from './entry-body.ts'
import { Fetch } from './fetch.ts'
import type { FetchServices } from './fetch-contract.ts'
import type { FetchRequests } from './fetch-request.ts'
import { follow, wholeUnderWay } from './following.ts'
import { isUncacheable, type Lookup, type Lookups } from './lookup.ts'
import type { WholeKey } from './new-part.ts'
import { beginPart, partOf } from './part-place.ts'
import { KEY } from './request-key.ts'
import { finished } from './serve.ts'
import { detailOf, hitOf, PARTIAL, tell } from './words.ts'

type Decision = RequestDecision | Promise<RequestDecision>

/** What a request does next, which is not about ranges. */
export interface NextSteps {
  look(asking: Asking): Decision
  alone(asking: Asking, result: CacheResult): Decision
  follow(asking: Asking, fetch: FillUnderWay): Decision
  serveHeld(asking: Asking, held: HeldEntry, fetch: FillUnderWay): Decision
}

/** Who has made a fetch waits for it as long as it may take. */
const OWN_PATIENCE = 600_000
const FOR_RANGES = Condition.Range | Condition.IfRange
const VERDICT = reuseVerdict()

/** What a client gets of one entry. */
interface Piece extends ByteRange {
  readonly held: HeldEntry
  readonly numbers: CacheNumbers
  readonly part: Part
  readonly fetch: FillUnderWay | null
}

/** What a client asks for, of what is stored. */
interface Wanted {
  readonly whole: WholeKey
  readonly range: ByteRange
  readonly record: PartsRecord
  readonly before: ListedPart | null
  readonly after: ListedPart | null
  readonly hole: ByteRange | null
}

export class RangeRequests {
  readonly #fetching: FetchServices
  readonly #lookups: Lookups
  readonly #memory: ResponseMemory
  readonly #requests: FetchRequests
  readonly #services: FilterServices
  readonly #next: NextSteps

  constructor(
    fetching: FetchServices,
    lookups: Lookups,
    requests: FetchRequests,
    services: FilterServices,
    next: NextSteps,
  ) {
    this.#fetching = fetching
    this.#lookups = lookups
    this.#memory = services.cache.memory
    this.#requests = requests
    this.#services = services
    this.#next = next
  }

  /**
   * @param found of a request for one range: `KEY` is the key of that part
   * @returns null: as without anything stored; `KEY` is as it was
   */
  decide(asking: Asking, found: Lookup): Decision | null {
    // What is for this request alone is fetched as it is.
    if (asking.round >= MAX_ROUNDS || asking.directives.noCache) return null
    asking.storing ??= this.#requests.storing(asking.x, asking.content)
    if (!mayCollapse(asking.storing)) return null
    const under = wholeUnderWay(this.#memory, found.part!, asking.rule)
    if (under !== null)
      return under.held === null
        ? this.#next.follow(asking, under.fetch)
        : this.#next.serveHeld(asking, under.held, under.fetch)
    if (!found.partial || (asking.failed && asking.round > 1)) return null
    const { wholeLength, named } = found.part!
    const key = { bytes: KEY.copy(), length: wholeLength }
    const decision = this.#join(asking, found, { rule: asking.rule, key })
    if (decision === null) beginPart(key, named)
    return decision
  }

  #join(asking: Asking, found: Lookup, whole: WholeKey): Decision | null {
    const wanted = this.#wanted(asking.x.request, whole)
    if (wanted === null) return null
    if (wanted.hole === null) return this.#serve(asking, wanted, null, null)
    // Another worker has stored it, and is about to list it.
    const held = this.#fetching.parts.hold(whole, wanted.hole, this.#fetching.wall())
    const joined = held === null ? null : this.#serve(asking, wanted, held, null)
    if (joined !== null) return joined
    const fetch = this.#fetch(asking, found, wanted, wanted.hole)
    return fetch === null ? null : this.#wait(asking, wanted, fetch)
  }

  #wanted(request: Fields, whole: WholeKey): Wanted | null {
    // What else is asked is for whoever has the whole answer.
    if ((conditionsOf(request) & ~FOR_RANGES) !== 0) return null
    const record = this.#fetching.parts.listed(whole)
    const ifRange = request.all('if-range')
    if (record === null || ifRange.length > 1 || !sameTag(record.tag, ifRange[0] ?? record.tag)) return null
    const asked = rangesOf(request, record.complete)
    const range = asked.type === 'Ranges' && asked.ranges.length === 1 ? asked.ranges[0]! : undefined
    const missing = range === undefined ? null : missingOf(record, range)
    return range === undefined || missing === null ? null : { whole, range, record, ...missing }
  }

  /** Who fetches what is missing, perhaps for this request. */
  #fetch(
    asking: Asking,
    found: Lookup,
    { whole, record: { tag } }: Wanted,
    hole: ByteRange,
  ): { readonly fetch: FillUnderWay; readonly own: boolean } | null {
    if (hole.last - hole.first >= this.#fetching.maxObjectBytes) return null
    beginPart(whole.key, hole)
    const entry = this.#memory.find(KEY)
    const seen = entry?.serial ?? 0
    const unstored = isUncacheable(entry, this.#fetching.wall())
    this.#memory.leave()
    const begun = unstored ? 'none' : this.#memory.begin(KEY, asking.rule.namespace, seen)
    if (typeof begun === 'string') return null
    if (begun.type === 'under-way') return { fetch: begun, own: false }
    const part = { ...found.part!, asked: hole, named: hole, tag }
    const request = this.#requests.of(asking, { ...found, seen, part })
    const fetch = followOf(this.#memory, KEY, asking.rule)
    fetchInBackground(asking.x, new Fetch(request, this.#fetching, begun, null), asking.content, this.#services)
    return fetch === null ? null : { fetch, own: true }
  }

  #wait(
    asking: Asking,
    wanted: Wanted,
    { fetch, own }: { readonly fetch: FillUnderWay; readonly own: boolean },
  ): Decision {
    const { clock, timers, cache } = this.#services
    if (asking.deadline === 0) asking.deadline = clock.monotonic() + cache.settings.collapseTimeout
    asking.collapsed ||= !own
    asking.filled ||= own
    asking.round++
    return follow(asking.x, fetch, own ? OWN_PATIENCE : asking.deadline - clock.monotonic(), timers, {
      begun: () => {
        const held = fetch.hold()
        if (held !== null) return this.#serve(asking, wanted, held, fetch) ?? this.#next.alone(asking, 'miss Partial')
        // It has ended in this moment, in another worker.
        fetch.cancel()
        return this.#next.look(asking)
      },
      over: (state) => {
        asking.failed = state === 'failed'
        return this.#next.look(asking)
      },
      late: () => this.#next.alone(asking, 'miss CollapseTimeout'),
    })
  }

  /**
   * @param held what is missing, while it is fetched; null: nothing is
   * @returns null: it is not of one representation, or not to be had any more; all is let go of
   */
  #serve(asking: Asking, wanted: Wanted, held: HeldEntry | null, fetch: FillUnderWay | null): RequestDecision | null {
    const { x, directives, collapsed } = asking
    const { range, before, after, hole, record } = wanted
    const now = this.#fetching.wall()
    const pieces: Piece[] = []
    let all = true
    const add = (entry: HeldEntry | null, wants: ByteRange, by: FillUnderWay | null): void => {
      const part = entry === null ? null : partOf(new StoredHead().at(entry.bytes, entry.headAt))
      if (entry === null) all = false
      else if (part === null) {
        all = false
        by?.cancel()
        entry.release()
      } else {
        const numbers = readNumbers(entry.view, entry.numbersAt, emptyNumbers())
        all &&=
          this.#lookups.survives(entry, numbers, now) && part.complete === record.complete && covers(part, [wants])
        pieces.push({ held: entry, numbers, part, fetch: by, ...wants })
      }
    }
    const end = hole === null ? (before?.last ?? range.last) : hole.first - 1
    if (before !== null) add(this.#hold(wanted, before), { first: range.first, last: Math.min(end, range.last) }, null)
    if (hole !== null) add(held, hole, fetch)
    if (after !== null && end < range.last)
      add(this.#hold(wanted, after), { first: (hole?.last ?? end) + 1, last: range.last }, null)
    const newest = pieces.reduce<Piece | null>(
      (a, b) => (a !== null && a.numbers.received > b.numbers.received ? a : b),
      null,
    )
    if (
      newest === null ||
      !all ||
      !this.#areOne(pieces, hole === null ? pieces : [newest], record.tag, directives, now)
    ) {
      for (const piece of pieces) {
        piece.fetch?.cancel()
        piece.held.release()
      }
      return null
    }
    const result = fetch === null ? hitOf(asking) : 'miss Partial'
    const head = new StoredHead().at(newest.held.bytes, newest.held.headAt)
    const fields = head.fields(new Fields())
    withoutContentDigests(fields)
    toParts(head, fields, [range], record.complete, null, x.request.has('if-range'))
    const status: CacheStatus = {
      ...(result === 'miss Partial' ? PARTIAL : {}),
      ttl: VERDICT.ttl,
      collapsed,
      ...detailOf(x, result, this.#services.cache),
    }
    finished(fields, { age: VERDICT.age, status })
    tell(x, result, this.#services.cache)
    const body = new JoinedBody(
      pieces.map((piece) => bodyOf(piece, this.#fetching.nextTurn)),
      range.last - range.first + 1,
    )
    return { type: 'respond', response: { status: 206, fields, body, ofBackend: true } }
  }

  /** @param judged those that have to be usable without asking the origin: what it has just confirmed need not be */
  #areOne(
    pieces: readonly Piece[],
    judged: readonly Piece[],
    tag: string,
    directives: Asking['directives'],
    now: number,
  ): boolean {
    let coding: string | undefined
    for (const [i, { held }] of pieces.entries()) {
      const head = new StoredHead().at(held.bytes, held.headAt)
      const own = head.fields(new Fields()).joined('content-encoding')
      if (i === 0) coding = own
      if (own !== coding || !sameTag(head.etag ?? '', tag)) return false
    }
    // The oldest last: its age is told.
    const byAge = judged.toSorted((a, b) => b.numbers.born - a.numbers.born)
    return byAge.every(({ numbers }) => isUsable(judgeReuse(numbers, directives, now, VERDICT)))
  }

  #hold({ whole }: Wanted, { asked }: ListedPart): HeldEntry | null {
    return this.#fetching.parts.hold(whole, asked, this.#fetching.wall())
  }
}

function bodyOf({ held, first, last, part, fetch }: Piece, nextTurn: FetchServices['nextTurn']): BodySource {
  const at = { from: first - part.first, to: last + 1 - part.first }
  return new EntryBody({ held: new SharedHold(held), ...at, fetch, cut: null, nextTurn })
}
