/**
 * Faults of endpoints under load, in the real gateway with a folder: one Backend for each fault, of which one endpoint
 * fails; all at the same time, since no Backend may touch another.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FaultLoad, type Outcome } from './fault-load.ts'
import { type Fault, FaultProcess } from './fault-process.ts'
import { type AccessLine, type FaultRow, type FaultTimes, faultRow } from './fault-row.ts'
import { type Gateway, startHeadgate } from './servers.ts'

export const CHECKS = ['passive', 'active', 'both'] as const
export type Check = (typeof CHECKS)[number]

export interface FaultPlan {
  readonly scratch: string
  readonly check: Check
  readonly faults: readonly Fault[]
  /** Of each Backend, the one that fails included. */
  readonly endpoints: number
  readonly workers: number
  /** GETs a second to each Backend. */
  readonly rate: number
  readonly posts: number
  readonly algorithm: string
  /** Milliseconds that the fault lasts. */
  readonly lasts: number
  /** Milliseconds from one probe to the next. */
  readonly interval: number
  /** Milliseconds until the head of a response. */
  readonly patience: number
  /** Milliseconds of the first ejection. */
  readonly ejection: number
}

/** How long an endpoint may take to come back: ejections that follow each other included. */
const RETURN_MS = 40_000
const WARM_UP_MS = 1_000
const LOOK_MS = 10
const RETRIED = ['ConnectFailure', 'ResetBeforeResponse', 'ResponseHeadTimeout']

interface Subject {
  readonly fault: Fault
  readonly name: string
  readonly process: FaultProcess
  readonly authority: string
  readonly load: FaultLoad
}

export async function runFaults(plan: FaultPlan): Promise<FaultRow[]> {
  const ends: (() => Promise<void>)[] = []
  try {
    const others = await FaultProcess.start('other', plan.endpoints - 1)
    ends.push(() => others.stop())
    const failing = await Promise.all(plan.faults.map(() => FaultProcess.start('failing', 1)))
    for (const process of failing) ends.push(() => process.stop())
    const manifests = failing.map(({ ports }, i) => manifest(plan, i, [...ports, ...others.ports]))
    const gateway = await startHeadgate(plan.scratch, undefined, { 'faults.yaml': manifests.join('') }, plan)
    ends.push(() => gateway.stop())
    const subjects = failing.map((process, i): Subject => {
      const options = { address: '127.0.0.1', port: gateway.port, host: hostOf(i), rate: plan.rate, posts: plan.posts }
      const authority = `127.0.0.1:${process.ports[0]}`
      return { fault: plan.faults[i]!, name: nameOf(i), process, authority, load: new FaultLoad(options) }
    })
    await delay(WARM_UP_MS)
    const times = await Promise.all(subjects.map((subject) => fail(plan, gateway, subject)))
    await Promise.all(subjects.map(({ load }) => load.stop()))
    const log = await accessLog(plan.scratch, subjects)
    return subjects.map(({ fault, name, authority, load }, i) => {
      const lines = log.filter(({ host }) => host === `${name}.example`)
      return faultRow(fault, times[i]!, load.outcomes, lines, authority)
    })
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

/** The fault begins, lasts and ends. */
async function fail(
  plan: FaultPlan,
  gateway: Gateway,
  { fault, name, process, authority, load }: Subject,
): Promise<FaultTimes> {
  const began = Date.now()
  const over = delay(plan.lasts)
  await process.begin(fault)
  let out: number | undefined
  while (out === undefined && Date.now() - began < plan.lasts) {
    if (!(await taken(gateway, name, authority))) out = Date.now()
    else await delay(LOOK_MS)
  }
  await over
  const ended = Date.now()
  await process.end(fault)
  const served = (outcome: Outcome): boolean =>
    outcome.at >= ended && outcome.servedBy === 'failing' && outcome.status === 200
  const first = await load.next(served, RETURN_MS)
  return { began, ended, out, back: first?.at }
}

async function taken(gateway: Gateway, name: string, authority: string): Promise<boolean> {
  const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/api/v1/backends?limit=1000`)
  const { items } = (await response.json()) as {
    items: { id: string; endpoints: { authority: string; taken: boolean }[] }[]
  }
  const backend = items.find(({ id }) => id === `faults/${name}`)
  const endpoint = backend?.endpoints.find((one) => one.authority === authority)
  if (endpoint === undefined) throw new Error(`the admin API shows no ${authority} of ${name}`)
  return endpoint.taken
}

/** Every line of the requests that were answered. */
async function accessLog(scratch: string, subjects: readonly Subject[]): Promise<AccessLine[]> {
  const wanted = subjects.reduce((sum, { load }) => sum + load.outcomes.length, 0)
  for (let waited = 0; ; waited += 50) {
    const text = readFileSync(join(scratch, 'headgate', 'access.log'), 'utf8')
    const lines = text.split('\n').slice(0, -1)
    if (lines.length >= wanted || waited > 10_000) return lines.map((line) => JSON.parse(line) as AccessLine)
    await delay(50)
  }
}

const nameOf = (index: number): string => `fault-${index}`
const hostOf = (index: number): string => `${nameOf(index)}.example`

function manifest(plan: FaultPlan, index: number, ports: readonly number[]): string {
  const { check, algorithm, interval, patience, ejection } = plan
  const active = { path: '/healthz', interval: `${interval}ms`, timeout: `${interval / 5}ms` }
  const off = { consecutiveFailures: 0, successRate: { belowMeanPercent: 0 } }
  const passive = check === 'active' ? off : { consecutiveFailures: 5, baseEjection: `${ejection}ms` }
  const name = nameOf(index)
  const backend = {
    endpoints: ports.map((port) => ({ address: '127.0.0.1', port })),
    loadBalancing: { algorithm },
    healthCheck: { passive, ...(check !== 'passive' && { active }) },
  }
  const policies = {
    timeouts: { responseHead: `${patience}ms` },
    retry: { attempts: 2, codes: [503], reasons: RETRIED },
  }
  const route = { hostnames: [hostOf(index)], rules: [{ name: 'all', backendRefs: [{ name }], policies }] }
  return object('Backend', name, backend) + object('Route', name, route)
}

function object(kind: string, name: string, spec: object): string {
  const metadata = { name, namespace: 'faults' }
  return `${JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind, metadata, spec })}\n---\n`
}
