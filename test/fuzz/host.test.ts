import { describe, it } from 'node:test'
import { checkHost, seeds } from './host.ts'

describe('kept seeds of the host fuzzer', () => {
  for (const seed of seeds) it(`treats ${JSON.stringify(seed)} by the rules`, () => checkHost(seed))
})
