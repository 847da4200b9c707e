/**
 * A rolling update in the real gateway with a folder: endpoints end at once, without a word and before anybody has
 * taken them out of the set, as pods without a preStop hook do. The policies are the defaults.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { FaultLoad } from './fault-load.ts'
import { FaultProcess } from './fault-process.ts'
import { type Failures, faultRow } from './fault-row.ts'
import { startHeadgate } from './servers.ts'

export interface RollingPlan {
  readonly scratch: string
  readonly workers: number
  readonly algorithm: string
  readonly endpoints: number
  /** How many end at a time. */
  readonly atOnce: number
  /** Milliseconds from their end until the set is without them. */
  readonly lag: number
  /** GETs a second. */
  readonly rate: number
  readonly posts: number
}

export interface RollingResult {
  readonly gets: Failures
  readonly posts: Failures
}

const HOST = 'rolling.example'
const WARM_UP_MS = 1_000
const BETWEEN_MS = 300

export async function runRolling(plan: RollingPlan): Promise<RollingResult> {
  const all: FaultProcess[] = []
  const start = async (count: number): Promise<FaultProcess[]> => {
    const started = await Promise.all(Array.from({ length: count }, (_, i) => FaultProcess.start(`pod-${i}`, 1)))
    all.push(...started)
    return started
  }
  let stop = async (): Promise<void> => {}
  try {
    let serving = await start(plan.endpoints)
    const files = { 'rolling.yaml': manifest(plan, serving) }
    const gateway = await startHeadgate(plan.scratch, undefined, files, plan)
    stop = gateway.stop
    const replace = (endpoints: readonly FaultProcess[]): void => {
      writeFileSync(join(plan.scratch, 'next'), manifest(plan, endpoints))
      renameSync(join(plan.scratch, 'next'), join(gateway.folder, 'rolling.yaml'))
    }
    const options = { address: '127.0.0.1', port: gateway.port, host: HOST, rate: plan.rate, posts: plan.posts }
    const load = new FaultLoad(options)
    await delay(WARM_UP_MS)
    const began = Date.now()
    for (let rolled = 0; rolled < plan.endpoints; rolled += plan.atOnce) {
      serving = [...serving, ...(await start(plan.atOnce))]
      replace(serving)
      await delay(BETWEEN_MS)
      const leaving = serving.slice(0, plan.atOnce)
      serving = serving.slice(plan.atOnce)
      await Promise.all(leaving.map((one) => one.begin('kill -9')))
      await delay(plan.lag)
      replace(serving)
      await delay(BETWEEN_MS)
    }
    const ended = Date.now()
    await load.stop()
    const times = { began, ended, out: undefined, back: undefined }
    const { gets, posts } = faultRow('rolling update', times, load.outcomes, [], '')
    return { gets, posts }
  } finally {
    await stop()
    await Promise.all(all.map((one) => one.stop()))
  }
}

function manifest({ algorithm }: RollingPlan, endpoints: readonly FaultProcess[]): string {
  const backend = {
    endpoints: endpoints.map(({ ports }) => ({ address: '127.0.0.1', port: ports[0] })),
    loadBalancing: { algorithm },
  }
  const route = { hostnames: [HOST], rules: [{ name: 'all', backendRefs: [{ name: 'rolling' }] }] }
  return [
    { kind: 'Backend', spec: backend },
    { kind: 'Route', spec: route },
  ]
    .map(({ kind, spec }) => {
      const metadata = { name: 'rolling', namespace: 'faults' }
      return `${JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind, metadata, spec })}\n---\n`
    })
    .join('')
}
