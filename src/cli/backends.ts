/** `headgate backends`: which endpoints of each Backend a running gateway sends requests to, and why not to others. */
import type { BackendView } from '../admin/admin-data.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { AdminError, readList } from './admin-client.ts'
import { align } from './columns.ts'
import type { CommandIo } from './io.ts'
import type { BackendsCommand } from './parse.ts'
import { printable } from './printable.ts'

type EndpointView = BackendView['endpoints'][number]

/** @returns 1 where the gateway cannot be asked, or a name that was given is none of its Backends */
export async function showBackends(
  { names, admin, out, output }: BackendsCommand,
  io: CommandIo,
  now: () => number = Date.now,
): Promise<number> {
  let backends: readonly BackendView[]
  try {
    backends = (await readList(admin, '/api/v1/backends')) as BackendView[]
  } catch (error) {
    if (!(error instanceof AdminError)) throw error
    io.err(`headgate: ${printable(error.message)}\n`)
    return 1
  }
  const missing = names.filter((name) => !backends.some(({ id }) => isNamed(id, name)))
  for (const name of missing) io.err(`headgate: there is no Backend or namespace "${name}" in use\n`)
  const chosen = backends
    .filter(({ id }) => names.length === 0 || names.some((name) => isNamed(id, name)))
    .map((backend) => (out ? { ...backend, endpoints: backend.endpoints.filter(isOdd) } : backend))
    .filter(({ endpoints, eligible }) => !out || endpoints.length > 0 || eligible === 0)
  if (output === 'json') io.out(`${JSON.stringify(chosen, null, 2)}\n`)
  else if (chosen.length > 0) io.out(toText(chosen, now()))
  else if (missing.length === 0) io.out(out ? 'Every endpoint takes requests.\n' : 'No Backend is in use.\n')
  return missing.length > 0 ? 1 : 0
}

/** A Backend, a Service that a rule names directly, or all of a namespace. */
function isNamed(id: string, name: string): boolean {
  return id === name || namespaceOf(id) === name
}

/** It is out, or used although something is wrong. */
function isOdd({ taken, reason }: EndpointView): boolean {
  return !taken || reason !== ''
}

function toText(backends: readonly BackendView[], now: number): string {
  const rows = [['BACKEND', 'TAKEN', 'ENDPOINT', 'STATE', 'WEIGHT', 'IN FLIGHT', 'LAST PROBE', 'WHY']]
  for (const backend of backends) {
    const { eligible, total, panic } = backend
    const share = `${eligible} of ${total}${panic ? ', panic' : ''}`
    // One that has none is shown all the same.
    const lines = backend.endpoints.length === 0 ? [['-', '-', '-', '-', '-', whyEmpty(backend)]] : []
    for (const endpoint of backend.endpoints) lines.push(cellsOf(endpoint, now))
    for (const [i, line] of lines.entries()) rows.push([i === 0 ? backend.id : '', i === 0 ? share : '', ...line])
  }
  return align(rows.map((row) => row.map(printable)))
}

function whyEmpty({ total }: BackendView): string {
  return total === 0 ? 'it has no endpoints: requests are answered with 503' : ''
}

function cellsOf(endpoint: EndpointView, now: number): string[] {
  const { authority, state, taken, weight, inFlight, probe, reason, since, unanswered, limit } = endpoint
  const age = since === undefined ? '' : `for ${ago(since, now)}`
  const verdict = `${taken || state === 'draining' ? '' : 'not taken '}${age}`.trim()
  const why = [verdict, reason].filter((text) => text !== '').join(': ')
  const probed = probe === undefined ? '-' : `${probe.fault === '' ? 'ok' : 'failed'}, ${ago(probe.at, now)} ago`
  const bound = limit === undefined ? '' : `, ${unanswered} of ${limit} unanswered`
  return [authority, state, `${weight}`, `${inFlight}${bound}`, probed, why]
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const

/** `45s`, `12m`, `3h`: its largest unit. */
function ago(time: string, now: number): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1_000))
  for (const [unit, size] of UNITS) if (seconds >= size) return `${Math.floor(seconds / size)}${unit}`
  return '0s'
}
