import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { SettingsObject } from '../../../src/api/settings.ts'
import type { HostnameOwner } from '../../../src/compile/ownership.ts'
import { HostnameReservations } from '../../../src/control/resources/hostname-reservations.ts'
import { FrozenMap } from '../../../src/snapshot/frozen-map.ts'
import { SETTINGS } from '../../compile/world.ts'

const HOUR = 3_600_000
const STRICT: SettingsObject = { ...SETTINGS, tenancy: 'Strict' }
const age = (key: string, created?: number) => ({ key, created })
const owner = (key: string, created: number, oldest?: number) => ({
  namespace: key.slice(0, key.indexOf('/')),
  age: age(key, created),
  oldestRoute: oldest === undefined ? undefined : age(key, oldest),
  contested: false,
})

function holding(settings: SettingsObject = STRICT) {
  const clock = { now: 1_000 }
  const reservations = new HostnameReservations(() => clock.now, settings)
  const of = (hostname: string) => reservations.current.get(hostname)
  const settle = (owners: FrozenMap<HostnameOwner>) => reservations.settle(owners, reservations.current)
  return { clock, reservations, of, settle }
}

describe('hostnames that outlive their Routes', () => {
  it('are kept for their owner, for the time of the settings', () => {
    const { clock, reservations, of, settle } = holding({ ...STRICT, hostnameHold: '10m' })
    settle(FrozenMap.from([['x.example', owner('shop/a', 5, 5)]]))
    reservations.release([
      { namespace: 'team', hostnames: ['x.example'] },
      { namespace: 'shop', hostnames: ['x.example', 'never.example'] },
    ])
    assert.deepEqual(of('x.example'), { namespace: 'shop', key: 'shop/a', created: 5, until: 601_000 })
    assert.equal(of('never.example'), undefined)
    clock.now = 600_999
    reservations.expire()
    assert.ok(of('x.example'))
    clock.now = 601_000
    reservations.expire()
    assert.equal(of('x.example'), undefined)
  })

  it('are not kept for longer because the clock was ahead and was set back', () => {
    const { clock, reservations, of, settle } = holding()
    settle(FrozenMap.from([['x.example', owner('shop/a', 5, 5)]]))
    const right = clock.now
    clock.now += 365 * 24 * HOUR
    reservations.expire()
    reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
    clock.now = right
    reservations.expire()
    clock.now += HOUR
    reservations.expire()
    assert.equal(of('x.example'), undefined)
  })

  it('are kept without end while younger Routes of the namespace live on the older age, and not when they need it no more', () => {
    const { clock, reservations, of, settle } = holding()
    const owners = (oldest?: number) => FrozenMap.from([['x.example', owner('shop/a', 5, oldest)]])
    settle(owners(5))
    reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
    settle(owners(9))
    assert.equal(of('x.example')?.until, undefined)
    clock.now += 10 * HOUR
    reservations.expire()
    assert.ok(of('x.example'))
    settle(owners())
    assert.equal(of('x.example')?.until, clock.now + HOUR)
    settle(owners(5))
    assert.equal(of('x.example'), undefined)
  })

  it('are not removed by a compile that began before the deletion', () => {
    const { reservations, of, settle } = holding()
    const owners = FrozenMap.from([['x.example', owner('shop/a', 5, 5)]])
    settle(owners)
    const begun = reservations.current
    reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
    reservations.settle(owners, begun)
    assert.ok(of('x.example'))
    settle(FrozenMap.from([['x.example', owner('shop/a', 5)]]))
    assert.ok(of('x.example'))
    settle(owners)
    assert.equal(of('x.example'), undefined)
  })

  it('are reported as changes, and come back from these', () => {
    const { clock, reservations, of, settle } = holding()
    settle(FrozenMap.from([['x.example', owner('shop/a', 5, 5)]]))
    reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
    const { changes: kept, late } = reservations.changes()
    assert.equal(late, true)
    assert.deepEqual(reservations.changes(), { changes: [], late: false })
    const next = holding()
    next.clock.now = clock.now + 1_000
    const foreign = { namespace: 'shop', key: 'team/a', created: 1, until: 5_000 }
    next.reservations.restore([
      ...JSON.parse(JSON.stringify(kept)),
      { kind: 'Route', key: 'y.example', object: foreign },
      ...[
        null,
        1,
        {},
        foreign,
        { ...foreign, key: 'shop/a', created: 'x' },
        { ...foreign, key: 'shop/a', until: null },
      ].map((object) => ({ kind: 'Hostname', key: 'z.example', object })),
      { kind: 'Hostname', key: 'NOT a hostname', object: { ...foreign, key: 'shop/a' } },
      { kind: 'Hostname', key: 'far.example', object: { ...foreign, key: 'shop/a', until: 1e15 } },
    ])
    assert.deepEqual(next.of('x.example'), of('x.example'))
    assert.deepEqual([...next.reservations.current.keys()].sort(), ['far.example', 'x.example'])
    assert.equal(next.of('far.example')?.until, next.clock.now + HOUR)
  })

  it('are recorded in advance when another namespace claims them', () => {
    const { clock, reservations, of, settle } = holding()
    const owners = (contested: boolean, ...created: number[]) =>
      FrozenMap.from(created.map((age) => ['x.example', { ...owner('shop/a', age, age), contested }] as const))
    settle(owners(false, 5))
    assert.equal(of('x.example'), undefined, 'nobody asks for it')
    settle(owners(true, 5))
    assert.deepEqual(of('x.example'), { namespace: 'shop', key: 'shop/a', created: 5, until: undefined })
    assert.equal(reservations.changes().late, false, 'nothing waits for a precaution')
    settle(owners(true, 5))
    assert.deepEqual(reservations.changes().changes, [], 'and it stays as it is')
    // Another process, which saw no deletion: all objects were created anew, or none was.
    const next = holding()
    next.reservations.restore([{ kind: 'Hostname', key: 'x.example', object: of('x.example') }])
    next.settle(FrozenMap.from([['x.example', { ...owner('shop/a', 5, 90), contested: true }]]))
    assert.equal(next.of('x.example')?.created, 5, 'it stays the older one')
    next.settle(FrozenMap.from<HostnameOwner>([]))
    assert.equal(next.of('x.example')?.until, next.clock.now + HOUR)
    // The first record after the fact is waited for, one that only gets an end is not.
    reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
    assert.equal(of('x.example')?.until, clock.now + HOUR)
    assert.equal(reservations.changes().late, false)
    settle(owners(false, 5))
    assert.equal(of('x.example'), undefined, 'nobody else asks for it any more')
  })

  it('are bounded for each namespace, at the cost of no other', () => {
    const { reservations, settle } = holding()
    const many = [...Array(3_000).keys()].map((i) => `h${i}.example`)
    settle(
      FrozenMap.from([
        ...many.map((name) => [name, owner('flood/a', 1, 1)] as const),
        ['x.example', owner('shop/a', 5, 5)],
      ]),
    )
    reservations.release([
      { namespace: 'shop', hostnames: ['x.example'] },
      { namespace: 'flood', hostnames: many },
    ])
    assert.equal(reservations.current.size, 257)
    assert.ok(reservations.current.has('x.example'))
    assert.ok(reservations.current.has('h2999.example'))
  })

  it('are none in Shared or with 0s, and end with the settings', () => {
    for (const settings of [SETTINGS, { ...STRICT, hostnameHold: '0s' }]) {
      const { reservations, of, settle } = holding()
      settle(FrozenMap.from([['x.example', owner('shop/a', 5, 5)]]))
      reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
      reservations.useSettings({ ...STRICT, hostnameHold: '1s' })
      assert.equal(of('x.example')?.until, 2_000)
      reservations.useSettings(settings)
      assert.equal(reservations.current.size, 0)
      reservations.release([{ namespace: 'shop', hostnames: ['x.example'] }])
      assert.equal(reservations.current.size, 0)
    }
  })
})
