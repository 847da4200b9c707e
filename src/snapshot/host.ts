/** Divides the matches of a hostname into the layers that frontends serve. */
import { type FrontendPartition, type FrontendSet, partitionFrontends, UNDIVIDED } from './frontend.ts'
import type { Host, Match, Rule, VirtualHost } from './snapshot.ts'

/** The sets of frontends that matches name, each once. */
export function frontendSetsOf(matches: Iterable<Match>): readonly FrontendSet[] {
  const sets = new Map<string, FrontendSet>()
  for (const { frontends } of matches) if (frontends !== undefined) sets.set(frontends.key, frontends)
  return [...sets.values()]
}

/** Matches processed between two yields. */
const BATCH = 64

/**
 * @param matches of one hostname, in matching order
 * @param partition of the sets that they name
 * @param common whether frontends outside of the partition have the hostname
 */
export function* divideHost(
  hostname: string,
  matches: readonly Match[],
  partition: FrontendPartition,
  common = true,
): Generator<void, Host> {
  const shared = layerOf(hostname)
  const own = partition.groups.map(() => layerOf(hostname))
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
  }
}

/** For small hosts and tests: {@link divideHost} in one go. */
export function hostOf(hostname: string, matches: readonly Match[], common = true): Host {
  const sets = frontendSetsOf(matches)
  const steps = divideHost(hostname, matches, sets.length === 0 ? UNDIVIDED : partitionFrontends(sets), common)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/** A virtual host under construction; each of its rules stands once, in the order in which matches name them. */
interface Layer {
  readonly virtualHost: VirtualHost & { readonly rules: Rule[]; readonly matches: Match[] }
  readonly known: Set<Rule>
}

function layerOf(hostname: string): Layer {
  return { virtualHost: { hostname, rules: [], matches: [] }, known: new Set() }
}

function add({ virtualHost, known }: Layer, match: Match): void {
  virtualHost.matches.push(match)
  if (known.has(match.rule)) return
  known.add(match.rule)
  virtualHost.rules.push(match.rule)
}
