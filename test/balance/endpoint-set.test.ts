import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { EndpointSet, type EndpointUpdate } from '../../src/balance/endpoint-set.ts'

function row(address: string, changes: Partial<EndpointUpdate> = {}): EndpointUpdate {
  return { address, port: 8080, weight: 1, state: 'ready', slot: Number(address.split('.').at(-1)) || 0, ...changes }
}

describe('an endpoint set', () => {
  it('formats an authority as address and port, IPv6 in brackets', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.7'), row('fd00::1', { slot: 3 })])
    assert.deepEqual(
      set.endpoints.map(({ authority }) => authority),
      ['10.0.0.7:8080', '[fd00::1]:8080'],
    )
  })

  it('keeps the object of an address that stays, and changes weight, state and zone in place', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.1'), row('10.0.0.2', { zone: 'a', serves: 'b', hostname: 'x' })])
    const [first, second] = set.endpoints
    const change = set.apply([row('10.0.0.2', { weight: 5, state: 'draining' }), row('10.0.0.1', { zone: 'b' })])
    assert.deepEqual([change.changed, change.added, change.removed], [true, [], []])
    assert.deepEqual(set.endpoints, [second, first])
    assert.equal(set.endpoints[0], second)
    assert.deepEqual(
      [second!.weight, second!.state, 'zone' in second!, 'serves' in second!, 'hostname' in second!],
      [5, 'draining', false, false, false],
    )
    assert.equal(first!.zone, 'b')
  })

  it('reports no change for an equal update', () => {
    const set = new EndpointSet()
    const rows = [row('10.0.0.1', { zone: 'a' }), row('10.0.0.2')]
    assert.equal(set.apply(rows).changed, true)
    const before = set.endpoints
    assert.deepEqual(set.apply(rows.map((row) => ({ ...row }))), { changed: false, added: [], removed: [] })
    assert.equal(set.endpoints, before)
    assert.equal(new EndpointSet().apply([]).changed, false)
  })

  it('reports the removed endpoints, so that their pools can be closed', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.1'), row('10.0.0.2')])
    const gone = set.endpoints[0]
    assert.deepEqual(set.apply([row('10.0.0.2')]).removed, [gone])
    assert.deepEqual(set.apply([]).removed.length, 1)
    assert.deepEqual(set.endpoints, [])
  })

  it('treats another port, or another row of the shared table, as another endpoint', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.1')])
    const old = set.endpoints[0]
    const moved = set.apply([row('10.0.0.1', { slot: 77 })])
    assert.deepEqual(moved.removed, [old])
    assert.equal(moved.added[0]!.slot, 77)
    assert.equal(set.apply([row('10.0.0.1', { slot: 77, port: 9090 })]).removed.length, 1)
  })

  it('uses the first of two rows with the same identity', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.1', { weight: 3 }), row('10.0.0.1', { weight: 9 })])
    assert.deepEqual(
      set.endpoints.map(({ weight }) => weight),
      [3],
    )
  })

  it('equals its rows after any history, and reports every added and removed object', () => {
    const address = fc.nat(5)
    const rows = fc.array(fc.record({ address, weight: fc.integer({ min: 1, max: 3 }), slot: fc.nat(1) }), {
      maxLength: 6,
    })
    fc.assert(
      fc.property(fc.array(rows, { maxLength: 12 }), (history) => {
        const set = new EndpointSet()
        const alive = new Set<unknown>()
        for (const update of history) {
          const before = new Set(set.endpoints)
          const distinct = new Map(update.toReversed().map((row) => [row.address, row]))
          const { changed, added, removed } = set.apply(
            update.map((r) => row(`10.0.0.${r.address}`, r as never)).map(addressed),
          )
          for (const endpoint of removed) assert.ok(alive.delete(endpoint))
          for (const endpoint of added) alive.add(endpoint)
          assert.deepEqual(new Set(set.endpoints), alive)
          assert.equal(set.endpoints.length, distinct.size)
          for (const endpoint of set.endpoints) {
            const expected = distinct.get(Number(endpoint.address.split('.').at(-1)))!
            assert.deepEqual([endpoint.weight, endpoint.slot], [expected.weight, expected.slot])
          }
          if (!changed) assert.deepEqual(new Set(set.endpoints), before)
        }
      }),
    )
  })
})

function addressed(update: EndpointUpdate): EndpointUpdate {
  return { ...update, address: `10.0.0.${update.address}` }
}
