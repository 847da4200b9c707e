import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import type { RegistrationBody, RegistrationOutcome } from '../../../src/admin/registrations.ts'
import { type KeptRegistration, MAX_REGISTERED } from '../../../src/api/registration.ts'
import { Registrations, type RegistrationsOptions } from '../../../src/control/registration/registrations.ts'
import type { FrozenMap } from '../../../src/snapshot/frozen-map.ts'
import type { EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { VirtualTime } from '../../lib/virtual-time.ts'

const BODY: RegistrationBody = { address: '10.0.0.7', port: 8080 }

/** What outlives a process. */
class Disk extends Map<string, KeptRegistration> {
  writes = 0
}

function bench(overrides: Partial<RegistrationsOptions> = {}, time = new VirtualTime(), disk = new Disk()) {
  let all: FrozenMap<readonly EndpointAddress[]> | undefined
  const expired: string[] = []
  const clock = { wall: 1_800_000_000_000, boot: 'a' }
  const registrations = new Registrations({
    time: time.keeper(0, () => clock.wall + time.now),
    boot: {
      get boot() {
        return clock.boot
      },
      uptime: () => 5_000_000 + time.now,
    },
    terms: (backend) =>
      backend === 'shop/api' || backend.startsWith('many/')
        ? { lease: 30_000 }
        : { status: 404, reason: 'BackendNotFound', title: 'none', detail: 'none' },
    refusal: (_, address) =>
      address.startsWith('127.')
        ? { status: 422, reason: 'AddressRefused', title: 'no', detail: 'loopback' }
        : undefined,
    changed: (_, map) => {
      all = map
    },
    keep: (changes) => {
      disk.writes++
      for (const { backend, id, kept } of changes) {
        if (kept === undefined) disk.delete(`${backend} ${id}`)
        else disk.set(`${backend} ${id}`, structuredClone(kept))
      }
    },
    expired: (_, message) => expired.push(message),
    ...overrides,
  })
  const endpoints = async (backend = 'shop/api') => {
    await time.pass(0)
    return (all?.get(backend) ?? []).map((one) => `${one.address}:${one.port} ${one.weight} ${one.state}`)
  }
  return { registrations, time, disk, expired, clock, endpoints }
}

const reasonOf = (outcome: RegistrationOutcome): string =>
  outcome.ok ? (outcome.created ? 'created' : 'ok') : `${outcome.status} ${outcome.reason}`

suite('registrations', () => {
  test('an endpoint is used from its PUT until its lease ends without a heartbeat', async () => {
    const { registrations, time, endpoints, expired, disk } = bench()
    assert.equal(reasonOf(registrations.put('shop/api', 'a', { ...BODY, weight: 3, zone: 'z' })), 'created')
    assert.deepEqual(await endpoints(), ['10.0.0.7:8080 3 ready'])
    for (let beat = 0; beat < 20; beat++) {
      await time.pass(29_000)
      assert.equal(reasonOf(registrations.heartbeat('shop/api', 'a')), 'ok')
    }
    await time.pass(29_900)
    assert.equal((await endpoints()).length, 1)
    await time.pass(200)
    assert.deepEqual(await endpoints(), [])
    assert.match(expired.join(), /shop\/api: a \(10\.0\.0\.7 port 8080\).*no heartbeat came within 30s/)
    assert.equal(disk.size, 0)
    assert.equal(reasonOf(registrations.heartbeat('shop/api', 'a')), '404 EndpointNotFound')
  })

  test('the same PUT is a heartbeat; another one changes the endpoint in place', async () => {
    const { registrations, time, endpoints } = bench()
    registrations.put('shop/api', 'a', BODY)
    await time.pass(20_000)
    assert.equal(reasonOf(registrations.put('shop/api', 'a', BODY)), 'ok')
    await time.pass(20_000)
    assert.equal((await endpoints()).length, 1)
    assert.equal(reasonOf(registrations.put('shop/api', 'a', { ...BODY, port: 9090, lease: '1m' })), 'ok')
    assert.deepEqual(await endpoints(), ['10.0.0.7:9090 1 ready'])
    // Its former address is free.
    assert.equal(reasonOf(registrations.put('shop/api', 'b', BODY)), 'created')
  })

  test('DELETE drains, then removes; the lease still bounds it', async () => {
    const { registrations, time, endpoints } = bench()
    registrations.put('shop/api', 'a', BODY)
    assert.equal(reasonOf(registrations.remove('shop/api', 'a')), 'ok')
    assert.deepEqual(await endpoints(), ['10.0.0.7:8080 1 draining'])
    assert.equal(reasonOf(registrations.heartbeat('shop/api', 'a')), '409 EndpointDraining')
    await time.pass(30_100)
    assert.deepEqual(await endpoints(), [])
    registrations.put('shop/api', 'b', { ...BODY, lease: '2s' })
    registrations.remove('shop/api', 'b', '5m')
    await time.pass(2_100)
    assert.deepEqual(await endpoints(), [])
    registrations.put('shop/api', 'c', BODY)
    registrations.remove('shop/api', 'c', '0s')
    assert.deepEqual(await endpoints(), [])
    for (const drain of ['11m', 'x', '', '-1s'])
      assert.equal(reasonOf(registrations.remove('shop/api', 'c', drain)), '404 EndpointNotFound')
    registrations.put('shop/api', 'd', BODY)
    for (const drain of ['11m', 'x', '', '-1s'])
      assert.equal(reasonOf(registrations.remove('shop/api', 'd', drain)), '422 InvalidEndpoint', drain)
    registrations.remove('shop/api', 'd')
    assert.equal(reasonOf(registrations.put('shop/api', 'd', BODY)), 'ok')
    assert.deepEqual(await endpoints(), ['10.0.0.7:8080 1 ready'])
  })

  test('two ids with one address: the second is refused while the first lives, and takes it over from one that drains', async () => {
    const { registrations, endpoints } = bench()
    registrations.put('shop/api', 'a', BODY)
    const second = registrations.put('shop/api', 'b', { ...BODY, address: '::ffff:10.0.0.7' })
    assert.equal(reasonOf(second), '409 AddressTaken')
    assert.match(second.ok ? '' : second.detail, /registered for Backend shop\/api as a, whose lease ends in 30s/)
    registrations.put('shop/api', 'c', { ...BODY, port: 8081 })
    assert.equal(reasonOf(registrations.put('shop/api', 'c', BODY)), '409 AddressTaken')
    registrations.remove('shop/api', 'a')
    assert.equal(reasonOf(registrations.put('shop/api', 'b', BODY)), 'created')
    assert.deepEqual(await endpoints(), ['10.0.0.7:8081 1 ready', '10.0.0.7:8080 1 ready'])
    assert.equal(reasonOf(registrations.get('shop/api', 'a')), '404 EndpointNotFound')
  })

  test('what is not valid, not allowed or not asked for is refused by name', async () => {
    const { registrations, disk } = bench()
    const put = (body: Partial<RegistrationBody>, backend = 'shop/api') =>
      reasonOf(registrations.put(backend, 'a', { ...BODY, ...body }))
    assert.equal(put({}, 'shop/other'), '404 BackendNotFound')
    for (const address of [
      'api.example',
      '010.0.0.7',
      '10.0.0',
      '10.0.0.7:80',
      '[::1]',
      '1',
      ' 10.0.0.7',
      'fe80::1%eth0',
    ])
      assert.equal(put({ address }), '422 InvalidEndpoint', address)
    for (const lease of ['0s', '999ms', '61m', '1d', 'x', '5'])
      assert.equal(put({ lease }), '422 InvalidEndpoint', lease)
    assert.equal(put({ address: '127.0.0.1' }), '422 AddressRefused')
    assert.equal(disk.writes, 0)
  })

  test('a flood of heartbeats is refused without cost to others, and without ending the lease', async () => {
    const { registrations, time, disk } = bench()
    registrations.put('shop/api', 'a', BODY)
    registrations.put('shop/api', 'b', { ...BODY, port: 1 })
    const outcomes = Array.from({ length: 1_000 }, () => reasonOf(registrations.heartbeat('shop/api', 'a')))
    assert.equal(outcomes.filter((one) => one === 'ok').length, 20)
    assert.equal(outcomes.at(-1), '429 TooManyHeartbeats')
    assert.equal(reasonOf(registrations.put('shop/api', 'a', BODY)), '429 TooManyHeartbeats')
    assert.equal(reasonOf(registrations.heartbeat('shop/api', 'b')), 'ok')
    const before = disk.writes
    await time.pass(1_000)
    assert.equal(disk.writes, before + 1)
    assert.equal(reasonOf(registrations.heartbeat('shop/api', 'a')), 'ok')
  })

  test('endpoints are bounded per Backend, and changes per namespace', async () => {
    const { registrations, time } = bench()
    const put = (backend: string, index: number): string => {
      const address = `10.1.${index >> 8}.${index & 255}`
      return reasonOf(registrations.put(backend, `e${index}`, { address, port: 80, lease: '1h' }))
    }
    let index = 0
    while (put('many/a', index) === 'created') index++
    assert.equal(index, 1_000)
    assert.equal(put('many/a', index), '429 TooManyChanges')
    assert.equal(put('shop/api', 0), 'created')
    for (; index < MAX_REGISTERED.backend; index++) {
      if (index % 1_000 === 0) await time.pass(10_000)
      assert.equal(put('many/a', index), 'created')
    }
    await time.pass(1_000)
    assert.equal(put('many/a', index), '429 TooManyEndpoints')
    for (let i = 0; i < MAX_REGISTERED.namespace - MAX_REGISTERED.backend; i++) {
      if (i % 1_000 === 0) await time.pass(10_000)
      assert.equal(put('many/b', i), 'created')
    }
    assert.equal(put('many/c', 0), '429 TooManyEndpoints')
    assert.equal(put('shop/api', 1), 'created')
  })

  test('leases go on over a restart, and what ended meanwhile is gone', async () => {
    const first = bench()
    first.registrations.put('shop/api', 'short', { ...BODY, lease: '10s' })
    first.registrations.put('shop/api', 'long', { ...BODY, port: 81, weight: 7 })
    await first.time.pass(5_000)
    first.registrations.heartbeat('shop/api', 'long')
    first.registrations.stop()
    await first.time.pass(6_000)
    const second = bench({}, first.time, first.disk)
    second.registrations.restore([...first.disk.values()])
    assert.deepEqual(await second.endpoints(), ['10.0.0.7:81 7 ready'])
    assert.equal(second.disk.size, 1)
    await second.time.pass(23_900)
    assert.equal((await second.endpoints()).length, 1)
    await second.time.pass(200)
    assert.deepEqual(await second.endpoints(), [])
  })

  test('a wall clock that jumps ends no lease and makes none longer, within a boot and over one', async () => {
    const { registrations, time, clock, endpoints, disk } = bench()
    registrations.put('shop/api', 'a', BODY)
    for (const jump of [86_400_000, -2 * 86_400_000]) {
      clock.wall += jump
      await time.pass(10_000)
      assert.equal((await endpoints()).length, 1)
      registrations.heartbeat('shop/api', 'a')
    }
    registrations.stop()
    const kept = [...disk.values()]
    const later = bench({}, time)
    later.clock.wall = 1_000_000_000_000
    later.registrations.restore(kept)
    await time.pass(29_900)
    assert.equal((await later.endpoints()).length, 1)
    // Another boot: only the wall clock is left, and a whole lease is the most.
    const booted = bench({}, time)
    booted.clock.boot = 'b'
    booted.clock.wall = 1_000_000_000_000
    booted.registrations.restore(kept)
    await time.pass(29_900)
    assert.equal((await booted.endpoints()).length, 1)
    await time.pass(200)
    assert.deepEqual(await booted.endpoints(), [])
  })

  test('time in which the thread stands still counts against nobody', async () => {
    const time = new VirtualTime()
    let still = 0
    const keeper = time.keeper()
    const { registrations, endpoints } = bench({ time: { ...keeper, monotonic: () => time.now + still } }, time)
    registrations.put('shop/api', 'a', BODY)
    await time.pass(29_000)
    still = 20_000
    await time.pass(1_100)
    assert.equal((await endpoints()).length, 1)
    assert.equal(reasonOf(registrations.heartbeat('shop/api', 'a')), 'ok')
  })

  test('a thousand registrations of one turn are told once', async () => {
    let told = 0
    const { registrations, time } = bench({ changed: () => told++ })
    for (let i = 0; i < 1_000; i++) registrations.put('shop/api', `e${i}`, { ...BODY, port: i + 1 })
    await time.pass(0)
    assert.equal(told, 1)
  })
})
