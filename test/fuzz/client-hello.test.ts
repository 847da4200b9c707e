import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { checkHello, HelloOracle, hello, seeds } from './client-hello.ts'

async function listening(t: TestContext): Promise<HelloOracle> {
  const oracle = new HelloOracle()
  await oracle.listen()
  t.after(() => oracle.close())
  return oracle
}

describe('the ClientHello against OpenSSL', () => {
  it('of real clients says the same to both', async (t) => {
    const oracle = await listening(t)
    for (const seed of seeds) assert.ok(await checkHello(seed, oracle), seed.toString('hex'))
  })

  it('changed in some bytes is refused, or says the same to both', async (t) => {
    const oracle = await listening(t)
    let both = 0
    const property = fc.asyncProperty(hello, async (bytes) => {
      if (await checkHello(bytes, oracle)) both++
    })
    await fc.assert(property, { numRuns: 2_000 })
    assert.ok(both > 50, `only ${both} were taken by both: nothing was compared`)
  })
})
