/** Requests whose filters are not warm yet, on virtual time. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { WARM_UP } from '../../src/link/warm-up.ts'
import type { FilterDefinition } from '../../src/policy/registry.ts'
import type { Rules } from '../compile/world.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import { settle } from '../lib/virtual-time.ts'
import { toUp } from '../worker/test-plane.ts'

type Policies = NonNullable<Parameters<typeof toUp>[0]>

/** A rule at `/NAME` for each, told apart by its limit of bodies. */
function rulesOf(limits: Readonly<Record<string, number>>, more: Policies = {}): Rules {
  const rules: Rules = {}
  for (const [name, maxRequestBytes] of Object.entries(limits))
    rules[name] = {
      ...toUp({ ...more, limits: { maxRequestBytes } }).all,
      matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
    }
  return rules
}

/** How the filter of a limit warms up; each call is a try. */
type Warming = (
  limit: number,
  signal: AbortSignal,
  services: Parameters<FilterDefinition['create']>[1],
) => Promise<void>

function living(warmUp: Warming) {
  const events: string[] = []
  const definition: FilterDefinition = {
    name: 'living',
    phase: 'plugin',
    create({ limits: { maxRequestBytes: limit } }, services) {
      if (limit < 0) return undefined
      return {
        name: 'living',
        warmUp(signal) {
          events.push(`warm up ${limit}`)
          return warmUp(limit, signal, services)
        },
        onRequest: () => void events.push(`request ${limit}`),
        onEnd: () => void events.push(`end ${limit}`),
        dispose: () => void events.push(`dispose ${limit}`),
      }
    },
  }
  return { definition, events }
}

async function start(t: Parameters<typeof memoryGateway>[0], rules: Rules, warmUp: Warming) {
  const { definition, events } = living(warmUp)
  const gateway = memoryGateway(t, {
    upstreams: [(request) => void request.body().then((body) => request.respond(200, `got ${body}`))],
    rules,
    definitions: [definition],
  })
  await gateway.pass(0)
  return { gateway, events }
}

/** The response, before any time has passed. */
async function atOnce(gateway: MemoryGateway, path: string): Promise<number> {
  const request = gateway.ask({ path })
  let status = 0
  void request.head().then((head) => (status = head.status))
  for (let turn = 0; turn < 10 && status === 0; turn++) await settle()
  return status
}

const never = (): Promise<void> => new Promise(() => {})

describe('a policy set that warms up', () => {
  it('holds back neither other rules nor a later change of others', async (t) => {
    const slow = Promise.withResolvers<void>()
    const { gateway, events } = await start(t, rulesOf({ slow: 1, a: 2 }), (limit) =>
      limit === 1 ? slow.promise : Promise.resolve(),
    )
    assert.equal(await atOnce(gateway, '/a'), 200)
    await gateway.link(rulesOf({ slow: 1, a: 2, b: 3 }))
    assert.equal(await atOnce(gateway, '/b'), 200)
    const waiting = gateway.ask({ path: '/slow' })
    await gateway.pass(100)
    slow.resolve()
    assert.equal((await waiting.response()).status, 200)
    assert.equal(events.filter((event) => event === 'warm up 1').length, 1, 'the next generation goes on with it')
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  })

  it('makes its requests wait, with their bodies, and serves them then', async (t) => {
    const slow = Promise.withResolvers<void>()
    const { gateway, events } = await start(t, rulesOf({ a: 100_000 }), () => slow.promise)
    const requests = Array.from({ length: 20 }, (_, i) =>
      gateway.ask({ path: '/a', method: 'POST', body: `body ${i}` }),
    )
    await gateway.pass(WARM_UP - 100)
    assert.deepEqual(events, ['warm up 100000'], 'no filter has seen a request')
    slow.resolve()
    for (const [i, request] of requests.entries()) assert.equal((await request.response()).body, `got body ${i}`)
    await gateway.nothingLeft()
    assert.deepEqual(gateway.errors, [])
  })

  it('is for all rules that share it, and stays warm in later generations', async (t) => {
    const { gateway, events } = await start(t, rulesOf({ a: 1, b: 1 }), () => Promise.resolve())
    await gateway.link(rulesOf({ a: 1, b: 1, c: 1 }))
    for (const path of ['/a', '/b', '/c']) assert.equal(await atOnce(gateway, path), 200)
    assert.equal(events.filter((event) => event.startsWith('warm up')).length, 1)
  })

  it('lets its request end with the client, and no filter hears of it', async (t) => {
    const slow = Promise.withResolvers<void>()
    const { gateway, events } = await start(t, rulesOf({ a: 1 }), () => slow.promise)
    const request = gateway.ask({ path: '/a' })
    await settle()
    request.vanish()
    await gateway.nothingLeft()
    slow.resolve()
    await gateway.pass(100)
    assert.deepEqual(events, ['warm up 1'])
    assert.deepEqual(
      gateway.log().map(({ reason }) => reason),
      ['ClientGone'],
    )
  })

  it('lets its request end with a deadline', async (t) => {
    const { gateway, events } = await start(t, rulesOf({ a: 1 }, { timeouts: { request: '500ms' } }), never)
    const { status } = await gateway.ask({ path: '/a' }).response()
    assert.equal(status, 504)
    await gateway.nothingLeft()
    assert.deepEqual(events, ['warm up 1'])
  })

  it('answers 500 at its bound to all that wait, and serves once another try succeeds', async (t) => {
    let tries = 0
    const { gateway, events } = await start(t, rulesOf({ a: 1 }), () => {
      tries++
      if (tries === 1) return never()
      return tries === 2 ? Promise.reject(new Error('no keys')) : Promise.resolve()
    })
    const waiting = [1, 2, 3].map(() => gateway.ask({ path: '/a' }))
    for (const request of waiting) assert.equal((await request.response()).status, 500)
    assert.equal(await atOnce(gateway, '/a'), 500)
    await gateway.until(() => tries === 2)
    assert.equal(await atOnce(gateway, '/a'), 500)
    await gateway.until(() => tries === 3)
    assert.equal(await atOnce(gateway, '/a'), 200)
    await gateway.nothingLeft()
    assert.equal(gateway.errors.length, 1, 'reported once')
    assert.match(String(gateway.errors[0]), /not ready within/)
    assert.deepEqual(
      events.filter((event) => event.startsWith('request')),
      ['request 1'],
    )
  })

  it('is disposed of behind the requests that wait for it, its signal fired', async (t) => {
    const signals: AbortSignal[] = []
    const { gateway, events } = await start(t, rulesOf({ a: 1, b: 2 }), (limit, signal) => {
      if (limit === 2) return Promise.resolve()
      signals.push(signal)
      return never()
    })
    const request = gateway.ask({ path: '/a' })
    await settle()
    await gateway.link(rulesOf({ b: 2 }))
    assert.deepEqual([signals[0]!.aborted, events.includes('dispose 1')], [false, false])
    request.vanish()
    await gateway.nothingLeft()
    assert.deepEqual([signals[0]!.aborted, events.includes('dispose 1')], [true, true])
    await gateway.pass(60_000)
    assert.deepEqual([signals.length, gateway.errors], [1, []])
  })

  it('may call a Backend of its own generation', async (t) => {
    const statuses: number[] = []
    const { gateway } = await start(t, rulesOf({ a: 1 }), async (_, signal, { client }) => {
      const { Fields } = await import('../../src/message/fields.ts')
      const call = { backend: 'default/up', method: 'GET', path: '/keys', fields: new Fields(), timeout: 500, signal }
      const { status, body } = await client.request(call)
      body.start({ write: () => true, end() {}, fail() {} })
      statuses.push(status)
    })
    assert.equal((await gateway.ask({ path: '/a' }).response()).status, 200)
    assert.deepEqual([statuses, gateway.errors], [[200], []])
  })

  it('may be one of hundreds', async (t) => {
    const limits: Record<string, number> = { plain: 1 }
    for (let i = 2; i <= 400; i++) limits[`r${i}`] = i
    const { gateway, events } = await start(t, rulesOf({ plain: 1 }), (limit) =>
      limit % 2 === 0 ? never() : Promise.resolve(),
    )
    await gateway.link(rulesOf(limits))
    assert.equal(await atOnce(gateway, '/plain'), 200)
    await gateway.until(() => events.filter((event) => event.startsWith('warm up')).length >= 400)
    const odd = [3, 101, 399].map((limit) => gateway.ask({ path: `/r${limit}` }))
    for (const request of odd) assert.equal((await request.response()).status, 200)
    const even = [2, 100, 400].map((limit) => gateway.ask({ path: `/r${limit}` }))
    for (const request of even) assert.equal((await request.response()).status, 500)
    await gateway.link(rulesOf({ plain: 1 }))
    await gateway.nothingLeft()
    assert.equal(events.filter((event) => event.startsWith('dispose')).length, 399)
    assert.equal(gateway.errors.length, 200)
  })
})
