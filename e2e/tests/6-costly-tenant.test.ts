/**
 * A second tenant applies objects that would cost more than everything else together, while others are served and make
 * changes.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { HOSTILE, hosts, rules } from '../../test/attack/costly.ts'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { underLoad } from '../lib/under-load.ts'
import { until } from '../lib/wait.ts'

const CALM = 'calm'
const EVIL = 'evil'
const HOST = 'calm.example'
const ACTS_WITHIN = 1_000
/** Three of the large objects below; all of them are within the budget of memory, which would refuse them otherwise. */
const NAMESPACE_COST = 200_000

interface Routed {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly reason: string; readonly message: string }[]
  }
}

let door: Entrance

before(async () => {
  await install({ values: { 'settings.limits.namespaceCost': String(NAMESPACE_COST) } })
  door = await entrance()
  await freshNamespace(CALM)
  await freshNamespace(EVIL)
  await apply(deployment({ namespace: CALM, name: CALM, replicas: 2 }), service({ namespace: CALM, name: CALM }))
  await apply(backend(CALM, CALM), route(CALM, CALM, HOST))
  await rolledOut(CALM, CALM)
  await until('traffic', async () => (await door.ask(HOST)).status === 200)
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', CALM, EVIL, '--ignore-not-found', '--wait=false')
  await install()
})

const evil = (name: string, spec: object) => ({
  apiVersion: 'headgate.dev/v1alpha1',
  kind: 'Route',
  metadata: { name, namespace: EVIL },
  spec,
})

/** How long a change of another namespace takes to act. */
async function change(body: string): Promise<number> {
  const rule = { name: 'all', respond: { statusCode: 200, contentType: 'text/plain', body } }
  const changed = route(CALM, 'change', 'change.example', [rule])
  await apply(changed)
  const begun = performance.now()
  await until(`${body} acts`, async () => (await door.ask('change.example')).body === body, { every: 10 })
  return performance.now() - begun
}

const restarts = () =>
  kubectl(
    'get',
    'pods',
    '-n',
    SYSTEM,
    '-l',
    `app.kubernetes.io/instance=${RELEASE}`,
    '-o',
    'jsonpath={.items[*].status.containerStatuses[*].restartCount}',
  )

describe('objects that cost too much', () => {
  it('are rejected at admission where the API server can count, else by their conditions, without an effect on others', async () => {
    const before = await restarts()
    const slowest: number[] = []
    await underLoad('costly objects of another tenant', { namespace: CALM, host: HOST }, async () => {
      for (const [i, [what, spec]] of HOSTILE.entries()) {
        const name = `costly-${i}`
        const input = JSON.stringify(evil(name, spec()))
        const { code, stderr } = await tryKubectl(['apply', '--server-side', '-f', '-'], { input })
        slowest.push(await change(`after ${i}`))
        if (code !== 0) {
          assert.match(stderr, /1024 regular expressions|costs too much/, what)
          continue
        }
        await until(`${what}: told`, async () => {
          const accepted = (await get<Routed>('routes.headgate.dev', name, EVIL))?.status?.conditions?.find(
            ({ type }) => type === 'Accepted',
          )
          return accepted?.reason === 'TooCostly' && /units, and one object may cost/.test(accepted.message)
        })
      }
    })
    const worst = Math.max(...slowest)
    figure('costly objects: change of another namespace acts, slowest', `${worst.toFixed(0)} ms`, `${ACTS_WITHIN} ms`)
    assert.ok(worst < ACTS_WITHIN, `${worst} ms`)
    assert.equal(await restarts(), before)
  })

  it('are served up to the limit of the namespace', async () => {
    const before = await restarts()
    await underLoad('many objects that are each just cheap enough', { namespace: CALM, host: HOST }, async () => {
      for (let i = 0; i < 6; i++) {
        const spec = {
          hostnames: hosts(15).map((host) => `${i}-${host}`),
          rules: rules(64, 16, (r, m) => ({ path: { value: `/${r}/${m}` } })),
        }
        await apply(evil(`large-${i}`, spec))
      }
      const took = await change('after many')
      figure('many large objects: change of another namespace acts', `${took.toFixed(0)} ms`, `${ACTS_WITHIN} ms`)
      assert.ok(took < ACTS_WITHIN, `${took} ms`)
      await until('the youngest says why', async () => {
        const status = (await get<Routed>('routes.headgate.dev', 'large-5', EVIL))?.status
        return (
          status?.conditions?.some(({ type, reason }) => type === 'Accepted' && reason === 'QuotaExceeded') === true
        )
      })
    })
    assert.equal(await restarts(), before)
  })
})
