/**
 * Writes manifests/install.yaml: what the chart renders with its defaults, for whoever does not use Helm. Needs helm:
 * HEADGATE_HELM, or on the PATH.
 *
 *     node manifests/generate.ts            write
 *     node manifests/generate.ts --check    fail where the file differs
 */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { Document, parseAllDocuments, visit } from 'yaml'

const root = new URL('../', import.meta.url)
const FILE = new URL('manifests/install.yaml', root)
const NAMESPACE = 'headgate-system'

const HEAD = `# Headgate with the defaults of its chart. Written by manifests/generate.ts; change helm/headgate and run it.
# Put your image in place of headgate:VERSION, see docs/install.md.
---
apiVersion: v1
kind: Namespace
metadata:
  name: ${NAMESPACE}
  labels:
    pod-security.kubernetes.io/enforce: restricted
`

export function installManifest(helm: string): string {
  const args = [
    'template',
    'headgate',
    'helm/headgate',
    '--namespace',
    NAMESPACE,
    '--no-hooks',
    '--set',
    'crds.install=Never',
    // A key in a file that all have is none.
    '--set',
    'peers.enabled=false',
  ]
  const rendered = execFileSync(helm, args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 })
  const documents = parseAllDocuments(rendered)
  if (!Array.isArray(documents)) throw new Error('the chart renders nothing')
  const texts = documents.map((document) => {
    if (document.errors[0] !== undefined) throw document.errors[0]
    return plain(document)
  })
  return [HEAD, ...crds(), ...texts].join('---\n')
}

/** As they are written, which is shorter than a printer's form. */
function crds(): string[] {
  return ['backends', 'routes'].map((name) => readFileSync(new URL(`crds/headgate.dev_${name}.yaml`, root), 'utf8'))
}

/** Nobody may take these for a release's. */
function plain(document: Document.Parsed): string {
  for (const path of [
    ['metadata', 'labels'],
    ['spec', 'template', 'metadata', 'labels'],
  ])
    for (const label of ['helm.sh/chart', 'app.kubernetes.io/managed-by'])
      if (document.hasIn([...path, label])) document.deleteIn([...path, label])
  // "Source: …" and blank lines before the first field.
  document.commentBefore = null
  if (document.contents !== null) document.contents.commentBefore = null
  visit(document, { Pair: (_, pair) => void (isSpaced(pair.key) && (pair.key.spaceBefore = false)) })
  // The chart quotes whatever could be a number in somebody's release; here it is known what is none.
  visit(document, { Scalar: (_, scalar) => void (scalar.type === 'QUOTE_DOUBLE' && (scalar.type = 'PLAIN')) })
  const copy = new Document(document.contents)
  return copy.toString({ lineWidth: 0, indentSeq: false })
}

function isSpaced(key: unknown): key is { spaceBefore?: boolean } {
  return typeof key === 'object' && key !== null && 'spaceBefore' in key
}

if (import.meta.main) {
  const manifest = installManifest(process.env.HEADGATE_HELM ?? 'helm')
  if (!process.argv.includes('--check')) writeFileSync(FILE, manifest)
  else if (readFileSync(FILE, 'utf8') !== manifest) {
    console.error('manifests/install.yaml is not what manifests/generate.ts writes; run it')
    process.exitCode = 1
  }
}
