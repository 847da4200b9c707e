/** What the API server makes of the CRDs and of the corpus; nothing of Headgate runs here. */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type CorpusEntry, readCorpus } from '../../test/corpus/corpus.ts'
import { figure } from '../lib/figures.ts'
import {
  type Api,
  type ApiAnswer,
  apply,
  applyCrds,
  CRDS,
  freshNamespace,
  kubectl,
  openApi,
  tryKubectl,
} from '../lib/kubernetes.ts'

const NAMESPACE = 'corpus'
const PLURAL: Readonly<Record<string, string>> = { Route: 'routes', Backend: 'backends' }

let api: Api

before(async () => {
  await applyCrds()
  await freshNamespace(NAMESPACE)
  api = await openApi()
})

after(async () => {
  api?.close()
  await kubectl('delete', 'namespace', NAMESPACE, '--ignore-not-found', '--wait=false')
})

describe('the CRDs', () => {
  it('are accepted without a warning: names, schemas, cost of the expressions', async () => {
    for (const name of ['routes.headgate.dev', 'backends.headgate.dev']) {
      const { body } = await api.request('GET', `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`)
      const failing = body.status.conditions.filter((one: { type: string; status: string }) =>
        one.type === 'NonStructuralSchema' ? one.status === 'True' : one.status !== 'True',
      )
      assert.deepEqual(failing, [], name)
    }
  })

  it('can be applied again, also on the client side', async () => {
    const again = await kubectl('apply', '--server-side', '-f', CRDS)
    assert.match(again, /routes\.headgate\.dev serverside-applied/)
    const { code, stderr } = await tryKubectl(['apply', '--dry-run=server', '-f', CRDS])
    assert.equal(code, 0, stderr)
  })

  it('are explained by kubectl down to the last field', async () => {
    for (const path of ['hgr', 'hgr.spec.rules.matches.path', 'hgb.spec', 'hgr.spec.policies']) {
      assert.match(await kubectl('explain', path), /DESCRIPTION:\s+\S+/, path)
    }
    const everything = await kubectl('explain', 'routes.headgate.dev', '--recursive')
    for (const field of ['hostnames', 'delegates', 'rules', 'policies']) assert.ok(everything.includes(field), field)
  })

  it('are listed in readable columns', async () => {
    const metadata = { name: 'columns', namespace: NAMESPACE }
    await apply(
      { ...ROUTE, metadata, spec: { hostnames: ['a.example'], rules: [{ name: 'a', respond: {} }] } },
      { ...BACKEND, metadata, spec: { service: { name: 'a', port: 80 } } },
    )
    const listed = await kubectl('get', 'routes.headgate.dev,backends.headgate.dev', '-n', NAMESPACE)
    assert.match(listed, /^NAME +\S*HOST\S* +.*\bREADY\b.*\bAGE\b/m)
    assert.match(listed, /route\.headgate\.dev\/columns .*a\.example/)
    assert.match(listed, /backend\.headgate\.dev\/columns /)
    assert.match(await kubectl('get', 'hgr,hgb', '-n', NAMESPACE), /columns/)
    await kubectl('delete', 'hgr,hgb', 'columns', '-n', NAMESPACE)
  })

  it('keep their status when the spec is edited', async () => {
    const metadata = { name: 'status', namespace: NAMESPACE }
    const spec = { hostnames: ['a.example'], rules: [{ name: 'a', respond: {} }] }
    const path = `/apis/headgate.dev/v1alpha1/namespaces/${NAMESPACE}/routes/status`
    await apply({ ...ROUTE, metadata, spec })
    const condition = {
      type: 'Ready',
      status: 'True',
      reason: 'Programmed',
      message: 'as a test wrote it',
      lastTransitionTime: '2026-01-01T00:00:00Z',
      observedGeneration: 1,
    }
    const written = await api.request('PATCH', `${path}/status`, { status: { conditions: [condition] } })
    assert.equal(written.status, 200, JSON.stringify(written.body))
    await apply({ ...ROUTE, metadata, spec: { ...spec, hostnames: ['b.example'] } })
    const { body } = await api.request('GET', path)
    assert.equal(body.metadata.generation, 2)
    assert.deepEqual(body.status.conditions, [condition])
    // It takes a condition for what it was written for: the spec as it was before does not count.
    const wait = ['wait', 'hgr/status', '-n', NAMESPACE, '--for=condition=Ready']
    assert.match((await tryKubectl([...wait, '--timeout=1s'])).stderr, /timed out/)
    await api.request('PATCH', `${path}/status`, { status: { conditions: [{ ...condition, observedGeneration: 2 }] } })
    await kubectl(...wait, '--timeout=5s')
    await kubectl('delete', 'hgr', 'status', '-n', NAMESPACE)
  })
})

describe('the corpus', () => {
  const corpus = readCorpus().filter(({ kind }) => kind in PLURAL)

  it('gets the same results from the API server as from headgate validate, field by field', async () => {
    const differences: string[] = []
    let fields = 0
    for (const entry of corpus) {
      const difference = differenceOf(entry, await judge(entry))
      if (difference !== undefined) differences.push(`${entry.file}: ${entry.title}: ${difference}`)
      fields += entry.verdict === 'refused' ? entry.problems.length : 0
    }
    figure('manifests judged alike by the API server and headgate validate', corpus.length - differences.length)
    figure('fields named alike in refusals', fields)
    assert.deepEqual(differences, [])
  })
})

const ROUTE = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Route' }
const BACKEND = { apiVersion: 'headgate.dev/v1alpha1', kind: 'Backend' }

/** As `kubectl apply` sends it: unknown and doubled fields are refused, nothing is stored. */
function judge({ kind, document }: CorpusEntry): Promise<ApiAnswer> {
  const path = `/apis/headgate.dev/v1alpha1/namespaces/${NAMESPACE}/${PLURAL[kind]}`
  return api.request('POST', `${path}?dryRun=All&fieldValidation=Strict`, document)
}

function differenceOf(entry: CorpusEntry, answer: ApiAnswer): string | undefined {
  const accepted = answer.status === 201
  // What this build does not have yet is well-formed all the same.
  if (accepted !== (entry.verdict !== 'refused')) {
    return accepted ? `accepted, expected ${entry.problems.join(' ')}` : `refused: ${answer.body.message}`
  }
  if (accepted) return undefined
  const found = [...new Set(fieldsOf(answer))].sort()
  // What it cannot decode it does not look at any further.
  const unknown = entry.problems.filter((problem) => problem.endsWith('=Unknown'))
  const problems = unknown.length === 0 ? entry.problems : unknown
  const expected = [...new Set(problems.map((problem) => problem.replace(/=\w+$/, '')))].sort()
  return found.join(' ') === expected.join(' ') ? undefined : `${found.join(' ')} ≠ ${expected.join(' ')}`
}

/** The fields that a refusal names, as the corpus writes them. */
function fieldsOf({ body }: ApiAnswer): string[] {
  const unknown = [...body.message.matchAll(/(?:unknown|duplicate) field "([^"]+)"/g)].map(([, field]) => field!)
  const causes = (body.details?.causes ?? []) as { field?: string }[]
  // `<nil>` is no field: it says that expressions were not evaluated because of the rest.
  return [...unknown, ...causes.flatMap(({ field }) => (field === undefined || field === '<nil>' ? [] : [field]))]
}
