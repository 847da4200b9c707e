import assert from 'node:assert/strict'
import { beforeEach, describe, it, type TestContext } from 'node:test'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import { Publisher } from '../../../src/control/publish/publisher.ts'
import { ProcessBlock, workerThread } from '../../../src/shared-memory/process-block.ts'
import type { PackResult } from '../../../src/snapshot/pack.ts'
import { wholeSet, withdrawnSet } from '../../../src/thread/endpoint-rows.ts'
import type { FromWorker, ToWorker } from '../../../src/thread/messages.ts'

const WORKERS = 2

function packed(...ids: string[]): PackResult {
  const backends = ids.map((id, index) => ({ index, backend: { id } as never }))
  return {
    tables: { root: new SharedArrayBuffer(8), blocks: [], frontends: new SharedArrayBuffer(0) },
    policies: [],
    backends,
    hostTls: [],
  }
}

/** A worker's end of a port. */
class FakeWorker {
  readonly heard: ToWorker[] = []
  readonly port: MessagePort
  #wake: () => void = () => {}

  constructor(t: TestContext, publisher: Publisher, index: number) {
    const { port1, port2 } = new MessageChannel()
    this.port = port1
    port1.on('message', (message: ToWorker) => {
      this.heard.push(message)
      this.#wake()
    })
    t.after(() => port1.close())
    publisher.addWorker(index, port2)
  }

  say(message: FromWorker): void {
    this.port.postMessage(message)
  }

  async until(count: number): Promise<readonly ToWorker[]> {
    while (this.heard.length < count)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    return this.heard
  }
}

describe('the publisher', () => {
  let block: ProcessBlock
  let replica: ToWorker[]
  let served: { generation: number; took: readonly number[] }[]
  let problems: string[]
  let endpoints: number[]
  let asked: { worker: number; id: number; call: string }[]
  let clock: number
  let wake: () => void
  let publisher: Publisher

  function open(): void {
    publisher = new Publisher(
      block,
      {
        replica: (message) => replica.push(message),
        served(generation, took) {
          served.push({ generation, took })
          wake()
        },
        ask: () => Promise.resolve(null),
        endpoints(took) {
          endpoints.push(took)
          wake()
        },
        archiveAsked: (answer) => answer(null),
        cachedFound: () => {},
        explained: () => {},
        recovered: () => {},
        passwordAsked: (_, answer) => answer({ result: 'wrong' }),
        asked(worker, id, { call }) {
          asked.push({ worker, id, call })
          wake()
        },
        keySetAsked: (url, known, answer) => answer({ again: url.length, current: known === '' }),
        problem(worker, message) {
          problems.push(`${worker}: ${message}`)
          wake()
        },
      },
      { monotonic: () => clock, nextTurn: (run) => setImmediate(run) as never },
    )
  }

  beforeEach(() => {
    block = new ProcessBlock(ProcessBlock.allocate(WORKERS))
    for (let worker = 0; worker < WORKERS; worker++) block.setLive(workerThread(worker), true)
    replica = []
    served = []
    problems = []
    endpoints = []
    asked = []
    clock = 1_000
    wake = () => {}
    open()
  })

  async function until(holds: () => boolean): Promise<void> {
    while (!holds())
      await new Promise<void>((resolve) => {
        wake = resolve
      })
  }

  it('hands on what a worker asks the store of token issuers, and answers that worker alone', async (t) => {
    const [one, two] = [new FakeWorker(t, publisher, 0), new FakeWorker(t, publisher, 1)]
    const owner = { namespace: 'shop', issuer: 'https://shop.example/oauth2' }
    one.say({ type: 'ask-archive' })
    one.say({ type: 'grants', id: 7, request: { call: 'find', owner, family: 'f' } })
    await until(() => asked.length > 0)
    assert.deepEqual(asked, [{ worker: 0, id: 7, call: 'find' }])
    publisher.answer(0, 7, { value: undefined })
    // Of a worker that is gone by now nobody waits for it.
    publisher.answer(9, 7, { value: undefined })
    const heard = await one.until(3)
    assert.deepEqual(heard.at(-2), { type: 'archive', port: null })
    assert.deepEqual(heard.at(-1), { type: 'grants', id: 7, answer: { value: undefined } })
    assert.ok(two.heard.every(({ type }) => type !== 'grants'))
  })

  it('sends every worker the same in the same order, and the supervisor too', async (t) => {
    const workers = [new FakeWorker(t, publisher, 0), new FakeWorker(t, publisher, 1)]
    publisher.send(withdrawnSet('shop/api'))
    publisher.publish(packed('shop/api'), 900, () => 7)
    for (const worker of workers) {
      const heard = await worker.until(3)
      assert.deepEqual(
        heard.map((message) => message.type),
        ['epoch', 'endpoints', 'tables'],
      )
      const tables = heard[2]
      assert.ok(tables?.type === 'tables')
      assert.deepEqual([tables.generation, tables.full, tables.backends[0]?.slot], [1, true, 7])
    }
    assert.deepEqual(
      replica.map((message) => message.type),
      ['endpoints', 'tables'],
    )
  })

  it('publishes the same tables again with the rows that Backends have got since, and those alone', async (t) => {
    const worker = new FakeWorker(t, publisher, 0)
    publisher.renew(['a/a'], () => 7)
    publisher.send({ type: 'settings', settings: {} as never })
    publisher.publish(packed('a/a', 'a/b'), 900, () => undefined)
    publisher.renew(['a/b', 'a/unknown'], (id) => (id === 'a/b' ? 7 : 8))
    const heard = await worker.until(4)
    assert.deepEqual(
      heard.map(({ type }) => type),
      ['epoch', 'settings', 'tables', 'tables'],
    )
    const [before, after] = heard.slice(2)
    assert.ok(before?.type === 'tables' && after?.type === 'tables')
    assert.deepEqual([after.generation, after.full, after.policies], [before.generation + 1, false, []])
    assert.deepEqual(
      after.backends.map(({ index, backend, slot }) => [index, backend?.id, slot]),
      [[1, 'a/b', 7]],
    )
    const later = await new FakeWorker(t, publisher, 1).until(3)
    const all = later.find(({ type }) => type === 'tables')
    assert.ok(all?.type === 'tables')
    assert.deepEqual(
      all.backends.map(({ backend, slot }) => [backend?.id, slot]),
      [
        ['a/a', undefined],
        ['a/b', 7],
      ],
    )
  })

  it('gives a worker that comes later everything there is, as one that needs nothing before it', async (t) => {
    publisher.send({ type: 'settings', settings: {} as never })
    publisher.send(wholeSet('a/a', [{ slot: 1 } as never], 'HTTP'))
    publisher.publish(packed('a/a', 'a/b'), 900, () => undefined)
    const later = packed()
    publisher.publish({ ...later, backends: [{ index: 1, backend: null }] }, 950, () => undefined)
    const heard = await new FakeWorker(t, publisher, 0).until(4)
    assert.deepEqual(
      heard.map((message) => message.type),
      ['settings', 'endpoints', 'tables', 'epoch'],
    )
    const tables = heard[2]
    assert.ok(tables?.type === 'tables')
    assert.deepEqual([tables.generation, tables.full], [2, true])
    assert.deepEqual(
      tables.backends.map((entry) => entry.index),
      [0],
    )
  })

  it('times endpoints until the last worker has them', async (t) => {
    const workers = [new FakeWorker(t, publisher, 0), new FakeWorker(t, publisher, 1)]
    publisher.send(withdrawnSet('shop/api'))
    publisher.timeEndpoints(990)
    const probe = (await workers[0]!.until(3))[2]!
    assert.ok(probe.type === 'latency-probe')
    await workers[1]!.until(3)
    workers[0]!.say(probe)
    workers[0]!.say(probe)
    workers[0]!.say({ type: 'latency-probe', id: 77 })
    clock = 1_004
    workers[1]!.say(probe)
    await until(() => endpoints.length > 0)
    assert.deepEqual(endpoints, [14])
    assert.equal(replica.length, 1, 'the supervisor has no use for it')
  })

  it('calls a generation served when the last worker serves it, with all that it took up', async (t) => {
    const workers = [new FakeWorker(t, publisher, 0), new FakeWorker(t, publisher, 1)]
    publisher.publish(packed(), 900, () => undefined)
    publisher.publish(packed(), 950, () => undefined)
    block.setApplied(0, 2)
    workers[0]!.say({ type: 'applied', generation: 2 })
    block.setApplied(1, 2)
    clock = 1_010
    workers[1]!.say({ type: 'applied', generation: 2 })
    await until(() => served.length > 0)
    assert.deepEqual(served, [{ generation: 2, took: [110, 60] }])
  })

  it('does not wait for a worker that died', async (t) => {
    new FakeWorker(t, publisher, 0)
    new FakeWorker(t, publisher, 1)
    publisher.publish(packed(), 900, () => undefined)
    block.setApplied(0, 1)
    block.setLive(workerThread(1), false)
    block.clearWorker(1)
    publisher.removeWorker(1)
    assert.deepEqual(served, [{ generation: 1, took: [100] }])
  })

  it('of a later control thread goes on counting where the one before it stopped, and starts over with its indexes', async (t) => {
    publisher.publish(packed(), 900, () => undefined)
    publisher.publish(packed(), 900, () => undefined)
    open()
    const worker = new FakeWorker(t, publisher, 0)
    assert.equal(
      publisher.publish(packed(), 950, () => undefined),
      3,
    )
    const tables = (await worker.until(2))[1]
    assert.ok(tables?.type === 'tables')
    assert.deepEqual([tables.generation, tables.full], [3, true])
  })

  it('passes on the problems of a worker', async (t) => {
    const worker = new FakeWorker(t, publisher, 1)
    worker.say({ type: 'problem', message: 'no' })
    await until(() => problems.length > 0)
    assert.deepEqual(problems, ['1: no'])
  })
})
