import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { EndpointDirectory } from '../../../src/control/endpoints/endpoint-directory.ts'
import { EndpointTable } from '../../../src/shared-memory/endpoint-table.ts'
import { ProcessBlock } from '../../../src/shared-memory/process-block.ts'
import { SlotReclaimer } from '../../../src/shared-memory/slot-reclaimer.ts'
import type { EndpointAddress } from '../../../src/snapshot/snapshot.ts'
import { changedSet, withdrawnSet } from '../../../src/thread/endpoint-rows.ts'
import type { EndpointRow, ToWorker } from '../../../src/thread/messages.ts'
import { DialGuard } from '../../../src/transport/dial-guard.ts'
import { received } from './received.ts'

const RULES = {
  denyCIDRs: ['10.9.0.0/16'],
  loopback: true,
  ownPorts: [],
  ownAddresses: [],
  places: [],
  closedPorts: [],
}

function at(address: string, more: Partial<EndpointAddress> = {}): EndpointAddress {
  return { address, port: 80, weight: 1, state: 'ready', ...more }
}

function named(name: string): EndpointAddress {
  return at(name, { hostname: name })
}

describe('the endpoint directory', () => {
  let buffers: ReturnType<typeof EndpointTable.allocate>
  let block: ProcessBlock
  let table: EndpointTable
  let sent: ToWorker[]
  let problems: string[]
  let renewed: string[]
  let zone: Map<string, string[]>
  let forgotten: string[]
  let reclaimer: SlotReclaimer
  let directory: EndpointDirectory

  function open(): void {
    table = new EndpointTable(buffers)
    reclaimer = new SlotReclaimer(table, block)
    directory = new EndpointDirectory(
      table,
      reclaimer,
      {
        addresses: (name) => zone.get(name) ?? [],
        failure: (name) => (zone.has(name) ? undefined : 'ENOTFOUND'),
        forget: (name) => forgotten.push(name),
      },
      {
        send: (message) => sent.push(message),
        problem: (_, message) => problems.push(message),
        ownRows: (backends) => renewed.push(...backends),
      },
    )
    directory.guardBy(new DialGuard(RULES))
  }

  /** The first tables of this control thread serve. */
  function adopt(): void {
    directory.settle(() => undefined)
  }

  beforeEach(() => {
    buffers = EndpointTable.allocate(1, 16)
    block = new ProcessBlock(ProcessBlock.allocate(1))
    sent = []
    problems = []
    renewed = []
    zone = new Map()
    forgotten = []
    open()
    adopt()
  })

  function set(backend: string, addresses: readonly EndpointAddress[], connects = 'HTTP'): void {
    directory.set(backend, addresses, connects)
  }

  function rows(): readonly EndpointRow[] {
    const last = sent.at(-1)
    assert.ok(last?.type === 'endpoints')
    return received(sent, last.backend)
  }

  it('takes ports, weights and names of an SRV name from its targets, each under the guard', () => {
    const name = '_http._tcp.api.test'
    zone.set(name, ['10.0.0.1 8080 3 one.test', '10.0.0.1 8081 1 one.test', '10.9.0.1 8080 1 denied.test'])
    set('shop/api', [at(name, { hostname: name, port: 0, weight: 2, zone: 'a' })])
    assert.deepEqual(
      rows().map(({ slot: _, ...row }) => row),
      [
        { address: '10.0.0.1', port: 8080, weight: 6, hostname: 'one.test', zone: 'a', state: 'ready' },
        { address: '10.0.0.1', port: 8081, weight: 2, hostname: 'one.test', zone: 'a', state: 'ready' },
      ],
    )
    assert.match(directory.refused('shop/api').join(), /^10\.9\.0\.1 port 8080 /)
    const [before] = rows()
    zone.set(name, ['10.0.0.1 8080 5 other.test'])
    directory.renamed(name)
    assert.deepEqual(rows(), [{ ...before, weight: 10, hostname: 'other.test' }])
  })

  it('gives every endpoint a slot of its own, eligible at once, and the Backend one for itself', () => {
    set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const slots = [...rows().map((row) => row.slot), directory.slotOf('shop/api')]
    assert.equal(new Set(slots).size, 3)
    for (const row of rows()) assert.ok(table.eligible(row.slot))
  })

  it('sends nothing when nothing is different', () => {
    set('shop/api', [at('10.0.0.1')])
    set('shop/api', [at('10.0.0.1')])
    assert.equal(sent.length, 1)
  })

  describe('of a Backend that is connected to in another way', () => {
    const served = (key: string) => directory.settle(() => key)
    const eligible = () => [one, two].map((slot) => table.eligible(slot))
    let one: number
    let two: number
    beforeEach(() => {
      set('shop/api', [at('10.0.0.1')])
      one = rows()[0]!.slot
      set('shop/api', [at('10.0.0.2')], 'H2C')
      two = rows()[0]!.slot
    })

    it('keeps the former endpoints eligible until tables that say so serve everywhere', () => {
      assert.deepEqual(sent.at(-1), changedSet('shop/api', { gone: [one], rows: rows() }, 'H2C'))
      assert.deepEqual(eligible(), [true, true])
      served('HTTP')
      assert.deepEqual(eligible(), [true, true], 'older tables')
      assert.ok(directory.inUse().has(one))
      served('H2C')
      assert.deepEqual(eligible(), [false, true])
      assert.ok(!directory.inUse().has(one))
    })

    it('gives an endpoint that comes back the row that it has', () => {
      set('shop/api', [at('10.0.0.1')])
      assert.deepEqual([rows()[0]!.slot, eligible()], [one, [true, true]])
      served('HTTP')
      assert.deepEqual(eligible(), [true, false])
      reclaimer.seal()
      block.passEpoch(0, block.epoch)
      directory.tend()
      served('HTTP')
      assert.deepEqual(eligible(), [true, false])
    })

    it('gives the slot of an endpoint that goes meanwhile to nobody else, since a set in use may have it', () => {
      set('shop/api', [at('10.0.0.1'), at('10.0.0.2')], 'H2C')
      const freed = (): boolean => {
        reclaimer.seal()
        block.passEpoch(0, block.epoch)
        directory.tend()
        return table.state(one) === 0
      }
      set('shop/api', [at('10.0.0.2')], 'H2C')
      assert.deepEqual([eligible(), freed(), directory.inUse().has(one)], [[false, true], false, true])
      set('shop/api', [at('10.0.0.1'), at('10.0.0.2')], 'H2C')
      assert.deepEqual(
        [eligible(), rows().map(({ slot }) => slot)],
        [
          [true, true],
          [two, one],
        ],
        'and it may come back',
      )
      set('shop/api', [at('10.0.0.2')], 'H2C')
      served('H2C')
      assert.equal(freed(), true)
      set('shop/api', [at('10.0.0.1'), at('10.0.0.2')], 'H2C')
      set('shop/api', [at('10.0.0.2')], 'H2C')
      assert.equal(freed(), true, 'and is given up at once from then on')
    })

    it('sends equal endpoints again, since they are for other tables', () => {
      set('shop/api', [at('10.0.0.2')], 'GRPC')
      assert.deepEqual([rows()[0]!.slot, sent.length], [two, 3])
    })

    it('gives up all of them when it is withdrawn', () => {
      directory.withdraw('shop/api')
      assert.deepEqual([eligible(), directory.inUse().size], [[false, false], 0])
    })
  })

  it('does not mix up the same address of two Backends', () => {
    set('shop/api', [at('10.0.0.1')])
    const one = rows()[0]!.slot
    set('team/api', [at('10.0.0.1')])
    assert.notEqual(rows()[0]!.slot, one)
  })

  it('keeps the slots of those that stay and withdraws those that go', () => {
    set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const [first, second] = rows()
    set('shop/api', [at('10.0.0.2', { weight: 5 }), at('10.0.0.3')])
    assert.equal(rows()[0]!.slot, second!.slot)
    assert.equal(rows()[0]!.weight, 5)
    assert.equal(table.eligible(first!.slot), false)
    reclaimer.seal()
    assert.equal(reclaimer.sweep(), 1)
  })

  it('gives up no slot of a former control thread before tables of this one serve', () => {
    set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const [{ slot }] = rows() as [EndpointRow]
    open()
    set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    set('shop/api', [at('10.0.0.2')])
    const tend = (): boolean => {
      reclaimer.seal()
      block.passEpoch(0, block.epoch)
      directory.tend()
      return table.state(slot) === 0
    }
    assert.deepEqual([table.eligible(slot), tend()], [false, false])
    directory.settle(() => 'HTTP')
    assert.equal(tend(), true)
  })

  it('finds every slot again after the control thread died', () => {
    set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const before = rows()
    open()
    set('shop/api', [at('10.0.0.2'), at('10.0.0.1')])
    assert.deepEqual(new Set(rows().map((row) => row.slot)), new Set(before.map((row) => row.slot)))
  })

  it('puts the addresses of a name in its place, each an endpoint, with the name for the Host', () => {
    zone.set('api.test', ['10.0.0.1', '10.0.0.2'])
    set('shop/api', [named('api.test')])
    assert.deepEqual(
      rows().map((row) => [row.address, row.hostname]),
      [
        ['10.0.0.1', 'api.test'],
        ['10.0.0.2', 'api.test'],
      ],
    )
    zone.set('api.test', ['10.0.0.2'])
    directory.renamed('api.test')
    assert.deepEqual(
      rows().map((row) => row.address),
      ['10.0.0.2'],
    )
  })

  it('takes an address that two names lead to for one endpoint', () => {
    zone.set('a.test', ['10.0.0.1'])
    zone.set('b.test', ['10.0.0.1'])
    set('shop/api', [named('a.test'), named('b.test')])
    assert.equal(rows().length, 1)
  })

  it('leaves out refused addresses, also resolved ones, and reports them once', () => {
    zone.set('evil.test', ['169.254.169.254', '10.0.0.1'])
    set('shop/api', [named('evil.test'), at('10.9.0.1')])
    assert.deepEqual(
      rows().map((row) => row.address),
      ['10.0.0.1'],
    )
    directory.renamed('evil.test')
    assert.equal(problems.length, 2)
    assert.match(problems[0]!, /Backend shop\/api: 169\.254\.169\.254 port 80 is link-local/)
    assert.match(problems[1]!, /10\.9\.0\.1 port 80 is in upstreams\.denyCIDRs/)
  })

  it('lists the refused endpoints, and bounds their log lines', () => {
    set(
      'shop/api',
      [...Array(30).keys()].map((i) => at(`10.9.0.${i}`)),
    )
    assert.equal(problems.length, 9)
    assert.equal(directory.refused('shop/api').length, 30)
    set('shop/api', [at('10.0.0.1')])
    assert.deepEqual([...directory.refused('shop/api'), ...directory.refused('shop/none')], [])
  })

  it('applies a new guard to the endpoints already sent', () => {
    set('shop/api', [at('10.0.0.1'), at('10.8.0.1')])
    directory.guardBy(new DialGuard({ ...RULES, denyCIDRs: ['10.8.0.0/16'] }))
    assert.deepEqual(
      rows().map((row) => row.address),
      ['10.0.0.1'],
    )
  })

  it('withdraws a Backend with its slots and names when it is unreferenced', () => {
    zone.set('api.test', ['10.0.0.1'])
    set('shop/api', [named('api.test')])
    set('shop/other', [at('10.0.0.2')])
    directory.withdraw('shop/api')
    assert.deepEqual(sent.at(-1), withdrawnSet('shop/api'))
    assert.deepEqual(forgotten, ['api.test'])
    reclaimer.seal()
    assert.equal(reclaimer.sweep(), 2)
    assert.equal(table.identities.size, 2)
  })

  const some = (count: number, net = 0, more: Partial<EndpointAddress> = {}) =>
    Array.from({ length: count }, (_, i) => at(`10.${net}.${i >> 8}.${i & 255}`, more))

  function withRoomFor(slots: number): void {
    buffers = EndpointTable.allocate(1, slots)
    open()
    adopt()
  }

  /** Workers have passed every epoch, and slots are looked at. */
  function tend(): string[] {
    reclaimer.seal()
    return directory.tend()
  }

  it('leaves out endpoints beyond the capacity, reports them with a remedy, and serves the rest', () => {
    set('shop/api', some(20))
    assert.equal(rows().length, 11)
    assert.equal(problems.length, 8)
    assert.equal(
      problems[0]!,
      'endpoint 10.0.0.11 port 80 of Backend shop/api is left out: namespace shop holds 12 of the 14 places in the table of endpoints, Backends among them, and what is free is kept for others. Use fewer endpoints, or divide the Routes over several installations.',
    )
    assert.match(directory.leftOut('shop/api')!, /^9 of its endpoints are left out, since namespace shop holds 12 /)
    set('team/api', some(1))
    assert.match(
      problems.at(-1)!,
      /^endpoint 10\.0\.0\.0 port 80 of Backend team\/api is left out: .* is kept for others\. /,
    )
  })

  it('reserves room for small namespaces, however many endpoints another one has', () => {
    withRoomFor(1_024)
    for (let i = 0; i < 20; i++) set(`service:noisy/s${i}:80`, some(100))
    assert.ok(table.identities.size <= 687, `${table.identities.size} of ${table.identities.capacity}`)
    set('calm/api', some(50))
    assert.equal(directory.rows('calm/api').length, 50)
    assert.equal(directory.leftOut('calm/api'), undefined)
    for (let i = 0; i < 20; i++) for (const other of 'bcdef') set(`noisy-${other}/s${i}`, some(100))
    for (let i = 0; i < 10; i++) {
      set(`quiet-${i}/api`, some(3))
      assert.equal(directory.rows(`quiet-${i}/api`).length, 3, 'and for the next ones')
    }
  })

  it('replaces all endpoints of a Backend whose namespace has no room left', () => {
    withRoomFor(1_024)
    set('noisy/fill', some(2_000))
    const full = table.identities.size
    const rounds = (id: string, kept: number, replaced: number): void => {
      for (let round = 1; round < 6; round++) {
        set(id, [...some(kept), ...some(replaced, round)])
        const now = directory.rows(id).filter(({ address }) => address.startsWith(`10.${round}.`))
        assert.equal(now.length, replaced, `round ${round}`)
        tend()
      }
    }
    rounds('noisy/fill', 650, 28)
    tend()
    assert.ok(table.identities.size <= full)
  })

  it('replaces draining endpoints as well, since terminating pods are listed beside new ones', () => {
    withRoomFor(1_024)
    set('noisy/fill', some(2_000))
    const kept = directory.rows('noisy/fill').map(({ address }) => at(address))
    set('noisy/fill', kept)
    const rolling = [...kept.slice(40), ...kept.slice(0, 40).map((one) => ({ ...one, state: 'draining' as const }))]
    set('noisy/fill', [...rolling, ...some(40, 3)])
    const replaced = () => directory.rows('noisy/fill').filter(({ address }) => address.startsWith('10.3.')).length
    assert.equal(replaced(), 28)
    set('noisy/fill', [...kept.slice(40), ...some(40, 3)])
    tend()
    assert.equal(replaced(), 40, 'the others as places come free')
  })

  it('always has room for what replaces leaving endpoints, however many namespaces are at their limit', () => {
    withRoomFor(4_096)
    const noisy = Array.from({ length: 6 }, (_, i) => `noisy-${i}`)
    for (const [id, count] of Object.entries({ a: 100, b: 100, c: 3_000 }))
      for (const name of noisy) set(`${name}/${id}`, some(count))
    for (let round = 1; round < 12; round++)
      for (const name of noisy.slice(0, 5)) {
        set(`${name}/a`, some(100, round))
        // Long requests keep the place of each.
        for (const { slot } of directory.rows(`${name}/a`)) table.acquire(0, slot)
        tend()
      }
    const before = directory.rows('noisy-5/b').length
    assert.ok(before > 10)
    const kept = directory.rows('noisy-5/b').slice(3)
    set('noisy-5/b', [...kept.map(({ address }) => at(address)), ...some(3, 99)])
    assert.equal(directory.rows('noisy-5/b').filter(({ address }) => address.startsWith('10.99.')).length, 3)
    set('calm/api', some(10))
    set('calm/api', some(10, 1))
    assert.equal(directory.rows('calm/api').length, 10, 'few rows are replaced all at once')
  })

  it('retries a bounded number of places in one turn, and each until it has one', () => {
    withRoomFor(4_096)
    set('noisy/fill', some(3_000))
    set('noisy/more', some(2_000, 1))
    set('noisy/fill', [])
    let turns = 0
    for (let before = -1; before < directory.rows('noisy/more').length; turns++) {
      before = directory.rows('noisy/more').length
      tend()
      assert.ok(directory.rows('noisy/more').length - before <= 512)
    }
    assert.ok(turns > 3)
    assert.equal(directory.rows('noisy/more').length, 2_000)
    assert.equal(directory.leftOut('noisy/more'), undefined)
  })

  it('gives a Backend a row of its own as soon as there is room for it', () => {
    withRoomFor(1_024)
    set('noisy/fill', some(2_000))
    set('noisy/late', [])
    assert.equal(directory.slotOf('noisy/late'), undefined)
    tend()
    assert.deepEqual(renewed, [])
    set('noisy/fill', some(10))
    tend()
    assert.deepEqual(renewed, ['noisy/late'])
    assert.ok(directory.inUse().has(directory.slotOf('noisy/late')!))
    set('noisy/fill', some(2_000))
    set('noisy/gone', [])
    directory.withdraw('noisy/gone')
    set('noisy/fill', [])
    tend()
    assert.deepEqual(renewed, ['noisy/late'], 'none for one that is withdrawn')
  })

  it('retries when there is room, in turns by namespace, and returns the Backends that changed', () => {
    withRoomFor(1_024)
    set('noisy/fill', some(2_000))
    for (let i = 0; i < 50; i++) set(`noisy/short-${i}`, some(5))
    set('noisy/fill', some(10))
    assert.equal(directory.rows('noisy/short-49').length, 0, 'places count until they are freed')
    const changed = new Set<string>()
    for (let i = 0; i < 20; i++) for (const backend of tend()) changed.add(backend)
    for (let i = 0; i < 50; i++) assert.equal(directory.rows(`noisy/short-${i}`).length, 5)
    assert.equal(changed.size, 50)
    assert.equal(directory.leftOut('noisy/short-49'), undefined)
  })

  it('does not let a namespace take all by places that it gives up and that are still used', () => {
    withRoomFor(1_024)
    for (let round = 0; round < 50; round++) {
      set('noisy/fill', some(300, round))
      // A long request on each.
      for (const { slot } of directory.rows('noisy/fill')) table.acquire(0, slot)
      tend()
    }
    set('calm/api', some(20))
    assert.equal(directory.rows('calm/api').length, 20)
  })

  it('leaves every endpoint its place when a new control thread counts anew', () => {
    withRoomFor(1_024)
    set('noisy/a', some(600))
    set('noisy/b', some(600))
    set('calm/api', some(20))
    const ids = ['calm/api', 'noisy/b', 'noisy/a']
    const slots = () => ids.map((id) => directory.rows(id).map(({ slot }) => slot))
    const before = slots()
    open()
    for (const id of ids) set(id, id === 'calm/api' ? some(20) : some(600))
    for (const [i, all] of before.entries()) for (const [j, slot] of all.entries()) assert.equal(slots()[i]![j], slot)
  })

  it('keeps its counts, never takes a row away, and finally serves everything that fits', () => {
    const command = fc.record({
      namespace: fc.constantFrom('a', 'b', 'c'),
      backend: fc.constantFrom('x', 'y'),
      from: fc.integer({ min: 0, max: 30 }),
      count: fc.integer({ min: 0, max: 60 }),
      draining: fc.integer({ min: 0, max: 10 }),
      what: fc.constantFrom('set', 'set', 'set', 'withdraw', 'tend', 'acquire', 'release'),
    })
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        withRoomFor(128)
        const busy = new Map<number, number>()
        const sets = new Map<string, EndpointAddress[]>()
        for (const { namespace, backend, from, count, draining, what } of commands) {
          const id = `${namespace}/${backend}`
          const others = [...sets.keys()].filter((other) => other !== id)
          const before = new Map(others.map((other) => [other, directory.rows(other)]))
          const held = new Map(directory.rows(id).map(({ address, slot }) => [address, slot]))
          if (what === 'set') {
            const list = some(from + count)
              .slice(from)
              .map((one, i) => (i < draining ? { ...one, state: 'draining' as const } : one))
            sets.set(id, list)
            set(id, list)
            for (const { address, slot } of directory.rows(id))
              assert.equal(slot, held.get(address) ?? slot, 'who stays keeps its place')
            for (const one of list)
              if (held.has(one.address)) assert.ok(directory.rows(id).some(({ address }) => address === one.address))
          } else if (what === 'withdraw') {
            directory.withdraw(id)
            sets.delete(id)
          } else if (what === 'tend') tend()
          else
            for (const { slot } of directory.rows(id).slice(0, 5)) {
              const now = busy.get(slot) ?? 0
              if (what === 'release' && now === 0) continue
              busy.set(slot, now + (what === 'acquire' ? 1 : -1))
              if (what === 'acquire') table.acquire(0, slot)
              else table.release(0, slot)
            }
          if (what !== 'tend')
            for (const [other, rows] of before) assert.deepEqual(directory.rows(other), rows, 'nobody else is touched')
          for (const [other, list] of sets)
            assert.equal(directory.rows(other).length < list.length, directory.leftOut(other) !== undefined)
          assert.ok(table.identities.size <= table.identities.capacity)
        }
        for (const [slot, count] of busy) for (let i = 0; i < count; i++) table.release(0, slot)
        for (const id of sets.keys()) if (!id.startsWith('a/x')) directory.withdraw(id)
        for (let i = 0; i < 5; i++) tend()
        for (const [id, list] of sets)
          if (id === 'a/x') assert.equal(directory.rows(id).length, list.length, 'alone it has room for all')
        directory.withdraw('a/x')
        for (let i = 0; i < 3; i++) tend()
        assert.equal(table.identities.size, 0)
        set('a/x', some(200))
        assert.equal(table.identities.size, 86, 'its share: nothing was counted wrong')
      }),
      { numRuns: 300 },
    )
  })

  it('bounds the log lines about endpoints left out', () => {
    const many = (from: number) => Array.from({ length: 1_000 }, (_, i) => at(`10.0.${from + (i >> 8)}.${i & 255}`))
    for (const id of ['evil/a', 'evil/b', 'evil/c']) set(id, many(0))
    assert.equal(problems.length, 8)
  })
})
