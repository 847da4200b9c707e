/**
 * Writes docs/reference/{route,backend,settings}.md from the descriptions in the schemas, so that the reference equals
 * the output of `kubectl explain`, and docs/reference/cache-rules.md from the titles of tests.
 *
 *     node docs/generate.ts            write
 *     node docs/generate.ts --check    fail where a page differs
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { parse } from 'yaml'
import { UNBUILT, type Unbuilt } from '../src/api/not-implemented.ts'
import type { Schema } from '../src/api/schema-dialect.ts'
import { CACHE_RULES_PAGE, cacheRulesPage } from './cache-rules.ts'
import { wrapProse } from './wrap-prose.ts'

const root = new URL('../', import.meta.url)

interface Crd {
  readonly spec: { readonly versions: readonly { readonly schema: { readonly openAPIV3Schema: Schema } }[] }
}

const read = (name: string): unknown => parse(readFileSync(new URL(name, root), 'utf8'))
const crdSchema = (name: string): Schema => (read(name) as Crd).spec.versions[0]!.schema.openAPIV3Schema

interface Page {
  readonly file: string
  readonly title: string
  readonly intro: string
  readonly schema: Schema
  /** Name of the object the schema is about: `spec`, or nothing for the settings. */
  readonly prefix: string
  readonly unbuilt: readonly Unbuilt[]
  /** Paths that are described elsewhere. */
  readonly elsewhere: ReadonlyMap<string, string>
}

const FIELD_OF_POLICIES = 'the fields of [policies of a rule](route.md#specrulespolicies)'

function pages(): Page[] {
  const route = crdSchema('crds/headgate.dev_routes.yaml')
  const backend = crdSchema('crds/headgate.dev_backends.yaml')
  const settings = read('schemas/settings.yaml') as Schema
  return [
    {
      file: 'docs/reference/route.md',
      title: 'Route',
      intro: `${route.description} \`apiVersion: headgate.dev/v1alpha1\`, \`kind: Route\`, namespaced, short name \`hgr\`. How policies of settings, Route and rule are put together: [merge.md](merge.md).`,
      schema: route.properties!.spec!,
      prefix: 'spec',
      unbuilt: UNBUILT.Route,
      elsewhere: new Map([
        ['spec.policies', `${FIELD_OF_POLICIES}, and \`enforced\``],
        ['spec.policies.enforced', FIELD_OF_POLICIES],
        ['spec.rules[].policies.auth.anyOf[]', 'the methods of `auth`'],
      ]),
    },
    {
      file: 'docs/reference/backend.md',
      title: 'Backend',
      intro: `${backend.description} \`apiVersion: headgate.dev/v1alpha1\`, \`kind: Backend\`, namespaced, short name \`hgb\`.`,
      schema: backend.properties!.spec!,
      prefix: 'spec',
      unbuilt: UNBUILT.Backend,
      elsewhere: new Map(),
    },
    {
      file: 'docs/reference/settings.md',
      title: 'Settings',
      intro: `${settings.description} One YAML or JSON file, \`--settings FILE\`; for editors there is \`schemas/settings.schema.json\`. Flags override it; \`headgate config\` prints what is in force and where each value came from.`,
      schema: settings,
      prefix: '',
      unbuilt: UNBUILT.Settings,
      elsewhere: new Map([
        ['policies.defaults', FIELD_OF_POLICIES],
        ['policies.enforced', FIELD_OF_POLICIES],
      ]),
    },
  ]
}

/** File name under the repository → its content. */
export function generatedPages(): Map<string, string> {
  return new Map(pages().map((page) => [page.file, write(page)]))
}

function write(page: Page): string {
  const parts = [
    `<!-- Written by docs/generate.ts from the schemas; change it there. -->\n# ${page.title}`,
    page.intro,
    'Fields with † are part of the API and not implemented in this version: they are rejected by name, never ignored.',
  ]
  writeObject(page, page.schema, page.prefix, parts)
  return wrapProse(`${parts.join('\n\n')}\n`)
}

function writeObject(page: Page, schema: Schema, path: string, parts: string[]): void {
  const properties = Object.entries(schema.properties ?? {})
  const required = new Set(schema.required ?? [])
  const rows = properties.map(([name, child]) => {
    const at = path === '' ? name : `${path}.${name}`
    const link = page.elsewhere.get(at)
    const unbuilt = page.unbuilt.some((entry) => entry.field === at)
    const cells = [
      `\`${name}\`${required.has(name) ? ' \\*' : ''}${unbuilt ? ' †' : ''}`,
      link === undefined ? typeOf(child) : 'object',
      defaultOf(child),
      [child.description ?? '', ...rulesOf(child), link === undefined ? '' : `Has ${link}.`]
        .filter((part) => part !== '')
        .join(' '),
    ]
    return `| ${cells.map(escapeCell).join(' | ')} |`
  })
  parts.push(`## ${path === '' ? 'Fields' : `\`${path}\``}`)
  const rules = rulesOf(schema)
  if (rules.length > 0) parts.push(rules.join(' '))
  parts.push(['| field | is | default | |', '|---|---|---|---|', ...rows].join('\n'))
  for (const [name, child] of properties) {
    const at = path === '' ? name : `${path}.${name}`
    if (page.elsewhere.has(at)) continue
    if (child.properties !== undefined) writeObject(page, child, at, parts)
    else if (child.items?.properties !== undefined && !page.elsewhere.has(`${at}[]`))
      writeObject(page, child.items, `${at}[]`, parts)
  }
}

function typeOf(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema['x-kubernetes-int-or-string']) return 'integer or string'
  if (schema.format === 'duration') return 'duration'
  if (schema.type === 'array') return `list of ${plural(schema.items!)}${span(schema.minItems, schema.maxItems, '')}`
  if (schema.type === 'object')
    return schema.additionalProperties === undefined ? 'object' : `map of ${plural(schema.additionalProperties)}`
  if (schema.type === 'integer' || schema.type === 'number')
    return `${schema.type}${span(schema.minimum, schema.maximum, '')}`
  if (schema.type === 'string') return `string${span(undefined, schema.maxLength, ' characters')}`
  return String(schema.type)
}

function plural(schema: Schema): string {
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(', ')
  if (schema['x-kubernetes-int-or-string']) return 'integers or strings'
  if (schema.format === 'duration') return 'durations'
  return `${schema.type}s`
}

function span(least: number | undefined, most: number | undefined, unit: string): string {
  if (least !== undefined && most !== undefined) return ` (${least} to ${most}${unit})`
  if (most !== undefined) return ` (at most ${most}${unit})`
  return ''
}

function defaultOf(schema: Schema): string {
  const value = schema.default
  if (value === undefined) return ''
  if (typeof value === 'object' && value !== null && Object.keys(value).length === 0) return ''
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``
}

/** What rules say, as sentences. Those of items are left to the message. */
function rulesOf(schema: Schema): string[] {
  return (schema['x-kubernetes-validations'] ?? [])
    .map((rule) => rule.message)
    .filter((message) => message !== undefined)
    .map((message) => `*${message}.*`)
}

function escapeCell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

if (import.meta.main) {
  for (const [name, content] of [...generatedPages(), [CACHE_RULES_PAGE, cacheRulesPage()] as const]) {
    const file = new URL(name, root)
    if (!process.argv.includes('--check')) writeFileSync(file, content)
    else if (readFileSync(file, 'utf8') !== content) {
      console.error(`${name} is not what docs/generate.ts writes; run it`)
      process.exitCode = 1
    }
  }
}
