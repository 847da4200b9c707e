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

  it('makes objects ahead, which come into the set only with their rows', () => {
    const set = new EndpointSet()
    set.apply([row('10.0.0.1')])
    set.prepare([row('10.0.0.1'), row('10.0.0.2', { weight: 2 }), row('10.0.0.3')])
    assert.equal(set.endpoints.length, 1)
    const { added, removed } = set.change([1], [row('10.0.0.2', { weight: 7 }), row('10.0.0.9', { slot: 3 })])
    assert.deepEqual(
      added.map(({ authority, slot, weight }) => [authority, slot, weight]),
      [
        ['10.0.0.2:8080', 2, 7],
        ['10.0.0.9:8080', 3, 1],
      ],
    )
    assert.deepEqual([removed.length, set.endpoints], [1, added])
  })

  it('equals its rows after any history of complete sets and differences, and reports every object', () => {
    // A slot belongs to one address at a time; another round gives it to another one.
    const place = fc.record({ slot: fc.nat(5), round: fc.nat(1), weight: fc.integer({ min: 1, max: 3 }) })
    const step = fc.record({
      complete: fc.boolean(),
      gone: fc.array(fc.nat(5), { maxLength: 3 }),
      rows: fc.array(place),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (history) => {
        const set = new EndpointSet()
        const alive = new Set<unknown>()
        const rows = new Map<number, EndpointUpdate>()
        for (const { complete, gone, rows: places } of history) {
          const before = set.endpoints
          const taken = new Set<number>()
          const update = places
            .filter(({ slot }) => !taken.has(slot) && taken.add(slot))
            .map(({ slot, round, weight }) => row(`10.${round}.0.${slot}`, { slot, weight }))
          if (complete) rows.clear()
          else for (const slot of gone) rows.delete(slot)
          for (const one of update) {
            if (rows.get(one.slot)?.address !== one.address) rows.delete(one.slot)
            rows.set(one.slot, one)
          }
          const { changed, added, removed } = complete ? set.apply(update) : set.change(gone, update)
          for (const endpoint of removed) assert.ok(alive.delete(endpoint))
          for (const endpoint of added) alive.add(endpoint)
          assert.deepEqual(new Set(set.endpoints), alive)
          assert.deepEqual(
            set.endpoints.map(({ address, slot, weight }) => ({ address, slot, weight })),
            [...rows.values()].map(({ address, slot, weight }) => ({ address, slot, weight })),
          )
          if (!changed) assert.equal(set.endpoints, before)
        }
      }),
    )
  })
})
