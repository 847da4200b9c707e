/** What is kept for requests that wait while tables are replaced, and for how long. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import type { ProxyExchange } from '../../src/exchange/exchange.ts'
import { WaitingRequests } from '../../src/exchange/waiting-requests.ts'
import type { Exchange } from '../../src/policy/exchange.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { LEAVING_TIME } from '../../src/shared-memory/process-block.ts'
import { withdrawnSet } from '../../src/thread/endpoint-rows.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { until } from '../socket/sockets.ts'
import { inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, toUp } from '../worker/test-plane.ts'

const OLD = 'default/old'

const answering = (text: string) => (socket: Socket) =>
  onHead(socket, () => socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`))

/** Holds what it gets until it is told to go on. */
class Holder implements Filter {
  readonly name = 'holder'
  readonly held: Exchange[] = []
  readonly #go: (() => void)[] = []

  onRequest(x: Exchange): Promise<undefined> {
    this.held.push(x)
    return new Promise((resolve) => this.#go.push(() => resolve(undefined)))
  }

  goOn(): void {
    for (const go of this.#go.splice(0)) go()
  }
}

const toOld = (policies = {}): NonNullable<InProcessOptions['rules']> => ({
  all: { backendRefs: [{ name: 'old', weight: 1, priority: 0 }], policies },
})

/** A gateway with a request that waits for the filter, by a rule whose Backend is removed meanwhile. */
async function waiting(t: TestContext, spec = {}) {
  const holder = new Holder()
  const upstream = await rawBackend(t, answering('old'))
  const gateway = await inProcess(t, {
    backends: { [OLD]: { upstreams: [upstream.port], spec } },
    rules: toOld(),
    filters: [{ phase: 'plugin', filter: holder }],
  })
  const { context } = gateway.plane
  const client = await gateway.connect()
  t.after(() => client.socket.destroy())
  const answer = client.request()
  answer.catch(() => {})
  await until(() => holder.held.length === 1)
  await gateway.link({})
  const x = holder.held[0] as ProxyExchange
  return { gateway, context, holder, answer, x }
}

describe('a request that waits while its Backend is removed', () => {
  it('goes on to it, and to no other, as long as control has not withdrawn the endpoints', async (t) => {
    const { gateway, context, holder, answer } = await waiting(t)
    assert.equal(context.waiting.size, 1)
    assert.equal(gateway.plane.backends.find(OLD), undefined)
    assert.equal(gateway.plane.backends.findLeaving(OLD)?.ended, false)
    holder.goOn()
    assert.equal((await answer).text, 'old')
    assert.equal(context.waiting.size, 0)
    gateway.plane.messages.accept(withdrawnSet(OLD))
    assert.equal(gateway.plane.backends.findLeaving(OLD), undefined)
    await until(() => gateway.upstreamConnections === 0)
  })

  it('keeps the Backends of its generation, and after a time those of its rule, and nothing to match against', async (t) => {
    const { context, holder, answer, x } = await waiting(t)
    assert.deepEqual(Object.keys(x.tables!).sort(), ['backends', 'generation', 'sessions'])
    context.waiting.sweep(context.timers.now + LEAVING_TIME + 1)
    assert.equal(context.waiting.size, 0)
    assert.deepEqual(
      x.tables!.backends.filter((one) => one !== null).map((one) => one.id),
      [OLD],
    )
    holder.goOn()
    assert.equal((await answer).text, 'old', 'its endpoints have not been withdrawn')
  })

  it('is counted nowhere once that has ended, whose rows may be those of another Backend', async (t) => {
    const { gateway, holder, answer, x } = await waiting(t, { limits: { maxConcurrentRequests: 1 } })
    const { slot } = gateway.plane.backends.findLeaving(OLD)!
    gateway.plane.messages.accept(withdrawnSet(OLD))
    // Of whoever has the row by now: where it counted for that one, there would be no room.
    gateway.endpoints.acquire(0, slot)
    holder.goOn()
    assert.equal((await answer).json().reason, 'NoEndpoint')
    assert.equal(x.detail, `${OLD} was removed`)
    assert.equal(gateway.endpoints.inFlight(slot), 1)
  })

  it('finds it as it is where it comes back', async (t) => {
    const { gateway, holder, answer } = await waiting(t)
    const other = await rawBackend(t, answering('new'))
    const before = gateway.plane.backends.findLeaving(OLD)
    await gateway.link({ backends: { [OLD]: { upstreams: [other.port] } }, rules: toOld() })
    assert.equal(gateway.plane.backends.find(OLD), before)
    holder.goOn()
    assert.equal((await answer).text, 'new')
  })

  it('does not wait any more when its client has gone, or a filter has answered', async (t) => {
    const { gateway, context, holder } = await waiting(t)
    using client = await gateway.connect()
    void client.request({ path: '/gone' }).catch(() => {})
    await until(() => holder.held.length === 2)
    assert.equal(context.waiting.size, 2)
    client.socket.resetAndDestroy()
    await until(() => context.waiting.size === 1)
    holder.goOn()
    await until(() => context.waiting.size === 0)
  })

  it('is none where no filter is awaited', async (t) => {
    const upstream = await rawBackend(t, answering('old'))
    const gateway = await inProcess(t, { upstreams: [upstream.port], rules: toUp({ cache: {} }) })
    const add = t.mock.method(WaitingRequests.prototype, 'add')
    using client = await gateway.connect()
    assert.equal((await client.request()).text, 'old')
    assert.equal(add.mock.callCount(), 0)
  })
})

describe('requests that wait', () => {
  const world = () => {
    const told: number[] = []
    const timers = { now: 0 }
    const all = new WaitingRequests((generation) => void told.push(generation))
    const request = (generation: number | null): ProxyExchange =>
      ({
        context: { timers },
        waits: false,
        ruleView: { backends: [{ backendIndex: 1 }] },
        tables: generation === null ? null : { generation, sessions: false, backends: ['a', 'b', 'c'] },
      }) as unknown as ProxyExchange
    return { told, timers, all, request }
  }

  it('have the oldest generation told, once for each', () => {
    const { told, all, request } = world()
    all.replaced(3, 0)
    const [a, b, c] = [request(3), request(3), request(4)]
    all.add(a)
    all.add(a)
    all.add(b)
    all.replaced(4, 0)
    all.add(c)
    assert.deepEqual(told, [3])
    all.remove(a)
    all.remove(a)
    all.remove(b)
    assert.deepEqual(told, [3, 4])
    all.remove(c)
    assert.deepEqual([told, all.size], [[3, 4, 0], 0])
  })

  it('may go by tables of before, or by some that nobody knows, which are older than all', () => {
    const { told, all, request } = world()
    all.replaced(5, 0)
    const [now, before, unknown] = [request(5), request(4), request(null)]
    all.add(now)
    all.add(before)
    all.add(unknown)
    assert.deepEqual(told, [5, 4, 1])
    for (const x of [unknown, before, now]) all.remove(x)
    assert.deepEqual(told, [5, 4, 1, 4, 5, 0])
  })

  it('keep tables that were replaced for a bounded time, and those in force for as long as they wait', () => {
    const { told, timers, all, request } = world()
    all.replaced(1, 0)
    const [old, current] = [request(1), request(2)]
    all.add(old)
    all.sweep(10 * LEAVING_TIME)
    assert.deepEqual(told, [1])
    all.replaced(2, 10 * LEAVING_TIME)
    all.replaced(3, 10 * LEAVING_TIME + 1)
    timers.now = 10 * LEAVING_TIME + 5
    all.add(current)
    all.sweep(11 * LEAVING_TIME - 1)
    assert.deepEqual(told, [1])
    all.sweep(11 * LEAVING_TIME)
    assert.deepEqual(told, [1, 2])
    const kept: unknown[] = []
    kept[1] = 'b'
    assert.deepEqual(old.tables!.backends, kept)
    all.remove(old)
    assert.equal(all.size, 1)
  })

  it('are gone through in steps, however many they are', () => {
    const { told, all, request } = world()
    all.replaced(1, 0)
    const many = Array.from({ length: 2_500 }, () => request(1))
    for (const x of many) all.add(x)
    all.replaced(2, 0)
    const kept = () => many.filter(({ tables }) => tables!.backends[0] !== undefined).length
    for (const left of [1_476, 452, 0]) {
      all.sweep(LEAVING_TIME)
      assert.equal(kept(), left)
    }
    assert.deepEqual(told, [1, 0])
  })
})
