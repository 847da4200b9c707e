/** Endpoints and protocol of a Backend in a worker: they act together, however their messages come. */

import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { defaultBackend } from '../../src/compile/backend.ts'
import { UpstreamBudget } from '../../src/limit/upstream-budget.ts'
import type { LinkedBackend } from '../../src/link/linked-tables.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import type { BackendConfig } from '../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../src/thread/messages.ts'
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
    backends.endpoints(ID, rows('1'), 'HTTP')
    backends.define(plan('HTTP'), -1)
  })

  /** What requests meet now. */
  const now = (): string => {
    const backend = backends.find(ID) as (LinkedBackend & { readonly endpoints: readonly Endpoint[] }) | undefined
    return `${backend?.plan.protocol} ${backend?.endpoints.map(({ address }) => address).join(' ')}`
  }

  it('take endpoints at once while they are connected to as before', () => {
    backends.endpoints(ID, rows('1', '2'), 'HTTP')
    assert.equal(now(), 'HTTP 1 2')
    backends.define(plan('HTTP', { maxConnections: 3 }), -1)
    assert.equal(now(), 'HTTP 1 2')
    backends.endpoints(ID, [], 'HTTP')
    assert.equal(now(), 'HTTP ')
  })

  it('keep endpoints and protocol until both are others', () => {
    backends.endpoints(ID, rows('2'), 'H2C')
    assert.equal(now(), 'HTTP 1')
    backends.endpoints(ID, rows('2', '3'), 'H2C')
    assert.equal(now(), 'HTTP 1')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C 2 3')
    backends.endpoints(ID, rows('3'), 'H2C')
    assert.equal(now(), 'H2C 3')
  })

  it('are emptied together with the protocol', () => {
    backends.endpoints(ID, [], 'H2C')
    assert.equal(now(), 'HTTP 1')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C ')
  })

  it('pass through each of several protocols with its own endpoints, though the endpoints come first', () => {
    backends.endpoints(ID, rows('2'), 'H2C')
    backends.endpoints(ID, rows('3'), 'HTTP')
    assert.equal(now(), 'HTTP 3', 'they are connected to as now')
    backends.define(plan('H2C'), -1)
    assert.equal(now(), 'H2C 2')
    backends.define(plan('HTTP'), -1)
    assert.equal(now(), 'HTTP 3')
  })

  it('go on where the tables for a set never come', () => {
    backends.endpoints(ID, rows('2'), 'H2C')
    backends.endpoints(ID, rows('1', '3'), 'HTTP')
    assert.equal(now(), 'HTTP 1 3')
    backends.endpoints(ID, rows('4'), 'HTTP')
    assert.equal(now(), 'HTTP 4')
  })

  it('use the newest set where none has the key of the tables', () => {
    backends.define(plan('GRPC'), -1)
    assert.equal(now(), 'GRPC 1')
    backends.endpoints(ID, rows('2'), 'GRPC')
    assert.equal(now(), 'GRPC 2')
  })

  it('compare what the PROXY header and TLS are, too', () => {
    const tls = { ca: 'x', serverName: 'a', serviceName: undefined, clientCertificate: undefined }
    const secured = plan('HTTPS', { tls: { ...tls, insecureSkipVerify: false }, proxyProtocol: 'V2' })
    backends.endpoints(ID, rows('2'), JSON.stringify(['HTTPS', 'V2', 'x', 'a', undefined, undefined, false]))
    assert.equal(now(), 'HTTP 1')
    backends.endpoints(ID, rows('5'), 'HTTP V2')
    backends.define(secured, -1)
    assert.equal(now(), 'HTTPS 2')
    backends.define(plan('HTTP', { proxyProtocol: 'V2' }), -1)
    assert.equal(now(), 'HTTP 5')
  })

  it('are complete when they are made anew with another row, and when another control thread knows fewer', () => {
    backends.endpoints(ID, rows('2'), 'H2C')
    backends.define(plan('H2C'), 7)
    assert.equal(now(), 'H2C 2')
    backends.retain([ID])
    assert.equal(now(), 'H2C 2')
    backends.retain([])
    assert.equal(now(), 'H2C ')
    backends.endpoints(ID, rows('3'), 'H2C')
    assert.equal(now(), 'H2C 3')
  })
})
