import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { errors } from '../../../src/policy/errors/policy.ts'

const REF = { codes: ['404'], bodyRef: { configMapName: 'pages', key: '404.html' } }

describe('the plan of error pages', () => {
  it('names a ConfigMap of the namespace that states them', () => {
    assert.deepEqual(errors.plan([REF], 'shop')?.[0]?.body, { content: 'ConfigMap shop/pages 404.html' })
    assert.deepEqual(errors.plan([REF], 'other')?.[0]?.body, { content: 'ConfigMap other/pages 404.html' })
  })

  it('is one object for one value, so that the rules of a Route share it', () => {
    const pages = [REF, { codes: ['500'], body: 'x' }]
    assert.equal(errors.plan(pages, 'shop'), errors.plan(pages, 'shop'))
  })

  it('can be cloned and written as JSON', () => {
    const plan = errors.plan([REF, { codes: ['500-502', '504'], body: 'x' }], 'shop')
    assert.deepEqual(structuredClone(plan), plan)
    assert.deepEqual(JSON.parse(JSON.stringify(plan)), plan)
  })

  it('is none where no page is stated', () => assert.equal(errors.plan([], 'shop'), undefined))
})

describe('the references of error pages', () => {
  it('are the ConfigMaps, with their places', () => {
    assert.deepEqual(
      [...errors.references!.find([{ codes: ['500'], body: 'x' }, REF])],
      [{ path: [1, 'bodyRef'], kind: 'ConfigMap', name: 'pages', key: '404.html' }],
    )
  })

  it('of what has not been validated are those that can be read', () => {
    for (const odd of [
      undefined,
      null,
      7,
      'x',
      {},
      [null],
      [7],
      [{ bodyRef: 7 }],
      [{ bodyRef: null }],
      [{ bodyRef: {} }],
    ])
      assert.deepEqual([...errors.references!.find(odd)], [])
    assert.deepEqual([...errors.references!.find([{ bodyRef: { configMapName: 7, key: 'a' } }, REF])].length, 1)
  })
})

describe('the settings', () => {
  it('cannot name a ConfigMap, because they are of no namespace', () => {
    assert.deepEqual(errors.check!([{ codes: ['500'], body: 'x' }, REF], 'Settings'), [
      { path: [1, 'bodyRef'], message: 'names a ConfigMap in the namespace of a Route; in the settings write body' },
    ])
    assert.deepEqual(errors.check!([REF], 'Route'), [])
    assert.deepEqual(errors.check!([{ codes: ['404', '504-502'], body: 'x' }], 'Route'), [
      { path: [0, 'codes', 1], message: 'ends before it begins; write 502-504' },
    ])
  })
})
