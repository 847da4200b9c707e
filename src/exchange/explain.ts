/**
 * `explain`: the way of a request up to the Backend without making it. It is admitted and routed by what routes
 * requests in this worker, and the filters that are linked for its rule say what they would do; nothing is sent,
 * counted or logged. In one turn of the loop, which does not grow with the number of routes: see explain-match.ts.
 */
import { GatewayError } from '../lib/error.ts'
import { REASONS, type Reason } from '../lib/reason.ts'
import type { LinkedTables } from '../link/linked-tables.ts'
import { Fields } from '../message/fields.ts'
import { FRAMING_FIELDS } from '../message/framing-fields.ts'
import { type CredentialNames, concealUrl } from '../pattern/concealed.ts'
import { normalizeHost } from '../pattern/host.ts'
import { normalizePath } from '../pattern/path.ts'
import { validateQuery } from '../pattern/query.ts'
import { Attributes } from '../policy/attribute.ts'
import { takeSessionCookies } from '../policy/auth/oidc/session-cookies.ts'
import type { DryRun } from '../policy/dry-run.ts'
import { explainChain, explainFilters } from '../policy/explain-chain.ts'
import type { Explanation } from '../policy/filter.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import type { FilterRegistry } from '../policy/registry.ts'
import type { FilterServices } from '../policy/services.ts'
import { explainMatch, type MatchExplanation } from '../routing/explain-match.ts'
import { tlsOf } from '../routing/find-host.ts'
import type { ListedMatch } from '../routing/listing.ts'
import { match } from '../routing/match.ts'
import type { RouteRequest } from '../routing/request.ts'
import { FrontendHandle } from '../snapshot/frontend-handle.ts'
import { DEFAULT_TLS_OPTIONS, type HostTls } from '../snapshot/host-tls.ts'
import type { RuleView } from '../snapshot/route-tables.ts'
import type { Peer } from '../transport/peer.ts'
import type { ClientResolver } from './client-address.ts'
import { refusesSlash } from './routing.ts'
import { likelyPart } from './split.ts'
import { type ClearTextRefusal, carries, clearTextRefusal } from './transport-security.ts'

/** A request that nobody makes. */
export interface ExplainQuestion {
  readonly method: string
  /** Of the connection, not of what a proxy reports. */
  readonly scheme: 'http' | 'https'
  /** `host[:port]` as the client writes it. */
  readonly authority: string
  /** Path and query as the client sends them. */
  readonly target: string
  readonly fields: readonly (readonly [name: string, value: string])[]
  /** Of the socket's other end. */
  readonly address: string
  /** Name of the one that accepts the connection. */
  readonly listener: string
}

export interface MatchView {
  /** `namespace/name` */
  readonly route: string
  readonly rule: string
  readonly hostname: string
  readonly path: { readonly type: string; readonly value: string }
  readonly method?: string
}

export interface ExplainedFilter {
  readonly filter: string
  readonly effect: string
  /** It would answer, with this status. */
  readonly status?: number
}

export interface ExplainAnswer {
  readonly method: string
  /** Without the values of what may be a credential. */
  readonly url: string
  readonly listener: string
  /** Behind trusted proxies. */
  readonly client: string
  readonly generation: number
  /** Whose rules are tried. */
  readonly hostname?: string
  /** What won. */
  readonly match?: MatchView
  /** Others with its path, and why they did not. */
  readonly lost: readonly (MatchView & { readonly why: string })[]
  readonly lostComplete: boolean
  /** Why it comes to no filter. */
  readonly refused?: { readonly reason: string; readonly status: number; readonly detail: string }
  readonly filters: readonly ExplainedFilter[]
  /** Absent: the rule has no cache, or something before it answers. */
  readonly cache?: Explanation['cache']
  /** Ids, of a rule that forwards; empty where the gateway answers itself. */
  readonly backends: readonly string[]
}

export interface ExplainHost {
  readonly tables: LinkedTables
  readonly clients: ClientResolver
  readonly filters: FilterServices
  readonly registry: FilterRegistry
}

/** What is known as soon as the request is admitted; the rest is added to it. */
type Admitted = Omit<ExplainAnswer, 'filters' | 'lost' | 'lostComplete' | 'backends'>

/** @returns what a worker knows, and what a store has to be asked for */
export async function explainRequest(question: ExplainQuestion, host: ExplainHost): Promise<ExplainAnswer> {
  const { explanations, ...answer } = explainNow(question, host)
  const whole = await Promise.all(explanations.map((one) => one.complete?.() ?? one))
  const cache = whole.find((one) => one.cache !== undefined)?.cache
  return { ...answer, filters: whole.map(filterView), ...(cache !== undefined && { cache }) }
}

/** What is known in one turn of the loop. */
interface Explained extends Omit<ExplainAnswer, 'filters' | 'cache'> {
  readonly explanations: readonly Explanation[]
}

function explainNow(question: ExplainQuestion, host: ExplainHost): Explained {
  const { tables } = host
  const { method, authority, target } = question
  const mark = target.indexOf('?')
  const rawPath = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? undefined : target.slice(mark + 1)
  const about: Admitted = {
    method,
    url: shownUrl(question),
    listener: question.listener,
    client: question.address,
    generation: tables.generation,
  }
  const named = normalizeHost(authority)
  if (named === undefined) return refused(about, 'BadHost')
  const path = normalizePath(rawPath, 'KeepEncodedSlash')
  if (path === undefined || (query !== undefined && !validateQuery(query))) return refused(about, 'BadPath')
  const frontend = new FrontendHandle(question.listener)
  const tls = tlsOf(tables.tables, frontend, named.host)
  const peer = peerOf(question, frontend, tls, named.host)
  const request = fieldsOf(question)
  const client = host.clients.resolve(peer, authority, named, request)
  const admitted = { ...about, client: client.address }
  if (!carries(peer, tls))
    return refused(admitted, 'MisdirectedRequest', 'its TLS is not ended here: the connection goes through as it is')
  const routed: RouteRequest = {
    ...{ method, host: named.host, path, query, frontend, request, authority },
    clientAddress: client.address,
  }
  return explainRouted(admitted, question, host, { routed, tls, peer, client })
}

interface Routed {
  readonly routed: RouteRequest
  readonly tls: HostTls | null
  readonly peer: Peer
  readonly client: ReturnType<ClientResolver['resolve']>
}

function explainRouted(admitted: Admitted, question: ExplainQuestion, host: ExplainHost, way: Routed): Explained {
  const { tables } = host
  const { routed, tls, client } = way
  let found: ReturnType<typeof match>
  try {
    found = match(tables.tables, routed)
  } catch (error) {
    if (error instanceof GatewayError) return refused(admitted, error.reason, error.detail)
    throw error
  }
  const rule = typeof found === 'string' ? undefined : found.rule
  const prefixLength = typeof found === 'string' ? 0 : found.prefixLength
  const matched = explainMatch(tables.tables, routed, rule)
  const linked = rule === undefined ? null : (tables.policies[rule.policyIndex] ?? null)
  const about = { ...admitted, ...matchedView(matched, rule) }
  if (refusesSlash(tables, found, routed.path)) return refused(about, 'BadPath', 'it has an encoded slash')
  if (typeof found === 'string') return refused(about, found, nothingFound(matched, question))
  const { scheme } = client.forwarding.origin
  const refusal = way.peer.tls === null ? clearTextRefusal(scheme, tls, rule!) : undefined
  if (refusal !== undefined) return ended(about, refusalView(refusal))
  if (rule!.refuse !== undefined) return refused(about, rule!.refuse)
  if (linked === null) return refused(about, 'InternalError', 'its policies cannot be used; the log says why')
  const x: DryRun = {
    ...dryExchange(question, way, rule!, prefixLength, linked.policy),
    // Of its copy, as filters before the cache have left it.
    part() {
      return likelyPart(this, rule!, tables, linked)
    },
  }
  if (tables.sessions) takeSessionCookies(x, x.request)
  const { filters, registry } = host
  const explanations =
    linked.chain === null ? explainChain(linked.policy, filters, x, registry) : explainFilters(linked.chain.filters, x)
  const credentials = linked.chain?.filters.find((filter) => filter.credentials !== undefined)?.credentials
  return {
    ...about,
    url: shownUrl(question, credentials),
    explanations,
    backends: rule!.backends.map(
      ({ backendIndex, refuse }) => tables.backends[backendIndex]?.id ?? refuse ?? 'unknown',
    ),
  }
}

/** @param more where the rule looks for credentials */
function shownUrl({ scheme, authority, target }: ExplainQuestion, more?: CredentialNames): string {
  return `${scheme}://${authority}${concealUrl(target, more)}`
}

function filterView({ filter, effect, status }: Explanation): ExplainedFilter {
  return { filter, effect, ...(status !== undefined && { status }) }
}

function refused(about: Admitted & Partial<ExplainAnswer>, reason: Reason, detail = ''): Explained {
  const { status, title } = REASONS[reason]
  return ended(about, { reason, status, detail: detail === '' ? title : `${title}: ${detail}` })
}

function ended(about: Admitted & Partial<ExplainAnswer>, refusal: NonNullable<ExplainAnswer['refused']>): Explained {
  const { lost = [], lostComplete = true } = about
  return { ...about, lost, lostComplete, explanations: [], backends: [], refused: refusal }
}

function matchedView(
  { hostname, won, lost, complete }: MatchExplanation,
  rule: RuleView | undefined,
): Pick<ExplainAnswer, 'hostname' | 'lost' | 'lostComplete' | 'match'> {
  // One that stands behind more matches than are read.
  const unread = rule && { route: rule.route, rule: rule.rule, hostname: hostname ?? '', path: { type: '', value: '' } }
  const shown = won === undefined ? unread : matchView(won)
  return {
    ...(hostname !== undefined && { hostname }),
    ...(shown !== undefined && { match: shown }),
    lost: lost.map(({ match: one, why }) => ({ ...matchView(one), why })),
    lostComplete: complete,
  }
}

function matchView({ rule, hostname, path, method }: ListedMatch): MatchView {
  const { type, value } = path
  return {
    route: rule.route,
    rule: rule.rule,
    hostname,
    path: { type, value },
    ...(method !== undefined && { method }),
  }
}

function nothingFound({ hostname }: MatchExplanation, { listener }: ExplainQuestion): string {
  return hostname === undefined
    ? `no Route on listener ${listener} has it, and none is for all hosts`
    : `${hostname} has rules, and a hostname that matches is final`
}

function refusalView(reason: ClearTextRefusal): NonNullable<ExplainAnswer['refused']> {
  if (reason === 'Redirect') return { reason: 'HttpRedirect', status: 308, detail: 'the host is served by https alone' }
  const { status, title } = REASONS[reason]
  const detail =
    reason === 'MisdirectedRequest' ? 'the host demands a client certificate, which a proxy cannot hand on' : title
  return { reason, status, detail }
}

function peerOf(
  { address, scheme }: ExplainQuestion,
  frontend: FrontendHandle,
  tls: HostTls | null,
  serverName: string,
): Peer {
  const listener = { name: frontend.name, frontend, metricsRow: 0, leaving: false, secureTwin: null }
  const optionsKey = (tls?.options ?? DEFAULT_TLS_OPTIONS).key
  const handshake = { serverName, optionsKey, protocol: 'TLSv1.3', cipher: '', clientCertificate: null }
  return { address, scheme, listener, tls: scheme === 'https' ? handshake : null }
}

function fieldsOf({ fields }: ExplainQuestion): Fields {
  const request = new Fields()
  for (const [name, value] of fields) if (!FRAMING_FIELDS.includes(name) && name !== 'host') request.add(name, value)
  return request
}

function dryExchange(
  question: ExplainQuestion,
  { routed, client }: Routed,
  rule: RuleView,
  matchedPrefix: number,
  policy: PolicySet,
): Omit<DryRun, 'part'> {
  const attributes = new Attributes()
  const { method, host, path, query, request, clientAddress } = routed
  const fieldOf = (wanted: string): string | undefined => question.fields.find(([name]) => name === wanted)?.[1]
  const upgrade = fieldOf('upgrade')?.toLowerCase()
  return {
    ...{ method, host, path, query, request, clientAddress, matchedPrefix, policy },
    authority: question.authority,
    origin: client.forwarding.origin,
    originalPath: path,
    trusted: client.trusted,
    clientCertificate: null,
    listener: question.listener,
    id: 'explained',
    route: rule.route,
    rule: rule.rule,
    divided: rule.divided,
    upstreamHost: undefined,
    upgrade: upgrade !== undefined && policy.upgrades.includes(upgrade) ? upgrade : null,
    requestBodyLength: fieldOf('transfer-encoding') === undefined ? Number(fieldOf('content-length') ?? 0) : undefined,
    get: (key) => attributes.get(key),
    set: (key, value) => attributes.set(key, value),
  }
}
