/**
 * Pods fail under load, each in its way, at the same time: no idempotent request fails, the status says who is out, and
 * each serves again once it is well.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { FaultLoad, type Outcome } from '../../bench/lib/fault-load.ts'
import { type AccessLine, describeFailures, type FaultTimes, faultRow } from '../../bench/lib/fault-row.ts'
import { FaultPod, failing, faultPods, hostOf, nameOf, PORT, type PodFault } from '../lib/fault-pods.ts'
import { notOurs } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'endpoint-faults'
const FAULTS: readonly (readonly [PodFault, string])[] = [
  ['kill -9', 'killed'],
  ['SIGSTOP', 'stopped'],
  ['refuses', 'refuses connections'],
  ['resets', 'resets connections'],
  ['fails', 'answers 503'],
  ['slow', 'takes 2 s'],
]
const HEALTH_CHECK = {
  active: { path: '/healthz', interval: '2s', timeout: '1s' },
  passive: { consecutiveFailures: 5, baseEjection: '5s' },
}
const POLICIES = {
  timeouts: { responseHead: '1500ms' },
  retry: { attempts: 3, codes: [503], reasons: ['ConnectFailure', 'ResetBeforeResponse', 'ResponseHeadTimeout'] },
}
/** Milliseconds that a fault lasts at least. */
const LASTS = 5_000
/** Of all endpoints of a Backend. */
const ENDPOINTS = 4

let door: Entrance
const loads: FaultLoad[] = []

before(async () => {
  if (notOurs) return
  await install()
  door = await entrance()
  await freshNamespace(NAMESPACE)
  await apply(...faultPods(NAMESPACE, FAULTS.length, { healthCheck: HEALTH_CHECK }, POLICIES))
  await kubectl('wait', 'pod', '--all', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=60s')
  for (const index of FAULTS.keys()) {
    await until(`traffic of ${nameOf(index)}`, async () => (await door.ask(hostOf(index))).status === 200)
    await until(`status of ${nameOf(index)}`, async () => (await eligible(index)) === ENDPOINTS)
  }
})

after(async () => {
  if (notOurs) return
  door?.close()
  await Promise.all(loads.map((load) => load.stop()))
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

describe('a pod of four that fails under load', { skip: notOurs }, () => {
  it('fails no idempotent request, is reported, and serves again', async () => {
    const [address, port] = door.address.split(':')
    const pods = await Promise.all(FAULTS.map((_, index) => FaultPod.find(NAMESPACE, failing(index))))
    for (const index of FAULTS.keys())
      loads.push(new FaultLoad({ address: address!, port: Number(port), host: hostOf(index), rate: 12, posts: 2 }))
    await sleep(1000)
    const times = await Promise.all(FAULTS.map(([fault], index) => fail(fault, index, pods[index]!)))
    await Promise.all(loads.map((load) => load.stop()))
    const log = await accessLog()
    for (const [index, [, name]] of FAULTS.entries()) {
      const lines = log.filter(({ host }) => host === hostOf(index))
      const authority = `${pods[index]!.address}:${PORT}`
      const row = faultRow(name, times[index]!, loads[index]!.outcomes, lines, authority)
      const { met, lastAfter = 0, gets, posts, outAfter, backAfter } = row
      figure(`a pod ${name}: requests that met it, the last one after`, `${met}, ${lastAfter} ms`, '4000 ms')
      figure(`a pod ${name}: GETs, POSTs failed`, `${describeFailures(gets)}, ${describeFailures(posts)}`, '0 GETs')
      figure(`a pod ${name}: status after, back after`, `${outAfter ?? '–'} ms, ${backAfter ?? '–'} ms`)
      assert.deepEqual([name, gets.failed, gets.statuses], [name, 0, {}])
      assert.ok(backAfter !== undefined, `a pod ${name} does not serve again`)
    }
  })

  it('is counted as eligible again', async () => {
    for (const index of FAULTS.keys())
      await until(`${nameOf(index)} is well`, async () => (await eligible(index)) === ENDPOINTS, { seconds: 60 })
  })
})

async function fail(fault: PodFault, index: number, pod: FaultPod): Promise<FaultTimes> {
  const began = Date.now()
  await pod.begin(fault)
  let out: number | undefined
  // One that is killed is started again, sooner than its status is written.
  if (fault !== 'kill -9') {
    const lasts = sleep(LASTS)
    await until(`${nameOf(index)} says who is out`, async () => (await eligible(index)) === ENDPOINTS - 1, {
      seconds: 90,
    })
    out = Date.now()
    await lasts
  }
  await pod.end(fault)
  const ended = Date.now()
  const served = ({ at, servedBy, status }: Outcome) => at >= ended && servedBy === failing(index) && status === 200
  const first = await loads[index]!.next(served, 60_000)
  return { began, ended, out, back: first?.at }
}

/** As the status says. */
async function eligible(index: number): Promise<number | undefined> {
  const found = await get<{ status?: { endpoints?: { eligible: number } } }>(
    'backend.headgate.dev',
    nameOf(index),
    NAMESPACE,
  )
  return found?.status?.endpoints?.eligible
}

/** Of all replicas. */
async function accessLog(): Promise<AccessLine[]> {
  const label = `app.kubernetes.io/instance=${RELEASE}`
  const text = await kubectl('logs', '-n', SYSTEM, '-l', label, '--since=5m', '--tail=-1', '--max-log-requests=20')
  return text
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}') && line.includes('"duration"'))
    .map((line) => JSON.parse(line) as AccessLine)
}
