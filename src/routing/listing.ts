/** Packed tables read back, in matching order: for `headgate routes` and for explaining, never on a request's way. */
import { formatAddress } from '../pattern/cidr.ts'
import * as L from '../snapshot/pack-layout.ts'
import { type BlockView, type RouteTables, type RuleView, readText } from '../snapshot/route-tables.ts'
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
  /** Names; none = every listener. */
  readonly listeners: readonly string[]
  readonly within: readonly string[]
}

interface Host {
  readonly hostname: string
  readonly block: BlockView
  readonly segment: number
}

/**
 * Every match: names before wildcards, longer wildcards before shorter, the catch-all last; within a host as they are
 * tried.
 */
export function* listMatches(tables: RouteTables): Generator<ListedMatch> {
  const hosts: Host[] = []
  for (const { block, segment } of tables.segments())
    hosts.push({ hostname: readText(block, segment + block.words[segment + L.SEG_HOSTNAME]!), block, segment })
  hosts.sort(compareHosts)
  for (const host of hosts) yield* matchesOf(tables, host)
}

/** The matches of the one segment that a host is served by, as they are tried; none when nobody serves it. */
export function* listMatchesOf(tables: RouteTables, hostname: string): Generator<ListedMatch> {
  const slot = tables.slotOf(hostname)
  if (slot < 0) return
  const block = tables.blocks[tables.root[slot + L.SLOT_BLOCK]! - 1]!
  yield* matchesOf(tables, { hostname, block, segment: tables.root[slot + L.SLOT_OFFSET]! })
}

function compareHosts({ hostname: a }: Host, { hostname: b }: Host): number {
  return rank(a) - rank(b) || (rank(a) === 1 ? b.length - a.length : 0) || (a < b ? -1 : a > b ? 1 : 0)
}

function rank(hostname: string): number {
  return hostname === '*' ? 2 : hostname.startsWith('*.') ? 1 : 0
}

function* matchesOf(tables: RouteTables, { hostname, block, segment }: Host): Generator<ListedMatch> {
  const count = block.words[segment + L.SEG_MATCHES]!
  for (let i = 0; i < count; i++) yield readMatch(tables, hostname, block, segment, i)
}

function readMatch(
  tables: RouteTables,
  hostname: string,
  block: BlockView,
  segment: number,
  index: number,
): ListedMatch {
  const { words } = block
  const at = segment + words[segment + L.SEG_MATCHES_AT]! + index * L.MATCH_WORDS
  const text = (offset: number): string => readText(block, segment + offset)
  const packed = words[at + L.MATCH_METHOD]!
  const method = packed < 0 ? text(-packed) : L.METHODS[packed - 1]
  return {
    hostname,
    rule: tables.rule(block, segment, words[at + L.MATCH_RULE]!),
    path: { type: L.PATH_TYPES[words[at + L.MATCH_TYPE]!]!, value: text(words[at + L.MATCH_PATH]!) },
    ...(method === undefined ? {} : { method }),
    listeners: tables.listenersOf(words[at + L.MATCH_LISTENERS]!),
    ...readConditions(words, segment, words[at + L.MATCH_CONDITIONS]!, text),
  }
}

type Conditions = Pick<ListedMatch, 'headers' | 'queryParams' | 'cookies' | 'sourceCIDRs' | 'within'>

function readConditions(words: Int32Array, segment: number, offset: number, text: (at: number) => string): Conditions {
  if (offset === 0) return { headers: [], queryParams: [], cookies: [], sourceCIDRs: [], within: [] }
  const at = segment + offset
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
  for (let i = 0; i < words[at + L.COND_WITHIN]!; i++) within.push(text(words[segment + words[next]! + i]!))
  return { headers, queryParams, cookies, sourceCIDRs, within }
}
