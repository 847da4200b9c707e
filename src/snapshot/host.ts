/** The layers that frontends serve of a hostname, and the wildcards that a hostname extends. */
import { coveringWildcards } from '../pattern/host.ts'
import { type FrontendPartition, type FrontendSet, partitionFrontends, UNDIVIDED } from './frontend.ts'
import type { HostTls } from './host-tls.ts'
import type { Host, Match, Rule, VirtualHost } from './snapshot.ts'

/** The sets of frontends that matches name, and one more, each once. */
export function frontendSetsOf(matches: Iterable<Match>, another?: FrontendSet): readonly FrontendSet[] {
  const sets = new Map<string, FrontendSet>()
  if (another !== undefined) sets.set(another.key, another)
  for (const { frontends } of matches) if (frontends !== undefined) sets.set(frontends.key, frontends)
  return [...sets.values()]
}

/** Matches processed between two yields. */
const BATCH = 64

export interface HostOptions {
  /** Whether frontends outside of the partition have the hostname. */
  readonly common?: boolean
  readonly extendsWildcard?: boolean
  readonly tls?: HostTls | undefined
  /** Where TLS connections go as they are, and on which frontends; undefined frontends = on all. */
  readonly passthrough?: { readonly rule: Rule; readonly frontends: FrontendSet | undefined } | undefined
}

/**
 * @param matches of one hostname, in matching order
 * @param partition of the sets that they name
 */
export function* divideHost(
  hostname: string,
  matches: readonly Match[],
  partition: FrontendPartition,
  { common = true, extendsWildcard = false, tls, passthrough }: HostOptions = {},
): Generator<void, Host> {
  const shared = layerOf(hostname)
  const own = partition.groups.map(() => layerOf(hostname))
  if (passthrough !== undefined) {
    const { rule, frontends } = passthrough
    const layers =
      frontends === undefined ? [shared] : partition.groupsOf.get(frontends.key)?.map((group) => own[group]!)
    for (const layer of layers ?? []) layer.virtualHost.passthrough = indexOf(layer, rule)
  }
  let seen = 0
  for (const match of matches) {
    const { frontends } = match
    if (frontends === undefined) add(shared, match)
    else for (const group of partition.groupsOf.get(frontends.key) ?? []) add(own[group]!, match)
    if (++seen % BATCH === 0) yield
  }
  return {
    hostname,
    matches,
    common: common ? shared.virtualHost : undefined,
    partition,
    own: own.map((layer) => layer.virtualHost),
    extendsWildcard,
    tls,
  }
}

/** For small hosts and tests: {@link divideHost} in one go. */
export function hostOf(hostname: string, matches: readonly Match[], options: HostOptions = {}): Host {
  const sets = frontendSetsOf(matches, options.passthrough?.frontends)
  const steps = divideHost(hostname, matches, sets.length === 0 ? UNDIVIDED : partitionFrontends(sets), options)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/**
 * What is served under a hostname, in the order in which it is tried: its own matches, then those of the wildcards it
 * extends.
 */
export function matchesUnder(hosts: ReadonlyMap<string, Host>, host: Host): readonly Match[] {
  if (!host.extendsWildcard) return host.matches
  const matches = [...host.matches]
  for (const wildcard of coveringWildcards(host.hostname)) {
    const covering = hosts.get(wildcard)
    if (covering === undefined) continue
    for (const match of covering.matches) matches.push(match)
    if (!covering.extendsWildcard) break
  }
  return matches
}

/** Namespaces of the rules that requests for a host may reach. */
export function namespacesUnder(hosts: ReadonlyMap<string, Host>, hostname: string): Set<string> {
  const namespaces = new Set<string>()
  for (const name of [hostname, ...coveringWildcards(hostname), '*'])
    for (const { rule } of hosts.get(name)?.matches ?? []) namespaces.add(rule.route.slice(0, rule.route.indexOf('/')))
  return namespaces
}

/** All that are served; a rule may be there several times. */
export function* rulesOf(hosts: ReadonlyMap<string, Host>): Generator<Rule> {
  for (const { matches } of hosts.values()) for (const { rule } of matches) yield rule
}

/** A virtual host under construction; each of its rules stands once, in the order in which matches name them. */
interface Layer {
  readonly virtualHost: VirtualHost & {
    readonly rules: Rule[]
    readonly matches: Match[]
    readonly ruleIndexes: number[]
    passthrough: number | undefined
  }
  readonly known: Map<Rule, number>
}

function layerOf(hostname: string): Layer {
  return {
    virtualHost: { hostname, rules: [], matches: [], ruleIndexes: [], passthrough: undefined },
    known: new Map(),
  }
}

function add(layer: Layer, match: Match): void {
  layer.virtualHost.matches.push(match)
  layer.virtualHost.ruleIndexes.push(indexOf(layer, match.rule))
}

function indexOf({ virtualHost, known }: Layer, rule: Rule): number {
  let index = known.get(rule)
  if (index === undefined) {
    known.set(rule, (index = virtualHost.rules.length))
    virtualHost.rules.push(rule)
  }
  return index
}
