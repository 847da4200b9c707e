/** Which requests count for the adaptive limit of an endpoint, and what clients are told at it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { BACKEND_DEFAULTS } from '../../src/api/defaults.ts'
import { type MemoryGateway, memoryGateway, memoryRig } from '../lib/memory/rig.ts'
import { exchangeSuite } from '../suite/exchange.ts'
import type { ClientRequest, GatewayOptions, Scope, ServedRequest, TransportRig } from '../suite/transport-rig.ts'
import { tunnelSuite } from '../suite/tunnel.ts'
import { toUp } from '../worker/test-plane.ts'

const adaptive = (maxRequests: number) => ({
  limits: { ...BACKEND_DEFAULTS.limits, adaptive: { minRequests: 1, maxRequests, latencyPercent: 150 } },
})

/** The limit is what it is allowed to be at most: so few requests say nothing about latency. */
function world(scope: Scope, maxRequests: number, endpoints = 1, more: Partial<GatewayOptions> = {}) {
  const served: ServedRequest[] = []
  const script = (request: ServedRequest): void => void served.push(request)
  const upstreams = Array.from({ length: endpoints }, () => script)
  const gateway = memoryGateway(scope, { upstreams, backend: adaptive(maxRequests), ...more })
  return { gateway, served }
}

async function refused(gateway: MemoryGateway): Promise<void> {
  const response = await gateway.ask().response()
  assert.equal(response.status, 503)
  assert.equal((JSON.parse(response.body) as { reason: string }).reason, 'Overloaded')
  const { reason, detail } = gateway.log().at(-1)!
  assert.deepEqual(
    [reason, detail],
    ['Overloaded', 'every endpoint of default/up has as many requests as its adaptive limit allows'],
  )
}

describe('at its adaptive limit an endpoint', () => {
  it('gets no more requests until it answers one, and clients hear why', async (t) => {
    const { gateway, served } = world(t, 2)
    const asked = [gateway.ask(), gateway.ask()]
    await gateway.until(() => served.length === 2)
    await refused(gateway)
    await refused(gateway)
    served[0]!.respond(200, 'one')
    assert.equal((await asked[0]!.response()).body, 'one')
    const third = gateway.ask()
    await gateway.until(() => served.length === 3)
    await refused(gateway)
    for (const request of served.slice(1)) request.respond(200)
    await Promise.all([asked[1]!.response(), third.response()])
    await gateway.nothingLeft()
  })

  it('leaves requests to the others, whatever the algorithm', async (t) => {
    for (const algorithm of ['RoundRobin', 'WeightedRoundRobin', 'Random', 'LeastRequest', 'PeakEWMA'] as const) {
      const { gateway, served } = world(t, 2, 3, {
        backend: { ...adaptive(2), loadBalancing: { ...BACKEND_DEFAULTS.loadBalancing, algorithm } },
      })
      const asked = Array.from({ length: 6 }, () => gateway.ask())
      await gateway.until(() => served.length === 6, `six requests with ${algorithm}`)
      await refused(gateway)
      for (const request of served) request.respond(200)
      for (const one of asked) assert.equal((await one.response()).status, 200)
      await gateway.nothingLeft()
    }
  })

  it('has room again with the head of a response, however long the body takes', async (t) => {
    const { gateway, served } = world(t, 1)
    const slow = gateway.ask()
    await gateway.until(() => served.length === 1)
    await refused(gateway)
    served[0]!.head(200, { 'content-length': '4' })
    await slow.head()
    const next = gateway.ask()
    await gateway.until(() => served.length === 2)
    served[1]!.respond(200, 'b')
    assert.equal((await next.response()).body, 'b')
    served[0]!.write('aaaa')
    served[0]!.end()
    assert.equal((await slow.response()).body, 'aaaa')
    await gateway.nothingLeft()
  })

  it('does not count a client that sends its body slowly: many of them shut out nobody', async (t) => {
    const { gateway, served } = world(t, 1)
    const slow: ClientRequest[] = []
    while (slow.length < 5) {
      slow.push(gateway.ask({ method: 'POST', length: 10 }))
      await gateway.until(() => served.length === slow.length)
    }
    const next = gateway.ask()
    await gateway.until(() => served.length === 6)
    served[5]!.respond(200, 'b')
    assert.equal((await next.response()).body, 'b')
    for (const one of slow) one.write('0123456789')
    for (const one of slow) one.end()
    await gateway.until(() => served.every(({ received }, i) => i === 5 || received === 10))
    await refused(gateway)
    for (const request of served.slice(0, 5)) request.respond(200)
    for (const one of slow) await one.response()
    await gateway.nothingLeft()
  })

  it('has room again when the client goes away, when it breaks the connection, and when it is too late', async (t) => {
    const { gateway, served } = world(t, 1, 1, { rules: toUp({ timeouts: { responseHead: '1s' } }) })
    const gone = gateway.ask()
    await gateway.until(() => served.length === 1)
    gone.vanish()
    await gateway.until(() => served[0]!.gone)
    const broken = gateway.ask({ method: 'POST' })
    await gateway.until(() => served.length === 2)
    served[1]!.reset()
    assert.equal((await broken.response()).status, 502)
    const late = gateway.ask()
    assert.equal((await late.response()).status, 504)
    const well = gateway.ask()
    await gateway.until(() => served.length === 4)
    served[3]!.respond(200)
    assert.equal((await well.response()).status, 200)
    await gateway.nothingLeft()
  })

  it('is free of it as soon as the Backend has no such limit any more', async (t) => {
    const { gateway, served } = world(t, 1)
    const first = gateway.ask()
    await gateway.until(() => served.length === 1)
    await refused(gateway)
    await gateway.link(toUp({}), {})
    const second = gateway.ask()
    await gateway.until(() => served.length === 2)
    await gateway.link(toUp({}), adaptive(2))
    const third = gateway.ask()
    await gateway.until(() => served.length === 3)
    for (const request of served) request.respond(200)
    for (const one of [first, second, third]) assert.equal((await one.response()).status, 200)
    await gateway.nothingLeft()
  })
})

const rig = memoryRig(1)
/** Where nobody meets the limit, nothing is different. */
const limited: TransportRig = {
  ...rig,
  gateway: (scope, options) => rig.gateway(scope, { ...options, backend: { ...adaptive(1_000), ...options.backend } }),
}
exchangeSuite('in memory, with an adaptive limit', limited)
tunnelSuite('in memory, with an adaptive limit', limited)
