/** What a namespace may cost in all: the older come first, on every replica the same, and nobody else notices. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { NamespaceCosts } from '../../src/compile/namespace-cost.ts'
import { WorkBudget } from '../../src/compile/work-budget.ts'
import { runSteps } from '../../src/lib/steps.ts'
import { SETTINGS } from './world.ts'

const LIMIT = 1000
const settings = { ...SETTINGS, limits: { ...SETTINGS.limits, namespaceCost: LIMIT } }

interface Kept {
  readonly key: string
  readonly created: number | undefined
  readonly units: number
}

/** Written down anew: sorted by age, then by name; from the first that does not fit on. */
function oracle(routes: readonly Kept[], namespace: string): Set<string> {
  const own = routes
    .filter(({ key }) => key.startsWith(`${namespace}/`))
    .sort((a, b) => (a.created ?? Number.MAX_VALUE) - (b.created ?? Number.MAX_VALUE) || (a.key < b.key ? -1 : 1))
  let sum = 0
  const beyond = new Set<string>()
  for (const { key, units } of own) if ((sum += units) > LIMIT) beyond.add(key)
  return beyond
}

describe('the cost of a namespace', () => {
  it('leaves the youngest out, independently of history, and returns the changed Routes', () => {
    const change = fc.record({
      namespace: fc.constantFrom('a', 'b'),
      name: fc.constantFrom('p', 'q', 'r', 's', 't', 'u'),
      created: fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
      units: fc.option(fc.integer({ min: 1, max: 600 }), { nil: undefined }),
    })
    fc.assert(
      fc.property(fc.array(fc.array(change, { maxLength: 4 }), { maxLength: 12 }), (batches) => {
        const costs = new NamespaceCosts()
        const routes = new Map<string, Kept>()
        const told = new Set<string>()
        for (const batch of batches) {
          for (const { namespace, name, created, units } of batch) {
            const key = `${namespace}/${name}`
            costs.set(key, created, units)
            if (units === undefined) routes.delete(key)
            else routes.set(key, { key, created, units })
          }
          for (const key of runSteps(costs.applyLimit(settings, new WorkBudget()))) {
            if (told.has(key)) told.delete(key)
            else told.add(key)
          }
          for (const namespace of ['a', 'b']) {
            const expected = oracle([...routes.values()], namespace)
            for (const name of ['p', 'q', 'r', 's', 't', 'u']) {
              const key = `${namespace}/${name}`
              assert.equal(costs.beyond(key) !== undefined, expected.has(key), key)
              if (routes.has(key)) assert.equal(told.has(key), expected.has(key), key)
            }
          }
          for (const key of told) if (!routes.has(key)) told.delete(key)
        }
      }),
      { numRuns: 1000 },
    )
  })
  it('follows the limit of the settings', () => {
    const costs = new NamespaceCosts()
    const settle = (namespaceCost: number) =>
      runSteps(costs.applyLimit({ ...settings, limits: { ...settings.limits, namespaceCost } }, new WorkBudget()))
    for (const [i, key] of ['a/one', 'a/two', 'b/three'].entries()) costs.set(key, i, 400)
    assert.deepEqual(settle(1000), [])
    assert.deepEqual(settle(500), ['a/two'])
    assert.equal(costs.beyond('a/two'), 800)
    assert.deepEqual(settle(800), ['a/two'])
    assert.equal(costs.beyond('a/two'), undefined)
  })
})
