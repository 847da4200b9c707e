/**
 * A gateway that starts while the API server is unreachable, with and without the checkpoint of an earlier one.
 */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import { eventually, type Gateway, type GatewayOptions, type Scope, startGateway, suiteScope } from './harness.ts'
import { kubeconfigFile } from './kubeconfig.ts'
import { request } from './raw-client.ts'

const answering = (name: string, body: string) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name, namespace: 'shop' },
  spec: { hostnames: [`${name}.test`], rules: [{ name: 'all', respond: { statusCode: 200, body } }] },
})

interface Site {
  readonly api: FakeApi
  readonly state: string
  start(options?: GatewayOptions): Promise<Gateway>
}

/** An API server, a state directory, and one gateway after another on both. */
async function site(scope: Scope, sealed: boolean): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'headgate-checkpoint-'))
  scope.after(() => rm(folder, { recursive: true }))
  const api = await new FakeApi().listen()
  scope.after(() => api.kill())
  const kubeconfig = await kubeconfigFile(scope, api)
  const keys = join(folder, 'keys')
  const state = join(folder, 'state')
  await writeFile(keys, randomBytes(32).toString('base64'))
  const settings = { stateDirectory: state, ...(sealed && { stateKeyFile: keys }) }
  const start = (options: GatewayOptions = {}) =>
    startGateway(scope, {}, { source: ['--kubeconfig', kubeconfig], settings, ...options })
  return { api, state, start }
}

const body = async (gateway: Gateway, host: string) => (await gateway.request({ host })).text
const readiness = (gateway: Gateway) => request(gateway.signalsPort, { path: '/readyz', host: 'localhost' })
const metric = async (gateway: Gateway) =>
  /^headgate_config_remembered (\d)$/m.exec(
    (await request(gateway.signalsPort, { path: '/metrics', host: 'localhost' })).text,
  )?.[1]

for (const [how, sealed, inPod] of [
  ['encrypted with a key', true, false],
  ['without a key, in a pod that writes into its cluster', false, true],
] as const)
  describe(`a checkpoint in a state directory, ${how}`, () => {
    const scope = suiteScope()

    it('is served while the API server is unreachable, and reconciled when it returns, without a failed request', async () => {
      if (inPod) Object.assign(process.env, { HEADGATE_INSTALLATION: 'headgate', POD_NAMESPACE: 'gateway' })
      const { api, state, start } = await site(scope, sealed)
      for (const name of ['stays', 'changes', 'goes']) api.put(answering(name, 'known'))
      const first = await start()
      assert.equal((await readiness(first)).text, 'ok\n')
      assert.equal(await body(first, 'goes.test'), 'known')
      await first.shutDown()
      const kept = await readFile(join(state, 'cluster', 'objects'))
      assert.equal(kept.includes('stays.test'), !sealed)

      await api.kill()
      const gateway = await start()
      for (const name of ['stays', 'changes', 'goes']) assert.equal(await body(gateway, `${name}.test`), 'known')
      assert.equal((await gateway.request({ host: 'comes.test' })).status, 404)
      assert.match((await readiness(gateway)).text, /^ok; serving the checkpoint of an earlier process/)
      assert.equal(await metric(gateway), '1')
      assert.match(gateway.processLog.join('\n'), /Serving the checkpoint of \d{4}-\d\d-\d\dT.*\(RememberedState\)/)
      const problems = await request(gateway.adminPort, { path: '/api/v1/problems', host: 'localhost' })
      assert.match(problems.text, /RememberedState/)

      api.put(answering('changes', 'otherwise'))
      api.put(answering('comes', 'new'))
      api.remove(answering('goes', ''))
      const statuses = new Map<number, number>()
      let over = false
      const asking = (async () => {
        while (!over) {
          const { status } = await gateway.request({ host: 'stays.test' })
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      })()
      await api.restart()
      await eventually(async () => assert.equal(await body(gateway, 'comes.test'), 'new'))
      await eventually(async () => assert.equal(await body(gateway, 'changes.test'), 'otherwise'))
      await eventually(async () => assert.equal((await gateway.request({ host: 'goes.test' })).status, 404))
      over = true
      await asking
      assert.deepEqual([...statuses.keys()], [200])
      await eventually(async () => assert.equal((await readiness(gateway)).text, 'ok\n'))
      await eventually(async () => assert.equal(await metric(gateway), '0'))
      await eventually(() => assert.match(gateway.processLog.join('\n'), /has been read: 1 objects of the checkpoint /))
      if (inPod) {
        const route = () => api.get(answering('comes', '')) as { status?: { conditions?: unknown[] } } | undefined
        await eventually(() => assert.ok((route()?.status?.conditions?.length ?? 0) > 0))
      }
    })

    it('is not served after a manipulation: the gateway is not ready, logs the cause, and becomes ready by itself', async () => {
      const { api, state, start } = await site(scope, sealed)
      api.put(answering('late', 'known'))
      await (await start()).shutDown()
      const file = join(state, 'cluster', 'objects')
      const bytes = await readFile(file)
      bytes[bytes.length - 60]! ^= 1
      await writeFile(file, bytes)
      await api.kill()
      const gateway = await start({ unready: true })
      await eventually(() =>
        assert.match(gateway.processLog.join('\n'), /cluster\/objects is not used \(it is damaged/),
      )
      assert.equal((await readiness(gateway)).status, 503)
      await api.restart()
      await eventually(async () => assert.equal(await body(gateway, 'late.test'), 'known'))
    })
  })
