/** What the cache would do with a request, by which key, and why. */
import { judgeAnswer } from '../../cache/answer.ts'
import { requestDirectives } from '../../cache/cache-control.ts'
import {
  type CacheExplanation,
  type CacheVerdictName,
  type StoreExplanation,
  WHY,
} from '../../cache/cache-explanation.ts'
import type { CacheNumbers } from '../../cache/cache-numbers.ts'
import { describeStored } from '../../cache/cached-object.ts'
import { describeKey, digestOfKey } from '../../cache/key-text.ts'
import { FIXED_LABELS, urlText } from '../../cache/purge-labels.ts'
import type { ResponseArchive } from '../../cache/response-archive.ts'
import type { CacheResult } from '../../cache/results.ts'
import { judgeMissing, judgeReuse, reuseVerdict } from '../../cache/reuse.ts'
import { StoredHead } from '../../cache/stored-head.ts'
import { isTag } from '../../cache/tags.ts'
import { writeVariant } from '../../cache/vary.ts'
import type { RequestDirectives, ReuseVerdict } from '../../cache/verdicts.ts'
import { Fields } from '../../message/fields.ts'
import type { CredentialNames } from '../../pattern/concealed.ts'
import { ASSUMED_CREDENTIAL } from '../dry-run.ts'
import type { DryExchange } from '../exchange.ts'
import type { Explanation } from '../filter.ts'
import type { FilterServices } from '../services.ts'
import { bypassOf } from './bypass.ts'
import { leavesArchive } from './claims.ts'
import { type Lookup, Lookups } from './lookup.ts'
import type { CachePlan } from './plan.ts'
import { labelsOf } from './purged.ts'
import { type RecalledResponse, Recalls } from './recall.ts'
import { KEY, type KeyRule, type RequestKeys } from './request-key.ts'
import { StoredParts } from './stored-parts.ts'
import { resultOf } from './words.ts'

/** Shown of a response. */
const MAX_TAG_NAMES = 32
const IDENTITY = /^(?:consumer$|claim:)/

export interface ExplainedCache {
  readonly plan: CachePlan
  readonly keys: RequestKeys
  readonly services: Pick<FilterServices, 'cache' | 'clock'>
}

/** What is known of a request before anything is looked for. */
interface Asked extends ExplainedCache {
  readonly x: DryExchange
  readonly directives: RequestDirectives
  /** As purges by prefix see it: of the query what counts. */
  readonly url: () => string
  /** Where a credential may be. */
  readonly hidden: CredentialNames | undefined
}

/** What was found of it in a store. */
interface Found {
  readonly numbers: CacheNumbers
  readonly bodyBytes: number
  readonly tags: number
  readonly head: Buffer
}

/** The request and what is stored stay as they are, what was purged as well, but that a look counts as a use. */
export function explainCache(x: DryExchange, cache: ExplainedCache): Explanation {
  const { plan, keys, services } = cache
  const bypass = bypassOf(plan.bypass)(x)
  if (bypass !== null) return told({ ...verdictOf(bypass), stores: [] })
  const { method, origin, originalPath, path, query, upstreamHost } = x
  const target = { method, origin, originalPath, path, query, upstreamHost }
  if (!keys.selectQuery(target)) return told({ ...verdictOf('bypass Query'), stores: [] })
  if (method === 'QUERY') return told(unknown('the content of the request is part of its key (RFC 10008 §2.7)'))
  const assumed = x.get(ASSUMED_CREDENTIAL)
  const identity = assumed && plan.by.find((selector) => IDENTITY.test(selector))
  const backend = x.part()
  if (backend === null) return told(unknown('the Backend that it gets does not exist, or takes no requests'))
  const rule = keys.rule(x, backend)
  if (!keys.write(x, rule, null, target)) return told({ ...verdictOf('bypass KeyTooLong'), stores: [] })
  const url = (): string => urlText(x.host, originalPath, target.query)
  const asked: Asked = { ...cache, x, directives: requestDirectives(x.request), url, hidden: assumed?.places }
  if (identity !== undefined)
    return told({
      ...unknown(`the key has ${identity} of the credential, which is not verified here`),
      ...keyOf(asked),
    })
  const now = services.clock.wall()
  const { memory, purges } = services.cache
  const lookups = new Lookups(memory, purges, false)
  const parts = new StoredParts(memory, lookups)
  const found = lookups.find(x, now)
  if (KEY.tooLong) {
    memory.leave()
    return told({ ...verdictOf('bypass KeyTooLong'), stores: [] })
  }
  if (found.entry === null && method === 'GET' && x.request.has('range')) parts.cover(x, found, now)
  // Parts are in the memory alone.
  const archive = found.part === null ? services.cache.archives.of(plan.store) : undefined
  const asks = archive !== undefined && !leavesArchive(asked.directives, found)
  // What would be stored of a range has a key of its own.
  if (found.entry === null && !asked.directives.onlyIfCached) parts.place(x, found, now)
  try {
    return explainFound(asked, rule, found, now, archive === undefined ? undefined : { archive, asks })
  } finally {
    memory.leave()
  }
}

/** @param behind the archive of the rule, and whether it is asked; undefined: there is none for the request */
function explainFound(
  asked: Asked,
  rule: KeyRule,
  found: Lookup,
  now: number,
  behind: { readonly archive: ResponseArchive; readonly asks: boolean } | undefined,
): Explanation {
  const { x, directives, plan, services } = asked
  const { entry, names, state, numbers } = found
  const stated = names?.find((name) => x.get(ASSUMED_CREDENTIAL)?.states.has(name))
  const memory: StoreExplanation = { store: 'Memory', state: entry !== null ? 'found' : stateOf(state) }
  const about = { ...keyOf(asked), ...(names !== null && { vary: names }), stores: [memory] }
  if (stated !== undefined)
    return told({ ...about, ...unknown(`responses vary by ${stated}, which the credential states`), stores: [memory] })
  const here: Found | null =
    entry === null
      ? null
      : {
          numbers,
          bodyBytes: entry.bodyBytes,
          tags: labelsOf(entry).length - FIXED_LABELS,
          head: Buffer.from(entry.bytes.subarray(entry.headAt, entry.headAt + entry.headBytes)),
        }
  const verdict =
    here === null ? judgeMissing(directives, reuseVerdict()) : judgeReuse(numbers, directives, now, reuseVerdict())
  const part = found.part !== null
  const saying = (result: CacheResult): Explanation =>
    told(
      { ...about, ...judged(asked, here, verdict, { result, part }, 'hit Memory', now) },
      here !== null && !part ? statusOf(x, here, now) : undefined,
    )
  const said = saying(resultOf(found, verdict.reason, behind !== undefined && directives.noCache))
  if (!behind?.asks) return said
  const { archive } = behind
  const recalls = new Recalls(archive, plan.store !== 'Redis', services.cache, services.clock)
  const primary = KEY.copy().subarray(0, found.primaryLength)
  const bytes = { bytes: primary, length: primary.length }
  const recall = { rule, primary: bytes, fields: x.request, url: asked.url, known: null }
  const complete = async (): Promise<Explanation> => {
    const { ticket, found: away, purged } = await recalls.ask(recall)
    const store = ticket?.archive ?? (plan.store === 'File' ? 'File' : 'Redis')
    const there = ticket === null ? 'away' : away !== null ? 'found' : purged ? 'purged' : 'nothing'
    const stores: StoreExplanation[] = [memory, { store, state: there }]
    if (away === null || verdict.outcome === 'Fresh' || verdict.outcome === 'StaleWhileRevalidate') {
      const { cache, ...rest } = purged && state === 'none' ? saying('miss Purged') : said
      return { ...rest, cache: { ...cache!, stores } }
    }
    const { cache, status } = archived(asked, primary, away)
    return told({ ...cache, stores }, status)
  }
  return { ...said, complete }
}

/** As the archive has it: the memory has nothing, or something stale. */
function archived(asked: Asked, primary: Uint8Array, { hit, response, numbers, names }: RecalledResponse) {
  const now = asked.services.clock.wall()
  KEY.begin(primary)
  if (names !== null) writeVariant(KEY, names, asked.x.request)
  const verdict = judgeReuse(numbers, asked.directives, now, reuseVerdict())
  const tags = response.labels.length - FIXED_LABELS
  const found: Found = { numbers, bodyBytes: hit.bodyBytes, tags, head: response.head }
  const result = `miss ${verdict.reason}` as CacheResult
  const about = { ...keyOf(asked), ...(names !== null && { vary: names }) }
  const cache = { ...about, ...judged(asked, found, verdict, { result, part: false }, 'hit Archive', now) }
  return { cache, status: statusOf(asked.x, found, now) }
}

/** @param miss where the origin is asked, perhaps for a part. @param hit where it is not: what is stored is fresh */
function judged(
  { x, directives, plan }: Asked,
  found: Found | null,
  verdict: ReuseVerdict,
  { result: miss, part }: { readonly result: CacheResult; readonly part: boolean },
  hit: CacheResult,
  now: number,
): Omit<CacheExplanation, 'stores'> {
  const stored = found === null ? {} : { stored: storedOf(found, plan, now, verdict.ttl) }
  const { outcome } = verdict
  if (outcome === 'Fresh') return { ...verdictOf(hit), ...stored }
  if (outcome === 'StaleWhileRevalidate') return { ...verdictOf('stale StaleWhileRevalidate'), ...stored }
  if (outcome === 'Stale') return { ...verdictOf('stale MaxStale'), ...stored }
  if (outcome === 'GatewayTimeout') return { ...verdictOf('refused OnlyIfCached'), ...stored }
  if (directives.noStore) return { ...verdictOf('bypass RequestNoStore'), ...stored }
  if (found === null && !part && x.method === 'GET' && x.request.has('range')) return verdictOf('bypass Range')
  if (found === null) return verdictOf(miss)
  return { ...verdictOf(miss), verdict: 'validate', ...stored }
}

function storedOf(
  { numbers, bodyBytes, tags, head }: Found,
  plan: CachePlan,
  now: number,
  left: number,
): NonNullable<CacheExplanation['stored']> {
  const fields = new StoredHead().at(head, 0).fields(new Fields())
  const words = plan.tags === undefined ? [] : fields.all(plan.tags).flatMap((line) => line.split(/[ \t,]+/))
  const tagNames = [...new Set(words.filter((word) => word !== '' && isTag(word)))].slice(0, MAX_TAG_NAMES)
  return { ...describeStored(numbers, { bodyBytes, purged: false, tags, now }), left, tagNames }
}

/** That the client gets of a whole response: by its conditions and ranges it is another one than the stored. */
function statusOf({ method, request }: DryExchange, { numbers, bodyBytes, head }: Found, now: number): number {
  const stored = { head: new StoredHead().at(head, 0), numbers, length: bodyBytes, part: null }
  const { type } = judgeAnswer(method, request, stored, now)
  return ANSWERS[type] ?? stored.head.status
}

const ANSWERS: Readonly<Record<string, number>> = { NotModified: 304, Parts: 206, Unsatisfiable: 416 }

function stateOf(state: Lookup['state']): StoreExplanation['state'] {
  return state === 'purged' || state === 'uncacheable' ? state : 'nothing'
}

/** Of the key in `KEY`. */
function keyOf({ hidden }: Asked): Pick<CacheExplanation, 'key' | 'keyDigest'> {
  const key = KEY.copy()
  return { key: describeKey(key, hidden), keyDigest: digestOfKey(key) }
}

function verdictOf(result: CacheResult): Pick<CacheExplanation, 'verdict' | 'result' | 'why'> {
  const verdict = result.slice(0, result.indexOf(' ')) as CacheVerdictName
  return { verdict, result, why: WHY[result] }
}

function unknown(why: string): Pick<CacheExplanation, 'verdict' | 'why' | 'stores'> {
  return { verdict: 'unknown', why, stores: [] }
}

const EFFECTS: Readonly<Record<CacheVerdictName, string>> = {
  hit: 'answers by what is stored',
  stale: 'answers by what is stored',
  validate: 'asks the origin whether what is stored is current',
  miss: 'asks the origin',
  bypass: 'lets the request pass',
  refused: 'refuses',
  unknown: 'cannot be known',
}

/** @param answer status of an answer by what is stored, where it is not that of the stored response */
function told(cache: CacheExplanation, answer = cache.stored?.status): Explanation {
  const { verdict, result = verdict } = cache
  const answers = verdict === 'hit' || verdict === 'stale'
  const status = verdict === 'refused' ? 504 : answers ? answer : undefined
  return { filter: 'cache', effect: `${EFFECTS[verdict]} (${result})`, ...(status !== undefined && { status }), cache }
}
