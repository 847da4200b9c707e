/** Endpoints and protocol of a Backend in a worker: they act together, however their messages come. */

import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { NO_KEY } from '../../src/balance/balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { defaultBackend } from '../../src/compile/backend.ts'
import type { AttemptObserver } from '../../src/exchange/attempt-observer.ts'
import { noEndpoint, pickEndpoint } from '../../src/exchange/endpoint-pick.ts'
import { AdaptiveLimits } from '../../src/limit/adaptive-limit.ts'
import { UpstreamBudget } from '../../src/limit/upstream-budget.ts'
import type { LinkedBackend } from '../../src/link/linked-tables.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import type { BackendConfig } from '../../src/snapshot/snapshot.ts'
import { changedSet, wholeSet, withdrawnSet } from '../../src/thread/endpoint-rows.ts'
import type { EndpointRow, EndpointsMessage } from '../../src/thread/messages.ts'
import { Timers } from '../../src/transport/timers.ts'
import { Backends } from '../../src/worker/backends.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

const ID = 'default/up'

function plan(protocol: BackendConfig['protocol'], more: Partial<BackendConfig> = {}): BackendConfig {
  return { ...defaultBackend(ID), protocol, ...more }
}

function rows(...addresses: readonly string[]): EndpointRow[] {
  return addresses.map((address) => ({ address, port: 80, weight: 1, state: 'ready', slot: Number(address) }))
}

describe('the Backends of a worker', () => {
  let backends: Backends
  const send = (set: readonly EndpointRow[], connects: string): void => take(wholeSet(ID, set, connects))
  const take = (message: EndpointsMessage): void => {
    for (const _ of backends.endpoints(message));
  }
  beforeEach(() => {
    backends = new Backends({
      worker: 0,
      random: () => 0.5,
      timers: new Timers(new VirtualTime().keeper()),
      endpoints: new EndpointTable(EndpointTable.allocate(1, 64)),
      metrics: {} as never,
      metricsRow: () => 0,
      mayDial: () => true,
      budget: new UpstreamBudget(1),
      connectorOf: () => ({}) as never,
      tunnelsOf: () => ({}) as never,
      sessionKey: () => 'key' as never,
      limits: { head: 1, headers: 1, uri: 1 },
      topology: ALONE,
    })
    send(rows('1'), 'HTTP')
    backends.define(plan('HTTP'), -1)
  })

  /** What requests meet now. */
  const now = (): string => {
    const backend = backends.find(ID) as (LinkedBackend & { readonly endpoints: readonly Endpoint[] }) | undefined
    return `${backend?.plan.protocol} ${backend?.endpoints.map(({ address }) => address).join(' ')}`
  }

  it('take endpoints at once while they are connected to as before', () => {
    send(rows('1', '2'), 'HTTP')
    assert.equal(now(), 'HTTP 1 2')
    backends.define(plan('HTTP', { maxConnections: 3 }), -1)
    assert.equal(now(), 'HTTP 1 2')
    send([], 'HTTP')
    assert.equal(now(), 'HTTP ')
  })

  it('keep endpoints and protocol until both are others', () => {
    send(rows('2'), 'H2C')
    assert.equal(now(), 'HTTP 1')
    send(rows('2', '3'), 'H2C')
    assert.equal(now(), 'HTTP 1')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C 2 3')
    send(rows('3'), 'H2C')
    assert.equal(now(), 'H2C 3')
  })

  it('are emptied together with the protocol', () => {
    send([], 'H2C')
    assert.equal(now(), 'HTTP 1')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C ')
  })

  it('pass through each of several protocols with its own endpoints, though the endpoints come first', () => {
    send(rows('2'), 'H2C')
    send(rows('3'), 'HTTP')
    assert.equal(now(), 'HTTP 3', 'they are connected to as now')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C 2')
    backends.define(plan('HTTP'), -1)
    assert.equal(now(), 'HTTP 3')
  })

  it('go on where the tables for a set never come', () => {
    send(rows('2'), 'H2C')
    send(rows('1', '3'), 'HTTP')
    assert.equal(now(), 'HTTP 1 3')
    send(rows('4'), 'HTTP')
    assert.equal(now(), 'HTTP 4')
  })

  it('use the newest set where none has the key of the tables', () => {
    backends.define(plan('GRPC'), -1)
    assert.equal(now(), 'GRPC 1')
    send(rows('2'), 'GRPC')
    assert.equal(now(), 'GRPC 2')
  })

  it('compare what the PROXY header and TLS are, too', () => {
    const tls = { ca: 'x', serverName: 'a', serviceName: undefined, clientCertificate: undefined }
    const secured = plan('HTTPS', { tls: { ...tls, insecureSkipVerify: false }, proxyProtocol: 'V2' })
    send(rows('2'), JSON.stringify(['HTTPS', 'V2', 'x', 'a', undefined, undefined, false]))
    assert.equal(now(), 'HTTP 1')
    send(rows('5'), 'HTTP V2')
    backends.define(secured, -1)
    assert.equal(now(), 'HTTPS 2')
    backends.define(plan('HTTP', { proxyProtocol: 'V2' }), -1)
    assert.equal(now(), 'HTTP 5')
  })

  it('are complete when they are made anew with another row, and when another control thread knows fewer', () => {
    send(rows('2'), 'H2C')
    backends.define(plan('H2C'), 7)
    assert.equal(now(), 'H2C 2')
    backends.retain([ID])
    assert.equal(now(), 'H2C 2')
    backends.retain([])
    assert.equal(now(), 'H2C ')
    send(rows('3'), 'H2C')
    assert.equal(now(), 'H2C 3')
  })

  it('stay as they are where no table names them any more, until their endpoints are withdrawn', () => {
    const backend = backends.find(ID)!
    backends.forget(backend)
    assert.equal(backends.find(ID), undefined)
    assert.equal(backends.findLeaving(ID), backend)
    take(changedSet(ID, { gone: [1], rows: rows('2') }, 'HTTP'))
    assert.deepEqual([backend.endpoints.map(({ address }) => address), backend.ended], [['2'], false])
    take(withdrawnSet(ID))
    assert.equal(backends.findLeaving(ID), undefined)
    assert.deepEqual([backend.endpoints, backend.ended], [[], true])
  })

  it('are the same again where tables name them again meanwhile, and others where they do later', () => {
    const backend = backends.find(ID)!
    backends.forget(backend)
    send(rows('2'), 'H2C')
    assert.equal(backends.define(plan('H2C'), -1), backend)
    assert.equal(now(), 'H2C 2')
    take(withdrawnSet(ID))
    assert.equal(now(), 'H2C ', 'tables name it')
    backends.forget(backend)
    assert.equal(backend.ended, true, 'it has no endpoints to be withdrawn')
    send(rows('3'), 'H2C')
    assert.notEqual(backends.define(plan('H2C'), -1), backend)
    assert.equal(now(), 'H2C 3')
  })

  it('end with what another control thread does not know', () => {
    const backend = backends.find(ID)!
    backends.forget(backend)
    backends.retain([])
    assert.deepEqual([backends.findLeaving(ID), backend.ended], [undefined, true])
  })

  describe('by differences', () => {
    const differs = (connects: string, gone: readonly number[], ...addresses: readonly string[]): void =>
      take(changedSet(ID, { gone, rows: rows(...addresses) }, connects))

    it('take what is new and leave what is gone, and keep the objects of the others', () => {
      send(rows('1', '2', '3'), 'HTTP')
      const before = backends.find(ID)!.endpoints
      differs('HTTP', [2], '4')
      assert.equal(now(), 'HTTP 1 3 4')
      const after = backends.find(ID)!.endpoints
      assert.deepEqual([after[0] === before[0], after[1] === before[2]], [true, true])
      differs('HTTP', [9])
      assert.equal(backends.find(ID)!.endpoints, after)
    })

    it('apply them to the newest set, whichever is in use', () => {
      send(rows('1', '2'), 'HTTP')
      differs('H2C', [1], '3')
      differs('H2C', [], '4')
      assert.equal(now(), 'HTTP 1 2')
      differs('HTTP', [2], '5')
      assert.equal(now(), 'HTTP 3 4 5')
      differs('HTTP', [3])
      assert.equal(now(), 'HTTP 4 5')
      backends.define(plan('H2C'), -1)
      assert.equal(now(), 'H2C 2 3 4')
    })

    it('go on behind a Backend that is made anew, or whose tables find no set of their key', () => {
      send(rows('1', '2'), 'HTTP')
      backends.define(plan('HTTP'), 7)
      differs('HTTP', [1], '3')
      assert.equal(now(), 'HTTP 2 3')
      backends.define(plan('GRPC'), 7)
      differs('GRPC', [2], '4')
      assert.equal(now(), 'GRPC 3 4')
    })

    it('take thousands in steps, and all of them with the last one', () => {
      const many = Array.from({ length: 2_000 }, (_, i) => `${i + 1}`)
      const steps = backends.endpoints(wholeSet(ID, rows(...many), 'HTTP'))
      let count = 0
      for (; steps.next().done !== true; count++) assert.equal(now(), 'HTTP 1')
      assert.ok(count > 3, `${count} steps`)
      assert.equal(backends.find(ID)!.endpoints.length, 2_000)
    })
  })
})

describe('a Backend of a worker whose endpoints are all at their limits', () => {
  const SLOTS = 256
  const adaptiveLimit = { minRequests: 1, maxRequests: 1, tolerance: 1.5 }

  function world(count: number) {
    const time = new VirtualTime()
    const timers = new Timers(time.keeper())
    const endpoints = new EndpointTable(EndpointTable.allocate(1, SLOTS))
    const backends = new Backends({
      worker: 0,
      random: () => 0.5,
      timers,
      endpoints,
      metrics: {} as never,
      metricsRow: () => 0,
      mayDial: () => true,
      budget: new UpstreamBudget(1),
      connectorOf: () => ({}) as never,
      tunnelsOf: () => ({}) as never,
      sessionKey: () => 'key' as never,
      limits: { head: 1, headers: 1, uri: 1 },
      topology: ALONE,
    })
    const slots = Array.from({ length: count }, (_, i) => i + 1)
    for (const slot of slots) endpoints.enlist(slot)
    for (const _ of backends.endpoints(wholeSet(ID, rows(...slots.map(String)), 'HTTP')));
    const backend = backends.define(plan('HTTP', { adaptiveLimit }), 0)
    const limits = new AdaptiveLimits(endpoints)
    for (const slot of slots) limits.started(0, slot, adaptiveLimit)
    const pass = (by: number): void => {
      time.now += by
      timers.touch()
    }
    return { backends, backend, endpoints, limits, pass }
  }

  const pick = (backend: LinkedBackend) => pickEndpoint({} as AttemptObserver, backend, NO_KEY, null)

  it('says so to those that come right after it without another look, where they are many, and then looks', () => {
    const { backend, endpoints, limits, pass } = world(200)
    assert.equal(pick(backend), undefined)
    assert.equal(noEndpoint(endpoints, backend).reason, 'Overloaded')
    limits.ended(0, 7, adaptiveLimit)
    assert.equal(pick(backend), undefined, 'a moment ago there was none')
    pass(1)
    assert.equal(pick(backend)?.slot, 7)
  })

  it('looks each time where they are few', () => {
    const { backend, endpoints, limits } = world(20)
    assert.equal(pick(backend), undefined)
    noEndpoint(endpoints, backend)
    limits.ended(0, 7, adaptiveLimit)
    assert.equal(pick(backend)?.slot, 7)
  })

  it('has room in all of them once it has no such limit any more', () => {
    const { backends, backend, endpoints } = world(20)
    assert.equal(endpoints.eligible(3), false)
    backends.define(plan('HTTP'), 0)
    assert.equal(endpoints.eligible(3), true)
    assert.notEqual(pick(backend), undefined)
  })
})
