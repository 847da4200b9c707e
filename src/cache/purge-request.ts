/** What is to be purged, as people say it, in records. */
import { normalizeHost } from '../pattern/host.ts'
import { normalizePath } from '../pattern/path.ts'
import { labelOf, namespaceLabel, routeLabel, ruleLabel } from './purge-labels.ts'
import { PLAIN, type PurgeRecord } from './purge-record.ts'
import { isTag } from './tags.ts'
import { urlPurge } from './url-purge.ts'

/** One kind of names at a time. */
export interface PurgeRequest {
  /** `https://shop.example/a?x=1`, `//shop.example/a` or `shop.example/a`; the scheme and the port do not matter. */
  readonly urls?: readonly string[] | undefined
  /** The same without a query; by whole segments. */
  readonly prefixes?: readonly string[] | undefined
  readonly tags?: readonly string[] | undefined
  /** `web`, or `namespace/web` of the namespace. */
  readonly route?: string | undefined
  /** Of the Route. */
  readonly rule?: string | undefined
  readonly all?: boolean | undefined
  /** Objects become stale instead of going. */
  readonly soft?: boolean | undefined
}

/** Names in one request. */
export const MAX_PURGED_NAMES = 256

export type PurgeFault = { readonly fault: string }

/** @returns what is wrong with it, as a sentence */
export function purgeRecords(namespace: string, request: PurgeRequest): readonly PurgeRecord[] | PurgeFault {
  const { urls, prefixes, tags, route, rule, all, soft = false } = request
  if (rule !== undefined && route === undefined) return { fault: 'A rule is one of a route: state the route as well.' }
  const kinds = [urls, prefixes, tags, route, all].filter((kind) => kind !== undefined)
  if (kinds.length !== 1) return { fault: 'State one of urls, prefixes, tags, route and all.' }
  if (all === false) return { fault: 'all: false purges nothing.' }
  const base = { ...PLAIN, soft, namespace: namespaceLabel(namespace) }
  if (all !== undefined) return [{ ...base, kind: 'all' }]
  if (route !== undefined) return routeRecords(base, namespace, route, rule)
  const names = urls ?? prefixes ?? tags ?? []
  if (names.length === 0 || names.length > MAX_PURGED_NAMES)
    return { fault: `State 1 to ${MAX_PURGED_NAMES} of them in one request, not ${names.length}.` }
  const records: PurgeRecord[] = []
  for (const name of names) {
    const made =
      urls !== undefined
        ? urlRecords(base, name)
        : prefixes !== undefined
          ? prefixRecords(base, name)
          : tagRecords(base, name)
    if ('fault' in made) return made
    records.push(...made)
  }
  return records
}

/** The hosts of its URLs and prefixes. */
export function purgedHosts({ urls, prefixes }: PurgeRequest): ReadonlySet<string> {
  const hosts = [...(urls ?? []), ...(prefixes ?? [])].map((text) => parse(text))
  return new Set(hosts.flatMap((parsed) => ('fault' in parsed ? [] : [parsed.host])))
}

type Base = Omit<PurgeRecord, 'kind'>
type Records = readonly PurgeRecord[] | PurgeFault

function routeRecords(base: Base, namespace: string, route: string, rule: string | undefined): Records {
  const id = route.includes('/') ? route : `${namespace}/${route}`
  if (!id.startsWith(`${namespace}/`)) return { fault: `${route} is no Route of namespace ${namespace}.` }
  return [{ ...base, kind: 'label', label: rule === undefined ? routeLabel(id) : ruleLabel(id, rule) }]
}

function tagRecords(base: Base, tag: string): Records {
  if (!isTag(tag))
    return { fault: `${JSON.stringify(tag.slice(0, 64))} is no tag: it has visible ASCII characters, 1 to 256.` }
  return [{ ...base, kind: 'label', label: labelOf('tag', tag) }]
}

function urlRecords(base: Base, text: string): Records {
  const parsed = parse(text)
  if ('fault' in parsed) return parsed
  const { host, paths, query } = parsed
  return paths.map((path) => ({ ...base, ...urlPurge(host, path, query) }))
}

function prefixRecords(base: Base, text: string): Records {
  const parsed = parse(text)
  if ('fault' in parsed) return parsed
  const { host, paths, query } = parsed
  if (query !== undefined) return { fault: `${shown(text)} has a query, which a prefix cannot have.` }
  // `/img` and `/img/` are the same: whole segments.
  return paths.map((path) => ({ ...base, kind: 'prefix', label: labelOf('prefix', host + path.replace(/\/+$/, '')) }))
}

interface ParsedUrl {
  readonly host: string
  /** As rules may see it: with escaped slashes refused, or kept. */
  readonly paths: readonly string[]
  readonly query: string | undefined
}

function parse(text: string): ParsedUrl | PurgeFault {
  const mistake = mistakeOf(text)
  if (mistake !== undefined) return { fault: `${shown(text)} ${mistake}` }
  const match = /^(?:(?:https?:)?\/\/)?([^/?\s]+)(?<!:)(\/[^?\s]*)?(?:\?(\S*))?$/i.exec(text)
  const authority = match?.[1] === undefined ? undefined : normalizeHost(asciiHost(match[1]))
  if (match === null || authority === undefined)
    return { fault: `${shown(text)} is no URL such as https://shop.example/a` }
  const path = asciiText(match[2] ?? '/')
  const forms = [normalizePath(path, 'Strict'), normalizePath(path, 'KeepEncodedSlash')]
  const paths = [...new Set(forms.filter((form) => form !== undefined))]
  if (paths.length === 0) return { fault: `The path of ${shown(text)} is refused in requests, too.` }
  const query = match[3]
  return { host: authority.host, paths, query: query === undefined ? undefined : asciiText(query) }
}

/** What people write that is no URL of a request, and could be taken for another one. */
function mistakeOf(text: string): string | undefined {
  if (text.includes('#')) return 'has a fragment, which no client sends: leave out what begins with #.'
  if (/^\/(?!\/)/.test(text)) return 'has no host: write it before the path, such as https://shop.example/a.'
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]
  if (scheme !== undefined && !/^https?$/i.test(scheme)) return `has the scheme ${scheme}: write http or https.`
  // `javascript:1` and `mailto:1` are URLs of another scheme that look like a host with a port.
  const named = /^([a-z][a-z0-9+-]*):[0-9]+(?:[/?]|$)/i.exec(text)?.[1]
  if (named === undefined || /^localhost$/i.test(named)) return undefined
  return `may be of the scheme ${named}: write //${text.slice(0, 64)} where that is its host.`
}

/** Names of other scripts as clients ask for them (RFC 5890). */
function asciiHost(authority: string): string {
  return BEYOND_ASCII.test(authority) ? (URL.parse(`http://${authority}`)?.host ?? authority) : authority
}

/** As clients send it (RFC 3987 §3.1). */
function asciiText(text: string): string {
  return text.toWellFormed().replaceAll(/[^\x00-\x7f]+/g, (part) => encodeURIComponent(part))
}

const BEYOND_ASCII = /[^\x00-\x7f]/
const shown = (text: string): string => JSON.stringify(text.slice(0, 128))
