import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { figure } from './figures.ts'
import { RELEASE, SYSTEM } from './headgate.ts'
import { kubectl } from './kubernetes.ts'
import { startLoad } from './load-pod.ts'
import type { LoadReport } from './load-report.ts'

interface LoadPlan {
  readonly namespace: string
  readonly host: string
  readonly address?: string
  readonly scheme?: 'http' | 'https'
  /** A new connection after so many requests. */
  readonly perConnection?: number
  /** Of cached-origin.ts. */
  readonly pages?: number
}

/** Runs the work under a steady load of this host, with some calm before and after; not one request may fail. */
export async function underLoad(
  what: string,
  { namespace, host, address, ...more }: LoadPlan,
  work: () => Promise<void>,
): Promise<LoadReport> {
  const { scheme = 'http', ...options } = more
  const url = `${scheme}://${address ?? (await insideAddress(scheme === 'https' ? 443 : 80))}/`
  const load = await startLoad(namespace, 'load', { url, host, rate: 100, connections: 10, ...options })
  await sleep(500)
  await work()
  await sleep(2000)
  const report = await load.stop()
  const { requests, failures, reasons, first, longestGap, latency } = report
  figure(`${what}: requests, failed`, `${requests}, ${failures}`, '0 failed')
  figure(`${what}: longest pause, latency p99`, `${longestGap.toFixed(0)} ms, ${latency.p99} ms`)
  assert.deepEqual({ failures, reasons, first }, { failures: 0, reasons: {}, first: [] })
  return report
}

/** Where pods reach Headgate. */
export const insideAddress = (port = 80) =>
  kubectl('get', 'service', RELEASE, '-n', SYSTEM, '-o', `jsonpath={.spec.clusterIP}:${port}`)

/** The pods with this label, those that are ending too. */
export async function podNames(namespace: string, label: string): Promise<string[]> {
  const path = 'jsonpath={.items[*].metadata.name}'
  const listed = await kubectl('get', 'pods', '-n', namespace, '-l', label, '-o', path)
  return listed === '' ? [] : listed.split(' ')
}
