import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReferencedServices } from '../../../src/control/resources/references.ts'
import type { SourceEvent } from '../../../src/source/source.ts'

const upsert = (kind: 'Route' | 'Backend', key: string, spec: unknown): SourceEvent => ({
  type: 'upsert',
  kind,
  key,
  raw: { spec },
  origin: { cluster: true },
})
const ref = (name: unknown) => ({ rules: [{ backendRefs: [{ service: { name } }] }] })

describe('Services that objects name', () => {
  it('counts each Service as long as one object names it', () => {
    const named = new ReferencedServices()
    assert.equal(
      named.note([upsert('Route', 'a/r', ref('x')), upsert('Backend', 'a/b', { service: { name: 'x' } })]),
      true,
    )
    assert.deepEqual([...named.services], ['a/x'])
    assert.equal(named.note([{ type: 'delete', kind: 'Route', key: 'a/r' }]), true)
    assert.deepEqual([...named.services], ['a/x'])
    named.note([upsert('Backend', 'a/b', { service: { name: 'y' } })])
    assert.deepEqual([...named.services], ['a/y'])
    named.note([{ type: 'delete', kind: 'Backend', key: 'a/b' }])
    assert.deepEqual([...named.services], [])
  })

  it('says when nothing has moved, so that nobody is asked anew', () => {
    const named = new ReferencedServices()
    named.note([upsert('Route', 'a/r', ref('x'))])
    assert.equal(named.note([upsert('Route', 'a/r', { ...ref('x'), hostnames: ['h'] })]), false)
    assert.equal(named.note([{ type: 'delete', kind: 'Secret', key: 'a/r' }]), false)
  })

  it('says whether a Route delegates by labels, valid or not', () => {
    const named = new ReferencedServices()
    const delegating = (from: unknown) => ({ delegates: [null, { namespaces: { from } }], nonsense: true })
    assert.equal(named.note([upsert('Route', 'a/r', delegating('Names'))]), false)
    assert.equal(named.namespaces, false)
    assert.equal(named.note([upsert('Route', 'a/r', delegating('Selector'))]), true)
    assert.equal(named.note([upsert('Route', 'a/s', delegating('Selector'))]), false)
    assert.equal(named.namespaces, true)
    assert.equal(named.note([{ type: 'delete', kind: 'Route', key: 'a/r' }]), false)
    assert.equal(named.note([upsert('Route', 'a/s', delegating('All'))]), true)
    assert.equal(named.namespaces, false)
  })

  it('takes whatever an API server may send', () => {
    const named = new ReferencedServices()
    for (const spec of [null, 1, [], { rules: 1 }, { rules: [null, { backendRefs: {} }] }, ref(7), ref('')])
      assert.equal(named.note([upsert('Route', 'a/r', spec)]), false)
    assert.deepEqual([...named.services], [])
  })
})
