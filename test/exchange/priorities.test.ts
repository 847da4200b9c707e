/** Backends with priorities, and users that stay in one part of a split: what requests get. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:http2'
import { describe, it } from 'node:test'
import type { BackendSpec } from '../../src/api/backend.ts'
import type { BackendRef } from '../../src/api/route.ts'
import { SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { closedPort, onHead, rawBackend } from '../feature/backends.ts'
import type { RawClient } from '../feature/raw-client.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import type { InProcessOptions, Scope } from '../worker/test-plane.ts'

const { unhealthy, panic } = SLOT_STATE

interface Named {
  readonly name: string
  readonly port: number
  served: number
}

/** Answers with its name, and the status that the path asks for: `/503/one,two` is 503 from both of them. */
async function named(scope: Scope, name: string): Promise<Named> {
  const one = { name, served: 0 }
  const { port } = await rawBackend(scope, (socket) =>
    onHead(socket, (head) => {
      one.served++
      const [, status, names = ''] = /^\w+ \/(\d+)\/([\w,]+)/.exec(head) ?? []
      const code = names.split(',').includes(name) ? status : '200'
      socket.write(`HTTP/1.1 ${code} X\r\nx-backend: ${name}\r\ncontent-length: 0\r\n\r\n`)
    }),
  )
  return Object.assign(one, { port })
}

const ref = (name: string, priority: number, weight = 1): BackendRef => ({ name, weight, priority })

type Backends = NonNullable<InProcessOptions['backends']>

interface Setting {
  readonly refs: readonly BackendRef[]
  readonly backends: Backends
  readonly policies?: object
  readonly splitAffinity?: { readonly by: readonly string[]; readonly cookie?: { readonly name: string } }
}

const NO_RETRY = { retry: { attempts: 0 } }

const optionsOf = ({ refs, backends, policies = NO_RETRY, splitAffinity }: Setting): InProcessOptions => ({
  backends,
  rules: {
    all: { backendRefs: refs, policies: policies as never, ...(splitAffinity === undefined ? {} : { splitAffinity }) },
  },
})

const gatewayFor = (scope: Scope, setting: Setting): Promise<InProcess> => inProcess(scope, optionsOf(setting))

/** What requests get: names of Backends, or reasons. */
async function served(client: RawClient, times: number, path = '/'): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i++) {
    const answer = await client.request({ host: 'w.test', path })
    const name = answer.header('x-backend') ?? `${answer.status} ${answer.json().reason}`
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

const turns = {
  loadBalancing: { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false },
} satisfies Partial<BackendSpec>

describe('Backends with priorities', () => {
  it('the second level gets requests when the first cannot serve, from the next request on, and only then', async (t) => {
    const [one, two] = await Promise.all([named(t, 'one'), named(t, 'two')])
    const gateway = await gatewayFor(t, {
      refs: [ref('second', 7), ref('first', 2)],
      backends: { 'default/first': { upstreams: [one.port] }, 'default/second': { upstreams: [two.port] } },
    })
    using client = await gateway.connect()
    assert.deepEqual(await served(client, 10), { one: 10 })
    const [, slot] = slotsOf(gateway, 'default/first')
    gateway.endpoints.mark(slot!, unhealthy, true)
    // As other rules use it meanwhile.
    gateway.endpoints.mark(slot!, panic, true)
    assert.deepEqual(await served(client, 10), { two: 10 })
    gateway.endpoints.mark(slot!, unhealthy | panic, false)
    assert.deepEqual(await served(client, 10), { one: 10 })
    // Its pods are gone.
    await gateway.link(
      optionsOf({
        refs: [ref('second', 7), ref('first', 2)],
        backends: { 'default/first': { upstreams: [] }, 'default/second': { upstreams: [two.port] } },
      }),
    )
    assert.deepEqual(await served(client, 10), { two: 10 })
  })

  it('what a Backend cannot take goes to the next level, and never to a sibling', async (t) => {
    const echoes = await Promise.all(['a', 'b', 'c', 'd'].map((name) => named(t, name)))
    const [a, b, c, d] = echoes.map(({ port }) => port) as [number, number, number, number]
    const gateway = await gatewayFor(t, {
      refs: [ref('left', 0, 50), ref('right', 0, 50), ref('spare', 1)],
      backends: {
        'default/left': { upstreams: [a, b], spec: turns },
        'default/right': { upstreams: [c] },
        'default/spare': { upstreams: [d] },
      },
    })
    using client = await gateway.connect()
    const [, , second] = slotsOf(gateway, 'default/left')
    gateway.endpoints.mark(second!, unhealthy, true)
    const counts = await served(client, 400)
    assert.equal(counts.c, 200)
    // One of two: 1.4 times a half of its part.
    assert.ok(counts.a! > 100 && counts.a! < 180, JSON.stringify(counts))
    assert.equal(counts.a! + counts.d!, 200)
    assert.equal(counts.b, undefined)
  })

  it('a retry goes to the next level where no other endpoint is left, whatever the method', async (t) => {
    const two = await named(t, 'two')
    const dead = await closedPort()
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: { 'default/first': { upstreams: [dead] }, 'default/second': { upstreams: [two.port] } },
      policies: { retry: { attempts: 1, backoff: '1ms', budgetPercent: 100 } },
    })
    using client = await gateway.connect()
    for (const method of ['GET', 'POST']) {
      const answer = await client.request({ host: 'w.test', path: '/', method, body: method === 'POST' ? 'x' : '' })
      assert.deepEqual([answer.status, answer.header('x-backend')], [200, 'two'])
    }
    client.end()
    await gateway.nothingLeft()
    assert.deepEqual(
      gateway.log().map(({ backend, attempts }) => [backend, attempts]),
      [
        ['default/second', 2],
        ['default/second', 2],
      ],
    )
  })

  it('it stays in its level while another endpoint is left there, for one more attempt', async (t) => {
    const [one, two, three, spare] = await Promise.all(['one', 'two', 'three', 'spare'].map((name) => named(t, name)))
    const setting = (attempts: number): Setting => ({
      refs: [ref('first', 0), ref('second', 1)],
      backends: {
        'default/first': { upstreams: [one!.port, two!.port, three!.port], spec: turns },
        'default/second': { upstreams: [spare!.port] },
      },
      policies: { retry: { attempts, codes: [503], backoff: '1ms', budgetPercent: 100 } },
    })
    const gateway = await gatewayFor(t, setting(1))
    using client = await gateway.connect()
    const counts = await served(client, 3, '/503/one')
    assert.equal((counts.two ?? 0) + (counts.three ?? 0), 3, JSON.stringify(counts))
    assert.equal(spare!.served, 0)
    // Two have failed: it is not the endpoints.
    await gateway.link(optionsOf(setting(2)))
    const before = one!.served + two!.served + three!.served
    assert.deepEqual(await served(client, 1, '/503/one,two,three'), { spare: 1 })
    assert.equal(one!.served + two!.served + three!.served - before, 2)
    // The last level fails as well: its response is the client's.
    await gateway.link(optionsOf(setting(5)))
    const answer = await client.request({ host: 'w.test', path: '/503/one,two,three,spare' })
    assert.equal(answer.status, 503)
  })

  it('a Backend that has all the requests it may have lets the others go to the next level', async (t) => {
    const two = await named(t, 'two')
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    const answers: (() => void)[] = []
    const slow = await rawBackend(t, (socket) =>
      onHead(socket, () => {
        answers.push(() => socket.write('HTTP/1.1 200 OK\r\nx-backend: slow\r\ncontent-length: 0\r\n\r\n'))
        resolve()
      }),
    )
    const limits = { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 1 }
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: {
        'default/first': { upstreams: [slow.port], spec: { limits } },
        'default/second': { upstreams: [two.port] },
      },
    })
    using waiting = await gateway.connect()
    const first = waiting.request({ host: 'w.test', path: '/' })
    await asked
    using client = await gateway.connect()
    assert.deepEqual(await served(client, 3), { two: 3 })
    for (const answer of answers) answer()
    assert.equal((await first).header('x-backend'), 'slow')
    client.end()
    waiting.end()
    await gateway.nothingLeft()
    nothingHeld(gateway)
  })

  it('and so does one whose queue for connections is full', async (t) => {
    const two = await named(t, 'two')
    const { promise: asked, resolve } = Promise.withResolvers<void>()
    const hanging = await rawBackend(t, (socket) => onHead(socket, () => resolve()))
    const limits = { maxConnections: 1, maxPending: 0, maxConcurrentRequests: 0 }
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: {
        'default/first': { upstreams: [hanging.port], spec: { limits } },
        'default/second': { upstreams: [two.port] },
      },
    })
    using waiting = await gateway.connect()
    waiting.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    await asked
    using client = await gateway.connect()
    assert.deepEqual(await served(client, 3), { two: 3 })
    const post = await client.request({ host: 'w.test', path: '/', method: 'POST', body: 'order' })
    assert.deepEqual([post.status, post.header('x-backend')], [200, 'two'])
    waiting.reset()
    client.end()
    await gateway.nothingLeft()
    nothingHeld(gateway)
  })

  it('streams of HTTP/2 give back their places, too', async (t) => {
    const two = await named(t, 'two')
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: { 'default/first': { upstreams: [await closedPort()] }, 'default/second': { upstreams: [two.port] } },
      policies: { retry: { attempts: 2, codes: [503], backoff: '1ms', budgetPercent: 100 } },
    })
    const session = connect(`http://127.0.0.1:${gateway.port}`)
    for (const [path, expected] of [
      ['/', 200],
      ['/503/two', 503],
    ] as const) {
      const stream = session.request({ ':path': path, ':authority': 'w.test' })
      const [head] = (await once(stream, 'response')) as [Record<string, unknown>]
      assert.deepEqual([head[':status'], head['x-backend']], [expected, 'two'])
      stream.resume()
      await once(stream, 'close')
    }
    session.close()
    await once(session, 'close')
    await gateway.nothingLeft()
    nothingHeld(gateway)
  })

  it('failures that may not eject the only endpoint are enough', async (t) => {
    const [one, two] = await Promise.all([named(t, 'one'), named(t, 'two')])
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: { 'default/first': { upstreams: [one.port] }, 'default/second': { upstreams: [two.port] } },
    })
    using client = await gateway.connect()
    assert.deepEqual(await served(client, 20, '/503/one'), { one: 5, two: 15 })
    const [, slot] = slotsOf(gateway, 'default/first')
    assert.ok(gateway.endpoints.eligible(slot!), 'rules without another priority use it')
    // A request of another rule goes well.
    gateway.endpoints.faults.succeeded(slot!)
    gateway.endpoints.changed()
    assert.deepEqual(await served(client, 5), { one: 5 })
  })

  it('one request is the trial of an endpoint whose Backend gets nothing', async (t) => {
    const [one, two] = await Promise.all([named(t, 'one'), named(t, 'two')])
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: { 'default/first': { upstreams: [one.port] }, 'default/second': { upstreams: [two.port] } },
    })
    using client = await gateway.connect()
    const [, slot] = slotsOf(gateway, 'default/first')
    assert.ok(gateway.endpoints.eject(slot!))
    assert.deepEqual(await served(client, 5), { two: 5 })
    gateway.endpoints.offerTrial(slot!)
    // It goes well, and ends the ejection.
    assert.deepEqual(await served(client, 5), { one: 5 })
    assert.ok(gateway.endpoints.eject(slot!))
    gateway.endpoints.offerTrial(slot!)
    assert.deepEqual(await served(client, 5, '/500/one'), { one: 1, two: 4 })
  })

  it('a Backend that does not exist is one that cannot serve, and its reason stands where nothing else can', async (t) => {
    const two = await named(t, 'two')
    const backends = { 'default/second': { upstreams: [two.port] }, 'default/empty': { upstreams: [] } }
    const gateway = await gatewayFor(t, { refs: [ref('missing', 0), ref('second', 1)], backends })
    using client = await gateway.connect()
    assert.deepEqual(await served(client, 2), { two: 2 })
    for (const [refs, expected] of [
      [[ref('empty', 0), ref('missing', 1)], '500 BackendNotFound'],
      [[ref('missing', 0), ref('empty', 1)], '503 NoEndpoint'],
      [[ref('second', 0, 0), ref('second', 1, 0)], '503 NoEndpoint'],
      [[ref('second', 0, 0), ref('second', 1, 1)], 'two'],
    ] as const) {
      await gateway.link(optionsOf({ refs, backends }))
      assert.deepEqual(await served(client, 1), { [expected]: 1 })
    }
  })

  it('all of it sick, the last level is tried', async (t) => {
    const [one, two] = await Promise.all([named(t, 'one'), named(t, 'two')])
    const gateway = await gatewayFor(t, {
      refs: [ref('first', 0), ref('second', 1)],
      backends: { 'default/first': { upstreams: [one.port] }, 'default/second': { upstreams: [two.port] } },
    })
    using client = await gateway.connect()
    for (const id of ['default/first', 'default/second'])
      for (const slot of slotsOf(gateway, id).slice(1)) gateway.endpoints.mark(slot, unhealthy | panic, true)
    assert.deepEqual(await served(client, 4), { two: 4 })
    const [, slot] = slotsOf(gateway, 'default/second')
    gateway.endpoints.mark(slot!, panic, false)
    assert.deepEqual(await served(client, 4), { one: 4 })
  })
})

/** Rows of the endpoint table: the Backend's own, then those of its endpoints. */
function slotsOf(gateway: InProcess, id: string): number[] {
  const backend = gateway.plane.backends.find(id)!
  return [backend.slot, ...backend.endpoints.map(({ slot }) => slot)]
}

/** Neither Backend counts a request any more. */
function nothingHeld(gateway: InProcess): void {
  for (const id of ['default/first', 'default/second']) {
    const { requests, streams } = gateway.plane.backends.find(id)!.share
    assert.deepEqual([requests, streams], [0, 0])
    for (const slot of slotsOf(gateway, id)) assert.equal(gateway.endpoints.inFlight(slot), 0)
  }
}

describe('users in a split', () => {
  const by = { by: ['header:x-user', 'cookie:uid'], cookie: { name: 'hg_split' } }
  const world = async (t: Scope, splitAffinity = by) => {
    const [one, two] = await Promise.all([named(t, 'one'), named(t, 'two')])
    const backends = { 'default/one': { upstreams: [one.port] }, 'default/two': { upstreams: [two.port] } }
    const setting = (refs: readonly BackendRef[]): Setting => ({ refs, backends, splitAffinity })
    const gateway = await gatewayFor(t, setting([ref('one', 0, 50), ref('two', 0, 50)]))
    return { gateway, link: (refs: readonly BackendRef[]) => gateway.link(optionsOf(setting(refs))) }
  }
  const partOf = async (client: RawClient, headers: Record<string, string>) => {
    const answer = await client.request({ host: 'w.test', path: '/', headers })
    return { part: answer.header('x-backend'), cookie: answer.header('set-cookie') }
  }

  it('a user stays in its part, told by the first of the selectors, over reorder, rename and growth', async (t) => {
    const { gateway, link } = await world(t)
    using client = await gateway.connect()
    const users = Array.from({ length: 40 }, (_, i) => `user-${i}`)
    const before: (string | undefined)[] = []
    for (const user of users) {
      const { part, cookie } = await partOf(client, { 'x-user': user })
      before.push(part)
      assert.equal(cookie, undefined)
      assert.equal((await partOf(client, { 'x-user': user, cookie: 'uid=other' })).part, part)
      assert.equal((await partOf(client, { cookie: `uid=${user}` })).part, part)
    }
    assert.deepEqual(new Set(before), new Set(['one', 'two']))
    await link([ref('two', 0, 90), ref('one', 0, 50)])
    for (const [i, user] of users.entries()) {
      const { part } = await partOf(client, { 'x-user': user })
      if (before[i] === 'two') assert.equal(part, 'two')
    }
    await link([ref('one', 0, 5), ref('two', 0, 5)])
    for (const [i, user] of users.entries()) assert.equal((await partOf(client, { 'x-user': user })).part, before[i])
  })

  it('all replicas put a user into the same part, and keep it over a restart', async (t) => {
    const [one, two] = [await world(t), await world(t)]
    using first = await one.gateway.connect()
    using second = await two.gateway.connect()
    for (let i = 0; i < 20; i++) {
      const headers: Record<string, string> = i % 2 === 0 ? { 'x-user': `user-${i}` } : {}
      const { part, cookie } = await partOf(first, headers)
      const again = await partOf(second, cookie === undefined ? headers : { cookie: cookie.split(';')[0]! })
      assert.deepEqual(again, { part, cookie: undefined })
    }
  })

  it('a client that has none of them gets a cookie, and stays by it', async (t) => {
    const { gateway } = await world(t)
    using client = await gateway.connect()
    const found = new Set<string | undefined>()
    for (let i = 0; i < 20; i++) {
      const first = await partOf(client, {})
      assert.match(first.cookie!, /^hg_split=[0-9a-z]{20}; Path=\/; HttpOnly; SameSite=Lax$/)
      found.add(first.part)
      const cookie = first.cookie!.split(';')[0]!
      for (let j = 0; j < 3; j++)
        assert.deepEqual(await partOf(client, { cookie: `a=b; ${cookie}` }), { part: first.part, cookie: undefined })
    }
    assert.equal(found.size, 2)
  })

  it('a cookie that is forged is a user as any other, and one that is huge or empty is replaced', async (t) => {
    const { gateway } = await world(t)
    using client = await gateway.connect()
    const forged = await partOf(client, { cookie: 'hg_split=<script>' })
    assert.equal(forged.cookie, undefined)
    assert.equal((await partOf(client, { cookie: 'hg_split=<script>' })).part, forged.part)
    for (const value of ['', 'x'.repeat(65), 'x'.repeat(30_000)])
      assert.match((await partOf(client, { cookie: `hg_split=${value}` })).cookie!, /^hg_split=[0-9a-z]{20};/)
  })

  it('a response of the gateway itself sets no cookie, and without a cookie to set users take turns', async (t) => {
    const { gateway, link } = await world(t)
    using client = await gateway.connect()
    await link([ref('nobody', 0), ref('none', 0)])
    assert.equal((await partOf(client, {})).cookie, undefined)
    const plain = await world(t, { by: ['cookie:uid'] } as typeof by)
    using other = await plain.gateway.connect()
    assert.deepEqual(await served(other, 20), { one: 10, two: 10 })
  })

  it('with priorities, those move whose Backend cannot take them, and come back', async (t) => {
    const { gateway, link } = await world(t)
    await link([ref('one', 0), ref('two', 1)])
    using client = await gateway.connect()
    const [, slot] = slotsOf(gateway, 'default/one')
    const part = async () => (await partOf(client, { 'x-user': 'somebody' })).part
    assert.equal(await part(), 'one')
    gateway.endpoints.mark(slot!, unhealthy, true)
    assert.equal(await part(), 'two')
    gateway.endpoints.mark(slot!, unhealthy, false)
    assert.equal(await part(), 'one')
  })
})
