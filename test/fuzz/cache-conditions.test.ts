import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkConditions, conditionCase, seeds } from './cache-conditions.ts'

describe('conditional requests on stored responses', () => {
  for (const [i, seed] of seeds.entries()) it(`answers kept seed ${i} by the steps`, () => checkConditions(seed))

  it('are answered as the steps say', () => {
    fc.assert(fc.property(conditionCase, checkConditions), { numRuns: 2_000 })
  })
})
