import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { memoryRig } from '../lib/memory/rig.ts'
import type { TunnelEnd } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

describe('the idle time of a tunnel', () => {
  it('begins again when the side that is behind takes bytes', async (t) => {
    const agreed = Promise.withResolvers<TunnelEnd>()
    const gateway = await memoryRig(1).gateway(t, {
      upstreams: [(request) => agreed.resolve(request.upgrade('websocket'))],
      rules: toUp({ timeouts: { tunnelIdle: '1s' } }),
    })
    const client = await gateway.ask({ upgrade: 'websocket' }).upgraded()
    const upstream = await agreed.promise
    client.pause()
    // Too little for anybody to be asked to wait.
    upstream.write('x'.repeat(10_000))
    await gateway.pass(600)
    client.resume()
    await gateway.pass(800)
    assert.deepEqual([client.received.length, client.ended], [10_000, false])
    await gateway.pass(1_500)
    assert.equal(client.ended, true)
    await gateway.nothingLeft()
    assert.equal(gateway.log()[0]!.reason, 'IdleTimeout')
  })
})

describe('a tunnel of which one direction has ended', () => {
  for (const tunnelIdle of ['1h', '0s'])
    it(`is given up after a minute without a byte, whatever its idle time of ${tunnelIdle}`, async (t) => {
      const agreed = Promise.withResolvers<TunnelEnd>()
      const gateway = await memoryRig(1).gateway(t, {
        upstreams: [(request) => agreed.resolve(request.upgrade('websocket'))],
        rules: toUp({ timeouts: { tunnelIdle } }),
      })
      const client = await gateway.ask({ upgrade: 'websocket' }).upgraded()
      const upstream = await agreed.promise
      client.end()
      await gateway.until(() => upstream.ended)
      await gateway.pass(50_000)
      upstream.write('late')
      await gateway.pass(50_000)
      assert.deepEqual([client.received, client.ended], ['late', false])
      await gateway.pass(80_000)
      assert.equal(client.ended, true)
      await gateway.nothingLeft()
      assert.equal(gateway.log()[0]!.reason, 'IdleTimeout')
    })
})
