import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { parse } from 'yaml'
import { mergePolicies, POLICY_KEYS } from '../../src/api/merge.ts'
import type { Policies } from '../../src/api/policies.ts'
import { documents } from './schemas.ts'

type Cell = Policies | undefined

/** The table of the page is the table of the test: neither can be wrong alone. */
const rows = readFileSync(new URL('../../docs/reference/merge.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('| `') || line.startsWith('| |'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )
  .filter((cells) => !cells[0]!.includes('defaults'))
const cellOf = (text: string): Cell =>
  text === '' ? undefined : text === '—' ? {} : (parse(text.replaceAll('`', '')) as Policies)

test('the page has its examples', () => assert.ok(rows.length >= 16 && rows.every((cells) => cells.length === 7)))

for (const [index, cells] of rows.entries())
  test(`docs/reference/merge.md, example ${index + 1}: ${cells.at(-1)}`, () => {
    const [defaults, route, rule, own, owner, enforced, merged] = cells.map(cellOf)
    assert.deepEqual(
      mergePolicies({
        settings: { ...(defaults && { defaults }), ...(enforced && { enforced }) },
        route: { ...route, ...(own && { enforced: own }) },
        rule,
        owner,
      }),
      merged,
    )
  })

test('merging knows every policy of the schema', () => {
  const crd = documents.route as {
    spec: {
      versions: [
        { schema: { openAPIV3Schema: { properties: { spec: { properties: { policies: { properties: object } } } } } } },
      ]
    }
  }
  const { enforced: _, ...policies } = crd.spec.versions[0].schema.openAPIV3Schema.properties.spec.properties.policies
    .properties as Record<string, unknown>
  assert.deepEqual(Object.keys(policies).sort(), [...POLICY_KEYS].sort())
})

const somePolicies = fc.record(
  {
    retry: fc.record({ attempts: fc.nat(10) }, { requiredKeys: [] }),
    timeouts: fc.record(
      { request: fc.constantFrom('1s', '2s'), idle: fc.constantFrom('1s', '2s') },
      { requiredKeys: [] },
    ),
    upgrades: fc.array(fc.constantFrom('websocket', 'h2c'), { maxLength: 2 }),
    pathEncoding: fc.constantFrom('Strict' as const, 'KeepEncodedSlash' as const),
  },
  { requiredKeys: [] },
)

test('no inner layer can change enforced policies', () => {
  fc.assert(
    fc.property(somePolicies, somePolicies, somePolicies, somePolicies, (defaults, route, rule, enforced) => {
      const merged = mergePolicies({ settings: { defaults, enforced }, route, rule })
      for (const key of POLICY_KEYS as readonly (keyof Policies)[]) {
        const fixed = (enforced as Policies)[key]
        if (fixed === undefined) continue
        if (key === 'timeouts') assert.deepEqual({ ...merged.timeouts, ...(fixed as object) }, { ...merged.timeouts })
        else assert.equal(merged[key], fixed)
      }
    }),
  )
})

test('a rule that states everything is not touched by what is weaker', () => {
  fc.assert(
    fc.property(somePolicies, somePolicies, (route, rule) => {
      const full = {
        retry: {},
        timeouts: { request: '9s', idle: '9s' },
        upgrades: [],
        pathEncoding: 'Strict',
        ...rule,
      } as Policies
      const { timeouts, ...rest } = mergePolicies({ route, rule: full })
      const { timeouts: stated, ...others } = full
      assert.deepEqual(rest, others)
      assert.deepEqual({ ...timeouts }, { ...route.timeouts, ...stated })
    }),
  )
})

test('what is merged is frozen, and its keys stand in one order', () => {
  const merged = mergePolicies({ rule: { pathEncoding: 'Strict', retry: {} }, route: { timeouts: { idle: '1s' } } })
  assert.ok(Object.isFrozen(merged))
  assert.deepEqual(Object.keys(merged), ['timeouts', 'retry', 'pathEncoding'])
})
