import { describe, it } from 'node:test'
import fc from 'fast-check'
import { checkSession, seeds, steps } from './upstream-h2.ts'

describe('connections over HTTP/2 to endpoints that send anything', () => {
  for (const [i, seed] of seeds.entries()) it(`ends each request once: kept seed ${i}`, () => checkSession(seed))

  it('ends each request once, by chance', async () => {
    await fc.assert(fc.asyncProperty(steps, checkSession), { numRuns: 150 })
  })
})
