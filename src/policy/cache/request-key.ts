/** The key of a request: everything that may make its response another one than that of another request. */
import { hash } from 'node:crypto'
import {
  KeyPart,
  type KeyTarget,
  KeyWriter,
  keyPrefix,
  writeClaim,
  writeIdentity,
  writeSelector,
  writeTarget,
} from '../../cache/key.ts'
import { namespaceLabel, type QueryMatch } from '../../cache/purge-labels.ts'
import { writeContent } from '../../cache/query-content.ts'
import { type QueryKeyReader, queryKeyReader } from '../../cache/query-key.ts'
import type { EntryKey } from '../../cache/response-memory.ts'
import { writeCookieSelector, writeHeaderSelector } from '../../cache/selectors.ts'
import type { ClientOrigin } from '../../message/client-origin.ts'
import type { Fields } from '../../message/fields.ts'
import { CLAIMS, CONSUMER, KEPT_FIELD } from '../attribute.ts'
import type { DryExchange } from '../exchange.ts'
import type { HeaderEdits, PolicySet } from '../policy-set.ts'
import { claimAt, selectorsIn, type ValueReader, valueReader } from '../variables.ts'
import { madeBy } from './edited-selectors.ts'
import type { CachePlan } from './plan.ts'
import { handsHostOn, normalAuthority, spelledAuthority } from './spelled-authority.ts'

/** The rule of a request and its part of the split, as its keys and purges have them. */
export interface KeyRule {
  readonly namespace: string
  readonly namespaceLabel: number
  readonly prefix: Buffer
}

/** Parts of rules that share a filter and are remembered; beyond, they are computed anew. */
const MAX_RULES = 4_096
/** Selectors that say who the client is: a key that has one is one client's. */
const IDENTITY_SELECTORS: ReadonlySet<string> = new Set(['consumer', 'claim:sub'])

/** Selectors that are read from the request alone. */
const OF_REQUEST = /^(header|cookie|query):/

interface Selector {
  readonly name: string
  /** Field or cookie of the request, or path of a claim; all null: another kind of value. */
  readonly header: string | null
  readonly cookie: string | null
  readonly claim: readonly string[] | null
  readonly read: ValueReader
}

/** One buffer for all keys of the thread: it is valid until the next one is written. */
export const KEY = new KeyWriter()

/** `KEY` is this one then, as far as more is written behind it. */
export function beginKey({ bytes, length }: EntryKey): void {
  KEY.begin(bytes.subarray(0, length))
}

export class RequestKeys {
  readonly #plan: CachePlan
  readonly #policy: string
  readonly #query: QueryKeyReader
  readonly #selectors: readonly Selector[]
  /** By Route, rule and Backend: neither name has a slash of its own. */
  readonly #rules = new Map<string, KeyRule>()
  /** Most filters are of one rule with one Backend. */
  #last: { readonly route: string; readonly rule: string; readonly backend: string; readonly keys: KeyRule } | null =
    null
  /** Keys are to be of one client each where it has shown a credential. */
  readonly #byIdentity: boolean
  /** `requestHeaders` make an Authorization of what the client chooses, and no key has. */
  readonly #authorizes: boolean
  /** Names in lower case of fields by which they hand on the Authorization of the client, where no key has it. */
  readonly #handedOn: readonly string[]
  /** They hand on Host as the client has written it. */
  readonly #handsHostOn: boolean
  /** Names in lower case of fields that are part of every key. */
  readonly fields: ReadonlySet<string>
  /** How the query of a key comes from that of a URL. */
  readonly match: QueryMatch

  /** What plan and key go by is in the request: no client gets another response than others for the same one. */
  readonly ofRequestAlone: boolean

  constructor(plan: CachePlan, policy: PolicySet) {
    this.#plan = plan
    this.ofRequestAlone = [...plan.by, ...plan.bypass].every((selector) => OF_REQUEST.test(selector))
    this.#policy = shapeDigest(plan, policy)
    this.#query = queryKeyReader(plan.query)
    this.match = matchOf(plan, policy)
    this.#selectors = plan.by.map((name) => ({
      name,
      header: name.startsWith('header:') ? name.slice('header:'.length).toLowerCase() : null,
      cookie: name.startsWith('cookie:') ? name.slice('cookie:'.length) : null,
      claim: name.startsWith('claim:') ? name.slice('claim:'.length).split('.') : null,
      read: valueReader(name),
    }))
    this.#byIdentity = plan.by.some((name) => IDENTITY_SELECTORS.has(name))
    this.fields = new Set(this.#selectors.flatMap(({ header }) => (header === null ? [] : [header])))
    this.#handsHostOn = handsHostOn(policy.requestHeaders)
    this.#authorizes = authorizes(policy.requestHeaders, plan.by)
    this.#handedOn = this.fields.has('authorization') ? NONE : handedOn(policy.requestHeaders, this.fields)
  }

  /** @param backend id of the one that the request gets */
  rule({ route, rule }: Pick<DryExchange, 'route' | 'rule'>, backend: string): KeyRule {
    const last = this.#last
    if (last !== null && last.backend === backend && last.rule === rule && last.route === route) return last.keys
    const scope = `${route}/${rule}/${backend}`
    let keys = this.#rules.get(scope)
    if (keys === undefined) {
      const namespace = route.slice(0, route.indexOf('/'))
      const { version } = this.#plan
      const prefix = keyPrefix({ namespace, route, rule, policy: this.#policy, version, backend })
      keys = { namespace, namespaceLabel: namespaceLabel(namespace), prefix }
      if (this.#rules.size >= MAX_RULES) this.#rules.clear()
      this.#rules.set(scope, keys)
    }
    this.#last = { route, rule, backend, keys }
    return keys
  }

  /**
   * Takes parameters out of the query that do not count.
   *
   * @returns false: the request has some, and passes the cache by
   */
  selectQuery(x: Pick<DryExchange, 'query'>): boolean {
    const selected = this.#query(x.query)
    if (selected === null) return true
    if (selected.bypass) return false
    x.query = selected.query
    return true
  }

  /**
   * Writes {@link KEY}.
   *
   * @param target where it is not yet what the request says
   * @returns false: it is too long
   */
  write(x: DryExchange, rule: KeyRule, content: Uint8Array | null, target: KeyTarget = x): boolean {
    writeTarget(KEY, rule.prefix, target)
    this.#writeSpelling(x)
    for (const { name, header, cookie, claim, read } of this.#selectors) {
      if (header !== null) writeHeaderSelector(KEY, header, x.request)
      else if (cookie !== null) writeCookieSelector(KEY, cookie, x.request)
      else if (claim !== null) writeClaim(KEY, name, claimAt(x.get(CLAIMS), claim), issuerOf(x))
      else {
        const value = read(x)
        writeSelector(KEY, name, value === undefined ? NONE : [value])
      }
    }
    if (hasCredential(x)) this.#writeIdentity(x)
    if (content !== null) writeContent(KEY, x.request, content)
    return !KEY.tooLong
  }

  #writeSpelling({ authority, origin }: DryExchange): void {
    const named = this.#spelled(authority ?? origin.host, origin)
    const spelling = spelledAuthority(named, origin)
    if (spelling !== undefined) KEY.text(KeyPart.Spelling, spelling)
    if (origin.authority === undefined || origin.authority === authority) return
    const reported = this.#spelled(origin.authority, origin)
    // The normal spelling is told apart from that of the request, where this is another one.
    if (reported !== named) KEY.text(KeyPart.ReportedAuthority, spelledAuthority(reported, origin) ?? '')
  }

  /** As it is sent upstream. */
  #spelled(authority: string, origin: ClientOrigin): string {
    return this.#handsHostOn ? authority : normalAuthority(authority, origin)
  }

  /** Where the key names nobody, what clients with a credential get is still apart from what others do. */
  #writeIdentity(x: DryExchange): void {
    if (this.identifies(x)) writeIdentity(KEY, identityOf(x))
    else KEY.text(KeyPart.Identity, 'any')
  }

  /**
   * Whether the key is of this client alone. A credential without a subject or a consumer names nobody, though keys
   * were to be by one of them, whoever may have opened the connection that it came on.
   */
  identifies(x: DryExchange): boolean {
    if (!this.#byIdentity || !hasCredential(x)) return false
    const [, subject, consumer, certificate] = identityOf(x)
    return subject !== undefined || consumer !== undefined || (x.get(CLAIMS) === undefined && certificate !== undefined)
  }

  /**
   * Whether nobody else can have what the origin says to this client (RFC 9111 §3.5): the key is of it alone, and the
   * origin reads no Authorization that is another one's. The key of an application may come with the tokens of its
   * users.
   */
  isolates(x: DryExchange): boolean {
    if (!this.identifies(x)) return false
    const verified = x.get(KEPT_FIELD) === 'authorization'
    if (!verified && this.#handsOn(x)) return false
    if (this.fields.has('authorization') || !x.request.has('authorization')) return true
    return !this.#authorizes && (verified || !hasOwn(x.request, 'authorization'))
  }

  /** Whether RFC 9111 §3.5 is about the request, beside an Authorization that is sent on as such. */
  isPersonal(x: DryExchange): boolean {
    return hasCredential(x) || this.#handsOn(x)
  }

  #handsOn({ request }: DryExchange): boolean {
    return this.#handedOn.some((name) => request.has(name))
  }
}

/** A rewrite may put another query in place; credentials in the query are taken out of it. */
function matchOf({ query }: CachePlan, { rewrite, policies }: PolicySet): QueryMatch {
  if (rewrite?.path !== undefined && JSON.stringify(rewrite.path).includes('?')) return 'any'
  return query === undefined && policies?.auth === undefined ? 'exact' : 'chosen'
}

/** Of a field value: who the client is, and what every key has. */
const IN_EVERY_KEY = /^(?:claim:(?:iss|sub)|consumer|path|method|host)$/

function authorizes(edits: HeaderEdits | undefined, by: readonly string[]): boolean {
  const values = madeBy(edits).filter(({ name }) => name === 'authorization')
  return values.some(({ value }) => selectorsIn(value).some((one) => !IN_EVERY_KEY.test(one) && !by.includes(one)))
}

/** @param keyed names of fields that every key has */
function handedOn(edits: HeaderEdits | undefined, keyed: ReadonlySet<string>): readonly string[] {
  const made = madeBy(edits).filter(({ name }) => name !== 'authorization' && !keyed.has(name))
  return made.filter(({ value }) => selectorsIn(value).some((one) => AUTHORIZATION.test(one))).map(({ name }) => name)
}

const AUTHORIZATION = /^header:authorization$/i

/** Whether the client has sent it, and it is sent on. @param name in lower case */
function hasOwn(request: Fields, name: string): boolean {
  for (let i = 0; i < request.count; i++) if (request.nameIs(i, name) && !request.isRemoved(i)) return true
  return false
}

const NONE: readonly string[] = Object.freeze([])
const ISSUER = ['iss']
const SUBJECT = ['sub']

/** Issuer, subject, consumer and certificate; an issuer alone names no one. */
function identityOf(x: DryExchange): readonly (string | undefined)[] {
  const subject = textOf(claimAt(x.get(CLAIMS), SUBJECT))
  return [issuerOf(x), subject, x.get(CONSUMER), x.clientCertificate?.fingerprint]
}

const issuerOf = (x: DryExchange): string | undefined => textOf(claimAt(x.get(CLAIMS), ISSUER))

/** No text is that of a number; a number that several are rounded to names nobody. */
function textOf(claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim === '' ? undefined : `"${claim}`
  return Number.isSafeInteger(claim) ? String(claim) : undefined
}

/** The gateway has verified who the client is, by whatever it has shown. */
export function hasCredential(x: DryExchange): boolean {
  return x.clientCertificate !== null || x.get(CLAIMS) !== undefined
}

/**
 * Part of every key. One more with each version that stores less than the one before, or tells more requests apart:
 * what that one has put into Redis or files, or puts there while replicas are replaced, is not found.
 */
const GENERATION = 2

/**
 * Of what decides how the request of a client becomes that which the origin answers: after a change of it, what was
 * stored before is not found. What acts on responses, and on how often and how long is tried, is no part of it.
 */
function shapeDigest({ by, query, tags }: CachePlan, policy: PolicySet): string {
  const { rewrite, requestHeaders, withheld, pathEncoding, policies } = policy
  const shape = [rewrite, requestHeaders, withheld, pathEncoding, policies?.auth, by, query, tags, GENERATION]
  return hash('sha256', JSON.stringify(shape), 'base64url').slice(0, 22)
}
