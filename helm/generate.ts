/**
 * Writes what the chart holds of other files: the CRDs, values.schema.json from helm/values.schema.yaml and the schema
 * of the settings, the settings that are not built yet, and the table of values in docs/chart.md. Helm is not needed
 * for it.
 *
 *     node helm/generate.ts            write
 *     node helm/generate.ts --check    fail where a file differs
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { parse, parseDocument } from 'yaml'
import { UNBUILT } from '../src/api/not-implemented.ts'
import { type Right, rightsOf } from '../src/api/rights.ts'

type Node = Record<string, unknown>

const root = new URL('../', import.meta.url)
const read = (name: string): string => readFileSync(new URL(name, root), 'utf8')
const isNode = (value: unknown): value is Node => typeof value === 'object' && value !== null && !Array.isArray(value)

/** What the chart writes into the settings itself; stated twice, one of them would lose. */
const OWN_SETTINGS = [
  'ingressClass',
  'listeners',
  'signals',
  'peers',
  'watchNamespaces',
  'stateDirectory',
  'stateKeyFile',
  'plugins',
]

/** Values of the chart that become settings of another name; those of the same name are below `settings`. */
const OWN_NAMES: Readonly<Record<string, { readonly value: string; readonly remedy?: string }>> = {
  'listeners[].tls': { value: 'tls', remedy: 'say tls: false, or leave the listener off' },
  'listeners[].proxyProtocol': { value: 'proxyProtocolFrom' },
  tls: { value: 'defaultCertificate' },
  plugins: { value: 'plugins' },
}

const HEX = '[0-9A-Fa-f]{1,4}'
const BYTE = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
/** IPv6 in hexadecimal: in full, or with `::` after none to seven groups. */
const WIDE = [
  `(${HEX}:){7}${HEX}`,
  ...Array.from({ length: 7 }, (_, i) => (i === 0 ? `(${HEX}:){1,7}:` : `(${HEX}:){1,${7 - i}}(:${HEX}){${i}}`)),
  `:((:${HEX}){1,7}|:)`,
]

/** What `isCIDR` of the CEL rules takes, but for IPv6 with a dotted end; a schema cannot call a function. */
export const ADDRESS_RANGE = `^((${BYTE}\\.){3}${BYTE}/(3[0-2]|[12]?[0-9])|(${WIDE.join('|')})/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$`

const source = parse(read('helm/values.schema.yaml')) as { properties: Node; shapes: Node }
source.shapes.addressRange = { type: 'string', maxLength: 43, pattern: ADDRESS_RANGE }

export function generated(): Map<string, string> {
  const files = new Map<string, string>()
  for (const path of globSync('crds/*.yaml', { cwd: root })) {
    const [name, text] = crd(read(path))
    files.set(`helm/headgate/files/crds/${name}.yaml`, text)
  }
  files.set('helm/headgate/values.schema.json', `${JSON.stringify(valuesSchema())}\n`)
  files.set('helm/headgate/files/unbuilt.json', unbuilt())
  files.set('helm/headgate/templates/_kinds.tpl', rulesOfKinds())
  files.set('docs/chart.md', withTable(read('docs/chart.md')))
  return files
}

/** As it stands in crds/, and kept by Helm when the release goes: with a CRD go all of its objects. */
function crd(text: string): [name: string, text: string] {
  const metadata = /^metadata: \{ name: ([a-z.]+) \}$/m.exec(text)
  if (metadata === null) throw new Error('a CRD whose metadata is not one line with its name')
  const kept = `metadata: { name: ${metadata[1]}, annotations: { helm.sh/resource-policy: keep } }`
  return [
    metadata[1]!,
    text.replace(/^#.*\n/, '# Written by helm/generate.ts from crds/.\n').replace(metadata[0], kept),
  ]
}

/** The part of the roles that follows from the table of kinds (src/api/kinds.ts). */
function rulesOfKinds(): string {
  const { namespaced, cluster } = rightsOf()
  const others = namespaced.map((right) => ({
    ...right,
    resources: right.resources.filter((one) => one !== 'secrets'),
  }))
  const secrets = namespaced.filter(({ resources }) => resources.includes('secrets'))
  const define = (name: string, rights: readonly Right[]) =>
    `{{- define "headgate.${name}" -}}\n${rights.map(ruleText).join('\n')}\n{{- end -}}\n`
  return [
    '{{/* Written by helm/generate.ts from the table of kinds, src/api/kinds.ts. */}}\n',
    define(
      'rulesOfKinds',
      others.filter(({ resources }) => resources.length > 0),
    ),
    define(
      'rulesOfSecrets',
      secrets.map((right) => ({ ...right, resources: ['secrets'] })),
    ),
    define('rulesOfClusterKinds', cluster),
  ].join('')
}

function ruleText({ apiGroup, resources, verbs }: Right): string {
  const group = apiGroup === '' ? '""' : apiGroup
  return `- apiGroups: [${group}]\n  resources: [${resources.join(', ')}]\n  verbs: [${verbs.join(', ')}]`
}

/** For `headgate.check`: pods would refuse these settings at their start, when the upgrade is done. */
function unbuilt(): string {
  const entries = UNBUILT.Settings.map(({ field, accepted = [], refused }) => {
    if (refused !== undefined) throw new Error(`${field}: the chart's check knows no list of refused values`)
    const own = OWN_NAMES[field]
    const instead = own === undefined ? accepted.map((value) => `write ${JSON.stringify(value)}`) : []
    const remedy = ['leave it out', ...instead].join(', or ')
    return { steps: field.split('.'), accepted: accepted.map((value) => JSON.stringify(value)), remedy, ...own }
  })
  return `[\n${entries.map((entry) => `  ${JSON.stringify(entry)}`).join(',\n')}\n]\n`
}

function valuesSchema(): Node {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Values of the chart headgate',
    ...strict({ type: 'object', properties: source.properties }),
  }
}

/** A comma in an unquoted description would end it and begin a keyword. */
const KEYWORDS =
  /^(type|enum|const|not|oneOf|pattern|description|properties|additionalProperties|propertyNames|required|items|uniqueItems|(min|max)(imum|Length|Items|Properties))$/

/** Fills in shapes; closes every object that does not say otherwise. */
function strict(value: unknown): Node {
  const { $shape, $settings, ...own } = value as Node
  if ($settings === true) return { ...own, ...settingsSchema() }
  const node: Node = $shape === undefined ? own : { ...(source.shapes[String($shape)] as Node), ...own }
  for (const key of Object.keys(node))
    if (!KEYWORDS.test(key)) throw new Error(`helm/values.schema.yaml: no keyword: ${key}`)
  for (const key of ['items', 'additionalProperties']) if (isNode(node[key])) node[key] = strict(node[key])
  if (!isNode(node.properties)) return node
  node.properties = Object.fromEntries(Object.entries(node.properties).map(([name, child]) => [name, strict(child)]))
  node.additionalProperties ??= false
  return node
}

function settingsSchema(): Node {
  const { $schema, $id, title, description, required, ...schema } = JSON.parse(
    read('schemas/settings.schema.json'),
  ) as Node
  const properties = { ...(schema.properties as Node) }
  for (const name of OWN_SETTINGS) delete properties[name]
  const tls = structuredClone(properties.tls) as { properties: Node }
  delete tls.properties.defaultCertificate
  properties.tls = tls
  return withoutNotes({ ...schema, properties }) as Node
}

/**
 * Descriptions and defaults are for a reader; the chart is stored in every release. The rule of a range becomes a
 * pattern.
 */
function withoutNotes(value: unknown, names = false): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutNotes(item))
  if (!isNode(value)) return value
  if (String(value.$comment).startsWith('an address range is')) return source.shapes.addressRange
  const entries = Object.entries(value).filter(([key]) => names || (key !== 'description' && key !== 'default'))
  return Object.fromEntries(entries.map(([key, child]) => [key, withoutNotes(child, key === 'properties')]))
}

const BEGIN = '<!-- values: written by helm/generate.ts -->'
const END = '<!-- end of values -->'

function withTable(page: string): string {
  const [before, rest] = page.split(BEGIN)
  const after = rest?.split(END)[1]
  if (before === undefined || after === undefined) throw new Error('docs/chart.md has lost the marks of its table')
  const values = parseDocument(read('helm/headgate/values.yaml')).toJS() as Node
  const rows = [...rowsOf(source.properties, values, '')]
  return `${before}${BEGIN}\n| value | default | |\n|---|---|---|\n${rows.join('\n')}\n${END}${after}`
}

function* rowsOf(properties: Node, values: Node, prefix: string): Generator<string> {
  for (const [name, raw] of Object.entries(properties)) {
    if (name === 'global') continue
    const shape = (raw as Node).$shape
    const schema = shape === undefined ? (raw as Node) : { ...(source.shapes[String(shape)] as Node), ...(raw as Node) }
    const path = `${prefix}${name}`
    const value = values?.[name]
    const said = value === undefined ? '' : `\`${JSON.stringify(value).replaceAll('|', '\\|')}\``
    const nested = isNode(schema.properties) && shape === undefined
    yield `| \`${path}\` | ${nested || name === 'listeners' ? '' : said} | ${allowed(schema)}${String(schema.description ?? '')} |`
    if (nested) yield* rowsOf(schema.properties as Node, value as Node, `${path}.`)
    if (name === 'listeners') {
      const listener = (source.shapes.listener as Node).properties as Node
      yield* rowsOf(listener, (value as Node).http as Node, 'listeners.NAME.')
    }
  }
}

function allowed(schema: Node): string {
  if (!Array.isArray(schema.enum)) return ''
  return `${schema.enum
    .filter((value) => value !== '')
    .map((value) => `\`${value}\``)
    .join(' ')}. `
}

if (import.meta.main) {
  for (const [name, content] of generated()) {
    const file = new URL(name, root)
    if (!process.argv.includes('--check')) writeFileSync(file, content)
    else if (readFileSync(file, 'utf8') !== content) {
      console.error(`${name} is not what helm/generate.ts writes; run it`)
      process.exitCode = 1
    }
  }
}
