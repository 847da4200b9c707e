/** Several installations in one cluster: by class side by side, and one that has rights in its own namespaces only. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { accountOf, callName, callsOf } from '../lib/audit.ts'
import { notOurs } from '../lib/faults.ts'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, type Installation, install, SYSTEM, uninstall } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { answering, route, service } from '../lib/service.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'classes'
const TEAM = 'team'
const TEAM_SYSTEM = 'team-system'
const ADDRESS = '203.0.113.7'

const BLUE: Installation = {
  release: 'blue',
  namespace: 'blue-system',
  values: {
    'ingressClass.name': 'blue',
    'ingressClass.default': 'false',
    'addresses[0]': ADDRESS,
    replicas: '1',
  },
}

/** What the one who installs it may do ends at these two namespaces. */
const OF_TEAM: Installation = {
  release: TEAM,
  namespace: TEAM_SYSTEM,
  user: 'team-lead',
  values: {
    'ingressClass.name': TEAM,
    'ingressClass.default': 'false',
    'ingressClass.create': 'false',
    'crds.install': 'Never',
    'watchNamespaces[0]': TEAM,
    replicas: '1',
  },
}

interface Routed {
  readonly status?: {
    readonly addresses?: readonly { readonly value: string }[]
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** An earlier run on this cluster ended with calls of pods whose rights were gone already. */
const started = Date.now()

let ours: Entrance
let blue: Entrance

before(async () => {
  await install()
  await install(BLUE)
  ours = await entrance()
  blue = await entrance('blue-system', 'blue-headgate')
  await freshNamespace(NAMESPACE)
})

after(async () => {
  ours?.close()
  blue?.close()
  await uninstall(BLUE)
  await uninstall(OF_TEAM)
  const namespaces = [NAMESPACE, 'blue-system', TEAM, TEAM_SYSTEM]
  await kubectl('delete', 'namespace', ...namespaces, '--ignore-not-found', '--wait=false')
})

const ofClass = (name: string, host: string, body: string, ingressClassName?: string, namespace = NAMESPACE) =>
  route(namespace, name, host, [answering(body)], ingressClassName === undefined ? {} : { ingressClassName })

const statusOf = async (name: string, namespace = NAMESPACE) =>
  (await get<Routed>('route.headgate.dev', name, namespace))?.status

const ready = (name: string, namespace = NAMESPACE) =>
  kubectl('wait', `route.headgate.dev/${name}`, '-n', namespace, '--for=condition=Ready', '--timeout=30s')

describe('two installations', () => {
  it('serve their own Routes, also for the same host and path', async () => {
    await apply(
      ofClass('green', 'same.example', 'green', 'headgate'),
      ofClass('blue', 'same.example', 'blue', 'blue'),
      ofClass('none', 'none.example', 'no class'),
      ofClass('others', 'others.example', 'somebody else', 'somebody-else'),
    )
    await Promise.all(['green', 'blue', 'none'].map((name) => ready(name)))
    for (const [door, host, body] of [
      [ours, 'same.example', 'green'],
      [blue, 'same.example', 'blue'],
      [ours, 'none.example', 'no class'],
    ] as const)
      await until(`${body} from ${host}`, async () => (await door.ask(host)).body === body)
    assert.equal((await blue.ask('none.example')).status, 404)
    for (const door of [ours, blue]) assert.equal((await door.ask('others.example')).status, 404)
  })

  it('write the status of their own only', async () => {
    const addresses = async (name: string) => (await statusOf(name))?.addresses?.map(({ value }) => value)
    assert.deepEqual(await addresses('blue'), [ADDRESS])
    assert.deepEqual(await addresses('green'), undefined)
    assert.equal(await statusOf('others'), undefined)
  })

  it('have a lease each', async () => {
    const holder = async (namespace: string, name: string) =>
      (await get<{ spec: { holderIdentity: string } }>('lease', name, namespace))?.spec.holderIdentity
    // A pod that ended before this test has given its lease back, and nobody may have taken it yet.
    for (const [namespace, name] of [
      [SYSTEM, 'headgate'],
      ['blue-system', 'blue-headgate'],
    ] as const)
      await until(`${name} has a leader`, async () => (await holder(namespace, name))?.startsWith(`${name}-`) === true)
  })

  it('hand a Route over when its class changes', async () => {
    await apply(ofClass('green', 'moved.example', 'moved', 'blue'))
    await until('the new one serves it', async () => (await blue.ask('moved.example')).body === 'moved')
    await until('the old one does not', async () => (await ours.ask('same.example')).status === 404)
    await until(
      'the new one writes its status',
      async () => (await statusOf('green'))?.addresses?.[0]?.value === ADDRESS,
    )
    await ready('green')
  })

  it('select Ingresses by their class, by field or by annotation', async () => {
    await apply(
      service({ namespace: NAMESPACE, name: 'any' }),
      ingress('by-field', 'field.example', { spec: { ingressClassName: 'blue' } }),
      ingress('by-annotation', 'annotation.example', { annotations: { 'kubernetes.io/ingress.class': 'blue' } }),
    )
    // There is no pod: whoever serves it says so, with 503; who does not has no such host.
    for (const host of ['field.example', 'annotation.example']) {
      await until(`${host} at blue`, async () => (await blue.ask(host)).status === 503)
      assert.equal((await ours.ask(host)).status, 404, host)
    }
    const addressed = async (name: string) =>
      (await get<{ status: { loadBalancer: { ingress?: readonly { ip: string }[] } } }>('ingress', name, NAMESPACE))
        ?.status.loadBalancer.ingress?.[0]?.ip === ADDRESS
    for (const name of ['by-field', 'by-annotation']) await until(`address of ${name}`, () => addressed(name))
  })
})

interface IngressParts {
  readonly annotations?: object
  readonly spec?: object
}

const ingress = (name: string, host: string, { annotations, spec }: IngressParts) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name, namespace: NAMESPACE, annotations },
  spec: {
    rules: [
      {
        host,
        http: {
          paths: [{ path: '/', pathType: 'Prefix', backend: { service: { name: 'any', port: { number: 80 } } } }],
        },
      },
    ],
    ...spec,
  },
})

describe('an installation of one team', () => {
  let door: Entrance

  before(async () => {
    for (const namespace of [TEAM, TEAM_SYSTEM]) {
      await freshNamespace(namespace)
      await apply({
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'RoleBinding',
        metadata: { name: 'lead', namespace },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'cluster-admin' },
        subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'team-lead' }],
      })
    }
    await install(OF_TEAM)
    door = await entrance(TEAM_SYSTEM, 'team-headgate')
  })

  after(() => door?.close())

  it('is created without cluster-wide permissions, and creates no cluster-wide objects', async () => {
    const kinds = 'clusterrole,clusterrolebinding,ingressclass'
    const made = await kubectl('get', kinds, '-l', `app.kubernetes.io/instance=${TEAM}`, '-o', 'name')
    assert.equal(made, '')
    const roles = await kubectl('get', 'role', '-A', '-l', `app.kubernetes.io/instance=${TEAM}`, '-o', 'name')
    assert.equal(roles.trim().split('\n').length, 2)
  })

  it('serves its namespace, and nothing of others', async () => {
    await apply(
      ofClass('inside', 'inside.example', 'inside', TEAM, TEAM),
      ofClass('outside', 'outside.example', 'outside', TEAM),
    )
    await ready('inside', TEAM)
    // One replica said Ready; the other one serves it a moment later.
    await until('the Route', async () => (await door.ask('inside.example')).body === 'inside')
    assert.equal((await door.ask('outside.example')).status, 404)
    assert.equal(await statusOf('outside'), undefined)
  })

  it('makes no forbidden calls', { skip: notOurs }, () => {
    for (const [namespace, account] of [
      [TEAM_SYSTEM, 'team-headgate'],
      ['blue-system', 'blue-headgate'],
    ] as const) {
      const calls = callsOf(accountOf(namespace, account), started)
      assert.ok(calls.length > 5, `${account} asked for something`)
      const refused = calls.filter(({ annotations }) => annotations?.['authorization.k8s.io/decision'] === 'forbid')
      figure(`calls of ${account} to the API server, refused`, `${calls.length}, ${refused.length}`, '0 refused')
      assert.deepEqual([...new Set(refused.map(callName))], [])
    }
  })
})
