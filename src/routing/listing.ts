/** Packed tables read back, frontend by frontend: for explaining and for tests, never on a request's way. */
import { formatAddress } from '../pattern/cidr.ts'
import { type BlockView, readText } from '../snapshot/block-view.ts'
import * as L from '../snapshot/pack-layout.ts'
import type { HostLayers, RouteTables, RuleView, VirtualHostPlace } from '../snapshot/route-tables.ts'
import type { PathMatch, ValueMatch } from '../snapshot/snapshot.ts'

export interface ListedMatch {
  /** `shop.example.com`, `*.example.com`, or `*` for hosts that nobody names. */
  readonly hostname: string
  readonly rule: RuleView
  readonly path: PathMatch
  /** Upper case; absent = any. */
  readonly method?: string
  readonly headers: readonly ValueMatch[]
  readonly queryParams: readonly ValueMatch[]
  readonly cookies: readonly ValueMatch[]
  readonly sourceCIDRs: readonly string[]
  readonly within: readonly string[]
}

interface ListedHost {
  readonly hostname: string
  readonly layers: HostLayers
}

/**
 * Every match that a frontend serves: names before wildcards, longer wildcards before shorter, the catch-all last.
 * Within a host what its group has of its own comes before what all have in common, each as it is tried.
 *
 * @param frontend name; one that the tables do not know has what all have in common
 */
export function* listMatches(tables: RouteTables, frontend: string): Generator<ListedMatch> {
  const hosts: ListedHost[] = []
  for (const layers of tables.hostsOf(tables.frontendAt(tables.frontends.find(frontend)))) {
    hosts.push({ hostname: hostnameOf(layers), layers })
  }
  hosts.sort(compareHosts)
  for (const { hostname, layers } of hosts) yield* matchesOfLayers(tables, hostname, layers)
}

/** Those of one hostname; none when the frontend does not have it. */
export function* listMatchesOf(tables: RouteTables, frontend: string, hostname: string): Generator<ListedMatch> {
  const slot = tables.slotOf(hostname)
  if (slot < 0) return
  const hash = L.hashHost(tables.root[L.ROOT_SEED]!, hostname)
  const table = tables.frontendAt(tables.frontends.find(frontend))
  const layers = tables.layersAt(slot, table, hash, hostname, hostname.length, false)
  if (layers !== undefined) yield* matchesOfLayers(tables, hostname, layers)
}

function* matchesOfLayers(tables: RouteTables, hostname: string, layers: HostLayers): Generator<ListedMatch> {
  yield* matchesOf(tables, hostname, layers)
  if (layers.common !== undefined) yield* matchesOf(tables, hostname, layers.common)
}

export function hostnameOf({ block, at }: VirtualHostPlace): string {
  return readText(block, at + block.words[at + L.VHOST_HOSTNAME]!)
}

function compareHosts({ hostname: a }: ListedHost, { hostname: b }: ListedHost): number {
  return rank(a) - rank(b) || (rank(a) === 1 ? b.length - a.length : 0) || (a < b ? -1 : a > b ? 1 : 0)
}

function rank(hostname: string): number {
  return hostname === '*' ? 2 : hostname.startsWith('*.') ? 1 : 0
}

function* matchesOf(tables: RouteTables, hostname: string, { block, at }: VirtualHostPlace): Generator<ListedMatch> {
  const count = block.words[at + L.VHOST_MATCHES]!
  for (let i = 0; i < count; i++) yield readMatch(tables, hostname, block, at, i)
}

export function readMatch(
  tables: RouteTables,
  hostname: string,
  block: BlockView,
  virtualHost: number,
  index: number,
): ListedMatch {
  const { words } = block
  const at = virtualHost + words[virtualHost + L.VHOST_MATCHES_AT]! + index * L.MATCH_WORDS
  const text = (offset: number): string => readText(block, virtualHost + offset)
  const packed = words[at + L.MATCH_METHOD]!
  const method = packed < 0 ? text(-packed) : L.METHODS[packed - 1]
  return {
    hostname,
    rule: tables.rule(block, virtualHost, words[at + L.MATCH_RULE]!),
    path: { type: L.PATH_TYPES[words[at + L.MATCH_TYPE]!]!, value: text(words[at + L.MATCH_PATH]!) },
    ...(method === undefined ? {} : { method }),
    ...readConditions(words, virtualHost, words[at + L.MATCH_CONDITIONS]!, text),
  }
}

type ListedConditions = Pick<ListedMatch, 'headers' | 'queryParams' | 'cookies' | 'sourceCIDRs' | 'within'>

function readConditions(
  words: Int32Array,
  virtualHost: number,
  offset: number,
  text: (at: number) => string,
): ListedConditions {
  if (offset === 0) return { headers: [], queryParams: [], cookies: [], sourceCIDRs: [], within: [] }
  const at = virtualHost + offset
  let next = at + L.COND_LIST
  const values = (count: number): ValueMatch[] => {
    const list: ValueMatch[] = []
    for (let i = 0; i < count; i++, next += L.VALUE_WORDS)
      list.push({ name: text(words[next]!), type: L.VALUE_TYPES[words[next + 1]!]!, value: text(words[next + 2]!) })
    return list
  }
  const headers = values(words[at + L.COND_HEADERS]!)
  const queryParams = values(words[at + L.COND_QUERY]!)
  const cookies = values(words[at + L.COND_COOKIES]!)
  const sourceCIDRs: string[] = []
  for (let i = 0; i < words[at + L.COND_CIDRS]!; i++, next += L.CIDR_WORDS) {
    const address = words.slice(next + 1, next + L.CIDR_WORDS)
    const bits = words[next]!
    const text = formatAddress(address)
    // Prefixes of IPv4 are kept in the mapped form, 96 bits further in.
    sourceCIDRs.push(`${text}/${text.includes(':') ? bits : bits - 96}`)
  }
  const within: string[] = []
  for (let i = 0; i < words[at + L.COND_WITHIN]!; i++) within.push(text(words[virtualHost + words[next]! + i]!))
  return { headers, queryParams, cookies, sourceCIDRs, within }
}
