import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { EndpointDirectory } from '../../src/control/endpoint-directory.ts'
import { DialGuard } from '../../src/link/dial-guard.ts'
import type { EndpointRow, ToWorker } from '../../src/link/messages.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { SlotReclaimer } from '../../src/shared-memory/epoch.ts'
import { ProcessBlock } from '../../src/shared-memory/process-block.ts'
import type { EndpointAddress } from '../../src/snapshot/snapshot.ts'

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
      { send: (message) => sent.push(message), problem: (message) => problems.push(message) },
    )
    directory.guardBy(new DialGuard(RULES))
  }

  beforeEach(() => {
    buffers = EndpointTable.allocate(1, 16)
    block = new ProcessBlock(ProcessBlock.allocate(1))
    sent = []
    problems = []
    zone = new Map()
    forgotten = []
    open()
  })

  function rows(): readonly EndpointRow[] {
    const last = sent.at(-1)
    assert.ok(last?.type === 'endpoints')
    return last.endpoints
  }

  it('gives every endpoint a slot of its own, eligible at once, and the Backend one for itself', () => {
    directory.set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const slots = [...rows().map((row) => row.slot), directory.slotOf('shop/api')]
    assert.equal(new Set(slots).size, 3)
    for (const row of rows()) assert.ok(table.eligible(row.slot))
  })

  it('sends nothing when nothing is different', () => {
    directory.set('shop/api', [at('10.0.0.1')])
    directory.set('shop/api', [at('10.0.0.1')])
    assert.equal(sent.length, 1)
  })

  it('does not mix up the same address of two Backends', () => {
    directory.set('shop/api', [at('10.0.0.1')])
    const one = rows()[0]!.slot
    directory.set('team/api', [at('10.0.0.1')])
    assert.notEqual(rows()[0]!.slot, one)
  })

  it('keeps the slots of those that stay and withdraws those that go', () => {
    directory.set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const [first, second] = rows()
    directory.set('shop/api', [at('10.0.0.2', { weight: 5 }), at('10.0.0.3')])
    assert.equal(rows()[0]!.slot, second!.slot)
    assert.equal(rows()[0]!.weight, 5)
    assert.equal(table.eligible(first!.slot), false)
    reclaimer.seal()
    assert.equal(reclaimer.sweep(), 1)
  })

  it('finds every slot again after the control thread died', () => {
    directory.set('shop/api', [at('10.0.0.1'), at('10.0.0.2')])
    const before = rows()
    open()
    directory.set('shop/api', [at('10.0.0.2'), at('10.0.0.1')])
    assert.deepEqual(new Set(rows().map((row) => row.slot)), new Set(before.map((row) => row.slot)))
  })

  it('puts the addresses of a name in its place, each an endpoint, with the name for the Host', () => {
    zone.set('api.test', ['10.0.0.1', '10.0.0.2'])
    directory.set('shop/api', [named('api.test')])
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
    directory.set('shop/api', [named('a.test'), named('b.test')])
    assert.equal(rows().length, 1)
  })

  it('leaves out what may not be dialled, says so once, also when a name leads there', () => {
    zone.set('evil.test', ['169.254.169.254', '10.0.0.1'])
    directory.set('shop/api', [named('evil.test'), at('10.9.0.1')])
    assert.deepEqual(
      rows().map((row) => row.address),
      ['10.0.0.1'],
    )
    directory.renamed('evil.test')
    assert.equal(problems.length, 2)
    assert.match(problems[0]!, /Backend shop\/api: 169\.254\.169\.254 port 80 is link-local/)
    assert.match(problems[1]!, /10\.9\.0\.1 port 80 is in upstreams\.denyCIDRs/)
  })

  it('tells which of the endpoints those are, and fills no log with them', () => {
    directory.set(
      'shop/api',
      [...Array(30).keys()].map((i) => at(`10.9.0.${i}`)),
    )
    assert.equal(problems.length, 9)
    assert.equal(directory.refused('shop/api').length, 30)
    directory.set('shop/api', [at('10.0.0.1')])
    assert.deepEqual([...directory.refused('shop/api'), ...directory.refused('shop/none')], [])
  })

  it('follows another guard with what it has sent already', () => {
    directory.set('shop/api', [at('10.0.0.1'), at('10.8.0.1')])
    directory.guardBy(new DialGuard({ ...RULES, denyCIDRs: ['10.8.0.0/16'] }))
    assert.deepEqual(
      rows().map((row) => row.address),
      ['10.0.0.1'],
    )
  })

  it('withdraws a Backend with its slots and names when nobody refers to it', () => {
    zone.set('api.test', ['10.0.0.1'])
    directory.set('shop/api', [named('api.test')])
    directory.set('shop/other', [at('10.0.0.2')])
    directory.withdraw('shop/api')
    assert.deepEqual(sent.at(-1), { type: 'endpoints', backend: 'shop/api', endpoints: [] })
    assert.deepEqual(forgotten, ['api.test'])
    reclaimer.seal()
    assert.equal(reclaimer.sweep(), 2)
    assert.equal(table.identities.size, 2)
  })

  it('leaves out what the table has no room for, says which and what to do, and serves the rest', () => {
    directory.set(
      'shop/api',
      Array.from({ length: 20 }, (_, i) => at(`10.0.0.${i + 1}`)),
    )
    assert.equal(rows().length, 13)
    assert.equal(problems.length, 7)
    assert.match(
      problems[0]!,
      /^endpoint 10\.0\.0\.14 port 80 of Backend shop\/api is left out: .* holds 14, Backends among them, and is full/,
    )
  })

  it('does not fill the log with what it leaves out', () => {
    const many = (from: number) => Array.from({ length: 1_000 }, (_, i) => at(`10.0.${from + (i >> 8)}.${i & 255}`))
    for (const id of ['evil/a', 'evil/b', 'evil/c']) directory.set(id, many(0))
    assert.equal(problems.length, 8)
  })
})
