/** Copies of requests that take long, in virtual time. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { MIRROR_TIME } from '../../src/exchange/mirror-call.ts'
import { memoryGateway } from '../lib/memory/rig.ts'
import type { ServedRequest } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

const rules = toUp({ mirror: { backendRef: { name: 'up' } } } as Policies)

describe('a copy', () => {
  for (const [what, behave] of [
    ['hangs', () => {}],
    ['drips', (request) => request.head(200)],
  ] as const satisfies readonly (readonly [string, (request: ServedRequest) => void])[])
    it(`whose upstream ${what} is ended after ${MIRROR_TIME / 1_000} s`, async (t) => {
      const held: ServedRequest[] = []
      const gateway = memoryGateway(t, { upstreams: [(request) => void held.push(request)], rules })
      const request = gateway.ask()
      await gateway.until(() => held.length === 2)
      const [first, copy] = held as [ServedRequest, ServedRequest]
      first.respond(200, 'ok')
      assert.equal((await request.response()).body, 'ok')
      behave(copy)
      for (let passed = 0; passed < MIRROR_TIME - 1_000; passed += 1_000) {
        if (what === 'drips') copy.write('.')
        await gateway.pass(1_000)
        assert.equal(copy.gone, false, `after ${passed} ms`)
      }
      await gateway.pass(1_100)
      assert.equal(copy.gone, true)
      await gateway.nothingLeft()
    })

  it('waits for nothing that its request does: that one ends with its client, and the copy goes on', async (t) => {
    const held: ServedRequest[] = []
    const gateway = memoryGateway(t, { upstreams: [(request) => void held.push(request)], rules })
    const request = gateway.ask()
    await gateway.until(() => held.length === 2)
    request.vanish()
    await gateway.until(() => held[0]!.gone)
    assert.equal(held[1]!.gone, false)
    held[1]!.respond(200, 'nobody reads this')
    await gateway.nothingLeft()
  })
})
