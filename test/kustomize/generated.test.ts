import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parse } from 'yaml'
import { type Definition, fieldsOf, generatedFiles, targetOf } from '../../kustomize/generate.ts'
import type { Schema } from '../../src/api/schema-dialect.ts'

const read = (name: string): string => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const { definitions } = JSON.parse(read('kustomize/openapi.json')) as { definitions: Record<string, Definition> }
const configuration = parse(read('kustomize/configuration.yaml')) as {
  nameReference: { kind: string; fieldSpecs: { kind: string; path: string }[] }[]
}

const spec = (kind: 'Route' | 'Backend'): Schema =>
  parse(read(`crds/headgate.dev_${kind.toLowerCase()}s.yaml`)).spec.versions[0].schema.openAPIV3Schema.properties.spec

describe('what kustomize is told', () => {
  it('is what the CRDs say: openapi.json, configuration.yaml', () => {
    for (const [name, content] of generatedFiles())
      assert.ok(read(name) === content, `${name}: run node kustomize/generate.ts`)
  })

  it('has every list with keys that a patch can get to, and no other', () => {
    for (const kind of ['Route', 'Backend'] as const) {
      const told = listsOf(definitions[`dev.headgate.v1alpha1.${kind}`]!.properties!.spec!)
      assert.deepEqual(told.sort(), keyed(spec(kind)).sort(), kind)
    }
  })

  it('holds together: every reference of a definition leads to one', () => {
    for (const [, name = ''] of read('kustomize/openapi.json').matchAll(/"#\/definitions\/([^"]+)"/g))
      assert.ok(name in definitions, name)
  })

  it('leaves out no field that is called like a reference', () => {
    const known = new Set(configuration.nameReference.flatMap(({ fieldSpecs }) => fieldSpecs.map(({ path }) => path)))
    for (const kind of ['Route', 'Backend'] as const)
      for (const path of fieldsOf(spec(kind), ['spec'])) {
        const [parent = '', field = ''] = path.slice(-2)
        const reference = /(secret|configMap)Name$/i.test(field) || (field === 'name' && /Ref|^service$/.test(parent))
        assert.equal(known.has(path.join('/')), reference, `${kind} ${path.join('.')}`)
      }
  })

  it('tells kinds by the names of fields', () => {
    const kinds = ['rules/backendRefs/name', 'rules/backendRefs/service/name', 'tls/certificates/secretName']
    assert.deepEqual(
      [...kinds, 'errors/bodyRef/configMapName', 'keys/jwksSecretName', 'rules/name', 'cookie/name'].map(
        (path) => targetOf(path.split('/'))?.kind,
      ),
      ['Backend', 'Service', 'Secret', 'ConfigMap', 'Secret', undefined, undefined],
    )
  })

  it('knows the lists of Kubernetes itself, which a schema of ones own would hide', () => {
    const { containers } = definitions['io.k8s.api.core.v1.PodSpec']!.properties!
    assert.equal(containers?.['x-kubernetes-patch-merge-key'], 'name')
    assert.equal(
      definitions['io.k8s.api.core.v1.ServiceSpec']!.properties!.ports?.['x-kubernetes-patch-merge-key'],
      'port',
    )
  })
})

/** Lists that are merged, as a patch walks: path and keys. */
function listsOf({ properties, items, ...schema }: Definition, path = 'spec'): string[] {
  const key = schema['x-kubernetes-patch-merge-key']
  const keys = schema['x-kubernetes-list-map-keys'] ?? [key!]
  return [
    ...(key === undefined ? [] : [`${path} by ${keys.join(', ')}`]),
    ...(items === undefined ? [] : listsOf(items, path)),
    ...Object.entries(properties ?? {}).flatMap(([name, field]) => listsOf(field, `${path}.${name}`)),
  ]
}

/** The same from the CRD: below a list that is replaced as a whole there is nothing to merge. */
function keyed({ properties, items, ...schema }: Schema, path = 'spec'): string[] {
  const type = schema['x-kubernetes-list-type']
  if (items !== undefined && type !== 'map') return []
  return [
    ...(type === 'map' ? [`${path} by ${schema['x-kubernetes-list-map-keys']!.join(', ')}`] : []),
    ...(items === undefined ? [] : keyed(items, path)),
    ...Object.entries(properties ?? {}).flatMap(([name, field]) => keyed(field, `${path}.${name}`)),
  ]
}
