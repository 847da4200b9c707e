/**
 * The folder `kustomize` with the kustomize that kubectl has: what an overlay merges and renames, and what the API
 * server says to it.
 */
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments, stringify } from 'yaml'
import { figure } from '../lib/figures.ts'
import { applyCrds, freshNamespace, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { backend, deployment, route, service } from '../lib/service.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const EXAMPLE = join(ROOT, 'examples/kustomize')
const NAMESPACE = 'kustomize'

// biome-ignore lint/suspicious/noExplicitAny: manifests are read field by field, by paths that a test states
type Manifest = any

let folder = ''

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headgate-kustomize-'))
  await applyCrds()
  await freshNamespace(NAMESPACE)
})

after(async () => {
  rmSync(folder, { recursive: true })
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

describe('the example', () => {
  it('has an overlay that changes only what it names', async () => {
    const [base, overlay] = [await build(join(EXAMPLE, 'base')), await build(join(EXAMPLE, 'overlay'))]
    const expected = structuredClone(find(base, 'Route').spec)
    const [status, search, all] = expected.rules
    search.backendRefs[0].service.name = 'staging-shop'
    search.policies.timeouts.request = '10s'
    search.policies.requestHeaders.set[0].value = 'staging'
    all.backendRefs[0].name = 'staging-shop'
    // What a patch names comes first; the order of rules decides only between equal ones.
    assert.deepEqual(find(overlay, 'Route').spec, {
      ...expected,
      hostnames: ['staging.example.com'],
      rules: [search, status, all],
    })
    assert.equal(find(overlay, 'Backend').spec.service.name, 'staging-shop')
    const [container] = find(overlay, 'Deployment').spec.template.spec.containers
    const [before] = find(base, 'Deployment').spec.template.spec.containers
    assert.deepEqual([container.args, container.ports], [before.args, before.ports])
    assert.equal(container.envFrom[0].configMapRef.name, find(overlay, 'ConfigMap').metadata.name)
  })

  it('is accepted by the API server', async () => {
    const manifests = (await build(join(EXAMPLE, 'overlay'))).filter(({ kind }) => kind !== 'Namespace')
    for (const { metadata } of manifests) metadata.namespace = NAMESPACE
    await accepted(manifests)
    const { code, stderr } = await tryKubectl(['apply', '--dry-run=client', '-k', join(EXAMPLE, 'overlay')])
    assert.equal(code, 0, stderr)
  })
})

describe('an overlay', () => {
  it('renames every reference, with prefix, suffix and the hashes of generators', async () => {
    const built = await layered({
      resources: { 'all.yaml': EVERYTHING },
      kustomization: {
        namespace: NAMESPACE,
        namePrefix: 'a-',
        nameSuffix: '-z',
        secretGenerator: SECRETS.map((name) => ({ name, literals: ['a=b'] })),
        configMapGenerator: [{ name: 'page', literals: ['a=b'] }],
      },
    })
    const names = (kind: string) => built.filter((one) => one.kind === kind).map(({ metadata }) => metadata.name)
    const fields = built.flatMap(({ kind, spec }) => (/^(Route|Backend)$/.test(kind) ? referencesOf(spec) : []))
    const used = { Secret: new Set(), ConfigMap: new Set(), Service: new Set(), Backend: new Set() }
    for (const [kind, name] of fields) {
      assert.ok(names(kind).includes(name), `${kind} ${name} is none of ${names(kind).join(', ')}`)
      used[kind].add(name)
    }
    assert.equal(used.Secret.size, SECRETS.length, 'every Secret is named somewhere')
    assert.ok([...used.Secret].every((name) => /^a-.*-z-[a-z0-9]{10}$/.test(String(name))))
    assert.equal(find(built, 'Ingress').spec.defaultBackend.resource.name, 'a-shop-z')
    figure('references renamed by kustomize', fields.length)
    await accepted(built)
  })

  it('adds and removes rules and headers, and replaces a list that has no names', async () => {
    const patch = {
      apiVersion: 'headgate.dev/v1alpha1',
      kind: 'Route',
      metadata: { name: 'shop', namespace: NAMESPACE },
      spec: {
        rules: [
          { name: 'gone', $patch: 'delete' },
          { name: 'new', respond: { statusCode: 204 } },
          {
            name: 'kept',
            matches: [{ path: { type: 'Exact', value: '/b' } }],
            policies: { requestHeaders: { set: [{ name: 'x-a', $patch: 'delete' }] } },
          },
        ],
      },
    }
    const set = [
      { name: 'x-a', value: '1' },
      { name: 'x-b', value: '2' },
    ]
    const rules = [
      { name: 'gone', respond: {} },
      { name: 'kept', matches: [matching('/a'), matching('/c')], respond: {}, policies: { requestHeaders: { set } } },
      { name: 'other', respond: {} },
    ]
    const built = await layered({
      resources: { 'route.yaml': [route(NAMESPACE, 'shop', 'shop.example', rules)] },
      kustomization: { namespace: NAMESPACE, patches: [{ patch: stringify(patch) }] },
    })
    const after = find(built, 'Route').spec.rules as { name: string }[]
    assert.deepEqual(after.map(({ name }) => name).sort(), ['kept', 'new', 'other'])
    assert.deepEqual(
      after.find(({ name }) => name === 'kept'),
      { ...rules[1], matches: [matching('/b')], policies: { requestHeaders: { set: [set[1]] } } },
    )
    await accepted(built)
  })

  it('does not change a name in another namespace', async () => {
    const rules = [{ name: 'all', backendRefs: [{ name: 'foreign', namespace: 'platform' }] }]
    const built = await layered({
      resources: { 'route.yaml': [route(NAMESPACE, 'shop', 'shop.example', rules), backend(NAMESPACE, 'shop')] },
      kustomization: { namePrefix: 'a-' },
    })
    assert.deepEqual(find(built, 'Route').spec.rules, rules)
  })

  it('may refer to copies of the two files itself', async () => {
    const copies = join(folder, 'copies')
    mkdirSync(copies)
    for (const file of ['openapi.json', 'configuration.yaml']) cpSync(join(ROOT, 'kustomize', file), join(copies, file))
    writeFileSync(join(copies, 'route.yaml'), stringify(route('a', 'shop', 'shop.example', [answer('a'), answer('b')])))
    writeFileSync(join(copies, 'backend.yaml'), stringify(backend('a', 'shop')))
    const patch = stringify({ ...route('a', 'shop', 'new.example', [{ name: 'b', respond: { statusCode: 404 } }]) })
    writeFileSync(
      join(copies, 'kustomization.yaml'),
      stringify({
        openapi: { path: 'openapi.json' },
        configurations: ['configuration.yaml'],
        resources: ['route.yaml', 'backend.yaml'],
        patches: [{ patch }],
      }),
    )
    assert.deepEqual(find(await build(copies), 'Route').spec.rules, [
      { name: 'b', respond: { statusCode: 404 } },
      answer('a'),
    ])
  })
})

const answer = (name: string) => ({ name, respond: { statusCode: 200 } })
const matching = (value: string) => ({ path: { type: 'Exact', value } })

const SECRETS = ['certificate', 'client-ca', 'jwks', 'basic', 'keys', 'signing', 'clients', 'ca', 'client']
const external = (name: string) => ({ external: { backendRef: { name }, path: '/check' } })

const EVERYTHING: readonly object[] = [
  ...['shop', 'auth'].map((name) => service({ namespace: NAMESPACE, name })),
  deployment({ namespace: NAMESPACE, name: 'shop' }),
  backend(NAMESPACE, 'shop', { tls: { caSecretName: 'ca', clientCertificateSecretName: 'client' }, protocol: 'HTTPS' }),
  backend(NAMESPACE, 'auth'),
  route(
    NAMESPACE,
    'shop',
    'shop.example',
    [
      {
        name: 'all',
        backendRefs: [
          { name: 'shop', weight: 1 },
          { service: { name: 'auth', port: 80 }, weight: 1 },
        ],
        policies: {
          auth: {
            anyOf: [
              external('auth'),
              { basic: { secretName: 'basic' } },
              { apiKey: { secretName: 'keys', from: [{ header: 'x-key' }] } },
            ],
          },
          mirror: { backendRef: { service: { name: 'shop', port: 80 } } },
        },
      },
      {
        name: 'token',
        tokenIssuer: { issuer: 'https://a.example', signingKeySecretName: 'signing', clientsSecretName: 'clients' },
      },
    ],
    {
      tls: { certificates: [{ secretName: 'certificate' }], clientCertificate: { caSecretName: 'client-ca' } },
      policies: {
        auth: { jwt: { issuer: 'https://a.example', audiences: ['a'], keys: { jwksSecretName: 'jwks' } } },
        errors: [{ codes: ['503'], bodyRef: { configMapName: 'page', key: 'a' } }],
        enforced: { auth: external('auth'), mirror: { backendRef: { name: 'shop' } } },
      },
    },
  ),
  {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { name: 'shop', namespace: NAMESPACE },
    spec: { defaultBackend: { resource: { apiGroup: 'headgate.dev', kind: 'Backend', name: 'shop' } } },
  },
]

type Kind = 'Secret' | 'ConfigMap' | 'Service' | 'Backend'

/** Kind and name of everything that a spec refers to. */
function referencesOf(value: Manifest, key = ''): [Kind, string][] {
  if (Array.isArray(value)) return value.flatMap((one) => referencesOf(one, key))
  if (typeof value !== 'object' || value === null) {
    if (/secretName$/i.test(key)) return [['Secret', value]]
    return key === 'configMapName' ? [['ConfigMap', value]] : []
  }
  const own: [Kind, string][] = []
  if (key === 'service') own.push(['Service', value.name])
  if (/^backendRefs?$/.test(key) && value.name !== undefined) own.push(['Backend', value.name])
  return [...own, ...Object.entries(value).flatMap(([name, child]) => referencesOf(child, name))]
}

interface Layers {
  readonly resources: Readonly<Record<string, readonly object[]>>
  readonly kustomization: object
}

/** A base with these objects and an overlay over it. */
async function layered({ resources, kustomization }: Layers): Promise<Manifest[]> {
  const layout = mkdtempSync(join(folder, 'layers-'))
  for (const layer of ['base', 'overlay']) mkdirSync(join(layout, layer))
  const file = (path: string, content: object) => writeFileSync(join(layout, path), stringify(content))
  for (const [name, objects] of Object.entries(resources))
    writeFileSync(join(layout, 'base', name), objects.map((object) => stringify(object)).join('---\n'))
  const ours = relative(join(layout, 'base'), join(ROOT, 'kustomize'))
  file('base/kustomization.yaml', { resources: [ours, ...Object.keys(resources)] })
  file('overlay/kustomization.yaml', { resources: ['../base'], ...kustomization })
  return await build(join(layout, 'overlay'))
}

async function build(layout: string): Promise<Manifest[]> {
  const documents = parseAllDocuments(await kubectl('kustomize', layout))
  return Array.isArray(documents) ? documents.map((document) => document.toJS()) : []
}

function find(manifests: readonly Manifest[], kind: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind)
  assert.ok(found !== undefined, `there is no ${kind}`)
  return found
}

async function accepted(manifests: readonly Manifest[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests })
  const flags = ['--dry-run=server', '--validate=strict']
  const { code, stdout, stderr } = await tryKubectl(['apply', ...flags, '-f', '-'], { input })
  assert.equal(code, 0, stderr)
  assert.equal(stdout.trim().split('\n').length, manifests.length)
}
