/**
 * A tenant with thousands of broken objects, who edits them all the time, beside one who changes a Route now and then:
 * whatever tenants fill is shared by namespace. docs/decisions/0015-fair-shares-by-namespace.md lists it.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually, type Gateway, startGateway, suiteScope } from '../feature/harness.ts'
import { kubeconfigFile } from '../feature/kubeconfig.ts'
import type { ObjectStatus } from '../feature/object-status.ts'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import type { Manifest } from '../suite/source.ts'

const API = 'headgate.dev/v1alpha1'
const MANY = 5_000
/** A change of another namespace acts within, or ten times of what it took before, where that is more. */
const ACTS = 2_500
/** … and is written onto the object within. */
const TOLD = 3_000

function answering(namespace: string, name: string, body: string): Manifest {
  const spec = {
    hostnames: [`${name}.${namespace}.test`],
    rules: [{ name: 'all', respond: { statusCode: 200, body } }],
  }
  return { apiVersion: API, kind: 'Route', metadata: { name, namespace }, spec }
}

/**
 * Every way for a Route to be broken in turn: a hostname of another namespace, a Backend that is not there, a field
 * that is wrong.
 */
function broken(i: number, edit = 0): Manifest {
  const rule = [
    { name: 'all', respond: { statusCode: 200, body: `${edit}` } },
    { name: 'all', backendRefs: [{ name: `missing-${i}-${edit}` }] },
    { name: 'all', respond: { statusCode: 200, body: `${edit}` }, nonsense: true },
    { name: 'all', backendRefs: [{ service: { name: `gone-${i}-${edit}`, port: 80 } }] },
  ][i % 4]
  const hostnames = [i % 4 === 0 ? 'web.calm.test' : `r${i}.noisy.test`]
  return {
    apiVersion: API,
    kind: 'Route',
    metadata: { name: `r${i}`, namespace: 'noisy' },
    spec: { hostnames, rules: [rule] },
  }
}

const SETTINGS = {
  Shared: {},
  Strict: {
    tenancy: 'Strict',
    hostnames: ['calm', 'noisy'].map((namespace) => ({
      namespaces: { from: 'Names', names: [namespace] },
      names: [`*.${namespace}.test`],
    })),
  },
}

for (const [mode, settings] of Object.entries(SETTINGS))
  describe(`a noisy tenant, ${mode}`, () => {
    const scope = suiteScope()
    let api: FakeApi
    let gateway: Gateway
    let storm = true
    /** The slowest changes of the other namespace before there is any noise: a busy machine has its share in them. */
    const calm = { acts: 0, told: 0 }
    let storming: Promise<void> | undefined

    before(async () => {
      api = await new FakeApi().listen()
      scope.after(() => api.kill())
      api.put(answering('calm', 'web', 'one'))
      const file = await kubeconfigFile(scope, api)
      Object.assign(process.env, { HEADGATE_INSTALLATION: 'headgate', POD_NAMESPACE: 'gateway' })
      delete process.env.HEADGATE_SERVICE
      gateway = await startGateway(scope, {}, { source: ['--kubeconfig', file], settings })
      await eventually(() => assert.equal(ready(answering('calm', 'web', ''))?.status, 'True'))
      for (let round = 0; round < 3; round++) {
        const { acts, told } = await change('shop', `calm ${round}`)
        calm.acts = Math.max(calm.acts, acts)
        calm.told = Math.max(calm.told, told)
      }
    })

    function inTime({ acts, told }: { readonly acts: number; readonly told: number }): void {
      const before = `before the noise after ${calm.acts.toFixed(0)} and ${calm.told.toFixed(0)} ms`
      assert.ok(acts < Math.max(ACTS, 10 * calm.acts), `acts after ${acts.toFixed(0)} ms, ${before}`)
      assert.ok(told < Math.max(TOLD, 10 * calm.told), `Ready after ${told.toFixed(0)} ms, ${before}`)
    }

    after(async () => {
      storm = false
      await storming
    })

    const conditions = (manifest: Manifest) => ((api.get(manifest) ?? {}) as ObjectStatus).status?.conditions ?? []
    const ready = (manifest: Manifest) => conditions(manifest).find(({ type }) => type === 'Ready')
    const events = async (namespace: string) => {
      const answer = await fetch(`${api.url}/apis/events.k8s.io/v1/namespaces/${namespace}/events`)
      return ((await answer.json()) as { items: { regarding: { name: string } }[] }).items
    }

    /** @returns after how many milliseconds it is served, and Ready says so */
    async function change(name: string, body: string): Promise<{ acts: number; told: number }> {
      const route = answering('calm', name, body)
      const { status } = (api.get(route) ?? {}) as ObjectStatus
      const generation = () => (api.get(route) as { metadata: { generation: number } }).metadata.generation
      const started = performance.now()
      api.put({ ...route, ...(status && { status }) })
      await eventually(
        async () => assert.equal((await gateway.request({ host: `${name}.calm.test` })).text, body),
        30_000,
      )
      const acts = performance.now() - started
      await eventually(() => {
        const { status, observedGeneration } = ready(route) ?? {}
        assert.deepEqual([status, observedGeneration], ['True', generation()])
      }, 60_000)
      return { acts, told: performance.now() - started }
    }

    it(`${MANY} broken Routes do not hold up what another namespace changes, nor what it is told`, async () => {
      for (let i = 0; i < MANY; i++) {
        api.put(broken(i))
        if (i % 100 === 99) await delay(0)
      }
      await eventually(() => assert.ok(api.asked.filter(({ status }) => status).length > 150), 30_000)
      for (let round = 0; round < 3; round++) {
        inTime(await change('shop', `round ${round}`))
      }
      assert.ok(api.asked.filter(({ status }) => status).length < MANY, 'there was a backlog')
    })

    it('has its Events beside thousands of others', async () => {
      const fault = answering('calm', 'faulty', '')
      api.put({
        ...fault,
        spec: { ...(fault.spec as object), rules: [{ name: 'all', backendRefs: [{ name: 'missing' }] }] },
      })
      await eventually(
        async () => assert.ok((await events('calm')).some(({ regarding }) => regarding.name === 'faulty')),
        5_000,
      )
    })

    it('nor does a storm of edits, every 100 ms', async () => {
      storming = (async () => {
        for (let edit = 1; storm && edit < 300; edit++) {
          for (let i = 0; i < 50; i++) api.put(broken((edit * 50 + i) % MANY, edit))
          await delay(100)
        }
      })()
      await delay(500)
      for (let round = 0; round < 5; round++) {
        inTime(await change('shop', `storm ${round}`))
      }
      assert.equal((await gateway.request({ host: 'web.calm.test' })).text, 'one')
    })
  })
