/**
 * What the whole gateway writes into a cluster: statuses, Events, its Lease, last good versions. The real API server is
 * in e2e.
 */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import type { Manifest } from '../suite/source.ts'
import { eventually, type Gateway, type Scope, startGateway, suiteScope } from './harness.ts'
import { kubeconfigFile } from './kubeconfig.ts'
import type { ObjectStatus } from './object-status.ts'
import { request } from './raw-client.ts'

const API = 'headgate.dev/v1alpha1'

const answering = (name: string, body: string, host = `${name}.test`): Manifest => ({
  apiVersion: API,
  kind: 'Route',
  metadata: { name, namespace: 'shop' },
  spec: { hostnames: [host], rules: [{ name: 'all', respond: { statusCode: 200, body } }] },
})

const SERVICE: Manifest = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'headgate', namespace: 'gateway' },
  spec: { type: 'LoadBalancer', ports: [{ port: 80 }] },
  status: { loadBalancer: { ingress: [{ ip: '203.0.113.9' }] } },
}
/** Lists every replica, as the chart's does. */
const REPLICAS: Manifest = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'headgate-replicas', namespace: 'gateway' },
  spec: { clusterIP: 'None', ports: [{ name: 'signals', port: 9902 }] },
}
const PODS = ['alpha', 'headgate', 'omega']
/** Its slice: this process is the pod `headgate`. */
const replicasIn = (...zones: readonly string[]): Manifest => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: {
    name: 'headgate-replicas-1',
    namespace: 'gateway',
    labels: { 'kubernetes.io/service-name': 'headgate-replicas' },
  },
  addressType: 'IPv4',
  ports: [{ name: 'signals', port: 9902 }],
  endpoints: zones.map((zone, i) => ({
    addresses: [`203.0.113.${i + 1}`],
    conditions: { ready: true, serving: true, terminating: false },
    zone,
    targetRef: { kind: 'Pod', namespace: 'gateway', name: PODS[i] },
  })),
})
const LEASE = { apiVersion: '', kind: 'Lease', metadata: { name: 'headgate', namespace: 'gateway' } }
const KEPT = { apiVersion: '', kind: 'ConfigMap', metadata: { name: 'headgate-last-good', namespace: 'gateway' } }

async function gatewayOn(scope: Scope, api: FakeApi, options: { readonly unready?: boolean } = {}): Promise<Gateway> {
  const file = await kubeconfigFile(scope, api)
  Object.assign(process.env, {
    HEADGATE_INSTALLATION: 'headgate',
    POD_NAMESPACE: 'gateway',
    HEADGATE_SERVICE: 'headgate',
    HEADGATE_REPLICAS: 'headgate-replicas',
    POD_NAME: 'headgate',
  })
  return startGateway(scope, {}, { source: ['--kubeconfig', file], ...options })
}

describe('what the gateway says to its cluster', () => {
  const scope = suiteScope()
  let api: FakeApi
  let gateway: Gateway
  before(async () => {
    api = await new FakeApi().listen()
    scope.after(() => api.kill())
    api.put(SERVICE)
    api.put(REPLICAS)
    api.put(replicasIn('a', 'b', 'b'))
    api.put(answering('first', 'one'))
    gateway = await gatewayOn(scope, api)
  })

  const said = (manifest: Manifest): ObjectStatus => (api.get(manifest) ?? {}) as ObjectStatus
  const conditionOf = (manifest: Manifest, wanted: string) =>
    said(manifest).status?.conditions?.find(({ type }) => type === wanted)
  const writes = () =>
    api.asked.filter(({ verb, collection }) => !['get', 'list', 'watch'].includes(verb) && collection !== 'leases')
  const serves = async (host: string) => (await gateway.request({ host })).text

  it('finds its zone and its place in the slices of its own Service, and follows them', async () => {
    const place = async () => {
      const answer = await request(gateway.adminPort, { path: '/api/v1/version', host: 'localhost' })
      const { zone, replica, replicas } = answer.json() as Record<string, unknown>
      return [zone, replica, replicas]
    }
    await eventually(async () => assert.deepEqual(await place(), ['b', 2, 3]))
    api.put(replicasIn('a', 'c'))
    await eventually(async () => assert.deepEqual(await place(), ['c', 2, 2]))
  })

  it('makes a Route Ready, with generation and addresses, when every worker serves it', async () => {
    const first = answering('first', 'one')
    await eventually(() => assert.equal(conditionOf(first, 'Ready')?.status, 'True'))
    assert.equal(conditionOf(first, 'Programmed')?.observedGeneration, 1)
    assert.equal(said(first).status?.addresses?.[0]?.value, '203.0.113.9')
    assert.equal(said(first).status?.rules, 1)
    assert.match(said(LEASE).spec?.holderIdentity ?? '', /^headgate_/)
  })

  it('follows an edit', async () => {
    const edited = answering('first', 'two')
    api.put({ ...edited, status: said(edited).status })
    await eventually(() => assert.equal(conditionOf(edited, 'Ready')?.observedGeneration, 2))
    assert.equal(await serves('first.test'), 'two')
  })

  it('serves an Ingress and tells it where it is reached', async () => {
    const ingress: Manifest = {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { name: 'web', namespace: 'shop' },
      spec: {
        rules: [
          {
            host: 'web.test',
            http: {
              paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'api', port: { name: 'http' } } } }],
            },
          },
        ],
      },
    }
    api.put(ingress)
    await eventually(() => assert.deepEqual(said(ingress).status?.loadBalancer, { ingress: [{ ip: '203.0.113.9' }] }))
    assert.equal((await gateway.request({ host: 'web.test' })).status, 500)
    api.put({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'api', namespace: 'shop' },
      spec: { ports: [{ name: 'http', port: 80 }] },
    })
    await eventually(async () => assert.equal((await gateway.request({ host: 'web.test' })).status, 503))
  })

  it('makes no Route Ready whose Backend has a port that its Service has not, until it has', async () => {
    const metadata = { name: 'port', namespace: 'shop' }
    const ports = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { ports: [{ name, port: 80 }] },
    })
    const made = (kind: string, spec: object): Manifest => ({ apiVersion: API, kind, metadata, spec })
    const asking = made('Route', {
      hostnames: ['port.test'],
      rules: [{ name: 'all', backendRefs: [{ name: 'port' }] }],
    })
    api.put(ports('web'))
    api.put(made('Backend', { service: { name: 'port', port: 'http' } }))
    api.put(asking)
    await eventually(() => {
      assert.equal(conditionOf(asking, 'Ready')?.status, 'False')
      assert.equal(conditionOf(asking, 'Ready')?.reason, 'PortNotFound')
      assert.match(
        conditionOf(asking, 'ResolvedRefs')?.message ?? '',
        /^rule all: Backend shop\/port: Service shop\/port has no TCP port http/,
      )
    })
    assert.equal((await gateway.request({ host: 'port.test' })).status, 503)
    api.put(ports('http'))
    await eventually(() => assert.equal(conditionOf(asking, 'Ready')?.status, 'True'))
    // No pods is no matter of configuration.
    assert.equal((await gateway.request({ host: 'port.test' })).status, 503)
  })

  it('tells by an Event when a hostname comes to another namespace', async () => {
    const of = (namespace: string, created: string): Manifest => ({
      apiVersion: API,
      kind: 'Route',
      metadata: { name: 'moved', namespace, ...{ creationTimestamp: created } },
      spec: { hostnames: ['moved.test'], rules: [{ name: 'all', respond: { statusCode: 200, body: namespace } }] },
    })
    api.put(of('shop', '2001-01-01T00:00:00Z'))
    api.put(of('team', '2002-01-01T00:00:00Z'))
    await eventually(async () => assert.equal(await serves('moved.test'), 'shop'))
    api.remove(of('shop', '2001-01-01T00:00:00Z'))
    await eventually(async () => assert.equal(await serves('moved.test'), 'team'))
    const events = async () => {
      const answer = await fetch(`${api.url}/apis/events.k8s.io/v1/namespaces/team/events`)
      return ((await answer.json()) as { items: { reason: string; note: string }[] }).items
    }
    await eventually(async () => {
      const told = (await events()).find(({ reason }) => reason === 'HostnameHandedOver')
      assert.match(
        told?.note ?? '',
        /^moved\.test has come from namespace shop \(Route shop\/moved\) to namespace team/,
      )
    })
    await eventually(() =>
      assert.ok(gateway.processLog.some((line) => line.includes('moved.test has come from namespace shop'))),
    )
    api.remove(of('team', ''))
  })

  it('counts the endpoints of a Backend', async () => {
    const metadata = { name: 'back', namespace: 'shop' }
    const backend: Manifest = {
      apiVersion: API,
      kind: 'Backend',
      metadata,
      spec: { endpoints: [{ address: '192.0.2.1', port: 80 }] },
    }
    api.put(backend)
    await eventually(() => assert.deepEqual(said(backend).status?.endpoints, { total: 1, ready: 1, eligible: 1 }))
    assert.equal(conditionOf(backend, 'Healthy')?.status, 'True')
  })

  it('tells a conflict by an Event', async () => {
    api.put({ ...answering('second', 'never', 'first.test') })
    await eventually(async () => {
      const answer = await fetch(`${api.url}/apis/events.k8s.io/v1/namespaces/shop/events`)
      const { items } = (await answer.json()) as { items: { reason: string; regarding: { name: string } }[] }
      assert.ok(items.some(({ reason, regarding }) => reason === 'Conflicted' && regarding.name === 'second'))
    })
    assert.equal(conditionOf(answering('second', ''), 'Ready')?.status, 'False')
  })

  it('keeps the last good version of what an edit broke', async () => {
    const broken = answering('first', 'broken')
    api.put({ ...broken, spec: { ...(broken.spec as object), nonsense: true }, status: said(broken).status })
    await eventually(() => assert.equal(conditionOf(broken, 'Stale')?.status, 'True'))
    await eventually(() => assert.equal(Object.keys(said(KEPT).binaryData ?? {}).length, 1))
    assert.equal(await serves('first.test'), 'two')
  })

  it('does not say of a Service that it is not there because it was not read yet', async () => {
    const names = ['late-a', 'late-b', 'late-c']
    for (const name of names) {
      api.put({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name, namespace: 'shop' },
        spec: { ports: [{ port: 80 }] },
      })
      api.put({
        apiVersion: 'discovery.k8s.io/v1',
        kind: 'EndpointSlice',
        metadata: { name: `${name}-1`, namespace: 'shop', labels: { 'kubernetes.io/service-name': name } },
        addressType: 'IPv4',
        ports: [{ port: 8080 }],
        endpoints: [{ addresses: ['192.0.2.7'], conditions: { ready: true } }],
      })
    }
    for (const name of names) {
      const metadata = { name, namespace: 'shop' }
      api.put({ apiVersion: API, kind: 'Backend', metadata, spec: { service: { name, port: 80 } } })
      await eventually(() => {
        const { status } = api.get({ apiVersion: API, kind: 'Backend', metadata }) as ObjectStatus
        assert.equal(status?.conditions?.find(({ type }) => type === 'Healthy')?.status, 'True')
      })
    }
    assert.deepEqual(
      gateway.processLog.filter((line) => /late-.*there is no Service/.test(line)),
      [],
    )
  })

  it('frees its Lease, and after a restart serves the same, leads at once and writes nothing', async () => {
    await gateway.shutDown()
    assert.equal(said(LEASE).spec?.holderIdentity, '')
    const before = writes().length
    gateway = await gatewayOn(scope, api)
    assert.equal(await serves('first.test'), 'two')
    await eventually(() => assert.match(said(LEASE).spec?.holderIdentity ?? '', /^headgate_/))
    await eventually(() => assert.ok(gateway.processLog.some((line) => line.includes('writes statuses from now on'))))
    // Whatever is to be said is said within the next turns; a new object shows that they are over.
    api.put(answering('third', 'three'))
    await eventually(() => assert.equal(conditionOf(answering('third', ''), 'Ready')?.status, 'True'))
    assert.deepEqual(
      writes()
        .slice(before)
        .map(({ collection, name }) => `${collection} ${name}`),
      ['routes third'],
    )
  })

  it('goes on serving while the API server is away, and writes what it missed', async () => {
    await api.kill()
    assert.equal(await serves('third.test'), 'three')
    await api.restart()
    api.put(answering('fourth', 'four'))
    await eventually(() => assert.equal(conditionOf(answering('fourth', ''), 'Ready')?.status, 'True'))
  })

  it('says why it is not ready where no API server is there at its start, and becomes ready by itself', async () => {
    const late = await new FakeApi().listen()
    scope.after(() => late.kill())
    late.put(answering('late', 'here'))
    await late.kill()
    const waiting = await gatewayOn(scope, late, { unready: true })
    await eventually(async () => {
      const { status, text } = await request(waiting.signalsPort, { path: '/readyz', host: 'localhost' })
      assert.equal(status, 503)
      assert.match(text, new RegExp(`API server at ${late.url} cannot be reached: .*ECONNREFUSED`))
    })
    await late.restart()
    await eventually(async () => assert.equal((await waiting.request({ host: 'late.test' })).text, 'here'))
    await eventually(() => {
      const route = late.get(answering('late', 'here')) as ObjectStatus
      assert.equal(route.status?.conditions?.find(({ type }) => type === 'Ready')?.status, 'True')
    })
  })
})
