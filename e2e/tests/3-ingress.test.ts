/** A cluster's old Ingresses on the first day, and what people are told: statuses, columns, Events. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { figure } from '../lib/figures.ts'
import { type Entrance, entrance, install, RELEASE, SYSTEM } from '../lib/headgate.ts'
import { apply, freshNamespace, get, kubectl } from '../lib/kubernetes.ts'
import { answering, backend, deployment, rolledOut, route, service } from '../lib/service.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'day-one'
const ADDRESS = '203.0.113.8'
const TOKEN = '/.well-known/acme-challenge/Zm9vYmFyLXRva2VuLWZvci1hLXRlc3Q'

let door: Entrance

before(async () => {
  await install({ values: { 'service.type': 'LoadBalancer' } })
  door = await entrance()
  await freshNamespace(NAMESPACE)
  const options = [
    { namespace: NAMESPACE, name: 'shop' },
    { namespace: NAMESPACE, name: 'cm-acme-http-solver' },
  ]
  await apply(...options.flatMap((one) => [deployment(one), service(one)]))
  await Promise.all(options.map(({ name }) => rolledOut(NAMESPACE, name)))
})

after(async () => {
  door?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

interface Parts {
  readonly annotations?: object
  readonly labels?: object
}

const ingress = (name: string, spec: object, parts: Parts = {}) => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'Ingress',
  metadata: { name, namespace: NAMESPACE, ...parts },
  spec,
})

const named = (name: string) => ({ service: { name, port: { name: 'http' } } })
const prefix = (path: string, backend: object) => ({ path, pathType: 'Prefix', backend })
const hostRule = (host: string, ...paths: object[]) => ({ host, http: { paths } })

/** Which Deployment answered. */
async function servedBy(host: string, path = '/'): Promise<string> {
  const { status, body } = await door.ask(host, path)
  return status === 200 ? String(JSON.parse(body).servedBy).replace(/-[^-]+-[^-]+$/, '') : `${status}`
}

const serves = (host: string, expected: string, path = '/') =>
  until(`${host}${path} is ${expected}`, async () => {
    for (let i = 0; i < 6; i++) {
      const found = await servedBy(host, path)
      if (found !== expected) throw new Error(found)
    }
    return true
  })

const remove = (...names: string[]) => kubectl('delete', 'ingress', ...names, '-n', NAMESPACE)

describe('an Ingress', () => {
  it('forwards to a port by its name, and serves each single label of a wildcard host', async () => {
    const started = performance.now()
    await apply(
      ingress('shop', { ingressClassName: 'headgate', rules: [hostRule('old.example', prefix('/', named('shop')))] }),
      ingress('star', { rules: [hostRule('*.star.example', prefix('/', named('shop')))] }),
    )
    await serves('old.example', 'shop')
    figure('Ingress applied → traffic from all replicas', `${(performance.now() - started).toFixed(0)} ms`)
    await serves('a.star.example', 'shop')
    assert.equal(await servedBy('a.b.star.example'), '404')
    assert.equal(await servedBy('star.example'), '404')
  })

  it('with a default backend serves all other hosts', async () => {
    await apply(ingress('default', { defaultBackend: named('shop') }))
    await serves('nobody-at-all.example', 'shop', '/anything')
    assert.equal(await servedBy('a.b.star.example'), '404')
    await remove('default')
    await serves('nobody-at-all.example', '404')
  })

  it('has its class by annotation alone, ours or that of another controller', async () => {
    const of = (name: string) => ({ annotations: { 'kubernetes.io/ingress.class': name } })
    const rules = (host: string) => ({ rules: [hostRule(host, prefix('/', named('shop')))] })
    await apply(
      ingress('theirs', rules('theirs.example'), of('nginx')),
      ingress('annotated', rules('annotated.example'), of('headgate')),
    )
    await serves('annotated.example', 'shop')
    assert.equal(await servedBy('theirs.example'), '404')
  })

  for (const [how, parts, spec] of [
    ['the field', {}, { ingressClassName: 'headgate' }],
    ['the annotation', { annotations: { 'kubernetes.io/ingress.class': 'headgate' } }, {}],
  ] as const)
    it(`of cert-manager's solver, class by ${how}, answers its token beside a Route that has the host`, async () => {
      const rules = [{ name: 'all', redirect: { scheme: 'https', statusCode: 308 } }]
      await apply(route(NAMESPACE, 'secure', 'secure.example', rules))
      await serves('secure.example', '308', TOKEN)
      const backend = { service: { name: 'cm-acme-http-solver', port: { number: 80 } } }
      const path = { path: TOKEN, pathType: 'ImplementationSpecific', backend }
      // As cert-manager 1.x writes it.
      await apply(
        ingress(
          'cm-acme-http-solver',
          { ...spec, rules: [hostRule('secure.example', path)] },
          {
            labels: { 'acme.cert-manager.io/http01-solver': 'true' },
            annotations: {
              ...('annotations' in parts ? parts.annotations : {}),
              'nginx.ingress.kubernetes.io/whitelist-source-range': '0.0.0.0/0,::/0',
            },
          },
        ),
      )
      await serves('secure.example', 'cm-acme-http-solver', TOKEN)
      assert.equal(await servedBy('secure.example', '/'), '308')
      assert.equal(await servedBy('secure.example', `${TOKEN}x`), '308')
      await remove('cm-acme-http-solver')
      await serves('secure.example', '308', TOKEN)
    })

  it('gets the addresses of the Service, as Routes do', async () => {
    const status = { loadBalancer: { ingress: [{ ip: ADDRESS }] } }
    const args = ['-n', SYSTEM, '--subresource=status', '--type=merge', '-p', JSON.stringify({ status })]
    await apply(route(NAMESPACE, 'addressed', 'addressed.example', [answering('a')]))
    await kubectl('patch', 'service', RELEASE, ...args)
    const path = 'jsonpath={.status.loadBalancer.ingress[*].ip}{.status.addresses[*].value}'
    for (const object of ['ingress/shop', 'ingress/annotated', 'route.headgate.dev/addressed'])
      await until(
        `${object} has the address`,
        async () => (await kubectl('get', object, '-n', NAMESPACE, '-o', path)) === ADDRESS,
      )
    // Somebody else's stays as it is.
    assert.equal(await kubectl('get', 'ingress/theirs', '-n', NAMESPACE, '-o', path), '')
    assert.match(await kubectl('get', 'ingress', 'shop', '-n', NAMESPACE), new RegExp(`old\\.example +${ADDRESS}`))
  })
})

interface Told {
  readonly metadata: { readonly name: string }
  readonly series?: { readonly count: number }
  readonly reason: string
  readonly note: string
  readonly regarding: { readonly kind: string; readonly name: string }
}

/** Events about an object, those of one reason. */
async function eventsOf(name: string, reason: string): Promise<Told[]> {
  const listed = await kubectl('get', 'events.events.k8s.io', '-n', NAMESPACE, '-o', 'json')
  return (JSON.parse(listed).items as Told[]).filter((one) => one.regarding.name === name && one.reason === reason)
}

const told = (name: string, reason: string) =>
  until(`an Event ${reason} of ${name}`, async () => {
    const [first] = await eventsOf(name, reason)
    return first
  })

/** A rule that the API server takes and that the compiler refuses: a key that is known later than it is asked for. */
const REFUSED = {
  ...answering('broken'),
  policies: { rateLimits: [{ name: 'all', requests: 1, per: '1s', by: ['consumer'], stage: 'BeforeAuth' }] },
}

describe('an Event', () => {
  it('reports the annotations of an Ingress for another controller', async () => {
    const annotations = { 'nginx.ingress.kubernetes.io/rewrite-target': '/$1', 'cert-manager.io/issuer': 'a' }
    const rules = [hostRule('noted.example', prefix('/', named('shop')))]
    await apply(ingress('noted', { rules }, { annotations }))
    const { note } = await told('noted', 'AnnotationsIgnored')
    assert.match(note, /nginx\.ingress\.kubernetes\.io\/rewrite-target/)
    assert.doesNotMatch(note, /cert-manager/)
    assert.match(await kubectl('describe', 'ingress', 'noted', '-n', NAMESPACE), /Warning +AnnotationsIgnored/)
  })

  it('reports a conflict and a broken reference', async () => {
    await apply(
      route(NAMESPACE, 'first', 'contested.example', [answering('first')]),
      route(NAMESPACE, 'lost', 'lost.example', [{ name: 'all', backendRefs: [{ name: 'nobody' }] }]),
    )
    await kubectl('wait', 'route.headgate.dev/first', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    assert.match((await told('lost', 'BackendNotFound')).note, /nobody/)
    // Which of two is older is told by whole seconds.
    await until('a second has passed', () => Date.now() % 1000 < 60)
    await apply(route(NAMESPACE, 'second', 'contested.example', [answering('second')]))
    assert.match((await told('second', 'Conflicted')).note, /first/)
    const described = await kubectl('describe', 'route.headgate.dev', 'second', '-n', NAMESPACE)
    assert.match(described, /Events:[\s\S]*Warning +Conflicted/)
  })

  it('reports an edit that is not served', async () => {
    await apply(route(NAMESPACE, 'edited', 'edited.example', [answering('good')]))
    await kubectl('wait', 'route.headgate.dev/edited', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    await apply(route(NAMESPACE, 'edited', 'edited.example', [REFUSED]))
    assert.match((await told('edited', 'LastGoodServed')).note, /known behind auth/)
    assert.equal((await door.ask('edited.example')).body, 'good')
  })

  it('that is repeated is counted', async () => {
    const [first] = await eventsOf('lost', 'BackendNotFound')
    await apply(route(NAMESPACE, 'lost', 'lost.example', [answering('found')]))
    await kubectl('wait', 'route.headgate.dev/lost', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    await apply(route(NAMESPACE, 'lost', 'lost.example', [{ name: 'all', backendRefs: [{ name: 'nobody' }] }]))
    // One is counted at most once a minute.
    const counted = async () => {
      const [now] = await eventsOf('lost', 'BackendNotFound')
      return now!.metadata.name === first!.metadata.name && (now!.series?.count ?? 0) >= 2
    }
    await until('it is a series', counted, { seconds: 120, every: 500 })
  })

  it('exists once, after more edits and from another leader', async () => {
    const holder = async () =>
      (await get<{ spec: { holderIdentity: string } }>('lease', RELEASE, SYSTEM))?.spec.holderIdentity ?? ''
    const before = await holder()
    const pod = /^headgate-[a-z0-9]+-[a-z0-9]+/.exec(before)?.[0] ?? before
    await kubectl('delete', 'pod', pod, '-n', SYSTEM, '--wait=false')
    const started = performance.now()
    await until('another leader', async () => ![before, ''].includes(await holder()))
    figure('leader deleted → another one', `${((performance.now() - started) / 1000).toFixed(1)} s`)
    const lost = (weight: number) =>
      route(NAMESPACE, 'lost', 'lost.example', [{ name: 'all', backendRefs: [{ name: 'nobody', weight }] }])
    for (const weight of [2, 3]) {
      await apply(lost(weight))
      const generation = await kubectl('get', 'hgr', 'lost', '-n', NAMESPACE, '-o', 'jsonpath={.metadata.generation}')
      const path = 'jsonpath={.status.conditions[?(@.type=="ResolvedRefs")].observedGeneration}'
      await until(
        'the status of the edit',
        async () => (await kubectl('get', 'hgr', 'lost', '-n', NAMESPACE, '-o', path)) === generation,
      )
    }
    for (const [name, reason] of [
      ['lost', 'BackendNotFound'],
      ['second', 'Conflicted'],
      ['noted', 'AnnotationsIgnored'],
    ] as const)
      assert.equal((await eventsOf(name, reason)).length, 1, `${name} ${reason}`)
  })
})

describe('edits that are not served', () => {
  const NAMES = ['first-kept', 'second-kept']
  const KEPT = `${RELEASE}-last-good`
  const good = (name: string) => route(NAMESPACE, name, `${name}.example`, [answering(name)])

  it('keep the last good versions in force, also after every pod was replaced, until they are corrected', async () => {
    for (const name of NAMES) {
      await apply(good(name))
      await kubectl('wait', `route.headgate.dev/${name}`, '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
      await apply(route(NAMESPACE, name, `${name}.example`, [REFUSED]))
      await kubectl('wait', `route.headgate.dev/${name}`, '-n', NAMESPACE, '--for=condition=Stale', '--timeout=30s')
    }
    const records = async () =>
      Object.keys((await get<{ binaryData?: object }>('configmap', KEPT, SYSTEM))?.binaryData ?? {}).length
    await until('they are kept', async () => (await records()) >= NAMES.length)
    await kubectl('rollout', 'restart', `deployment/${RELEASE}`, '-n', SYSTEM)
    await rolledOut(SYSTEM, RELEASE)
    // A port that is forwarded leads to one pod, and that is gone.
    door.close()
    door = await entrance()
    for (let i = 0; i < 10; i++) for (const name of NAMES) assert.equal((await door.ask(`${name}.example`)).body, name)
    for (const name of [...NAMES, 'edited']) await apply(good(name))
    await until('nothing is kept any more', async () => (await get('configmap', KEPT, SYSTEM)) === undefined)
  })
})

describe('kubectl', () => {
  it('waits for Ready, and lists Routes and Backends in columns', async () => {
    await apply(
      backend(NAMESPACE, 'shop'),
      route(NAMESPACE, 'listed', 'listed.example', [{ name: 'all', backendRefs: [{ name: 'shop' }] }]),
    )
    const started = performance.now()
    await kubectl('wait', 'routes.headgate.dev/listed', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    figure('Backend and Route applied → kubectl wait ends', `${(performance.now() - started).toFixed(0)} ms`)
    const healthy = ['--for=condition=Healthy', '--timeout=30s']
    await kubectl('wait', 'backends.headgate.dev/shop', '-n', NAMESPACE, ...healthy)
    const listed = await kubectl('get', 'routes,backends', '-n', NAMESPACE)
    assert.match(listed, /^NAME +HOSTS +RULES +READY +AGE/m)
    assert.match(listed, /^route\.headgate\.dev\/listed +\["listed\.example"\] +1 +True /m)
    assert.match(listed, /^route\.headgate\.dev\/lost +\["lost\.example"\] +\d +False /m)
    assert.match(listed, /^NAME +SERVICE +PROTOCOL +ENDPOINTS +ELIGIBLE +HEALTHY +AGE/m)
    assert.match(listed, /^backend\.headgate\.dev\/shop +shop +1 +1 +True /m)
    const wide = await kubectl('get', 'routes', '-n', NAMESPACE, '-o', 'wide')
    assert.match(wide, /^lost .* False +BackendNotFound /m)
  })
})
