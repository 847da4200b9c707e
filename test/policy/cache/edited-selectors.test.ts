import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { withEdits } from '../../../src/policy/cache/edited-selectors.ts'
import type { CachePlan } from '../../../src/policy/cache/plan.ts'
import type { HeaderEdits } from '../../../src/policy/policy-set.ts'
import { PLAIN } from '../exchange.ts'

const PLAN: CachePlan = {
  ...{ mode: 'Standard', ttlByCode: [], version: '', by: [], bypass: [], maxObjectBytes: 1_000, store: 'Memory' },
}
const edits = (set: Readonly<Record<string, string>>, remove: readonly string[] = []): HeaderEdits => ({
  set: Object.entries(set).map(([name, value]) => ({ name, value })),
  add: [],
  remove,
})

function after(plan: Partial<CachePlan>, requestHeaders: HeaderEdits): readonly (readonly string[])[] {
  const { by, bypass } = withEdits({ ...PLAN, ...plan }, { ...PLAIN, requestHeaders })
  return [by, bypass]
}

describe('what requestHeaders make of what key.by and bypass name', () => {
  it('tells requests apart in its place, where that is taken out', () => {
    const cookie = edits({ 'x-tenant': 'a%{cookie:tenant}' }, ['cookie'])
    assert.deepEqual(after({ by: ['cookie:tenant'] }, cookie), [['cookie:tenant', 'header:x-tenant'], []])
    const renamed = edits({ 'x-tenant': '%{header:x-org}' }, ['x_org'])
    assert.deepEqual(after({ by: ['header:X-Org'] }, renamed), [['header:X-Org', 'header:x-tenant'], []])
    const replaced = edits({ 'x-org': 'ours', 'x-tenant': '%{header:x-org}' })
    assert.deepEqual(after({ by: ['header:x-org'] }, replaced), [['header:x-org', 'header:x-tenant'], []])
    const added = { set: [], add: [{ name: 'x-t', value: '%{cookie:t}' }], remove: ['cookie'] }
    assert.deepEqual(after({ by: ['cookie:t'] }, added), [['cookie:t', 'header:x-t'], []])
  })

  it('and of a parameter that is not sent', () => {
    const made = edits({ 'x-tenant': '%{query:tenant}' })
    const by = ['query:tenant']
    const both = [['header:x-tenant', 'query:tenant'], []]
    assert.deepEqual(after({ by, query: { include: ['q'], others: 'Drop' } }, made), both)
    assert.deepEqual(after({ by, query: { exclude: ['tenant'], others: 'Drop' } }, made), both)
    assert.deepEqual(after({ by }, made), [by, []])
    // Those of `bypass` are looked at before.
    const query = { include: ['q'], others: 'Drop' } as const
    assert.deepEqual(after({ bypass: by, query }, made), [[], by])
  })

  it('is nothing more where what they name gets to the cache itself, or is made into nothing', () => {
    for (const [selector, given] of [
      ['cookie:tenant', edits({ 'x-tenant': '%{cookie:tenant}' })],
      ['cookie:tenant', edits({ 'x-tenant': '%{cookie:other}' }, ['cookie'])],
      ['cookie:tenant', edits({}, ['cookie'])],
      ['header:x-org', edits({ 'x-tenant': '%{header:x-org}' }, ['x-other'])],
      ['claim:sub', edits({ 'x-user': '%{claim:sub}' }, ['cookie'])],
    ] as const) {
      assert.deepEqual(after({ by: [selector] }, given), [[selector], []])
      assert.deepEqual(after({ bypass: [selector] }, given), [[], [selector]])
    }
  })

  it('has the cache passed by as well; not where it is there without', () => {
    const bypass = ['cookie:preview']
    const alone = edits({ 'x-preview': '%{cookie:preview}' }, ['cookie'])
    assert.deepEqual(after({ bypass }, alone), [[], ['cookie:preview', 'header:x-preview']])
    const beside = edits({ 'x-seen': '%{client.ip} %{cookie:preview}' }, ['cookie'])
    assert.deepEqual(after({ bypass }, beside), [['header:x-seen'], bypass])
  })
})
