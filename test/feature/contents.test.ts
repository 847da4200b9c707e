/** Payloads of ConfigMaps on their road from a folder or an API server to the requests that need them. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { start } from '../main/gateway-process.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import { closedPort } from './backends.ts'
import { eventually, type Gateway, startGateway, suiteScope } from './harness.ts'
import { kubeconfigFile } from './kubeconfig.ts'
import { request } from './raw-client.ts'

const API = 'headgate.dev/v1alpha1'

const page = (configMapName: string, key = 'page') => ({
  errors: [{ codes: ['500-599'], bodyRef: { configMapName, key } }],
  retry: { attempts: 0 },
})
const routeOf = (name: string, policies: object) => ({
  apiVersion: API,
  kind: 'Route',
  metadata: { name, namespace: 'shop' },
  spec: { hostnames: [`${name}.test`], rules: [{ name: 'all', backendRefs: [{ name: 'gone' }], policies }] },
})
const backendOn = (port: number) => ({
  apiVersion: API,
  kind: 'Backend',
  metadata: { name: 'gone', namespace: 'shop' },
  spec: { endpoints: [{ address: '192.0.2.1', port }], connection: { connectTimeout: '1ms' } },
})
const mapOf = (name: string, data: object) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'shop' },
  data,
})
const yaml = (...objects: object[]): string => objects.map((one) => `${JSON.stringify(one)}\n---\n`).join('')

type Put = (object: { readonly metadata: { readonly name: string } }) => void | Promise<void>

const textOf = async (gateway: Pick<Gateway, 'port'>, host: string): Promise<string> =>
  (await request(gateway.port, { host, path: '/' })).text

const resolvedRefs = async (gateway: Pick<Gateway, 'adminPort'>, key: string) => {
  const response = await request(gateway.adminPort, { path: '/api/v1/statuses?limit=500', host: 'localhost' })
  const { items } = response.json() as {
    items: { key: string; conditions: { type: string; status: string; reason: string; message: string }[] }[]
  }
  return items.find((one) => one.key === key)?.conditions.find(({ type }) => type === 'ResolvedRefs')
}

const generationOf = async (gateway: Pick<Gateway, 'signalsPort'>): Promise<string | undefined> => {
  const { text } = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
  return /^headgate_generation (\d+)$/m.exec(text)?.[1]
}

/** From the moment that a ConfigMap is written to the first response with it, in milliseconds, sorted. */
async function rotations(gateway: Gateway, host: string, put: Put, count = 12): Promise<number[]> {
  const took: number[] = []
  const client = await gateway.connect()
  for (let i = 0; i < count; i++) {
    const from = performance.now()
    await put(mapOf('pages', { page: `version ${i}` }))
    for (;;) {
      const { text } = await client.request({ host, path: '/' })
      if (text === `version ${i}`) break
      assert.ok(performance.now() - from < 10_000, 'a rotated ConfigMap does not act')
    }
    took.push(performance.now() - from)
  }
  client.end()
  return took.sort((a, b) => a - b)
}

function contentSuite(
  what: string,
  open: () => Promise<{ gateway: Gateway; put: Put; remove: (name: string) => void | Promise<void> }>,
): void {
  describe(`contents ${what}`, () => {
    let gateway: Gateway
    let put: Put
    let remove: (name: string) => void | Promise<void>
    before(async () => {
      ;({ gateway, put, remove } = await open())
    })

    it('act within 100 ms of a change, without a rebuild of tables', async (t) => {
      await eventually(async () => assert.equal(await textOf(gateway, 'one.test'), 'first'))
      const before = await generationOf(gateway)
      // Most of them, and once at least where the machine does other things meanwhile.
      await eventually(async () => {
        const took = await rotations(gateway, 'one.test', put)
        t.diagnostic(
          `rotation, ms: least ${took[0]!.toFixed(1)}, median ${took[6]!.toFixed(1)}, most ${took[11]!.toFixed(1)}`,
        )
        assert.ok(took[6]! < 100, `${took}`)
      })
      assert.equal(await generationOf(gateway), before)
    })

    it('that are missing are told in ResolvedRefs, and the response is as it would be without', async () => {
      await put(routeOf('two', page('nobody')))
      const said = (): string => gateway.processLog.slice(-20).join('\n')
      await eventually(async () => assert.equal((await resolvedRefs(gateway, 'shop/two'))?.status, 'False', said()))
      const { reason, message } = (await resolvedRefs(gateway, 'shop/two'))!
      assert.equal(reason, 'ConfigMapNotFound')
      assert.match(message, /^rule all: there is no ConfigMap shop\/nobody/)
      assert.match(await textOf(gateway, 'two.test'), /"status":50\d/)
      await put(mapOf('nobody', { other: 'x' }))
      await eventually(async () => assert.equal((await resolvedRefs(gateway, 'shop/two'))?.reason, 'KeyNotFound'))
      await put(mapOf('nobody', { page: 'here' }))
      await eventually(async () => assert.equal(await textOf(gateway, 'two.test'), 'here'))
      await eventually(async () => assert.equal((await resolvedRefs(gateway, 'shop/two'))?.status, 'True'))
      await remove('nobody')
      await eventually(async () => assert.match(await textOf(gateway, 'two.test'), /"status":50\d/))
      await eventually(async () => assert.equal((await resolvedRefs(gateway, 'shop/two'))?.reason, 'ConfigMapNotFound'))
    })

    it('are never missed by a request while a Route changes from one ConfigMap to another and back', async () => {
      await put(mapOf('left', { page: 'left' }))
      await put(mapOf('right', { page: 'right' }))
      await put(routeOf('three', page('left')))
      await eventually(async () => assert.equal(await textOf(gateway, 'three.test'), 'left'))
      const seen = new Set<string>()
      let over = false
      const asking = (async () => {
        const client = await gateway.connect()
        while (!over) seen.add((await client.request({ host: 'three.test', path: '/' })).text)
        client.end()
      })()
      for (const side of ['right', 'left', 'right', 'left']) {
        await put(routeOf('three', page(side)))
        await eventually(async () => assert.equal(await textOf(gateway, 'three.test'), side))
      }
      over = true
      await asking
      assert.deepEqual([...seen].sort(), ['left', 'right'])
    })
  })
}

const folderScope = suiteScope()
contentSuite('from a folder', async () => {
  const gateway = await startGateway(folderScope, {
    'all.yaml': yaml(backendOn(await closedPort()), routeOf('one', page('pages'))),
    'pages.yaml': yaml(mapOf('pages', { page: 'first' })),
  })
  return {
    gateway,
    put: (object) => gateway.write(`${object.metadata.name}.yaml`, yaml(object)),
    remove: (name) => gateway.remove(`${name}.yaml`),
  }
})

const clusterScope = suiteScope()
let api: FakeApi
contentSuite('from an API server', async () => {
  api = await new FakeApi().listen()
  clusterScope.after(() => api.kill())
  for (const one of [backendOn(await closedPort()), routeOf('one', page('pages')), mapOf('pages', { page: 'first' })])
    api.put(one)
  const file = await kubeconfigFile(clusterScope, api, 'secret-token')
  const gateway = await startGateway(clusterScope, {}, { source: ['--kubeconfig', file] })
  return {
    gateway,
    put: (object) => void api.put(object as Parameters<FakeApi['put']>[0]),
    remove: (name) => void api.remove(mapOf(name, {})),
  }
})

describe('contents in a cluster', () => {
  const scope = suiteScope()

  it('are read one by one, and only those that something refers to', async () => {
    const asked = api.asked.filter(({ collection }) => collection === 'configmaps' || collection === 'secrets')
    const selectors = new Set(asked.map(({ namespace, query }) => `${namespace} ${query.get('fieldSelector')}`))
    assert.ok(selectors.has('shop metadata.name=pages'))
    for (const selector of selectors) assert.match(selector, /^shop metadata\.name=(pages|nobody|left|right)$/)
  })

  it('that may not be read are missing, and all else is served', async () => {
    const other = await new FakeApi().listen()
    scope.after(() => other.kill())
    other.denied = ({ collection }) => collection === 'configmaps'
    const objects = [backendOn(await closedPort()), routeOf('one', page('pages')), mapOf('pages', { page: 'first' })]
    for (const one of objects) other.put(one)
    const file = await kubeconfigFile(scope, other, 'secret-token')
    const gateway = await startGateway(scope, {}, { source: ['--kubeconfig', file] })
    assert.match(await textOf(gateway, 'one.test'), /"status":50\d/)
    await eventually(async () => assert.equal((await resolvedRefs(gateway, 'shop/one'))?.reason, 'ConfigMapNotFound'))
    const { text } = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
    assert.match(text, /Not allowed to list configmaps/)
    other.denied = () => false
    await eventually(async () => assert.equal(await textOf(gateway, 'one.test'), 'first'))
  })
})

describe('contents and threads that end', () => {
  const scope = suiteScope()
  after(() => {})

  it('are there for a worker that takes the place of another, and as of now after a new control thread', async () => {
    const gateway = await start(scope, {
      'all.yaml': yaml(backendOn(await closedPort()), routeOf('one', page('pages')), routeOf('two', page('more'))),
      'pages.yaml': yaml(mapOf('pages', { page: 'first' })),
      'more.yaml': yaml(mapOf('more', { page: 'more' })),
    })
    const text = (host: string) => textOf(gateway, host)
    assert.equal(await text('one.test'), 'first')
    gateway.fault({ thread: 0, how: 'throw' })
    await gateway.logged(/^worker 0 failed/)
    await eventually(async () => assert.equal(await text('one.test'), 'first'))
    gateway.fault({ thread: 'control', how: 'throw' })
    await gateway.write('pages.yaml', yaml(mapOf('pages', { page: 'second' })))
    await gateway.write('more.yaml', yaml(mapOf('more', {})))
    await eventually(async () => assert.equal(await text('one.test'), 'second'))
    await eventually(async () => assert.match(await text('two.test'), /"status":50\d/))
    gateway.fault({ thread: 0, how: 'throw' })
    await gateway.logged(/^worker 0 failed/, 2)
    await eventually(async () => assert.equal(await text('one.test'), 'second'))
    assert.match(await text('two.test'), /"status":50\d/)
  })
})
