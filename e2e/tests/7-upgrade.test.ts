/** The life of a release: an older one with older CRDs, its upgrade, its test, its end. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { parse, stringify } from 'yaml'
import { CHART, type Entrance, entrance, install, RELEASE, SYSTEM, uninstall } from '../lib/headgate.ts'
import { apply, freshNamespace, get, helm, kubectl, tryKubectl } from '../lib/kubernetes.ts'
import { answering, route } from '../lib/service.ts'
import { until } from '../lib/wait.ts'

const NAMESPACE = 'upgrade'
const NAME = 'routes.headgate.dev'
/** A field that the older CRD does not have. */
const NEW_FIELD = 'upgrades'

interface Crd {
  readonly metadata: { readonly annotations?: Readonly<Record<string, string>>; readonly generation: number }
  readonly spec: { readonly versions: readonly [{ readonly schema: { readonly openAPIV3Schema: Schema } }] }
}

interface Schema {
  properties?: Record<string, Schema>
  items?: Schema
}

let folder = ''
let door: Entrance | undefined

before(async () => {
  await uninstall()
  await kubectl('delete', 'crd', NAME, 'backends.headgate.dev', '--ignore-not-found', '--wait')
  folder = mkdtempSync(join(tmpdir(), 'headgate-chart-'))
  cpSync(CHART, folder, { recursive: true })
  const file = join(folder, 'files/crds', `${NAME}.yaml`)
  const crd = parse(readFileSync(file, 'utf8')) as Crd
  delete policiesOf(crd)[NEW_FIELD]
  writeFileSync(file, stringify(crd))
  await freshNamespace(NAMESPACE)
})

after(async () => {
  door?.close()
  rmSync(folder, { recursive: true })
  await uninstall()
  await kubectl('delete', 'namespace', NAMESPACE, SYSTEM, '--ignore-not-found', '--wait=false')
})

/** Policies of a rule. */
function policiesOf({ spec }: Crd): Record<string, Schema> {
  const rule = spec.versions[0].schema.openAPIV3Schema.properties?.spec?.properties?.rules?.items
  return rule!.properties!.policies!.properties!
}

const withNewField = () =>
  route(NAMESPACE, 'new', 'new.example', [{ ...answering('new'), policies: { [NEW_FIELD]: ['websocket'] } }])

describe('a release', () => {
  it('contains its CRDs, also older ones', async () => {
    await install({ chart: folder })
    door = await entrance()
    await apply(route(NAMESPACE, 'old', 'old.example', [answering('old')]))
    await kubectl('wait', 'hgr/old', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    const { code, stderr } = await tryKubectl(['apply', '-f', '-'], { input: JSON.stringify(withNewField()) })
    assert.equal(code, 1)
    assert.match(stderr, new RegExp(`unknown field.*${NEW_FIELD}`))
  })

  it('upgrades them without a change of Routes', async () => {
    const before = await get<Crd>('crd', NAME)
    const uid = await kubectl('get', 'hgr', 'old', '-n', NAMESPACE, '-o', 'jsonpath={.metadata.uid}')
    await install()
    const after = await get<Crd>('crd', NAME)
    assert.ok(after!.metadata.generation > before!.metadata.generation)
    assert.ok(NEW_FIELD in policiesOf(after!))
    assert.equal(after!.metadata.annotations?.['meta.helm.sh/release-name'], RELEASE)
    // The API server takes the new field when it has read the new CRD.
    await until('a Route with the new field', async () => await apply(withNewField()))
    await kubectl('wait', 'hgr/new', '-n', NAMESPACE, '--for=condition=Ready', '--timeout=30s')
    for (const name of ['old', 'new'])
      await until(`the Route ${name}`, async () => (await door!.ask(`${name}.example`)).body === name)
    assert.equal(await kubectl('get', 'hgr', 'old', '-n', NAMESPACE, '-o', 'jsonpath={.metadata.uid}'), uid)
  })

  it('passes helm test, and prints the next steps', async () => {
    assert.match(await helm('test', RELEASE, '--namespace', SYSTEM), /Phase: +Succeeded/)
    assert.match(
      await helm('get', 'notes', RELEASE, '--namespace', SYSTEM),
      /serves Routes and Ingresses of class "headgate"/,
    )
  })

  it('keeps its CRDs and every Route when it is uninstalled, and reuses them', async () => {
    await uninstall()
    assert.ok((await get('crd', NAME)) !== undefined)
    assert.equal((await kubectl('get', 'hgr', '-n', NAMESPACE, '-o', 'name')).trim().split('\n').length, 2)
    await install()
    door?.close()
    door = await entrance()
    await until('what was there is served', async () => (await door!.ask('old.example')).body === 'old')
  })
})
