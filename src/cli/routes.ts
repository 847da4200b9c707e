/** `headgate routes`: prints the routing table in matching order. */
import type { Validator } from '../api/validate.ts'
import type { PolicySet } from '../policy/policy-set.ts'
import { matchesUnder } from '../snapshot/host.ts'
import type { Host, Match, Rule, Snapshot, ValueMatch } from '../snapshot/snapshot.ts'
import { loadManifests } from '../source/folder/load-manifests.ts'
import { formatSettingsProblem } from '../source/settings.ts'
import { systemTimers } from '../thread/system-timers.ts'
import { align } from './columns.ts'
import { settingsOf } from './config.ts'
import { examine } from './examine.ts'
import { formatFinding, fromSource } from './finding.ts'
import { type CommandIo, fileBounds } from './io.ts'
import type { RoutesCommand } from './parse.ts'

/** One line of the table. */
interface Row {
  readonly hostname: string
  readonly match: Match
  readonly rule: Rule
  readonly policy: PolicySet | undefined
}

export async function showRoutes(command: RoutesCommand, validator: Validator, io: CommandIo): Promise<number> {
  const composed = await settingsOf(command.settings, [], validator)
  if (!composed.ok) {
    for (const problem of composed.problems) io.err(`${formatSettingsProblem(problem)}\n`)
    return 1
  }
  const { settings } = composed
  const loaded = await loadManifests([command.config], systemTimers, await fileBounds(io, command.settings))
  if (loaded.missing > 0) {
    for (const problem of loaded.problems) io.err(`${formatFinding(fromSource(problem))}\n`)
    return 1
  }
  const { compiled, findings, refused } = await examine(loaded.objects, settings, validator)
  const hosts = hostsFor(compiled.snapshot, command.host)
  const rows = hosts.flatMap((host) => rowsOf(host, compiled.snapshot))
  if (command.output === 'json')
    io.out(
      `${JSON.stringify(
        rows.map((row) => toJson(row, compiled.snapshot)),
        null,
        2,
      )}\n`,
    )
  else io.out(rows.length === 0 ? `${noRows(command.host)}\n` : toText(rows, compiled.snapshot))
  const faults = loaded.problems.length + findings.length
  if (faults > 0) {
    const kept = refused > 0 ? `${refused} object${refused === 1 ? ' is' : 's are'} not served; ` : ''
    io.err(`${kept}see headgate validate ${command.config} for ${faults} finding${faults === 1 ? '' : 's'}.\n`)
  }
  return 0
}

/** Sorts exact names before wildcards, longer wildcards before shorter ones, and the catch-all last. */
function hostsFor({ hosts }: Snapshot, host: string | undefined): Host[] {
  if (host === undefined) return [...hosts.values()].sort(compareHosts)
  const name = host.toLowerCase().replace(/\.$/, '')
  const labels = name.split('.')
  const wildcards = labels.slice(1).map((_, i) => `*.${labels.slice(i + 1).join('.')}`)
  for (const candidate of [name, ...wildcards, '*']) {
    const found = hosts.get(candidate)
    // A matched host is final.
    if (found !== undefined) return [found]
  }
  return []
}

function compareHosts({ hostname: a }: Host, { hostname: b }: Host): number {
  return rank(a) - rank(b) || (rank(a) === 1 ? b.length - a.length : 0) || (a < b ? -1 : a > b ? 1 : 0)
}

function rank(hostname: string): number {
  return hostname === '*' ? 2 : hostname.startsWith('*.') ? 1 : 0
}

function rowsOf(host: Host, { hosts, policies }: Snapshot): Row[] {
  return matchesUnder(hosts, host).map((match) => {
    const { rule } = match
    return { hostname: host.hostname, match, rule, policy: policies.get(rule.policy) }
  })
}

function noRows(host: string | undefined): string {
  return host === undefined ? 'No Route is served.' : `No Route serves ${host}.`
}

function toText(rows: readonly Row[], snapshot: Snapshot): string {
  const head = ['HOST', 'PATH', 'METHOD', 'IF', 'ROUTE', 'RULE', 'ANSWERED BY']
  const several = snapshot.frontends.size > 1
  if (several) head.splice(1, 0, 'LISTENERS')
  const cells = rows.map(({ hostname, match, rule, policy }) => {
    const cells = [
      hostname,
      pathText(match),
      match.method ?? '*',
      conditions(match),
      rule.route,
      rule.rule,
      actionText(rule, policy),
    ]
    if (several) cells.splice(1, 0, listenerNames(match, snapshot).join(','))
    return cells
  })
  // A repeated host is printed once, so that the start of the next one is visible.
  for (let i = cells.length - 1; i > 0; i--) if (cells[i]![0] === cells[i - 1]![0]) cells[i]![0] = ''
  return align([head, ...cells])
}

function pathText({ path, within }: Match): string {
  const below = within.length > 0 ? ` (below ${within.join(', ')})` : ''
  if (path.type === 'Exact') return `= ${path.value}`
  if (path.type === 'RegularExpression') return `~ ${path.value}${below}`
  return path.value === '/' ? '/*' : `${path.value}/*`
}

function conditions(match: Match): string {
  const parts = [
    ...match.headers.map((header) => `header ${valueText(header)}`),
    ...match.queryParams.map((param) => `query ${valueText(param)}`),
    ...match.cookies.map((cookie) => `cookie ${valueText(cookie)}`),
    ...(match.sourceCIDRs.length > 0 ? [`from ${match.sourceCIDRs.join(' or ')}`] : []),
  ]
  return parts.length === 0 ? '-' : parts.join(' and ')
}

function valueText({ name, type, value }: ValueMatch): string {
  if (type === 'Exact') return `${name}=${value}`
  if (type === 'RegularExpression') return `${name}~${value}`
  return type === 'Present' ? name : `!${name}`
}

function actionText(rule: Rule, policy: PolicySet | undefined): string {
  if (rule.refuse !== undefined) return `refused: ${rule.refuse}`
  const action = policy?.action
  if (action?.type === 'redirect') return `redirect ${action.statusCode}`
  if (action?.type === 'respond') return `respond ${action.statusCode}`
  if (action?.type === 'issueTokens') return `issues tokens of ${action.issuer}`
  if (rule.backends.length === 0) return '-'
  const several = rule.backends.length > 1
  return rule.backends
    .map(({ backend, missing, weight, priority, refuse }) => {
      const name = refuse === undefined ? (backend ?? '-') : `${backend ?? missing ?? ''}[${refuse}]`
      return `${name}${several ? ` ${weight}` : ''}${priority > 0 ? ` priority ${priority}` : ''}`
    })
    .join(', ')
}

function listenerNames({ frontends: named }: Match, { frontends }: Snapshot): readonly string[] {
  const names = [...frontends.keys()]
  return named === undefined ? names : names.filter((name) => named.names.includes(name))
}

function toJson({ hostname, match, rule, policy }: Row, snapshot: Snapshot): unknown {
  const { rule: _, frontends: __, order: ___, ...rest } = match
  return {
    hostname,
    listeners: listenerNames(match, snapshot),
    ...rest,
    route: rule.route,
    rule: rule.rule,
    action: policy?.action ?? { type: 'forward' },
    backends: rule.backends,
    ...(rule.refuse === undefined ? {} : { refuse: rule.refuse }),
  }
}
