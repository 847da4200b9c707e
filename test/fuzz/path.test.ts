import { describe, it } from 'node:test'
import { checkPath, seeds } from './path.ts'

describe('kept seeds of the path fuzzer', () => {
  for (const seed of seeds) it(`treats ${JSON.stringify(seed)} by the rules`, () => checkPath(seed))
})
