/**
 * Five thousand Routes: how soon a pod is ready, how large it gets, how fast changes act, and how much it asks of the
 * API server.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { accountOf, callsOf, countCalls } from '../lib/audit.ts'
import { notOurs } from '../lib/faults.ts'
import { figure, percentile } from '../lib/figures.ts'
import { fill } from '../lib/fill.ts'
import { ask, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { type Api, apply, freshNamespace, kubectl, openApi } from '../lib/kubernetes.ts'
import { type Load, startLoad } from '../lib/load-pod.ts'
import { type Histogram, metricsOf, quantile } from '../lib/metrics.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'scale'
const HOST = 'scale.example'
const NAMESPACES = Array.from({ length: 20 }, (_, i) => `many-${i}`)
const ROUTES = 250
const BACKENDS = 25
const ENDPOINTS = 10
const CHANGES = 60

let api: Api
let load: Load
/** When the pod was deleted. */
let restarted = 0

before(async () => {
  api = await openApi()
  await install({ values: { replicas: '1', workers: '2', 'resources.requests.cpu': '500m' } })
  await freshNamespace(NAMESPACE)
  const options = { namespace: NAMESPACE, name: 'scale', replicas: 2 }
  await apply(deployment(options), service(options), backend(NAMESPACE, 'scale'), route(NAMESPACE, 'scale', HOST))
  await rolledOut(NAMESPACE, 'scale')
  const started = performance.now()
  const objects = await fill(api, { namespaces: NAMESPACES, routes: ROUTES, backends: BACKENDS, endpoints: ENDPOINTS })
  figure('scale: objects created', `${objects} in ${((performance.now() - started) / 1000).toFixed(0)} s`)
})

after(async () => {
  api?.close()
  await kubectl('delete', 'namespace', NAMESPACE, ...NAMESPACES, '--ignore-not-found', '--wait=false')
})

describe('with 5,000 Routes, 500 Backends and 5,000 endpoints', { skip: notOurs }, () => {
  it('every Route gets its status by one write', async () => {
    const started = performance.now()
    await until('every status is written', async () => (await unwritten()) === 0, { seconds: 240, every: 2_000 })
    figure(
      'scale: last object created → every status written',
      `${((performance.now() - started) / 1000).toFixed(0)} s`,
    )
    const writes = countCalls(callsOf(accountOf()))['patch routes.headgate.dev/status'] ?? 0
    figure('scale: writes of statuses of Routes, in all tests so far', writes)
  })

  it('a pod is ready within seconds', async () => {
    restarted = Date.now()
    await kubectl('delete', 'pod', '-n', SYSTEM, '-l', `app.kubernetes.io/instance=${RELEASE}`, '--wait')
    await rolledOut(SYSTEM, RELEASE)
    const { address, name } = await thePod()
    const log = await kubectl('logs', '-n', SYSTEM, name)
    const took = Number(/ready after (\d+) ms/.exec(log)?.[1])
    figure('scale: start of the process → ready', `${took} ms`, '3 s')
    assert.ok(took < 10_000, `${took} ms`)
    assert.equal((await ask(`${address}:8080`, '/ping', { host: `r249.${NAMESPACES.at(-1)}.example` })).status, 200)
    await until('it leads', async () => (await kubectl('logs', '-n', SYSTEM, name)).includes('writes statuses'))
  })

  it('repeats no write then, stays small, and makes no calls to the API server at rest', async () => {
    // What a restart brings with it, besides its writes, is over.
    await sleep(5_000)
    const since = Date.now()
    await sleep(60_000)
    const writes = countCalls(callsOf(accountOf(), restarted))['patch routes.headgate.dev/status'] ?? 0
    figure('scale: statuses written after the restart', writes, '0')
    assert.equal(writes, 0)
    const { address } = await thePod()
    const memory = ((await metricsOf(`${address}:9902`)).value('process_resident_memory_bytes') ?? 0) / 2 ** 20
    figure('scale: resident memory of the process', `${memory.toFixed(0)} MiB`, '300 MiB')
    const calls = callsOf(accountOf(), since).filter(({ objectRef }) => objectRef?.resource !== 'leases')
    const asked = calls.filter(({ verb }) => verb !== 'watch')
    figure(
      'scale: calls in a minute at rest, without the Lease',
      `${asked.length}, and ${calls.length - asked.length} watches`,
      '10',
    )
    assert.ok(asked.length <= 10, JSON.stringify(countCalls(asked)))
    assert.ok(memory < 400, `${memory} MiB`)
  })

  it(`acts on a change of a Route at once under load, ${CHANGES} times`, async () => {
    const { address } = await thePod()
    load = await startLoad(NAMESPACE, 'load', {
      url: `http://${address}:8080/`,
      host: HOST,
      rate: 200,
      connections: 10,
    })
    const path = `/apis/headgate.dev/v1alpha1/namespaces/${NAMESPACE}/routes/edited`
    await apply(route(NAMESPACE, 'edited', 'edited.example', [answering('0')]))
    const answer = async () => (await ask(`${address}:8080`, '/', { host: 'edited.example' })).body
    await until('the first', async () => (await answer()) === '0')
    const before = (await metricsOf(`${address}:9902`)).histogram('headgate_config_change_seconds')
    const times: number[] = []
    for (let version = 1; version <= CHANGES; version++) {
      const started = performance.now()
      const { status } = await api.request('PATCH', path, { spec: { rules: [answering(`${version}`)] } })
      assert.equal(status, 200)
      await until('the edit', async () => (await answer()) === `${version}`, { every: 1 })
      times.push(performance.now() - started)
    }
    const after = await measured(address, 'headgate_config_change_seconds', before)
    told('Route', 'sent to the API server', times, before, after, '100 ms')
  })

  it(`acts on a change of pods at once under load, ${CHANGES} times`, async () => {
    const { address } = await thePod()
    const [one, other] = (
      await kubectl('get', 'pods', '-n', NAMESPACE, '-l', 'app=scale', '-o', 'jsonpath={.items[*].status.podIP}')
    ).split(' ')
    const metadata = { name: 'moving', namespace: NAMESPACE }
    await apply(
      { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: 'None', ports: [{ name: 'http', port: 80 }] } },
      slice(one!),
      backend(NAMESPACE, 'moving'),
      route(NAMESPACE, 'moving', 'moving.example'),
    )
    const served = async () => (await ask(`${address}:8080`, '/', { host: 'moving.example' })).headers['x-served-by']
    const first = await until('traffic', async () => served())
    const path = `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices/moving`
    const before = (await metricsOf(`${address}:9902`)).histogram('headgate_endpoint_change_seconds')
    const times: number[] = []
    for (let i = 1; i <= CHANGES; i++) {
      const started = performance.now()
      const { status } = await api.request('PATCH', path, { endpoints: slice(i % 2 === 0 ? one! : other!).endpoints })
      assert.equal(status, 200)
      await until('the other pod', async () => ((await served()) === first) === (i % 2 === 0), { every: 1 })
      times.push(performance.now() - started)
    }
    const after = await measured(address, 'headgate_endpoint_change_seconds', before)
    told('pods', 'sent to the API server', times, before, after, '20 ms')
  })

  it('makes few calls while a backend is rolled, and no request fails', async () => {
    const since = Date.now()
    await kubectl('rollout', 'restart', 'deployment/scale', '-n', NAMESPACE)
    await rolledOut(NAMESPACE, 'scale')
    const calls = callsOf(accountOf(), since).filter(({ objectRef }) => objectRef?.resource !== 'leases')
    figure(
      'scale: calls during a rolling update, without the Lease',
      `${calls.length} in ${((Date.now() - since) / 1000).toFixed(0)} s`,
    )
    const { requests, failures, reasons, latency } = await load.stop()
    figure('scale: requests, failed during all these changes', `${requests}, ${failures}`, '0 failed')
    figure('scale: latency p50, p99', `${latency.p50} ms, ${latency.p99} ms`)
    assert.deepEqual({ failures, reasons }, { failures: 0, reasons: {} })
  })
})

const ROUTES_PATH = '/apis/headgate.dev/v1alpha1/routes'

const answering = (body: string) => ({ name: 'all', respond: { statusCode: 200, body } })

const slice = (address: string) => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: 'moving', namespace: NAMESPACE, labels: { 'kubernetes.io/service-name': 'moving' } },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 9000, protocol: 'TCP' }],
  endpoints: [{ addresses: [address], conditions: { ready: true, serving: true, terminating: false } }],
})

/** What the pod has measured of all changes: what is served by one worker is measured when all of them serve it. */
function measured(address: string, name: string, before: Histogram): Promise<Histogram> {
  return until(`${CHANGES} changes that the pod has measured`, async () => {
    const after = (await metricsOf(`${address}:9902`)).histogram(name)
    return after.count - before.count >= CHANGES && after
  })
}

/** Both measures of the same changes. The one from outside holds two ways to the API server and one request besides. */
function told(
  what: string,
  from: string,
  times: readonly number[],
  before: Histogram,
  after: Histogram,
  goal: string,
): void {
  const outside = (share: number) => `${percentile(times, share).toFixed(0)} ms`
  const inside = (share: number) => quantile(before, after, share).map((seconds) => seconds * 1000)
  figure(`scale: change of ${what} ${from} → seen from outside, p50, p99`, `${outside(0.5)}, ${outside(0.99)}`)
  for (const share of [0.5, 0.99]) {
    const [above, atMost] = inside(share)
    figure(`scale: the same as the pod measures it, p${share * 100}`, `${above} to ${atMost} ms`, goal)
    // It cannot take longer inside than outside.
    assert.ok(above! <= percentile(times, share), `${above} ms inside, ${percentile(times, share)} ms outside`)
  }
}

async function thePod(): Promise<{ readonly name: string; readonly address: string }> {
  const { items } = JSON.parse(
    await kubectl('get', 'pods', '-n', SYSTEM, '-l', `app.kubernetes.io/instance=${RELEASE}`, '-o', 'json'),
  ) as { items: { metadata: { name: string; deletionTimestamp?: string }; status: { podIP: string } }[] }
  const { metadata, status } = items.find((pod) => pod.metadata.deletionTimestamp === undefined)!
  return { name: metadata.name, address: status.podIP }
}

/** Routes whose status does not say Ready for what they are now. */
async function unwritten(): Promise<number> {
  let left = 0
  let next = ''
  do {
    const { body } = await api.request('GET', `${ROUTES_PATH}?limit=500${next === '' ? '' : `&continue=${next}`}`)
    for (const { metadata, status } of body.items as RouteObject[]) {
      const ready = status?.conditions?.find(({ type }) => type === 'Ready')
      if (ready?.status !== 'True' || ready.observedGeneration !== metadata.generation) left++
    }
    next = encodeURIComponent(body.metadata.continue ?? '')
  } while (next !== '')
  return left
}

interface RouteObject {
  readonly metadata: { readonly generation: number }
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly observedGeneration?: number
    }[]
  }
}
