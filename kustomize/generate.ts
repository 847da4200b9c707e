/**
 * Writes what kustomize has to know of Route and Backend, from the CRDs: openapi.json, which lists are merged by which key, and
 * configuration.yaml, which fields hold the name of another object. See docs/kustomize.md.
 *
 *     node kustomize/generate.ts            write
 *     node kustomize/generate.ts --check    fail where a file differs
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parse, stringify } from 'yaml'
import type { Schema } from '../src/api/schema-dialect.ts'

/** As far as kustomize reads it. */
export interface Definition {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Definition>>
  readonly items?: Definition
  readonly 'x-kubernetes-patch-strategy'?: string
  readonly 'x-kubernetes-patch-merge-key'?: string
  readonly 'x-kubernetes-list-map-keys'?: readonly string[]
  readonly 'x-kubernetes-group-version-kind'?: readonly object[]
}

export type Definitions = Readonly<Record<string, Definition>>

interface Crd {
  readonly spec: {
    readonly group: string
    readonly names: { readonly kind: string }
    readonly versions: readonly { readonly name: string; readonly schema: { readonly openAPIV3Schema: Schema } }[]
  }
}

const root = new URL('../', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, root), 'utf8')

/** Definitions of the kinds of Kubernetes itself, written by take-kubernetes.ts. */
export const SOURCE = new URL('kustomize/source/kubernetes.json', root)

const CRDS = ['backends', 'routes'].map((name) => parse(read(`crds/headgate.dev_${name}.yaml`)) as Crd)

function openApi(): string {
  const kubernetes = JSON.parse(readFileSync(SOURCE, 'utf8')) as { readonly definitions: Definitions }
  const meta = { $ref: '#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta' }
  const own = CRDS.flatMap(({ spec: { group, names, versions } }) =>
    versions.map(({ name: version, schema }): [string, Definition] => [
      `${group.split('.').reverse().join('.')}.${version}.${names.kind}`,
      {
        type: 'object',
        'x-kubernetes-group-version-kind': [{ group, version, kind: names.kind }],
        properties: { metadata: meta, spec: mergeable(schema.openAPIV3Schema.properties!.spec!)! },
      },
    ]),
  )
  return text({ definitions: { ...Object.fromEntries(own), ...kubernetes.definitions } })
}

/** What of a schema tells how lists are merged; nothing where no list below is merged by a key. */
function mergeable(schema: Schema): Definition | undefined {
  if (schema.type === 'array') {
    const keys = schema['x-kubernetes-list-type'] === 'map' ? schema['x-kubernetes-list-map-keys']! : undefined
    // All other lists are replaced as a whole: what a patch says is what there is.
    if (keys === undefined) return undefined
    return {
      type: 'array',
      'x-kubernetes-patch-strategy': 'merge',
      'x-kubernetes-patch-merge-key': keys[0]!,
      ...(keys.length > 1 ? { 'x-kubernetes-list-map-keys': keys } : {}),
      items: mergeable(schema.items!) ?? { type: 'object' },
    }
  }
  const properties = Object.entries(schema.properties ?? {}).flatMap(([name, child]): [string, Definition][] => {
    const field = mergeable(child)
    return field === undefined ? [] : [[name, field]]
  })
  return properties.length === 0 ? undefined : { type: 'object', properties: Object.fromEntries(properties) }
}

/** One definition a line, so that a change is seen. */
export function text({ definitions, ...rest }: { readonly definitions: Definitions; readonly [key: string]: unknown }) {
  const lines = Object.entries(definitions).map(([name, definition]) => `"${name}": ${JSON.stringify(definition)}`)
  const head = Object.entries(rest).map(([key, value]) => `${JSON.stringify(key)}: ${JSON.stringify(value)},\n`)
  return `{\n${head.join('')}"definitions": {\n${lines.join(',\n')}\n}\n}\n`
}

interface Target {
  readonly kind: string
  readonly version: string
  readonly group?: string
}

const BACKEND: Target = { kind: 'Backend', version: 'v1alpha1', group: 'headgate.dev' }
const SERVICE: Target = { kind: 'Service', version: 'v1' }
const SECRET: Target = { kind: 'Secret', version: 'v1' }
const CONFIG_MAP: Target = { kind: 'ConfigMap', version: 'v1' }

/** Whose name the field holds, told by how the API calls such fields. */
export function targetOf(path: readonly string[]): Target | undefined {
  const [parent = '', field = ''] = path.slice(-2)
  if (/secretName$/i.test(field)) return SECRET
  if (/configMapName$/i.test(field)) return CONFIG_MAP
  if (field !== 'name') return undefined
  if (parent === 'service') return SERVICE
  return /^backendRefs?$/.test(parent) ? BACKEND : undefined
}

/** Every field that holds a string, as kustomize writes a path: lists leave no trace. */
export function fieldsOf(schema: Schema, path: readonly string[] = []): (readonly string[])[] {
  if (schema.type === 'array') return fieldsOf(schema.items!, path)
  if (schema.type === 'string') return [path]
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => fieldsOf(field, [...path, name]))
}

const CONFIGURATION_HEAD = `# Which fields hold names of other objects: they follow namePrefix, nameSuffix and the hashes of generators.
# Written by kustomize/generate.ts from the CRDs; see docs/kustomize.md.
`

/** Of an Ingress, which kustomize knows but not that a Backend may stand there. */
const OF_INGRESS = ['spec/defaultBackend/resource/name', 'spec/rules/http/paths/backend/resource/name']

function configuration(): string {
  const targets = [BACKEND, SERVICE, SECRET, CONFIG_MAP]
  const nameReference = targets.map((target) => ({
    ...target,
    fieldSpecs: [
      ...CRDS.flatMap(({ spec: { group, names, versions } }) =>
        fieldsOf(versions[0]!.schema.openAPIV3Schema.properties!.spec!, ['spec'])
          .filter((path) => targetOf(path) === target)
          .map((path) => ({ kind: names.kind, group, path: path.join('/') })),
      ),
      ...(target === BACKEND ? OF_INGRESS.map((path) => ({ kind: 'Ingress', group: 'networking.k8s.io', path })) : []),
    ],
  }))
  return CONFIGURATION_HEAD + stringify({ nameReference }, { lineWidth: 0, indentSeq: false })
}

/** File name under the repository → its content. */
export const generatedFiles = (): Map<string, string> =>
  new Map([
    ['kustomize/openapi.json', openApi()],
    ['kustomize/configuration.yaml', configuration()],
  ])

if (import.meta.main) {
  for (const [name, content] of generatedFiles()) {
    const file = new URL(name, root)
    if (!process.argv.includes('--check')) writeFileSync(file, content)
    else if (readFileSync(file, 'utf8') !== content) {
      console.error(`${name} is not what kustomize/generate.ts writes; run it`)
      process.exitCode = 1
    }
  }
}
