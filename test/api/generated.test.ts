import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { generatedPages } from '../../docs/generate.ts'
import { generated } from '../../schemas/generate.ts'
import { UNBUILT, unbuiltSentence } from '../../src/api/not-implemented.ts'
import type { Schema } from '../../src/api/schema-dialect.ts'
import { documents } from './schemas.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')

for (const [name, content] of [...generated(), ...generatedPages()])
  test(`${name} is what its generator writes`, () => {
    assert.ok(read(name) === content, `run node ${name.startsWith('docs/') ? 'docs' : 'schemas'}/generate.ts`)
  })

interface Crd {
  readonly spec: {
    readonly names: { readonly shortNames: string[]; readonly categories: string[] }
    readonly versions: [
      {
        readonly name: string
        readonly subresources: unknown
        readonly additionalPrinterColumns: unknown[]
        readonly schema: { readonly openAPIV3Schema: Schema }
      },
    ]
  }
}

const route = documents.route as Crd
const backend = documents.backend as Crd
const routeSchema = route.spec.versions[0].schema.openAPIV3Schema
const schemas: [name: string, schema: Schema][] = [
  ['route', routeSchema],
  ['backend', backend.spec.versions[0].schema.openAPIV3Schema],
  ['settings', documents.settings as Schema],
]

/** Every schema below this one, with its path. */
function* below(schema: Schema, path: string): Generator<[path: string, schema: Schema]> {
  yield [path, schema]
  for (const [name, child] of Object.entries(schema.properties ?? {})) yield* below(child, `${path}.${name}`)
  if (schema.items !== undefined) yield* below(schema.items, `${path}[]`)
  if (schema.additionalProperties !== undefined) yield* below(schema.additionalProperties, `${path}.*`)
}

const everywhere = schemas.flatMap(([name, schema]) => [...below(schema, name)])

test('the CRDs are small enough for every way of installing them', () => {
  for (const name of ['crds/headgate.dev_routes.yaml', 'crds/headgate.dev_backends.yaml'])
    assert.ok(read(name).length < 220_000, name)
  // Client-side apply keeps the object in an annotation of at most 262,144 bytes.
  assert.ok(JSON.stringify(documents.route).length < 200_000)
})

test('both kinds have a status subresource, printer columns, a short name and a category', () => {
  for (const [crd, short] of [
    [route, 'hgr'],
    [backend, 'hgb'],
  ] as const) {
    const [version] = crd.spec.versions
    assert.equal(version.name, 'v1alpha1')
    assert.deepEqual(version.subresources, { status: {} })
    assert.ok(version.additionalPrinterColumns.length >= 6)
    assert.deepEqual(crd.spec.names.shortNames, [short])
    assert.deepEqual(crd.spec.names.categories, ['headgate'])
  }
})

test('every text, list and map has a bound: the CEL budget of an API server depends on it', () => {
  for (const [path, schema] of everywhere) {
    if (/^(route|backend)\.(apiVersion|kind|metadata)$/.test(path)) continue
    if (schema.type === 'string' && schema.enum === undefined && schema.format !== 'date-time')
      assert.notEqual(schema.maxLength, undefined, path)
    if (schema['x-kubernetes-int-or-string']) assert.notEqual(schema.maxLength, undefined, path)
    if (schema.type === 'array') assert.notEqual(schema.maxItems, undefined, path)
    if (schema.additionalProperties !== undefined) assert.notEqual(schema.maxProperties, undefined, path)
    if (schema.type === 'integer') assert.ok(schema.minimum !== undefined || schema.enum !== undefined, path)
  }
})

test('every list has a merge strategy', () => {
  for (const [path, schema] of everywhere)
    if (schema.type === 'array') assert.ok(schema['x-kubernetes-list-type'], path)
})

test('nothing under policies has a default: it would beat the Route’s own value in every rule', () => {
  const found = everywhere.filter(([path, schema]) => /\.policies\./.test(path) && schema.default !== undefined)
  assert.deepEqual(
    found.map(([path]) => path),
    [],
  )
})

test('no field has a name that kubectl reads as a boolean', () => {
  for (const [path] of everywhere) assert.doesNotMatch(path, /\.(on|off|y|n|yes|no)$/i)
})

test('every field is described, policies where they stand in a rule', () => {
  const bare =
    /^(route\.spec\.policies|settings\.policies\.enforced)\.|auth\.anyOf\[\]\.|^(route|backend)\.metadata$|(\[\]|\.\*)$/
  for (const [path, schema] of everywhere)
    if (!bare.test(path) && path.includes('.')) assert.ok(schema.description, path)
})

test('kubectl explain says of every field that is not built that it is refused, and of no other', () => {
  for (const [subject, name] of [
    ['Route', 'route'],
    ['Backend', 'backend'],
    ['Settings', 'settings'],
  ] as const) {
    const unbuilt = new Map(UNBUILT[subject].map((entry) => [`${name}.${entry.field}`, unbuiltSentence(entry)]))
    for (const [path, schema] of everywhere) {
      if (!path.startsWith(`${name}.`)) continue
      const sentence = unbuilt.get(path)
      unbuilt.delete(path)
      if (sentence === undefined) assert.doesNotMatch(schema.description ?? '', /[Nn]ot built/, path)
      else assert.ok(schema.description?.endsWith(sentence), path)
    }
    assert.deepEqual([...unbuilt.keys()], [], 'each is a field')
  }
})

test('every rule has a message', () => {
  for (const [path, schema] of everywhere)
    for (const rule of schema['x-kubernetes-validations'] ?? [])
      assert.match(rule.message ?? '', /^.{10,250}[^.]$/, path)
})

test('what a program reads is what the files say, without the descriptions', () => {
  const compact = JSON.parse(read('schemas/compact.json')) as Record<string, unknown>
  const bare = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null) return value
    if (Array.isArray(value)) return value.map(bare)
    const entries = Object.entries(value).filter(([key, child]) => key !== 'description' || typeof child !== 'string')
    return Object.fromEntries(entries.map(([key, child]) => [key, bare(child)]))
  }
  assert.deepEqual(compact, bare(documents))
})

test('the published schema of the settings knows the fields of the settings, and no others', () => {
  const published = JSON.parse(read('schemas/settings.schema.json')) as Schema & { additionalProperties: unknown }
  const settings = documents.settings as Schema
  assert.deepEqual(Object.keys(published.properties ?? {}), Object.keys(settings.properties ?? {}))
  assert.equal(published.additionalProperties, false)
  assert.doesNotMatch(JSON.stringify(published), /x-kubernetes/)
})
