/**
 * What an object can be purged by, as hashes of 52 bits, which are all that is kept of its tags. They have no secret,
 * since all replicas must agree on them: whoever finds two names with one hash has both purged, in its own namespace.
 */
import { hash } from 'node:crypto'
import { mix } from '../lib/hash.ts'

/** Labels of one object besides those that each one has. */
export const MAX_TAGS = 128
/** Each object has these, at these positions: tags follow. */
const [NAMESPACE, PATH, URL, ROUTE, RULE] = [0, 1, 2, 3, 4]
export const FIXED_LABELS = 5
/** Instead of a label of the URL. */
const CHOSEN = 0
const ANY = -1
export const MAX_LABELS = FIXED_LABELS + MAX_TAGS

/** What kind of name a label is made of, so that a tag is no path. */
export type LabelKind = 'path' | 'url' | 'prefix' | 'route' | 'rule' | 'tag' | 'group' | 'parameter'

/**
 * How the query of a key comes from that of a URL: as it is, by leaving parameters out or ordering them, or in another
 * way, such as a rewrite, so that any query of the path may lead to it.
 */
export type QueryMatch = 'exact' | 'chosen' | 'any'

export interface LabelledObject {
  /** Of {@link namespaceLabel}: purges stay in their namespace. */
  readonly namespace: number
  /** As the client asked for it, in normal form. */
  readonly host: string
  readonly path: string
  /** Without `?`, as it stands in the key; undefined where there is none. */
  readonly query: string | undefined
  readonly match: QueryMatch
  /** `namespace/name` and name of the rule. */
  readonly route: string
  readonly rule: string
}

const STEP_A = 0x01000193
const STEP_B = 0x5bd1e995

/** Two independent halves, so that a text can be hashed up to several places in one pass. */
let a = 0
let b = 0

/** The halves behind what stands before each text of a kind. */
interface Begun {
  readonly a: number
  readonly b: number
}

const BEGUN = new Map<LabelKind, Begun>()

function begin(kind: LabelKind): void {
  const begun = BEGUN.get(kind)
  if (begun !== undefined) {
    a = begun.a
    b = begun.b
    return
  }
  a = 0x811c9dc5
  b = 0x9747b28c
  absorb(kind)
  absorb('\n')
  BEGUN.set(kind, { a, b })
}

function absorb(text: string): void {
  let x = a
  let y = b
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    x = Math.imul(x ^ unit, STEP_A)
    y = Math.imul(y ^ unit, STEP_B)
    y ^= y >>> 15
  }
  a = x
  b = y
}

function absorbUnit(unit: number): void {
  a = Math.imul(a ^ unit, STEP_A)
  b = Math.imul(b ^ unit, STEP_B)
  b ^= b >>> 15
}

/** Never 0, which stands for none. */
const finish = (): number => mix(a) * 2 ** 20 + (mix(b) >>> 12) + 1

export function labelOf(kind: LabelKind, text: string): number {
  begin(kind)
  absorb(text)
  return finish()
}

/** A namespace is not to be confused with another one even by who may name namespaces. */
export function namespaceLabel(namespace: string): number {
  return Number.parseInt(hash('sha256', namespace, 'hex').slice(0, 13), 16) + 1
}

/** Host, path and query in one text, as prefixes see it. */
export const urlText = (host: string, path: string, query: string | undefined): string =>
  query === undefined ? host + path : `${host}${path}?${query}`

export const routeLabel = (route: string): number => labelOf('route', route)
export const ruleLabel = (route: string, rule: string): number => labelOf('rule', `${route}\n${rule}`)

/** Of the object that was labelled last: most are of few rules. */
const last = { route: '', rule: '', routeLabel: routeLabel(''), ruleLabel: ruleLabel('', '') }

function useRule(route: string, rule: string): typeof last {
  if (route === last.route && rule === last.rule) return last
  last.route = route
  last.rule = rule
  last.routeLabel = routeLabel(route)
  last.ruleLabel = ruleLabel(route, rule)
  return last
}

/** Of the host that was labelled last, what its paths and URLs begin with. */
const lastHost = { host: '', path: begunWith('path', ''), url: begunWith('url', '') }

function begunWith(kind: LabelKind, text: string): Begun {
  begin(kind)
  absorb(text)
  return { a, b }
}

function useHost(host: string): void {
  if (host === lastHost.host) return
  lastHost.host = host
  lastHost.path = begunWith('path', host)
  lastHost.url = begunWith('url', host)
}

/** Writes the labels of {@link lastHost} with a path, and of its {@link urlText}: in one pass over the path. */
function writePlace(into: Float64Array, path: string, query: string | undefined): void {
  let [x, y, u, v] = [lastHost.path.a, lastHost.path.b, lastHost.url.a, lastHost.url.b]
  for (let i = 0; i < path.length; i++) {
    const unit = path.charCodeAt(i)
    x = Math.imul(x ^ unit, STEP_A)
    u = Math.imul(u ^ unit, STEP_A)
    y = Math.imul(y ^ unit, STEP_B)
    v = Math.imul(v ^ unit, STEP_B)
    y ^= y >>> 15
    v ^= v >>> 15
  }
  a = x
  b = y
  into[PATH] = finish()
  a = u
  b = v
  if (query !== undefined) {
    absorbUnit(QUESTION)
    absorb(query)
  }
  into[URL] = finish()
}

/** Of cache groups (RFC 9875), which belong to an origin. */
export const groupLabel = (origin: string, group: string): number => labelOf('group', `${origin}\n${group}`)

/**
 * Writes the labels of an object.
 *
 * @param tags of {@link labelOf} or {@link groupLabel}, {@link MAX_TAGS} at most
 * @returns how many were written
 */
export function writeLabels(into: Float64Array, object: LabelledObject, tags: readonly number[] = []): number {
  const { namespace, host, path, query, match, route, rule } = object
  into[NAMESPACE] = namespace
  useHost(host)
  writePlace(into, path, query)
  if (match !== 'exact') into[URL] = match === 'chosen' ? CHOSEN : ANY
  const labels = useRule(route, rule)
  into[ROUTE] = labels.routeLabel
  into[RULE] = labels.ruleLabel
  for (let i = 0; i < tags.length; i++) into[FIXED_LABELS + i] = tags[i]!
  return FIXED_LABELS + tags.length
}

export const namespaceOf = (labels: Float64Array): number => labels[NAMESPACE]!
export const pathLabel = (labels: Float64Array): number => labels[PATH]!
export const queryMatch = (labels: Float64Array): QueryMatch =>
  labels[URL] === CHOSEN ? 'chosen' : labels[URL] === ANY ? 'any' : 'exact'

/**
 * Calls `found` with the label of each prefix by whole segments of host and path: `h`, `h/a`, `h/a/b`.
 *
 * @param found true ends it
 */
export function eachPrefix(url: string, found: (label: number) => boolean): boolean {
  begin('prefix')
  for (let i = 0; i < url.length; i++) {
    const unit = url.charCodeAt(i)
    if (unit === QUESTION) break
    if (unit === SLASH && found(finish())) return true
    absorbUnit(unit)
  }
  return found(finish())
}

const SLASH = 0x2f
const QUESTION = 0x3f

/** Of the decoded parameters of a query, as a purge by URL compares them; in base 36. */
export function parameterLabels(query: string): string[] {
  return query
    .split('&')
    .filter((parameter) => parameter !== '')
    .map((parameter) => labelOf('parameter', decode(parameter.replaceAll('+', ' '))).toString(36))
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
