/** What a person can find out about what is wrong, without reading the log. */
import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { FakeApi } from '../source/kubernetes/fake-api.ts'
import { eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { kubeconfigFile } from './kubeconfig.ts'
import { request } from './raw-client.ts'

interface Problem {
  readonly object?: string
  readonly field?: string
  readonly reason: string
  readonly message: string
}

const problemsOf = async ({ adminPort }: Gateway): Promise<Problem[]> =>
  JSON.parse((await request(adminPort, { path: '/api/v1/problems', host: 'localhost' })).text).items

const conditionsOf = async ({ adminPort }: Gateway, object: string) => {
  const { items } = JSON.parse((await request(adminPort, { path: '/api/v1/statuses', host: 'localhost' })).text) as {
    items: {
      kind: string
      key: string
      conditions: { type: string; status: string; reason: string; message: string }[]
    }[]
  }
  return items.find(({ kind, key }) => `${kind} ${key}` === object)?.conditions ?? []
}

const metricsOf = async ({ signalsPort }: Gateway): Promise<string> =>
  (await request(signalsPort, { path: '/metrics', host: 'localhost' })).text

describe('what is wrong', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const unresolvable = {
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'gone', namespace: 'default' },
      spec: { endpoints: [{ address: 'nosuch.invalid', port: 80 }] },
    }
    gateway = await startGateway(scope, {
      'a.yaml':
        route('lost', ['lost.example'], [{ name: 'all', backendRefs: [{ name: 'nobody' }] }]) +
        route('gone', ['gone.example'], [{ name: 'all', backendRefs: [{ name: 'gone' }] }]) +
        `\n---\n${JSON.stringify(unresolvable)}\n`,
      'b.yaml': JSON.stringify({
        apiVersion: 'headgate.dev/v1alpha1',
        kind: 'Route',
        metadata: { name: 'theirs', namespace: 'default' },
        spec: { ingressClassName: 'somebody-else', rules: [{ name: 'all', respond: { statusCode: 200 } }] },
      }),
    })
  })

  it('is listed by the admin API once, also what only conditions say, and not what is for somebody else', async () => {
    const problems = await problemsOf(gateway)
    const lost = problems.filter(({ object }) => object === 'Route default/lost')
    assert.deepEqual(
      lost.map(({ reason }) => reason),
      ['BackendNotFound'],
    )
    assert.match(lost[0]!.message, /there is no Backend default\/nobody/)
    assert.deepEqual(
      problems.filter(({ object }) => object === 'Route default/theirs'),
      [],
    )
    const metrics = await metricsOf(gateway)
    assert.match(metrics, /headgate_config_problems\{kind="Route",reason="BackendNotFound"\} 1/)
    assert.doesNotMatch(metrics, /WrongClass/)
  })

  it('with the settings shows, and a metric tells it', async () => {
    const file = join(gateway.folder, '..', 'settings.json')
    const good = await readFile(file, 'utf8')
    await writeFile(file, JSON.stringify({ ...JSON.parse(good), upstreams: { denyCIDRs: ['10.0.0.1/99'] } }))
    await eventually(async () => {
      const [problem] = (await problemsOf(gateway)).filter(({ object }) => object === 'Settings')
      assert.match(problem?.message ?? '', /upstreams\.denyCIDRs\[0\].*; the last good settings stay in force/)
      assert.match(await metricsOf(gateway), /headgate_config_problems\{kind="Settings",reason="Invalid"\} 1/)
    })
    await writeFile(file, good)
    await eventually(async () => {
      assert.deepEqual(
        (await problemsOf(gateway)).filter(({ object }) => object === 'Settings'),
        [],
      )
    })
  })

  it('with a name that cannot be resolved, is told where people look for it', async () => {
    await eventually(async () => {
      const healthy = (await conditionsOf(gateway, 'Backend default/gone')).find(({ type }) => type === 'Healthy')
      assert.equal(healthy?.status, 'False')
      assert.match(healthy!.message, /^No endpoint is known: nosuch\.invalid cannot be resolved \(.*\)/)
    })
  })

  it('with where a Backend leads, makes its Route not Ready, which is told everywhere, and Ready again when it is corrected', async () => {
    const rules = [{ name: 'all', backendRefs: [{ name: 'inside' }] }]
    await gateway.write('c.yaml', route('inside', ['inside.example'], rules) + endpointOf('inside', '169.254.169.254'))
    const ready = async (name: string) => {
      const found = (await conditionsOf(gateway, `Route default/${name}`)).find(({ type }) => type === 'Ready')
      return `${found?.status} ${found?.reason} ${found?.message}`
    }
    await eventually(async () => {
      assert.match(
        await ready('inside'),
        /^False AddressNotAllowed ResolvedRefs: rule all: Backend default\/inside: no endpoint may/,
      )
      assert.match(
        await ready('gone'),
        /^False NameNotResolved ResolvedRefs: rule all: .*nosuch\.invalid cannot be resolved/,
      )
    })
    const told = (await problemsOf(gateway)).filter(({ object }) => object === 'Route default/inside')
    assert.deepEqual(
      told.map(({ reason }) => reason),
      ['AddressNotAllowed'],
    )
    const line =
      'Route default/inside: rule all: Backend default/inside: no endpoint may be used: 169.254.169.254 port 80'
    await eventually(() => assert.equal(gateway.processLog.filter((text) => text.includes(line)).length, 1))
    await gateway.write('c.yaml', route('inside', ['inside.example'], rules) + endpointOf('inside', '127.0.0.1'))
    await eventually(async () => assert.match(await ready('inside'), /^True Ready/))
    await gateway.write('c.yaml', route('inside', ['inside.example'], rules) + endpointOf('inside', 'localhost'))
    await eventually(async () => assert.match(await ready('inside'), /^True Ready/))
  })
})

function endpointOf(name: string, address: string): string {
  const metadata = { name, namespace: 'default' }
  const spec = { endpoints: [{ address, port: 80 }] }
  return `${JSON.stringify({ apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend', metadata, spec })}\n---\n`
}

describe('what an Ingress asks for in vain', () => {
  const scope = suiteScope()
  it('is told once by the log and by the list of problems', async () => {
    const backend = { service: { name: 'nobody', port: { number: 80 } } }
    const paths = (...written: string[]) =>
      written.map((path) => ({ path, pathType: 'ImplementationSpecific', backend }))
    const gateway = await startGateway(scope, {
      'web.json': JSON.stringify({
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: { name: 'web', namespace: 'default', annotations: { 'nginx.ingress.kubernetes.io/auth-url': 'x' } },
        spec: {
          rules: ['a.example', 'b.example', 'c.example'].map((host) => ({
            host,
            http: { paths: paths('/x?y', '/(.*)') },
          })),
          tls: [{ hosts: ['a.example', 'd.example'], secretName: 'cert' }],
        },
      }),
    })
    const wanted = [
      'AnnotationsIgnored',
      'CertificateNotServed',
      'NoListener',
      'PathNeverMatches',
      'PathTakenLiterally',
      'ServiceNotFound',
    ]
    const problems = await problemsOf(gateway)
    assert.deepEqual(
      problems.map(({ object, reason }) => `${object} ${reason}`).sort(),
      wanted.map((reason) => `Ingress default/web ${reason}`),
    )
    assert.equal(
      problems.find(({ reason }) => reason === 'PathNeverMatches')?.field,
      'spec.rules[0].http.paths[0].path',
    )
    for (const reason of wanted) {
      const lines = (): readonly string[] =>
        gateway.processLog.filter((line) => line.includes('Ingress default/web') && line.includes(`${reason})`))
      // The log is written by another thread, a moment later.
      await eventually(() => assert.ok(lines().length > 0, reason))
      assert.equal(lines().length, 1, `${reason}: ${lines().join('\n')}`)
    }
    // An alert is for what is broken: annotations may be there for another controller for as long as anybody likes.
    const metrics = await metricsOf(gateway)
    assert.match(metrics, /headgate_config_problems\{kind="Ingress",reason="ServiceNotFound"\} 1/)
    assert.doesNotMatch(metrics, /AnnotationsIgnored/)
  })
})

describe('a role that does not let us read pods', () => {
  const scope = suiteScope()
  it('is named by the Backends that have none for that reason', async () => {
    const api = await new FakeApi().listen()
    scope.after(() => api.kill())
    api.denied = ({ collection }) => collection === 'endpointslices'
    const metadata = { name: 'api', namespace: 'shop' }
    api.put({ apiVersion: 'v1', kind: 'Service', metadata, spec: { ports: [{ port: 80 }] } })
    api.put({
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Backend',
      metadata,
      spec: { service: { name: 'api', port: 80 } },
    })
    api.put({
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Route',
      metadata,
      spec: { hostnames: ['api.test'], rules: [{ name: 'all', backendRefs: [{ name: 'api' }] }] },
    })
    const gateway = await startGateway(scope, {}, { source: ['--kubeconfig', await kubeconfigFile(scope, api)] })
    const healthy = (await conditionsOf(gateway, 'Backend shop/api')).find(({ type }) => type === 'Healthy')
    assert.match(healthy?.message ?? '', /No endpoint is known: Not allowed to list endpointslices/)
  })
})
