import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { listMatchesOf } from '../../src/routing/listing.ts'
import { match } from '../../src/routing/match.ts'
import type { FrontendSet } from '../../src/snapshot/frontend.ts'
import { FrontendHandle } from '../../src/snapshot/frontend-handle.ts'
import { hostOf } from '../../src/snapshot/host.ts'
import { Packer, type PackResult } from '../../src/snapshot/pack.ts'
import * as L from '../../src/snapshot/pack-layout.ts'
import { Root } from '../../src/snapshot/pack-root.ts'
import { RouteTables } from '../../src/snapshot/route-tables.ts'
import type { Host, Snapshot } from '../../src/snapshot/snapshot.ts'
import { seededRandom } from '../fuzz/router.ts'
import { backend, frontends, host, policy, request } from '../suite/router.ts'

function snapshotOf(hosts: Iterable<Host>, policies = ['p'], backends: readonly string[] = []): Snapshot {
  return {
    frontends: new Map([['http', { name: 'http' }]]),
    hosts: new Map([...hosts].map((one) => [one.hostname, one])),
    policies: new Map(policies.map((digest) => [digest, policy(digest)])),
    backends: new Map(backends.map((id) => [id, backend(id)])),
  }
}

function simple(hostname: string, name = 'r'): Host {
  return host(hostname, [{ name, matches: [{}] }])
}

function many(count: number, rules = 1): Host[] {
  return Array.from({ length: count }, (_, i) =>
    host(
      `h${i}.example`,
      Array.from({ length: rules }, (_, j) => ({
        name: `r${j}`,
        matches: [{ path: { type: 'Exact', value: `/p${j}` } }],
      })),
    ),
  )
}

/** Where each virtual host is: block id and offset. */
function places(tables: RouteTables): Map<string, string> {
  const found = new Map<string, string>()
  for (const { block, at } of tables.virtualHosts())
    found.set(tables.text(block, at, block.words[at + L.VHOST_HOSTNAME]!), `${block.id}:${at}`)
  return found
}

const bytes = (result: PackResult): number => result.tables.blocks.reduce((sum, block) => sum + block.byteLength, 0)

describe('packing', () => {
  it('leaves alone what is the same object as before', () => {
    const packer = new Packer(seededRandom())
    const hosts = many(300)
    const first = new RouteTables(packer.pack(snapshotOf(hosts)).tables)
    hosts[7] = simple('h7.example', 'changed')
    const second = new RouteTables(packer.pack(snapshotOf(hosts)).tables, first)
    const before = places(first)
    const after = places(second)
    assert.equal(after.size, 300)
    for (const [hostname, place] of after)
      assert.equal(place === before.get(hostname), hostname !== 'h7.example', hostname)
  })

  it('does not change what an earlier generation sees', () => {
    const packer = new Packer(seededRandom())
    const first = new RouteTables(packer.pack(snapshotOf([simple('a.example', 'old')])).tables)
    for (let i = 0; i < 3000; i++) packer.pack(snapshotOf([simple('a.example', `new${i}`), simple(`b${i}.example`)]))
    const found = match(first, request({ host: 'a.example' }))
    assert.ok(typeof found !== 'string' && found.rule.rule === 'old')
    assert.equal(match(first, request({ host: 'b1.example' })), 'HostNotFound')
  })

  it('gives back the space of what is replaced, also where one host in a block stays', () => {
    const packer = new Packer(seededRandom())
    const hosts = many(2000, 3)
    const size = bytes(packer.pack(snapshotOf(hosts)))
    let result: PackResult | undefined
    for (let round = 0; round < 12; round++) {
      // All but every fiftieth are replaced, so that no block ever dies as a whole.
      for (let i = 0; i < hosts.length; i++)
        if (i % 50 !== 0) hosts[i] = { ...hosts[i]!, common: { ...hosts[i]!.common! } }
      result = packer.pack(snapshotOf(hosts))
      assert.ok(bytes(result) <= size * 5, `round ${round}: ${bytes(result)} after ${size}`)
    }
    const tables = new RouteTables(result!.tables)
    for (const one of hosts) {
      const found = match(tables, request({ host: one.hostname, path: '/p1' }))
      assert.ok(typeof found !== 'string' && found.rule.rule === 'r1')
    }
    assert.equal(bytes(packer.pack(snapshotOf([]))), 0)
  })

  it('gives a host that is too large for a block one of its own', () => {
    const packer = new Packer(seededRandom())
    const large = host(
      'large.example',
      Array.from({ length: 5000 }, (_, i) => ({
        name: `r${i}`,
        matches: [{ path: { type: 'PathPrefix', value: `/p/${i}` } }],
      })),
    )
    const tables = new RouteTables(packer.pack(snapshotOf([simple('a.example'), large])).tables)
    const found = match(tables, request({ host: 'large.example', path: '/p/4321/x' }))
    assert.ok(typeof found !== 'string' && found.rule.rule === 'r4321')
    assert.equal([...listMatchesOf(tables, 'http', 'large.example')].length, 5000)
    assert.deepEqual([...listMatchesOf(tables, 'http', 'nobody.example')], [])
  })

  it('hands out everything to a fresh worker and only changes to the others', () => {
    const packer = new Packer(seededRandom())
    const uses = (id: string): Host =>
      host('a.example', [{ name: 'r', matches: [{}], backends: [{ backend: id, weight: 1, priority: 0 }] }])
    assert.equal(packer.full(), undefined)
    packer.pack(snapshotOf([uses('ns/one')], ['p'], ['ns/one']))
    const second = packer.pack(snapshotOf([uses('ns/two')], ['p'], ['ns/two']))
    assert.equal(second.policies.length, 1)
    assert.deepEqual(second.backends.map(({ index, backend }) => [index, backend?.id]).sort(), [
      [0, undefined],
      [1, 'ns/two'],
    ])
    assert.deepEqual(
      packer.full()!.backends.map(({ index, backend }) => [index, backend?.id]),
      [[1, 'ns/two']],
    )
    // The free index is used again, one generation later.
    const third = packer.pack(snapshotOf([uses('ns/three')], ['p'], ['ns/three']))
    assert.deepEqual(third.backends.map(({ index, backend }) => [index, backend?.id]).sort(), [
      [0, 'ns/three'],
      [1, undefined],
    ])
  })

  it('keeps the index of what a packed rule still names though the snapshot has lost it', () => {
    const packer = new Packer(seededRandom())
    const kept = host('a.example', [
      { name: 'r', matches: [{}], backends: [{ backend: 'ns/one', weight: 1, priority: 0 }] },
    ])
    packer.pack(snapshotOf([kept], ['p'], ['ns/one']))
    packer.pack(snapshotOf([kept], ['p'], []))
    const result = packer.pack(snapshotOf([kept], ['p'], ['ns/other']))
    assert.deepEqual(
      result.backends.map(({ index, backend }) => [index, backend?.id]),
      [[1, 'ns/other']],
    )
  })

  it('refuses a snapshot that names what it does not have, and packs the next one', () => {
    const packer = new Packer(seededRandom())
    assert.throws(
      () => packer.pack(snapshotOf([host('a.example', [{ name: 'r', matches: [{}], policy: 'nowhere' }])])),
      TypeError,
    )
    const tables = new RouteTables(packer.pack(snapshotOf([simple('b.example')])).tables)
    assert.equal(match(tables, request({ host: 'a.example' })), 'HostNotFound')
    assert.ok(typeof match(tables, request({ host: 'b.example' })) !== 'string')
  })

  it('ends a pack that a newer one has overtaken', () => {
    const packer = new Packer(seededRandom())
    const slow = packer.packSteps(snapshotOf(many(10)))
    slow.next()
    packer.pack(snapshotOf(many(3)))
    assert.throws(() => {
      while (slow.next().done !== true);
    }, TypeError)
    assert.equal(new RouteTables(packer.full()!.tables).hosts, 3)
  })

  it('chooses another seed when hostnames collide', () => {
    const random = seededRandom()
    const seed = 12345
    const colliding: string[] = []
    for (let i = 0; colliding.length < 60; i++)
      if ((L.hashHost(seed, `h${i}.example`) & 1023) === 7) colliding.push(`h${i}.example`)
    const root = new Root((random() * 2 ** 32) | 0, seed)
    colliding.forEach((hostname, i) => {
      for (const _ of root.prepare());
      root.put({ hostname, group: 0, block: 0, offset: i, words: 1 })
    })
    const words = new Int32Array(drain(root.publish()))
    assert.notEqual(words[L.ROOT_SEED], seed)
    const mask = words[L.ROOT_MASK]!
    for (const hostname of colliding) {
      let slot = L.hashHost(words[L.ROOT_SEED]!, hostname) & mask
      let probes = 1
      while (
        words[L.ROOT_SLOTS + slot * L.SLOT_WORDS + L.SLOT_OFFSET] !== colliding.indexOf(hostname) ||
        words[L.ROOT_SLOTS + slot * L.SLOT_WORDS + L.SLOT_BLOCK] === 0
      ) {
        slot = (slot + 1) & mask
        probes++
      }
      assert.ok(probes <= 32, `${hostname}: ${probes}`)
    }
  })
})

function drain<T>(steps: Generator<void, T>): T {
  while (true) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

describe('frontends of packed tables', () => {
  const one = { name: 'r', matches: [{}] }
  const onlyOn = (hostname: string, name: string, set: FrontendSet): Host =>
    hostOf(hostname, host(hostname, [{ name, matches: [{ frontends: set }] }]).matches, { common: false })
  const ask = (tables: RouteTables, handle: FrontendHandle, asked: string): string => {
    const found = match(tables, { ...request({ host: asked }), frontend: handle })
    return typeof found === 'string' ? found : found.rule.rule
  }

  it('may have hostnames that others do not have at all, as the listeners of a Gateway', () => {
    const hosts = [
      onlyOn('shop.example', 'mine', frontends(1)),
      onlyOn('*.example', 'wild', frontends(1, 2)),
      hostOf(
        '*',
        [
          ...host('*', [{ name: 'rest', matches: [{ frontends: frontends(3) }] }]).matches,
          ...host('*', [{ name: 'two', matches: [{ frontends: frontends(2) }] }]).matches,
        ],
        { common: false },
      ),
    ]
    const tables = new RouteTables(new Packer(seededRandom()).pack(snapshotOf(hosts)).tables)
    const [first, second, third, other] = ['l1', 'l2', 'l3', 'unknown'].map((name) => new FrontendHandle(name))
    assert.deepEqual(
      [first, second, third, other].map((handle) => ask(tables, handle!, 'shop.example')),
      ['mine', 'wild', 'rest', 'HostNotFound'],
    )
    assert.deepEqual(
      [first, second, third, other].map((handle) => ask(tables, handle!, 'else.test')),
      ['HostNotFound', 'two', 'rest', 'HostNotFound'],
    )
  })

  it('are looked up once for each set of names, and a connection is never matched as another one', () => {
    const packer = new Packer(seededRandom())
    const divided = host('a.example', [one, { name: 'own', matches: [{ method: 'GET', frontends: frontends(1) }] }])
    const snapshotWith = (names: readonly string[], hosts: readonly Host[]): Snapshot => ({
      ...snapshotOf(hosts),
      frontends: new Map(names.map((name) => [name, { name }])),
    })
    const handle = new FrontendHandle('l1')
    const stranger = new FrontendHandle('l0')
    // The tables come before the settings, or after them: the connection is `l1` all the time.
    const before = new RouteTables(packer.pack(snapshotWith(['l0'], [host('a.example', [one])])).tables)
    assert.equal(ask(before, handle, 'a.example'), 'r')
    const second = snapshotWith(['l1', 'l0'], [divided])
    const during = new RouteTables(packer.pack(second).tables, before)
    assert.equal(ask(during, handle, 'a.example'), 'own')
    assert.equal(ask(during, stranger, 'a.example'), 'r')
    const { row, directory } = handle
    const more = { hosts: new Map([...second.hosts, ['b.example', host('b.example', [one])]]) }
    const later = new RouteTables(packer.pack({ ...second, ...more }).tables, during)
    assert.equal(ask(later, handle, 'a.example'), 'own')
    // An exchange that began before still asks the tables it began with.
    assert.equal(ask(before, handle, 'a.example'), 'r')
    assert.equal(ask(during, handle, 'a.example'), 'own')
    assert.deepEqual([handle.row, handle.directory], [row, directory])
    const gone = new RouteTables(packer.pack(snapshotWith(['l0'], [host('a.example', [one])])).tables, later)
    assert.equal(ask(gone, handle, 'a.example'), 'r')
  })

  it('remember few hosts together, however many frontends there are', () => {
    const { tables: packed } = new Packer(seededRandom()).pack(snapshotOf([host('*', [one])]))
    const tables = new RouteTables(packed)
    const handles = Array.from({ length: 4 }, (_, i) => new FrontendHandle(`l${i}`))
    const table = tables.frontend(handles[0]!)
    for (let i = 0; i < 5_000; i++) for (const handle of handles) ask(tables, handle, `made-up-${i}.test`)
    assert.ok(table.hosts.size <= 1024, `${table.hosts.size} hosts`)
  })
})

describe('tables', () => {
  it('refuse memory that holds none', () => {
    assert.throws(
      () => new RouteTables({ root: new SharedArrayBuffer(64), blocks: [], frontends: new SharedArrayBuffer(0) }),
      TypeError,
    )
  })
  it('compile the expressions of what is new before they are put in force', () => {
    const packer = new Packer(seededRandom())
    const regex = (hostname: string, value: string): Host =>
      host(hostname, [{ name: 'r', matches: [{ path: { type: 'RegularExpression', value } }] }])
    const first = new RouteTables(packer.pack(snapshotOf([regex('a.example', '/a+')])).tables)
    for (const _ of first.prepare());
    assert.ok(first.patterns.has('/a+'))
    const a = first.patterns.get('/a+')
    const second = new RouteTables(
      packer.pack(snapshotOf([regex('a.example', '/a+'), regex('b.example', '/b+')])).tables,
      first,
    )
    for (const _ of second.prepare());
    assert.ok(second.patterns.has('/b+'))
    assert.equal(second.patterns.get('/a+'), a)
  })
  it('forget the expressions that only earlier tables had', () => {
    const packer = new Packer(seededRandom())
    const generation = (version: number): Host =>
      host(
        'a.example',
        Array.from({ length: 40 }, (_, i) => ({
          name: `r${i}`,
          matches: [{ path: { type: 'RegularExpression', value: `/v${version}/${i}/.*` } }],
        })),
      )
    let tables: RouteTables | undefined
    for (let version = 0; version < 50; version++) {
      const snapshot = snapshotOf([generation(version), simple('b.example')])
      tables = new RouteTables(packer.pack(snapshot).tables, tables)
      for (const _ of tables.prepare());
      for (const _ of tables.forgetPatterns());
      assert.ok(tables.patterns.has(`/v${version}/39/.*`))
      assert.ok(tables.patterns.size <= 3 * 40 + 64, `${tables.patterns.size} expressions in generation ${version}`)
    }
    const hit = match(tables!, request({ path: '/v49/7/x' }))
    assert.ok(typeof hit !== 'string' && hit.rule.rule === 'r7')
  })
  it('close what stands behind an expression that does not compile, and nothing else', () => {
    const bad = host('a.example', [
      { name: 'bad', matches: [{ path: { type: 'RegularExpression', value: '/a(' } }] },
      { name: 'exact', matches: [{ path: { type: 'Exact', value: '/b' } }] },
      { name: 'rest', matches: [{}] },
    ])
    const tables = new RouteTables(new Packer(seededRandom()).pack(snapshotOf([bad, simple('b.example')])).tables)
    for (const _ of tables.prepare());
    assert.throws(() => match(tables, request({ path: '/x' })), { reason: 'RuleClosed' })
    const exact = match(tables, request({ path: '/b' }))
    assert.ok(typeof exact !== 'string' && exact.rule.rule === 'exact')
    assert.ok(typeof match(tables, request({ host: 'b.example' })) !== 'string')
  })
  it('share nothing with the tables of another packer', () => {
    const first = new RouteTables(new Packer(seededRandom(1)).pack(snapshotOf([simple('a.example', 'one')])).tables)
    assert.ok(typeof match(first, request({ host: 'a.example' })) !== 'string')
    const second = new RouteTables(
      new Packer(seededRandom(2)).pack(snapshotOf([simple('a.example', 'two')])).tables,
      first,
    )
    const found = match(second, request({ host: 'a.example' }))
    assert.ok(typeof found !== 'string' && found.rule.rule === 'two')
  })
})
