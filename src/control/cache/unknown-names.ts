/**
 * Names of a purge that nothing here has: a misspelt one purges nothing, and looks like any other. It is purged all the
 * same, since what it names may have just been deleted, and may be stored still, here or in an archive.
 */
import { type PurgeRequest, purgedHosts } from '../../cache/purge-request.ts'

/** A rule that is served. */
export interface ServedRule {
  /** `namespace/name` */
  readonly route: string
  readonly rule: string
}

export interface KnownRules {
  /** Of all hosts; a rule may be there several times. Undefined: there are no tables yet. */
  all(): Iterable<ServedRule> | undefined
  /** Namespaces of the rules that a host leads to; undefined: there are no tables yet. */
  namespacesOf(host: string): Iterable<string> | undefined
}

/** Rules that are looked at in one turn of the loop. */
const SLICE = 20_000

/**
 * @param namespace as it was stated; undefined: it was not, so only namespaces that have the hosts hear of the request
 * @returns a sentence for each; nothing where nobody knows
 */
export async function unknownNames(
  namespace: string | undefined,
  request: PurgeRequest,
  rules: KnownRules,
  nextTurn: () => Promise<void>,
): Promise<string[]> {
  // Of several hosts; where nobody has a rule for any of them, the request is refused.
  if (namespace === undefined)
    return [...purgedHosts(request)]
      .filter((host) => [...(rules.namespacesOf(host) ?? [host])].length === 0)
      .map((host) => `No rule has the host ${host}: state the namespace of what was stored of it.`)
  const { route, rule } = request
  const wanted = route === undefined || route.includes('/') ? route : `${namespace}/${route}`
  const known = await find(rules.all(), `${namespace}/`, wanted, rule, nextTurn)
  if (known === undefined) return []
  if (!known.namespace) return [`No rule of namespace ${namespace} is served here.`]
  if (wanted !== undefined && !known.route) return [`There is no Route ${wanted} with a rule that is served here.`]
  if (rule !== undefined && !known.rule) return [`Route ${wanted} has no rule ${rule} that is served here.`]
  const foreign = [...purgedHosts(request)].filter(
    (host) => ![...(rules.namespacesOf(host) ?? [namespace])].includes(namespace),
  )
  return foreign.map((host) => `No rule of namespace ${namespace} has the host ${host}.`)
}

async function find(
  all: Iterable<ServedRule> | undefined,
  prefix: string,
  route: string | undefined,
  rule: string | undefined,
  nextTurn: () => Promise<void>,
): Promise<{ readonly namespace: boolean; readonly route: boolean; readonly rule: boolean } | undefined> {
  if (all === undefined) return undefined
  const found = { namespace: false, route: false, rule: false }
  let looked = 0
  for (const one of all) {
    if (++looked % SLICE === 0) await nextTurn()
    if (!one.route.startsWith(prefix)) continue
    found.namespace = true
    if (route === undefined) return found
    if (one.route !== route) continue
    found.route = true
    if (rule === undefined || one.rule === rule) return { ...found, rule: true }
  }
  return found
}
