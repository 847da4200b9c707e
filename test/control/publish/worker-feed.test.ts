/** What a worker is sent that does not follow: a bounded part, then the newest, and nothing is lost. */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { WorkerFeed } from '../../../src/control/publish/worker-feed.ts'
import type { TablesUpdate } from '../../../src/link/tables-update.ts'
import { changedSet, wholeSet, withdrawnSet } from '../../../src/thread/endpoint-rows.ts'
import type { EndpointRow, ToWorker } from '../../../src/thread/messages.ts'
import { allTables, WorkerState } from '../../../src/thread/worker-state.ts'
import { seededRandom } from '../../fuzz/router.ts'

const MIB = 1024 * 1024

function tables(generation: number, parts: Partial<TablesUpdate> = {}): TablesUpdate {
  const packed = { root: new SharedArrayBuffer(4), blocks: [], frontends: new SharedArrayBuffer(0) }
  return { type: 'tables', generation, tables: packed, full: false, policies: [], backends: [], hostTls: [], ...parts }
}

function contents(id: string, size: number, first: number): ToWorker {
  const bytes = new Uint8Array(new SharedArrayBuffer(size))
  bytes[0] = first
  return { type: 'contents', contents: [{ id, bytes }] }
}

function row(slot: number, weight = 1): EndpointRow {
  return { address: `10.0.0.${slot}`, port: 80, weight, state: 'ready', slot }
}

/** A worker that reads when the test says so. */
function rig(t: TestContext) {
  const { port1, port2 } = new MessageChannel()
  t.after(() => port1.close())
  const state = new WorkerState()
  const feed = new WorkerFeed(port2, state)
  const send = (message: ToWorker): void => {
    state.keep(message)
    feed.send(message)
  }
  /** At most so many of the messages that wait. */
  const read = (most = Number.POSITIVE_INFINITY): ToWorker[] => {
    const messages: ToWorker[] = []
    while (messages.length < most) {
      const received = receiveMessageOnPort(port1)
      if (received === undefined) break
      messages.push(received.message)
    }
    return messages
  }
  return { state, feed, send, read }
}

const typesOf = (messages: readonly ToWorker[]): string[] => messages.map(({ type }) => type)

describe('the feed of a worker', () => {
  it('has two generations of tables ahead at the most, and then the newest with all that has changed', (t) => {
    const { feed, send, read } = rig(t)
    const policy = (digest: string) => ({ digest }) as never
    send(tables(1, { full: true, policies: [0, 1, 2].map((index) => ({ index, policy: policy(`p${index}`) })) }))
    send(tables(2))
    send(tables(3, { policies: [{ index: 1, policy: null }] }))
    send({ type: 'epoch', epoch: 7 })
    send(tables(4, { policies: [{ index: 1, policy: policy('again') }], hostTls: [{ index: 0, tls: null }] }))
    for (let generation = 5; generation <= 100; generation++) send(tables(generation))
    send(tables(101, { policies: [{ index: 2, policy: null }] }))
    send({ type: 'epoch', epoch: 8 })
    assert.deepEqual(typesOf(read()), ['tables', 'tables'])
    // Of an earlier control thread.
    feed.applied(0)
    assert.deepEqual(read(), [])
    feed.applied(1)
    const [update, epoch, ...more] = read()
    assert.ok(update?.type === 'tables')
    assert.deepEqual([update.generation, update.full, update.backends], [101, false, []])
    assert.deepEqual(update.policies, [
      { index: 1, policy: { digest: 'again' } },
      { index: 2, policy: null },
    ])
    assert.deepEqual(update.hostTls, [{ index: 0, tls: null }])
    assert.deepEqual([epoch, more], [{ type: 'epoch', epoch: 8 }, []])
    feed.applied(101)
    send(tables(102))
    assert.deepEqual(typesOf(read()), ['tables'], 'one that follows has each at once')
  })

  it('has complete tables behind those that could not be linked', (t) => {
    const { feed, send, read } = rig(t)
    const backend = (index: number) => ({ index, backend: { id: `a/${index}` } as never })
    send(tables(1, { full: true, backends: [backend(0)] }))
    feed.applied(1)
    send(tables(2, { backends: [backend(1)] }))
    read()
    feed.notLinked(2, false)
    feed.notLinked(2, false)
    assert.deepEqual(read(), [], 'the same would fail again')
    send(tables(3, { backends: [backend(2)] }))
    const [update] = read()
    assert.ok(update?.type === 'tables')
    assert.deepEqual([update.full, update.backends], [true, [backend(0), backend(1), backend(2)]])
    feed.applied(3)
    send(tables(4, { backends: [backend(3)] }))
    send(tables(5))
    read()
    feed.notLinked(4, false)
    feed.notLinked(5, true)
    const [again, ...more] = read()
    assert.ok(again?.type === 'tables')
    assert.deepEqual([again.generation, again.full, again.backends.length, more], [5, true, 4, []])
    feed.applied(5)
    // What fails behind the commit is nothing that is missing.
    feed.notLinked(5, false)
    send(tables(6))
    assert.deepEqual(
      read().map((message) => message.type === 'tables' && message.full),
      [false],
    )
  })

  it('holds contents back that are not read, and tables and answers that must not come before them', (t) => {
    const { feed, send, read } = rig(t)
    for (let version = 1; version <= 100; version++) send(contents('one', MIB, version))
    send(contents('two', 10, 1))
    send({ type: 'contents', contents: [{ id: 'three', bytes: new Uint8Array(1) }] })
    send({ type: 'contents', contents: [{ id: 'three', bytes: null }] })
    send(tables(1, { full: true }))
    send({ type: 'content-ids', ids: ['one', 'two'] })
    send({ type: 'epoch', epoch: 3 })
    feed.follow({ type: 'key-set-asked', url: 'u', known: '', again: 0, current: true })
    send(contents('four', 1, 1))
    const ahead = read()
    assert.deepEqual(typesOf(ahead), ['contents', 'mark', 'contents', 'contents', 'contents'])
    const mark = ahead.find((message) => message.type === 'mark')!
    feed.marked(mark.id + 1)
    assert.deepEqual(read(), [])
    feed.marked(mark.id)
    const [changed, ...behind] = read()
    assert.ok(changed?.type === 'contents')
    assert.deepEqual(
      changed.contents.map(({ id, bytes }) => [id, bytes?.[0]]),
      [
        ['one', 100],
        ['two', 1],
        ['three', undefined],
        ['four', 1],
      ],
    )
    assert.deepEqual(typesOf(behind), ['mark', 'key-set-asked', 'tables', 'content-ids', 'epoch'])
    const ids = behind.find((message) => message.type === 'content-ids')!
    assert.deepEqual(ids.ids, ['one', 'two', 'four'], 'what came since the list was made is not given up')
  })

  it('keeps what an earlier control thread has sent and this one has yet to find', (t) => {
    const { feed, send, read } = rig(t)
    const listed = (messages: readonly ToWorker[]): (readonly string[])[] =>
      messages.flatMap((message) =>
        message.type === 'backends' || message.type === 'content-ids' ? [message.ids] : [],
      )
    // Keys of a provider that does not answer now, and a Backend whose name is not resolved yet.
    send(contents('found', 1, 1))
    send({ type: 'content-ids', ids: ['found', 'keys'] })
    send(wholeSet('a/found', [row(1)], 'HTTP'))
    send(tables(1, { full: true }))
    send({ type: 'backends', ids: ['a/found', 'a/named'] })
    assert.deepEqual(listed(read()), [
      ['found', 'keys'],
      ['a/found', 'a/named'],
    ])
    send(tables(2))
    send(tables(3))
    send({ type: 'content-ids', ids: ['found', 'keys'] })
    send({ type: 'backends', ids: ['a/found', 'a/named'] })
    send(contents('later', 1, 1))
    send(wholeSet('a/later', [row(2)], 'HTTP'))
    feed.applied(1)
    assert.deepEqual(listed(read()), [
      ['found', 'keys', 'later'],
      ['a/found', 'a/named', 'a/later'],
    ])
  })

  it('holds endpoints back that are not read, and sends each set as it is', (t) => {
    const { feed, send, read } = rig(t)
    send(wholeSet('a/kept', [row(1)], 'HTTP'))
    read()
    // Each has some 300 KiB of rows.
    const many = (weight: number) => Array.from({ length: 4_000 }, (_, slot) => row(slot, weight))
    send(wholeSet('a/large', many(1), 'HTTP'))
    for (let weight = 2; weight <= 100; weight++) send(changedSet('a/large', { gone: [], rows: many(weight) }, 'HTTP'))
    send(changedSet('a/kept', { gone: [1], rows: [row(2)] }, 'HTTP'))
    send(changedSet('a/kept', { gone: [], rows: [row(3)] }, 'HTTP2'))
    send(wholeSet('a/brief', [row(4)], 'HTTP'))
    send(withdrawnSet('a/brief'))
    feed.follow({ type: 'latency-probe', id: 9 })
    const ahead = read()
    assert.ok(ahead.length < 30, `${ahead.length}`)
    feed.marked(ahead.find((message) => message.type === 'mark')!.id)
    const rest = read().filter(({ type }) => type !== 'mark')
    assert.deepEqual(rest.at(-1), { type: 'latency-probe', id: 9 })
    assert.deepEqual(rest.slice(0, -1), [
      wholeSet('a/large', many(100), 'HTTP'),
      wholeSet('a/kept', [row(2)], 'HTTP'),
      wholeSet('a/kept', [row(2), row(3)], 'HTTP2'),
      withdrawnSet('a/brief'),
    ])
  })

  it('leaves a worker with what one has that was sent everything, however it follows', (t) => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed)
      const pick = (count: number): number => Math.floor(random() * count)
      const { state, feed, send, read } = rig(t)
      const worker = new WorkerState()
      const linking: TablesUpdate[] = []
      let knowsAll = false
      let epoch = 0
      let passed = 0
      /** By epoch, the generation that was published before. */
      const epochs = new Map<number, number>()
      let generation = 0

      const link = (): void => {
        const update = linking.shift()
        if (update === undefined) return
        const skipped = !knowsAll && !update.full
        knowsAll = !skipped && random() < 0.9
        if (!knowsAll) return feed.notLinked(update.generation, skipped)
        worker.keep(update)
        feed.applied(update.generation)
      }
      const take = (message: ToWorker): void => {
        if (message.type === 'tables') linking.push(message)
        else if (message.type === 'mark') feed.marked(message.id)
        else if (message.type === 'epoch') {
          while (linking.length > 0) link()
          passed = message.epoch
          const tablesBefore = epochs.get(passed)!
          const last = worker.tablesSince(allTables())?.generation ?? 0
          assert.ok(last >= tablesBefore || !knowsAll, `seed ${seed}: an epoch before its tables`)
        } else worker.keep(message)
      }
      const change = (): void => {
        const id = `a/${pick(4)}`
        const slot = pick(8)
        switch (pick(8)) {
          case 0:
            return send({ type: 'settings', settings: { number: pick(100) } as never })
          case 1:
            return send(random() < 0.3 ? withdrawnSet(id) : wholeSet(id, [row(slot)], `K${pick(3)}`))
          case 2:
            if (state.backendIds.includes(id))
              send(changedSet(id, { gone: [slot], rows: [row(pick(8))] }, `K${pick(3)}`))
            return
          case 3:
            return send(contents(`c${pick(4)}`, random() < 0.5 ? 2 * MIB : 9, pick(250)))
          case 4:
            return send({ type: 'contents', contents: [{ id: `c${pick(4)}`, bytes: null }] })
          case 5:
            epochs.set(++epoch, generation)
            return send({ type: 'epoch', epoch })
          default: {
            const index = pick(4)
            const gone = random() < 0.4
            send(
              tables(++generation, {
                full: generation === 1,
                policies: [{ index, policy: gone ? null : ({ digest: `p${pick(9)}` } as never) }],
                backends: [{ index, backend: gone ? null : ({ id, number: pick(9) } as never) }],
                hostTls: [{ index, tls: gone ? null : ({ key: `t${pick(9)}` } as never) }],
              }),
            )
          }
        }
      }

      for (let step = 0; step < 150; step++) {
        change()
        // It does nothing for a while, and then catches up in part.
        if (random() < 0.2) for (const message of read(pick(6))) take(message)
        if (random() < 0.2) link()
      }
      for (let more = 0; more < 20; more++) {
        for (const message of read()) take(message)
        if (linking.length > 0) link()
        else if (!knowsAll) send(tables(++generation))
      }
      assert.deepEqual(whole(worker), whole(state), `seed ${seed}`)
      assert.equal(passed, epoch, `seed ${seed}`)
    }
  })
})

/** In an order that does not depend on the way to it. */
function whole(state: WorkerState): unknown {
  const byIndex = <T extends { readonly index: number }>(all: readonly T[]) => all.toSorted((a, b) => a.index - b.index)
  const { policies = [], backends = [], hostTls = [], generation } = state.tablesSince(allTables()) ?? {}
  const endpoints = state.backendIds.toSorted().map((id) => {
    // Older ones that no tables of this worker were for may be known to the one and not to the other.
    const newest = state.endpointsOf(id).at(-1)!
    return { ...newest, rows: JSON.parse(newest.rows[0] ?? '[]').toSorted(bySlot) }
  })
  return {
    settings: state.settings,
    contents: state.contentIds.toSorted().map((id) => state.contentsOf([id])),
    endpoints,
    generation,
    policies: byIndex(policies),
    backends: byIndex(backends),
    hostTls: byIndex(hostTls),
  }
}

function bySlot(a: EndpointRow, b: EndpointRow): number {
  return a.slot - b.slot
}
