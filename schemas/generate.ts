/**
 * Writes the CRDs and the schema of the settings from the fragments in `schemas/source`: a policy stands in four
 * places, which nobody keeps equal by hand, and a structural schema knows no `$ref`.
 *
 *     node schemas/generate.ts            write
 *     node schemas/generate.ts --check    fail where a file differs
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { Document, parse, visit } from 'yaml'

import { UNBUILT, type Unbuilt, unbuiltSentence } from '../src/api/not-implemented.ts'

type Node = Record<string, unknown>

const root = new URL('../', import.meta.url)
const read = (name: string): Node => parse(readFileSync(new URL(`schemas/source/${name}.yaml`, root), 'utf8'))
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

const fragments: Node = { ...read('common'), ...read('policies') }

/**
 * Takes over every `$include`; what stands beside it wins, `properties` are joined. `$bare: n` leaves descriptions out
 * below n levels.
 */
function expand(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(expand)
  if (!isNode(value)) return value
  const { $include, $bare, ...own } = value
  const node: Node = {}
  if ($include !== undefined) {
    const fragment = fragments[String($include)]
    if (fragment === undefined) throw new Error(`no fragment ${$include}`)
    const expanded = expand(fragment) as Node
    Object.assign(node, $bare === undefined ? expanded : withoutDescriptions(expanded, Number($bare)))
  }
  for (const [key, child] of Object.entries(own)) {
    const expanded = expand(child)
    const inherited = node[key]
    node[key] = key === 'properties' && isNode(inherited) ? { ...inherited, ...(expanded as Node) } : expanded
  }
  return node
}

/** @param keep levels of fields whose description stays */
function withoutDescriptions(schema: Node, keep: number): Node {
  const node: Node = {}
  for (const [key, child] of Object.entries(schema)) {
    if (key === 'description' && keep <= 0) continue
    if (key === 'properties')
      node[key] = Object.fromEntries(
        Object.entries(child as Node).map(([name, field]) => [name, withoutDescriptions(field as Node, keep - 1)]),
      )
    else if ((key === 'items' || key === 'additionalProperties') && isNode(child))
      node[key] = withoutDescriptions(child, keep - 1)
    else node[key] = child
  }
  return node
}

/** A field that is refused says so where people read of it. */
function markUnbuilt(schema: Node, entries: readonly Unbuilt[]): void {
  for (const entry of entries) {
    let field = schema
    for (const step of entry.field.split('.')) {
      const child = ((field.properties ?? {}) as Node)[step.replace('[]', '')]
      if (!isNode(child)) throw new Error(`no field ${entry.field}`)
      field = step.endsWith('[]') ? (child.items as Node) : child
    }
    field.description = [field.description, unbuiltSentence(entry)].filter((part) => part !== undefined).join(' ')
  }
}

const specOf = (crd: Node): Node =>
  (crd as { spec: { versions: { schema: { openAPIV3Schema: Node } }[] } }).spec.versions[0]!.schema.openAPIV3Schema

/** Order of keywords in what is written: first what a reader asks. */
const ORDER = ['description', 'type', 'format', 'enum', 'default', 'required']

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered)
  if (!isNode(value)) return value
  const keys = Object.keys(value)
  const isSchema = 'type' in value && typeof value.type === 'string'
  if (isSchema) keys.sort((a, b) => rank(a) - rank(b))
  return Object.fromEntries(keys.map((key) => [key, ordered(value[key])]))
}

function rank(key: string): number {
  const index = ORDER.indexOf(key)
  if (key === 'properties' || key === 'items') return 100
  return index < 0 ? 50 : index
}

const DIALECT_KEYWORDS = new Set(['x-kubernetes-list-type', 'x-kubernetes-list-map-keys', 'x-kubernetes-validations'])

/**
 * The settings in plain JSON Schema (2020-12), for editors: the same but for CEL, which stays in words as a comment.
 */
function toJsonSchema(schema: Node): Node {
  const node: Node = {}
  for (const [key, child] of Object.entries(schema)) {
    if (key === 'x-kubernetes-validations')
      node.$comment = (child as { message: string }[]).map((entry) => entry.message).join('; ')
    if (DIALECT_KEYWORDS.has(key) || key === 'x-kubernetes-preserve-unknown-fields') continue
    if (key === 'x-kubernetes-int-or-string') node.type = ['integer', 'string']
    // Our durations are not those of JSON Schema (ISO 8601); the pattern says it all.
    else if (key === 'anyOf' || (key === 'format' && child === 'duration')) continue
    else if (key === 'properties')
      node[key] = Object.fromEntries(
        Object.entries(child as Node).map(([name, field]) => [name, toJsonSchema(field as Node)]),
      )
    else if ((key === 'items' || key === 'additionalProperties') && isNode(child)) node[key] = toJsonSchema(child)
    else node[key] = child
  }
  if (schema['x-kubernetes-list-type'] === 'set') node.uniqueItems = true
  if (schema.type === 'object' && !('additionalProperties' in schema))
    node.additionalProperties = schema['x-kubernetes-preserve-unknown-fields'] === true
  return node
}

/** A map or list that fits a line stands on one: indentation would otherwise be half of the file. */
function yaml(head: string, content: unknown): string {
  const document = new Document(ordered(content), { aliasDuplicateObjects: false })
  visit(document, {
    // Readers of YAML 1.1 take ? and others for punctuation within { }, and some words for booleans.
    Scalar(key, node) {
      if (key !== 'key' && typeof node.value === 'string' && !/^[A-Z][a-z]{3,}|^[\w./-]{5,}$/.test(node.value))
        node.type = node.value.includes("'") ? 'QUOTE_DOUBLE' : 'QUOTE_SINGLE'
    },
    Collection(_key, node) {
      if (JSON.stringify(node).length > 230) return undefined
      node.flow = true
      return undefined
    },
  })
  return head + document.toString({ indent: 1, lineWidth: 0, indentSeq: false, flowCollectionPadding: true })
}

/** File name under the repository → its content. */
export function generated(): Map<string, string> {
  const head = '# Written by schemas/generate.ts from schemas/source; change it there.\n'
  const route = expand(read('route')) as Node
  const backend = expand(read('backend')) as Node
  const settings = expand(read('settings')) as Node
  markUnbuilt(specOf(route), UNBUILT.Route)
  markUnbuilt(specOf(backend), UNBUILT.Backend)
  markUnbuilt(settings, UNBUILT.Settings)
  const published = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: 'https://headgate.dev/schemas/settings.schema.json',
    title: 'Headgate installation settings',
    ...toJsonSchema(settings),
  }
  return new Map([
    ['crds/headgate.dev_routes.yaml', yaml(head, route)],
    ['crds/headgate.dev_backends.yaml', yaml(head, backend)],
    ['schemas/settings.yaml', yaml(head, settings)],
    ['schemas/settings.schema.json', `${JSON.stringify(published, null, 1)}\n`],
    ['schemas/compact.json', `${JSON.stringify(withoutAnyDescription({ route, backend, settings }))}\n`],
  ])
}

/** For a start without 0.4 s of YAML: what a program reads of the three files. */
function withoutAnyDescription(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutAnyDescription)
  if (!isNode(value)) return value
  const entries = Object.entries(value).filter(([key, child]) => key !== 'description' || typeof child !== 'string')
  return Object.fromEntries(entries.map(([key, child]) => [key, withoutAnyDescription(child)]))
}

if (import.meta.main) {
  for (const [name, content] of generated()) {
    const file = new URL(name, root)
    if (!process.argv.includes('--check')) writeFileSync(file, content)
    else if (readFileSync(file, 'utf8') !== content) {
      console.error(`${name} is not what schemas/generate.ts writes; run it`)
      process.exitCode = 1
    }
  }
}
