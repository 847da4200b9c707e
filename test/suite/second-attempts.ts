/** Requests of which an upstream gets two: hedges and mirrors, on every transport. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { toUp } from '../worker/test-plane.ts'
import type { ServedRequest, TransportRig } from './transport-rig.ts'

const HEDGED = toUp({ hedge: { after: '50ms', maxPercent: 100 }, retry: { attempts: 0, budgetPercent: 100 } })

export function secondAttempts(rig: TransportRig): void {
  it('as a hedge gets the first response, and the other attempt ends', async (t) => {
    const held: ServedRequest[] = []
    const hold = (request: ServedRequest): void => void held.push(request)
    const gateway = await rig.gateway(t, { upstreams: [hold, hold], rules: HEDGED })
    for (const [winner, loser] of [
      [1, 0],
      [0, 1],
    ] as const) {
      const request = gateway.ask()
      await gateway.until(() => held.length === 2)
      held[winner]!.respond(200, 'in time')
      const { status, body } = await request.response()
      assert.deepEqual([status, body], [200, 'in time'])
      const lost = held[loser]!
      await gateway.until(() => lost.gone)
      held.length = 0
    }
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map(({ attempts, reason }) => [attempts, reason]),
      [
        [2, undefined],
        [2, undefined],
      ],
    )
    // A stream that is given up leaves its connection to others.
    assert.equal(gateway.connections, rig.capacity > 1 ? 2 : 3)
    assert.deepEqual(gateway.errors, [])
  })

  it('as a hedge is none where interim responses came, and ends with its client', async (t) => {
    const held: ServedRequest[] = []
    const gateway = await rig.gateway(t, {
      upstreams: Array.from({ length: 2 }, () => (request: ServedRequest) => void held.push(request)),
      rules: HEDGED,
    })
    const request = gateway.ask()
    await gateway.until(() => held.length === 1)
    held[0]!.interim(103, { link: '</a>' })
    await gateway.until(() => request.interim.length === 1 || held.length === 2)
    // On a slow machine the second attempt may have begun before.
    if (held.length === 1) {
      await gateway.pass(150)
      assert.equal(held.length, 1)
    }
    held[0]!.respond(200, 'ok')
    assert.equal((await request.response()).body, 'ok')
    held.length = 0
    const leaving = gateway.ask()
    await gateway.until(() => held.length === 2)
    leaving.vanish()
    await gateway.until(() => held.every(({ gone }) => gone))
    await gateway.nothingLeft()
  })

  it('to a mirror is sent whole, and its response is read and dropped', async (t) => {
    const held: ServedRequest[] = []
    const rules = toUp({ mirror: { backendRef: { name: 'up' } } } as Policies)
    const gateway = await rig.gateway(t, { upstreams: [(request) => void held.push(request)], rules })
    for (const length of ['unknown', 5] as const) {
      const request = gateway.ask({ method: 'POST', path: '/a?b', length })
      request.write('ab')
      request.write('cde')
      request.end()
      await gateway.until(() => held.length === 2)
      for (const copy of held)
        assert.deepEqual([copy.method, copy.target, await copy.body()], ['POST', '/a?b', 'abcde'])
      held[0]!.respond(200, 'x'.repeat(300_000))
      held[1]!.respond(200, 'x'.repeat(300_000))
      assert.equal((await request.response()).body.length, 300_000)
      held.length = 0
    }
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  })
}
