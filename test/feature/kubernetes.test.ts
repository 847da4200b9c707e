/** The whole gateway reading from an API server; a fake one, so that it can be taken away. The real one is in e2e. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import { eventually, type Gateway, type Scope, startGateway, suiteScope } from './harness.ts'
import { kubeconfigFile } from './kubeconfig.ts'
import { request } from './raw-client.ts'

const API = 'headgate.dev/v1alpha1'

const answering = (name: string, body: string) => ({
  apiVersion: API,
  kind: 'Route',
  metadata: { name, namespace: 'shop' },
  spec: { hostnames: [`${name}.test`], rules: [{ name: 'all', respond: { statusCode: 200, body } }] },
})

async function gatewayOn(scope: Scope, api: FakeApi, options: { readonly unready?: boolean } = {}): Promise<Gateway> {
  const file = await kubeconfigFile(scope, api, 'secret-token')
  return startGateway(scope, {}, { source: ['--kubeconfig', file], ...options })
}

describe('resources from an API server', () => {
  const scope = suiteScope()
  let api: FakeApi
  let gateway: Gateway
  before(async () => {
    api = await new FakeApi().listen()
    scope.after(() => api.kill())
    api.put(answering('first', 'one'))
    gateway = await gatewayOn(scope, api)
  })

  const body = async (host: string) => (await gateway.request({ host })).text

  it('serves what was there at the start, and every change', async () => {
    assert.equal(await body('first.test'), 'one')
    api.put(answering('first', 'two'))
    await eventually(async () => assert.equal(await body('first.test'), 'two'))
    api.put(answering('second', 'new'))
    await eventually(async () => assert.equal(await body('second.test'), 'new'))
    api.remove(answering('second', 'new'))
    await eventually(async () => assert.equal((await gateway.request({ host: 'second.test' })).status, 404))
  })

  it('serves the last good version of an object that a raw POST broke', async () => {
    api.put(answering('kept', 'good'))
    await eventually(async () => assert.equal(await body('kept.test'), 'good'))
    const broken = answering('kept', 'bad')
    api.put({ ...broken, spec: { ...broken.spec, nonsense: true } })
    api.put(answering('after', 'the break'))
    await eventually(async () => assert.equal(await body('after.test'), 'the break'))
    assert.equal(await body('kept.test'), 'good')
  })

  it('reads Services and their slices only when a Backend names them, and dials no loopback', async () => {
    const asked = api.asked.filter(({ collection }) => collection === 'services')
    // What the dial guard has to know is read besides.
    assert.deepEqual([...new Set(asked.map(({ query }) => query.get('fieldSelector')))], ['metadata.name=kubernetes'])
    const metadata = { name: 'api', namespace: 'shop' }
    api.put({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ name: 'http', port: 80 }] } })
    api.put({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'api-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'api' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [
        { addresses: ['127.0.0.1'], conditions: { ready: true } },
        { addresses: ['192.0.2.7'], conditions: { ready: true } },
      ],
    })
    api.put({ apiVersion: API, kind: 'Backend', metadata, spec: { service: { name: 'api', port: 'http' } } })
    api.put({
      apiVersion: API,
      kind: 'Route',
      metadata,
      spec: { hostnames: ['api.test'], rules: [{ name: 'all', backendRefs: [{ name: 'api' }] }] },
    })
    await eventually(async () => {
      const answer = await request(gateway.adminPort, { path: '/api/v1/backends', host: 'localhost' })
      const shown = answer.text
      assert.match(shown, /192\.0\.2\.7/)
      assert.doesNotMatch(shown, /127\.0\.0\.1:8080/)
    })
    const timed = async () => {
      const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
      return Number(/^headgate_endpoint_change_seconds_count (\d+)$/m.exec(text)?.[1])
    }
    const before = await timed()
    api.put({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: 'api-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'api' } },
      addressType: 'IPv4',
      ports: [{ name: 'http', port: 8080 }],
      endpoints: [{ addresses: ['192.0.2.8'], conditions: { ready: true } }],
    })
    await eventually(async () => assert.equal(await timed(), before + 1))
  })

  it('goes on serving while the API server is away, and catches up', async () => {
    api.put(answering('outage', 'before'))
    await eventually(async () => assert.equal(await body('outage.test'), 'before'))
    await api.kill()
    for (let i = 0; i < 20; i++) assert.equal(await body('outage.test'), 'before')
    api.put(answering('outage', 'after'))
    await api.restart()
    await eventually(async () => assert.equal(await body('outage.test'), 'after'))
  })

  it('never shows its token', async () => {
    const said = [...gateway.processLog, JSON.stringify(gateway.accessLog)].join('\n')
    assert.doesNotMatch(said, /secret-token/)
  })

  it('is not ready while no API server was ever reached, says why, and becomes ready by itself', async () => {
    const late = await new FakeApi().listen()
    scope.after(() => late.kill())
    late.put(answering('late', 'here'))
    await late.kill()
    const waiting = await gatewayOn(scope, late, { unready: true })
    await eventually(async () => {
      const answer = await request(waiting.signalsPort, { path: '/readyz', host: 'localhost' })
      assert.equal(answer.status, 503)
      assert.match(answer.text, /0 of \d workers serve a routing table\n.*API server.*/)
      assert.match(answer.text, new RegExp(`${late.url}.*ECONNREFUSED|ECONNREFUSED.*${late.url}`))
    })
    await eventually(() => assert.match(waiting.processLog.join('\n'), /ECONNREFUSED|cannot be reached/))
    await late.restart()
    await eventually(async () => assert.equal((await waiting.request({ host: 'late.test' })).text, 'here'))
  })
})
