import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { KIND_NAMES, KINDS, type KindRow, referencesOf } from '../../src/api/kinds.ts'
import { settingsReferences } from '../../src/api/references.ts'

const brief = (kind: string, spec: unknown) =>
  [...referencesOf(kind, 'a', { spec })].map(({ kind: of, namespace, name, port, key, purpose, path }) =>
    [`${of} ${namespace}/${name}`, port, key, purpose, path.join('.')].filter((part) => part !== undefined).join(' '),
  )

const page = (configMapName: unknown, key: unknown = 'k') => ({ errors: [{ bodyRef: { configMapName, key } }] })

describe('what an object refers to', () => {
  it('is read off a Route, wherever it stands', () => {
    const spec = {
      delegates: [{ namespaces: { from: 'Names' } }, { namespaces: { from: 'Selector' } }],
      policies: { ...page('all'), enforced: page('fixed') },
      rules: [
        { backendRefs: [{ service: { name: 's', port: 80 } }, { name: 'b' }, { name: 'b', namespace: 'c' }] },
        { policies: page('own', 'x.html') },
      ],
    }
    assert.deepEqual(brief('Route', spec), [
      'Namespace /* Labels spec.delegates.1.namespaces.selector',
      'Service a/s 80 Traffic spec.rules.0.backendRefs.0.service',
      'Backend a/b Traffic spec.rules.0.backendRefs.1',
      'Backend c/b Traffic spec.rules.0.backendRefs.2',
      'ConfigMap a/all k Policy spec.policies.errors.0.bodyRef',
      'ConfigMap a/fixed k Policy spec.policies.enforced.errors.0.bodyRef',
      'ConfigMap a/own x.html Policy spec.rules.1.policies.errors.0.bodyRef',
    ])
  })

  it('is read off a Backend and an Ingress', () => {
    assert.deepEqual(brief('Backend', { service: { name: 's', port: 'http' } }), [
      'Service a/s http Endpoints spec.service',
    ])
    const spec = {
      defaultBackend: { resource: { apiGroup: 'headgate.dev', kind: 'Backend', name: 'b' } },
      rules: [
        { http: { paths: [{ backend: { service: { name: 's', port: { number: 80 } } } }] } },
        { http: { paths: [{ backend: { resource: { kind: 'Bucket', name: 'other' } } }] } },
      ],
    }
    assert.deepEqual(brief('Ingress', spec), [
      'Backend a/b Traffic spec.defaultBackend.resource',
      'Service a/s 80 Traffic spec.rules.0.http.paths.0.backend.service',
    ])
    assert.deepEqual(brief('Ingress', { defaultBackend: { service: { name: 's', port: { name: 'web' } } } }), [
      'Service a/s web Traffic spec.defaultBackend.service',
    ])
  })

  it('is read off settings that grant by labels', () => {
    const grant = (from: string) => ({ namespaces: { from } })
    const settings = {
      hostnames: [grant('All'), grant('Selector')],
      upstreams: { externalTargets: [grant('Selector')] },
    }
    assert.deepEqual(
      [...settingsReferences(settings)].map(({ path }) => path.join('.')),
      ['hostnames.1.namespaces.selector', 'upstreams.externalTargets.0.namespaces.selector'],
    )
  })

  it('never has a slash in a name that something is looked up by, or a name that is none', () => {
    const rules = ['', 7, null, 'x/y', 'x'.repeat(300)].map((name) => ({
      backendRefs: [{ service: { name, port: 1 } }],
      policies: page(name),
    }))
    assert.deepEqual(
      brief('Route', { rules: [...rules, { policies: page('good', 7) }, { policies: page('good', 'a/b') }] }),
      [],
    )
  })

  it('of whatever an API server may send is of kinds that the extractor names, and nothing throws', () => {
    const fields = fc.constantFrom(
      'spec',
      'rules',
      'backendRefs',
      'service',
      'name',
      'policies',
      'errors',
      'bodyRef',
      'http',
    )
    const hostile = fc.letrec((tie) => ({
      value: fc.oneof({ maxDepth: 6 }, fc.string(), fc.integer(), fc.constant(null), tie('list'), tie('object')),
      list: fc.array(tie('value'), { maxLength: 3 }),
      object: fc.dictionary(fields, tie('value'), { maxKeys: 4 }),
    })).value
    fc.assert(
      fc.property(fc.constantFrom(...KIND_NAMES), hostile, (kind, spec) => {
        const row: KindRow = KINDS[kind]
        for (const reference of referencesOf(kind, 'a', { spec })) {
          assert.ok(row.references?.names.includes(reference.kind))
          assert.ok(Object.hasOwn(KINDS, reference.kind))
          assert.notEqual(reference.name, '')
        }
      }),
      { numRuns: 500 },
    )
  })

  it('is bounded, and costs little more than to read it', () => {
    const rules = [{ backendRefs: Array.from({ length: 200_000 }, (_, i) => ({ name: `b${i}` })) }]
    assert.equal(referencesOf('Route', 'a', { spec: { rules } }).length, 65_536)
  })
})
