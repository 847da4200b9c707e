import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { TablesUpdate } from '../../src/link/tables-update.ts'
import { changedSet, wholeSet, withdrawnSet } from '../../src/thread/endpoint-rows.ts'
import type { EndpointRow, ToWorker } from '../../src/thread/messages.ts'
import { WorkerState } from '../../src/thread/worker-state.ts'

function tables(generation: number, more: Partial<TablesUpdate> = {}): TablesUpdate {
  const tables_ = { root: new SharedArrayBuffer(generation), blocks: [], frontends: new SharedArrayBuffer(0) }
  return { type: 'tables', generation, tables: tables_, full: false, policies: [], backends: [], hostTls: [], ...more }
}

const policy = (index: number, digest: string | null) => ({
  index,
  policy: digest === null ? null : ({ digest } as never),
})
const backend = (index: number, id: string | null) => ({ index, backend: id === null ? null : ({ id } as never) })
const endpoints = (id: string, ...slots: number[]): ToWorker =>
  slots.length === 0 ? withdrawnSet(id) : wholeSet(id, rows(...slots), 'HTTP')
const rows = (...slots: number[]): EndpointRow[] => slots.map((slot) => ({ slot }) as never)
const row = (slot: number, weight: number): string => JSON.stringify([{ slot, weight }])
/** The set by which the Backend is connected to in this way. */
const speaking = (connects: string, slot: number): ToWorker => ({ ...endpoints('x', slot), connects }) as ToWorker
const speaks = (protocol: string) => ({ index: 0, backend: { id: 'x', protocol } as never })

function kept(...messages: ToWorker[]): ToWorker[] {
  const state = new WorkerState()
  for (const message of messages) state.keep(message)
  return state.messages()
}

describe('what a worker needs to begin', () => {
  it('is the last of everything, in the order in which it must come', () => {
    const first = { type: 'settings', settings: { n: 1 } as never } as const
    const second = { type: 'settings', settings: { n: 2 } as never } as const
    const messages = kept(endpoints('a', 1), first, tables(1), endpoints('a', 2), second, tables(2))
    assert.deepEqual(
      messages.map((message) => message.type),
      ['settings', 'endpoints', 'tables'],
    )
    // It is not to be asked for anything before it has the tables.
    assert.deepEqual(messages[0], { ...second, tablesFollow: true })
    assert.deepEqual(kept(first, endpoints('a', 1))[0], first)
    assert.deepEqual(messages[1], endpoints('a', 2))
    assert.equal((messages[2] as TablesUpdate).generation, 2)
  })

  it('puts changes of policies and backends together', () => {
    const messages = kept(
      tables(1, { full: true, policies: [policy(0, 'a'), policy(1, 'b')], backends: [backend(0, 'x')] }),
      tables(2, { policies: [policy(1, null), policy(2, 'c')], backends: [backend(0, 'y')] }),
    )
    const last = messages[0] as TablesUpdate
    assert.equal(last.full, true)
    assert.deepEqual(last.policies, [policy(0, 'a'), policy(2, 'c')])
    assert.deepEqual(last.backends, [backend(0, 'y')])
  })

  it('starts over with tables that say so', () => {
    const messages = kept(
      tables(1, { full: true, policies: [policy(0, 'a'), policy(1, 'b')] }),
      tables(2, { full: true, policies: [policy(0, 'c')] }),
    )
    assert.deepEqual((messages[0] as TablesUpdate).policies, [policy(0, 'c')])
  })

  it('puts changes of TLS together', () => {
    const tls = (index: number, key: string | null) => ({ index, tls: key === null ? null : ({ key } as never) })
    const messages = kept(
      tables(1, { full: true, hostTls: [tls(0, 'gone')] }),
      tables(2, { full: true, hostTls: [tls(0, 'a'), tls(1, 'b')] }),
      tables(3, { hostTls: [tls(1, null), tls(2, 'c')] }),
    )
    assert.deepEqual((messages[0] as TablesUpdate).hostTls, [tls(0, 'a'), tls(2, 'c')])
  })

  it('holds no endpoints that were withdrawn, one by one or by the list of those there are', () => {
    const all = [endpoints('a', 1), endpoints('b', 2), endpoints('c', 3)]
    const messages = kept(...all, endpoints('a'), { type: 'backends', ids: ['c', 'd'] }, { type: 'epoch', epoch: 3 })
    assert.deepEqual(messages, [endpoints('c', 3)])
  })

  it('has the endpoints for the protocol in its tables, and those of tables to come', () => {
    const former = [speaking('HTTP', 1), tables(1, { full: true, backends: [speaks('HTTP')] })]
    const state = new WorkerState()
    for (const message of [...former, speaking('H2C', 2), speaking('HTTPS', 3)]) state.keep(message)
    const sets = () => state.messages().filter(({ type }) => type === 'endpoints')
    assert.deepEqual(sets(), [speaking('HTTP', 1), speaking('H2C', 2), speaking('HTTPS', 3)])
    state.keep(tables(2, { backends: [speaks('H2C')] }))
    assert.deepEqual(sets(), [speaking('H2C', 2), speaking('HTTPS', 3)])
    state.keep(speaking('H2C', 4))
    assert.deepEqual(sets(), [speaking('HTTPS', 3), speaking('H2C', 4)])
  })

  it('puts differences of endpoints together, each against the newest set', () => {
    const state = new WorkerState()
    const differs = (connects: string, gone: number[], ...slots: number[]): void =>
      state.keep(changedSet('x', { gone, rows: rows(...slots) }, connects))
    const sets = () => state.messages().filter(({ type }) => type === 'endpoints')
    state.keep(endpoints('x', 1, 2, 3))
    differs('HTTP', [2], 4)
    assert.deepEqual(sets(), [endpoints('x', 1, 3, 4)])
    differs('H2C', [1], 5)
    const h2c = wholeSet('x', rows(3, 4, 5), 'H2C')
    assert.deepEqual(sets(), [endpoints('x', 1, 3, 4), h2c], 'what is in use stays as it is')
    differs('HTTP', [4, 5])
    assert.deepEqual(sets(), [h2c, endpoints('x', 3)])
    state.keep({ type: 'endpoints', backend: 'x', connects: 'HTTP', complete: false, gone: [], rows: [row(3, 9)] })
    assert.deepEqual(sets().at(-1), { ...endpoints('x', 3), rows: [row(3, 9)] })
  })

  it('holds the newest contents, before the tables that refer to them', () => {
    const bytes = (text: string) => Buffer.from(text)
    const contents = (...pairs: [string, string | null][]): ToWorker => ({
      type: 'contents',
      contents: pairs.map(([id, text]) => ({ id, bytes: text === null ? null : bytes(text) })),
    })
    const messages = kept(
      tables(1),
      contents(['a', 'old'], ['b', 'gone'], ['c', 'other']),
      contents(['a', 'new'], ['b', null], ['d', 'kept']),
      { type: 'content-ids', ids: ['a', 'd', 'x'] },
    )
    assert.deepEqual(messages[0], contents(['a', 'new'], ['d', 'kept']))
    assert.equal(messages[1]?.type, 'tables')
    assert.deepEqual(kept(contents(['a', 'x']), contents(['a', null])), [])
  })

  it('is what there is as long as not everything is there', () => {
    const state = new WorkerState()
    assert.deepEqual(state.messages(), [])
    state.keep(endpoints('a', 1))
    assert.deepEqual(state.messages(), [endpoints('a', 1)])
    assert.equal(state.complete, false)
    state.keep({ type: 'settings', settings: {} as never })
    state.keep(tables(1))
    assert.equal(state.complete, true)
  })
})
