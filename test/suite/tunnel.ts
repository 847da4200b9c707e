/** Upgraded exchanges, whatever carries them: the same cases on every transport. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Fields } from '../../src/message/fields.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { toUp } from '../worker/test-plane.ts'
import type { ServedRequest, TransportGateway, TransportRig, TunnelEnd } from './transport-rig.ts'

interface Joined {
  readonly gateway: TransportGateway
  readonly client: TunnelEnd
  readonly upstream: TunnelEnd
}

export function tunnelSuite(name: string, rig: TransportRig): void {
  describe(`a tunnel ${name}`, () => {
    const joined = async (t: Parameters<TransportRig['gateway']>[0], policies = {}): Promise<Joined> => {
      const agreed = Promise.withResolvers<TunnelEnd>()
      const gateway = await rig.gateway(t, {
        upstreams: [(request) => agreed.resolve(request.upgrade('websocket'))],
        rules: toUp(policies),
      })
      const client = await gateway.ask({ upgrade: 'websocket' }).upgraded()
      return { gateway, client, upstream: await agreed.promise }
    }
    const over = async (gateway: TransportGateway): Promise<Readonly<Record<string, unknown>>> => {
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
      assert.equal(gateway.log().length, 1)
      return gateway.log()[0]!
    }

    it('carries bytes both ways, and counts them', async (t) => {
      const { gateway, client, upstream } = await joined(t)
      client.write('ping')
      await gateway.until(() => upstream.received === 'ping')
      upstream.write('pong!')
      await gateway.until(() => client.received === 'pong!')
      client.end()
      await gateway.until(() => upstream.ended)
      upstream.end()
      await gateway.until(() => client.ended)
      const { status, bytesIn, bytesOut, reason } = await over(gateway)
      assert.deepEqual([status, bytesIn, bytesOut, reason], [101, 4, 5, undefined])
    })

    it('still carries what the upstream sends behind the end of the client', async (t) => {
      const { gateway, client, upstream } = await joined(t)
      client.write('go')
      client.end()
      await gateway.until(() => upstream.ended)
      upstream.write('x'.repeat(300_000))
      upstream.end()
      await gateway.until(() => client.ended && client.received.length === 300_000)
      await over(gateway)
    })

    for (const way of ['upstream', 'client'] as const)
      it(`holds back what the ${way} does not take, and loses nothing`, async (t) => {
        const { gateway, client, upstream } = await joined(t)
        const [from, to] = way === 'upstream' ? [client, upstream] : [upstream, client]
        to.pause()
        from.write(Buffer.alloc(rig.large, 'x'))
        await gateway.pass(300)
        assert.ok(from.unsent > 0, 'the sender was stopped')
        to.resume()
        await gateway.until(() => to.received.length === rig.large, 'the rest')
        client.end()
        upstream.end()
        await over(gateway)
      })

    for (const way of ['upstream', 'client'] as const)
      it(`ends on the other side when the ${way} vanishes`, async (t) => {
        const { gateway, client, upstream } = await joined(t)
        const [from, to] = way === 'upstream' ? [upstream, client] : [client, upstream]
        from.destroy()
        await gateway.until(() => to.ended)
        to.end()
        assert.equal((await over(gateway)).status, 101)
      })

    it('ends when no byte has moved for its idle time', async (t) => {
      // Time that passes is real on some transports, where a busy machine is late: then once more, with more of it.
      for (let idle = 200; ; idle *= 4) {
        const { gateway, client, upstream } = await joined(t, { timeouts: { tunnelIdle: `${idle}ms` } })
        const began = performance.now()
        await gateway.pass(idle * 0.6)
        client.write('alive')
        await gateway.until(() => upstream.received === 'alive' || client.ended)
        const wrote = performance.now()
        await gateway.pass(idle * 0.6)
        const ended = [client.ended, upstream.ended]
        const inTime = wrote - began < idle && performance.now() - wrote < idle
        if (inTime) assert.deepEqual([upstream.received, ...ended], ['alive', false, false])
        await gateway.until(() => client.ended && upstream.ended)
        client.end()
        assert.equal((await over(gateway)).reason, 'IdleTimeout')
        if (inTime) return
      }
    })

    it('does not wait for ever for an upstream that takes nothing more', async (t) => {
      const { gateway, client, upstream } = await joined(t, { timeouts: { tunnelIdle: '300ms' } })
      upstream.pause()
      client.write(Buffer.alloc(rig.large))
      await gateway.pass(100)
      await gateway.until(() => client.closed || client.ended)
      client.end()
      assert.equal((await over(gateway)).reason, 'IdleTimeout')
    })

    it('is a response like any other where the upstream does not agree', async (t) => {
      const gateway = await rig.gateway(t, { upstreams: [(request) => request.respond(403, 'no')] })
      const request = gateway.ask({ upgrade: 'websocket' })
      assert.deepEqual([(await request.response()).status, (await request.response()).body], [403, 'no'])
      await over(gateway)
    })

    it('is not asked for where the rule does not allow it', async (t) => {
      let asked: ServedRequest | undefined
      const gateway = await rig.gateway(t, {
        upstreams: [
          (request) => {
            asked = request
            request.respond(200, 'plain')
          },
        ],
        rules: toUp({ upgrades: [] }),
      })
      const { status, body } = await gateway.ask({ upgrade: 'websocket' }).response()
      if (rig.plainUpgrades) {
        assert.deepEqual([status, body], [200, 'plain'])
        assert.equal(asked!.fields.upgrade, undefined)
      } else assert.deepEqual([status, JSON.parse(body).reason, asked], [501, 'ProtocolNotAllowed', undefined])
      await over(gateway)
    })

    it('is refused by a filter that sees the agreement', async (t) => {
      const filter: Filter = { name: 'never', onResponse: (_, head) => (head.status === 101 ? refusal() : undefined) }
      const gateway = await rig.gateway(t, {
        upstreams: [(request) => void request.upgrade('websocket')],
        filters: [{ phase: 'auth', filter }],
      })
      assert.equal((await gateway.ask({ upgrade: 'websocket' }).response()).status, 403)
      await over(gateway)
    })
  })
}

function refusal(): { readonly type: 'replace'; readonly response: { status: number; fields: Fields; body: null } } {
  return { type: 'replace', response: { status: 403, fields: new Fields(), body: null } }
}
