/**
 * Contents under attack: their bytes are nowhere but in responses, names by the thousand cost the namespace that names
 * them, and references that come and go all the time hold up nobody else.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort } from '../feature/backends.ts'
import { eventually, type Gateway, startGateway, suiteScope } from '../feature/harness.ts'
import { kubeconfigFile } from '../feature/kubeconfig.ts'
import { request } from '../feature/raw-client.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'

const API = 'headgate.dev/v1alpha1'
const MARK = 'c0ffee-payload-mark'

const pagesOf = (names: readonly string[]) => ({
  errors: names.map((configMapName) => ({ codes: ['500-599'], bodyRef: { configMapName, key: 'page' } })),
  retry: { attempts: 0 },
})
const routeOf = (namespace: string, name: string, names: readonly string[], more: readonly object[] = []) => ({
  apiVersion: API,
  kind: 'Route',
  metadata: { name, namespace },
  spec: {
    hostnames: [`${name}.${namespace}.test`],
    rules: [{ name: 'all', backendRefs: [{ name: 'gone' }], policies: pagesOf(names) }, ...more],
  },
})
const backendOf = (namespace: string, port: number) => ({
  apiVersion: API,
  kind: 'Backend',
  metadata: { name: 'gone', namespace },
  spec: { endpoints: [{ address: '192.0.2.1', port }], connection: { connectTimeout: '1ms' } },
})
const mapOf = (namespace: string, name: string, page: string) => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace },
  data: { page },
})

const textOf = async (gateway: Gateway, host: string) => (await gateway.request({ host })).text

/** Everything that is in the files below a folder. */
async function bytesBelow(folder: string): Promise<Buffer> {
  const parts: Buffer[] = []
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name)
    if ((await stat(path)).isFile()) parts.push(await readFile(path))
  }
  return Buffer.concat(parts)
}

for (const sealed of [false, true])
  describe(`the bytes of a ConfigMap, with a checkpoint that is ${sealed ? 'sealed' : 'not sealed'}`, () => {
    const scope = suiteScope()

    it('are in responses, and in no log, answer of the admin API, last good version or file', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'headgate-contents-'))
      scope.after(() => rm(folder, { recursive: true, force: true }))
      const state = join(folder, 'state')
      const keys = join(folder, 'keys')
      await writeFile(keys, randomBytes(32).toString('base64'))
      const api = await new FakeApi().listen()
      scope.after(() => api.kill())
      const route = routeOf('shop', 'one', ['pages'])
      for (const one of [backendOf('shop', await closedPort()), route, mapOf('shop', 'pages', MARK)]) api.put(one)
      const file = await kubeconfigFile(scope, api)
      const options = {
        source: ['--kubeconfig', file],
        settings: { stateDirectory: state, ...(sealed && { stateKeyFile: keys }) },
      }
      const gateway = await startGateway(scope, {}, options)
      assert.equal(await textOf(gateway, 'one.shop.test'), MARK)
      // A broken edit, so that a last good version is kept; and contents that are refused are told.
      api.put({ ...route, spec: { ...route.spec, nonsense: true } } as typeof route)
      api.put({ ...mapOf('shop', 'pages', `${MARK}2`), binaryData: { page: `${MARK}%%` } } as ReturnType<typeof mapOf>)
      await eventually(async () => {
        const { text } = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
        assert.match(text, /nonsense/)
        assert.match(text, /pages/)
      })
      api.put(mapOf('shop', 'pages', `${MARK}3`))
      await eventually(async () => assert.equal(await textOf(gateway, 'one.shop.test'), `${MARK}3`))
      for (const name of ['routes', 'backends', 'statuses', 'problems', 'config', 'version']) {
        const { text } = await request(gateway.adminPort, { path: `/api/v1/${name}`, host: 'localhost' })
        assert.ok(!text.includes(MARK), `/api/v1/${name}`)
      }
      const metrics = await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })
      assert.ok(!metrics.text.includes(MARK))
      await gateway.shutDown()
      assert.ok(!gateway.processLog.join('\n').includes(MARK))
      assert.ok(!JSON.stringify(gateway.accessLog).includes(MARK))
      const written = await bytesBelow(state)
      assert.ok(written.length > 0)
      assert.ok(!written.includes(MARK))
      assert.ok(!written.includes(Buffer.from(MARK).toString('base64')))

      // Without the API server: what is sealed is served, what is not was never written.
      await api.kill()
      const next = await startGateway(scope, {}, options)
      const text = await textOf(next, 'one.shop.test')
      if (sealed) assert.equal(text, `${MARK}3`)
      else assert.match(text, /"status":50\d/)
    })
  })

describe('names by the thousand', () => {
  const scope = suiteScope()

  it('cost the namespace that names them; another one has its contents rotated all the while', async (t) => {
    const api = await new FakeApi().listen()
    scope.after(() => api.kill())
    const port = await closedPort()
    for (const namespace of ['calm', 'noisy']) api.put(backendOf(namespace, port))
    api.put(routeOf('calm', 'one', ['pages']))
    api.put(mapOf('calm', 'pages', 'first'))
    const file = await kubeconfigFile(scope, api)
    const gateway = await startGateway(scope, {}, { source: ['--kubeconfig', file] })
    assert.equal(await textOf(gateway, 'one.calm.test'), 'first')
    let over = false
    let written = 0
    const noise = (async () => {
      for (let i = 0; !over; i++) {
        const rules = Array.from({ length: 48 }, (_, rule) => ({
          name: `r${rule}`,
          matches: [{ path: { type: 'PathPrefix', value: `/${rule}` } }],
          backendRefs: [{ service: { name: `s${i}-${rule}`, port: 80 } }],
          policies: pagesOf(Array.from({ length: 8 }, (_, j) => `c${i % 7}-${rule}-${j}`)),
        }))
        api.put(routeOf('noisy', `r${i % 5}`, ['pages'], rules))
        api.put(mapOf('noisy', `c${i % 7}-${i % 48}-0`, 'x'.repeat(100_000)))
        written += 384
        await delay(20)
      }
    })()
    const took: number[] = []
    for (let i = 0; i < 20; i++) {
      const from = performance.now()
      api.put(mapOf('calm', 'pages', `version ${i}`))
      await eventually(async () => assert.equal(await textOf(gateway, 'one.calm.test'), `version ${i}`))
      took.push(performance.now() - from)
    }
    over = true
    await noise
    took.sort((a, b) => a - b)
    t.diagnostic(
      `rotation beside ${written} references, ms: median ${took[10]!.toFixed(0)}, most ${took[19]!.toFixed(0)}`,
    )
    assert.ok(took[10]! < 1_000, `${took}`)
    const watches = api.asked.filter(({ collection, namespace }) => collection === 'configmaps' && namespace === 'calm')
    assert.ok(watches.every(({ query }) => query.get('fieldSelector') === 'metadata.name=pages'))
    assert.equal(gateway.process.exitCode, null)
    assert.equal((await request(gateway.signalsPort, { path: '/readyz', host: 'localhost' })).status, 200)
  })
})
