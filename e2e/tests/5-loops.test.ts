/**
 * A second tenant leads requests back to Headgate: by every address in front of it, and by a program of its own. Nobody
 * else notices.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { notOurs } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { ask, type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { restricted } from '../lib/pods.ts'
import { answering, backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const TENANT = 'loops'
const VICTIM = 'loops-victim'
const EXTERNAL = '198.51.100.77'
/** Connections that a namespace may have, so that one machine can hold what the loop costs. */
const SHARE = 100
const BACKENDS = 8

interface FrontService {
  readonly spec: { readonly clusterIPs: readonly string[]; readonly ports: readonly { readonly nodePort: number }[] }
}

let door: Entrance
let nodes: readonly string[]
let nodePort: number
let clusterIPs: readonly string[]
let proxy: string

before(async () => {
  if (notOurs) return
  await install({
    values: {
      'service.type': 'NodePort',
      'service.ipFamilyPolicy': 'PreferDualStack',
      'settings.upstreams.limits.namespaceConnections': String(SHARE),
    },
  })
  await kubectl('patch', 'service', RELEASE, '-n', SYSTEM, '-p', JSON.stringify({ spec: { externalIPs: [EXTERNAL] } }))
  // Settings reach pods that run within minutes, and new ones at once.
  await kubectl('rollout', 'restart', `deployment/${RELEASE}`, '-n', SYSTEM)
  await rolledOut(SYSTEM, RELEASE)
  door = await entrance()
  const addresses = 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}'
  nodes = (await kubectl('get', 'nodes', '-o', addresses)).split(' ')
  const front = await get<FrontService>('service', RELEASE, SYSTEM)
  nodePort = front!.spec.ports[0]!.nodePort
  clusterIPs = front!.spec.clusterIPs
  for (const namespace of [TENANT, VICTIM]) await freshNamespace(namespace)
  const options = { namespace: VICTIM, name: 'web' }
  await apply(deployment(options), service(options), backend(VICTIM, 'web'), route(VICTIM, 'web', 'web.example'))
  await rolledOut(VICTIM, 'web')
  await until('traffic', async () => (await door.ask('web.example')).status === 200)
  proxy = await startProxy()
})

after(async () => {
  if (notOurs) return
  door?.close()
  for (const namespace of [TENANT, VICTIM])
    await kubectl('delete', 'namespace', namespace, '--ignore-not-found', '--wait=false')
  await kubectl('patch', 'service', RELEASE, '-n', SYSTEM, '-p', JSON.stringify({ spec: { externalIPs: null } }))
  await install()
})

/** @returns its address */
async function startProxy(): Promise<string> {
  const script = readFileSync(new URL('../lib/proxy-back.ts', import.meta.url), 'utf8')
  const command = ['node', '/proxy/proxy-back.mts', clusterIPs[0]!, '80', String(BACKENDS)]
  await apply(
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name: 'proxy', namespace: TENANT },
      data: { 'proxy-back.mts': script },
    },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'proxy', namespace: TENANT },
      spec: {
        automountServiceAccountToken: false,
        terminationGracePeriodSeconds: 0,
        ...restricted([{ name: 'proxy', command, mount: ['script', '/proxy'] }]),
        volumes: [{ name: 'script', configMap: { name: 'proxy' } }],
      },
    },
  )
  await kubectl('wait', '--for=condition=Ready', 'pod/proxy', '-n', TENANT, '--timeout=60s')
  const address = await kubectl('get', 'pod', 'proxy', '-n', TENANT, '-o', 'jsonpath={.status.podIP}')
  await until('the program answers', async () => (await ask(`${address}:9002`, '/', {})).status === 200)
  return address
}

const passes = async (): Promise<number> => Number((await ask(`${proxy}:9002`, '/', {})).body)
const backendAt = (name: string, address: string, port: number, limits: object = {}) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Backend',
  metadata: { name, namespace: TENANT },
  spec: { endpoints: [{ address, port }], limits },
})
const once = [{ name: 'all', policies: { retry: { attempts: 0 } } }]
const toBackend = (name: string, host: string) =>
  route(
    TENANT,
    name,
    host,
    once.map((rule) => ({ ...rule, backendRefs: [{ name }] })),
  )

describe('a tenant that sends requests back', { skip: notOurs }, () => {
  it('by an address in front of Headgate, or to the API server or a kubelet, of either family, is rejected and reported', async () => {
    const places: (readonly [address: string, port: number])[] = [
      ...nodes.flatMap((node) => [[node, nodePort] as const, [node, 6443] as const, [node, 10_250] as const]),
      ...clusterIPs.map((address) => [address, 80] as const),
      [EXTERNAL, 80],
    ]
    figure('addresses in front, families of the node', `${places.length}, ${nodes.length}`)
    await apply(
      ...places.flatMap(([address, port], i) => [
        backendAt(`front-${i}`, address, port),
        toBackend(`front-${i}`, `front-${i}.loops.example`),
      ]),
    )
    for (const [i, [address, port]] of places.entries()) {
      await until(`${address} ${port} is refused`, async () => {
        const path =
          'jsonpath={.status.conditions[?(@.type=="Healthy")].reason} {.status.conditions[?(@.type=="Healthy")].message}'
        const said = await kubectl('get', `backend.headgate.dev/front-${i}`, '-n', TENANT, '-o', path)
        return said.startsWith('AddressNotAllowed ') && said.includes(`port ${port} is`)
      })
      assert.equal((await door.ask(`front-${i}.loops.example`)).status, 503, `${address} ${port}`)
    }
  })

  it('by its own program ends at the second pass', async () => {
    await apply(backendAt('honest', proxy, 9000), toBackend('honest', 'honest.loops.example'))
    await until('it goes round', async () => (await door.ask('honest.loops.example')).status === 508)
    await underLoad('loops that end at the second pass', { namespace: VICTIM, host: 'web.example' }, async () => {
      const before_ = await passes()
      for (let i = 0; i < 50; i++) {
        const { status, body } = await door.ask('honest.loops.example')
        assert.deepEqual([status, JSON.parse(body).reason], [508, 'LoopDetected'])
      }
      assert.equal((await passes()) - before_, 50, 'once each')
    })
  })

  it('by a program that removes CDN-Loop uses its own share, while others are served and their changes apply', async () => {
    const limits = { maxConnections: 1_000_000, maxPending: 1_000_000 }
    const names = Array.from({ length: BACKENDS }, (_, i) => `h${i}`)
    await apply(
      ...names.flatMap((name) => [backendAt(name, proxy, 9001, limits), toBackend(name, `${name}.loops.example`)]),
    )
    await until('it goes round', async () => (await door.ask('h1.loops.example')).status === 503)
    await underLoad('loops without CDN-Loop', { namespace: VICTIM, host: 'web.example' }, async () => {
      const before_ = await passes()
      let stopped = false
      const loops = Array.from({ length: 4 }, async (_, i) => {
        let asked = 0
        while (!stopped && asked++ < 1_000) {
          const { status } = await door.ask(`h${i}.loops.example`)
          assert.ok(status === 503 || status === 502, String(status))
        }
      })
      await sleep(2_000)
      const times: number[] = []
      for (let i = 0; i < 5; i++) {
        const since = performance.now()
        await apply(route(VICTIM, `new-${i}`, `new-${i}.example`, [answering('new')]))
        await until('it acts', async () => (await door.ask(`new-${i}.example`)).status === 200, {
          seconds: 10,
          every: 10,
        })
        times.push(performance.now() - since)
      }
      stopped = true
      await Promise.all(loops)
      times.sort((a, b) => a - b)
      figure(
        'change of another namespace acts, median, slowest',
        `${times[2]!.toFixed(0)} ms, ${times[4]!.toFixed(0)} ms`,
        '< 1000 ms',
      )
      figure('passes through the program', (await passes()) - before_)
      assert.ok(times[2]! < 1_000, String(times))
    })
    assert.equal((await door.ask('web.example')).status, 200)
  })
})
