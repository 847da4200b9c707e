import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkHistory, history, RUNS_PER_SEED, seeds } from './router.ts'

describe('kept seeds of the router fuzzer', () => {
  for (const seed of seeds)
    it(`packed and slow matcher agree on the histories of seed ${seed}`, () => {
      fc.assert(fc.property(history, checkHistory), { seed, numRuns: RUNS_PER_SEED })
    })
})
