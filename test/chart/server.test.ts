/**
 * What a real API server says to the objects of the matrix, by dry run. Only when asked for (HEADGATE_CHART_SERVER=1),
 * since it creates namespaces in the cluster of KUBECONFIG; the cluster tests ask.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { findProgram, type KubernetesObject, objectsOf, ROOT, render, WITHOUT_HELM } from './helm.ts'
import { MATRIX } from './matrix.ts'

const KUBECTL = findProgram('kubectl')
const SKIP = whyNot()

function whyNot(): string | false {
  if (process.env.HEADGATE_CHART_SERVER !== '1') return 'the cluster tests run these: HEADGATE_CHART_SERVER=1'
  if (KUBECTL === undefined) return 'there is no kubectl'
  return WITHOUT_HELM
}

/** Of an operator that the cluster does not have. */
const FOREIGN = ['ServiceMonitor']

function kubectl(args: readonly string[], input = ''): string {
  return execFileSync(KUBECTL!, args, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: 2 ** 26 })
}

/** @returns what the server objected to or warned of */
function objections(objects: readonly KubernetesObject[], crds = false): string {
  const items = objects.filter(({ kind }) => !FOREIGN.includes(kind) && (crds || kind !== 'CustomResourceDefinition'))
  const flags = ['--dry-run=server', '--server-side', '--force-conflicts', '--validate=strict']
  const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items })
  const { status, stderr } = spawnSync(KUBECTL!, ['apply', ...flags, '-f', '-'], {
    input,
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  })
  // The certificate of the matrix is none.
  const lines = stderr.split('\n').filter((line) => line !== '' && line !== 'Warning: x509: malformed certificate')
  if (status !== 0 && lines.length === 0) lines.push(`kubectl ended with ${status}`)
  return lines.join('\n')
}

/** @returns whether it was not there */
function ensure(what: readonly string[]): boolean {
  try {
    kubectl(['create', ...what])
    return true
  } catch (error) {
    assert.match(String((error as { stderr?: string }).stderr), /already exists/)
    return false
  }
}

describe('the API server takes what the chart renders', () => {
  if (SKIP !== false) {
    it('is asked', { skip: SKIP }, () => {})
    return
  }
  const made = new Set<string>()

  before(async () => {
    // Namespaced objects are refused in a dry run when there is no such namespace.
    const rendered = await Promise.all(MATRIX.map((entry) => render(entry)))
    const wanted = new Set(rendered.flat().flatMap(({ metadata }) => metadata.namespace ?? []))
    for (const name of ['headgate-system', 'headgate-example']) wanted.add(name)
    for (const name of wanted) {
      if (ensure(['namespace', name])) made.add(name)
      // The test pod runs as it. A controller would make it in a moment.
      ensure(['serviceaccount', 'default', '--namespace', name])
    }
    kubectl(['label', 'namespace', 'gateway', '--overwrite', 'pod-security.kubernetes.io/enforce=restricted'])
  })

  after(() => {
    if (made.size > 0) kubectl(['delete', 'namespace', ...made, '--wait=false'])
  })

  for (const entry of MATRIX)
    it(entry.name, async () => {
      const said = objections(await render(entry))
      // That is what it costs: neither `restricted` nor `baseline` allow it.
      if (entry.hostPorts) assert.match(said, /hostPort/)
      else assert.equal(said, '')
    })

  it('manifests/install.yaml, with the CRDs', () => {
    assert.equal(objections(objectsOf(readFileSync(join(ROOT, 'manifests/install.yaml'), 'utf8')), true), '')
  })
})
