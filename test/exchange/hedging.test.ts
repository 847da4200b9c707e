/** A second attempt beside a slow one: which of them wins, what the other leaves behind, and when there is none. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import type { AttemptObserver, AttemptOutcome } from '../../src/exchange/attempt-observer.ts'
import { SLOT_STATE } from '../../src/shared-memory/endpoint-table.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { until } from '../socket/sockets.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, type Scope, toUp } from '../worker/test-plane.ts'

type Behaviour = (socket: Socket, arrived: readonly unknown[]) => void

const silent: Behaviour = () => {}
const reset: Behaviour = (socket) => void socket.resetAndDestroy()
const answer =
  (text: string, status = 200): Behaviour =>
  (socket) =>
    void socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
const after =
  (milliseconds: number, then: Behaviour): Behaviour =>
  (socket, arrived) =>
    void setTimeout(() => then(socket, arrived), milliseconds).unref()
/** Once the second attempt has come, however long that takes. */
const withRival =
  (then: Behaviour, milliseconds = 0): Behaviour =>
  (socket, arrived) =>
    void until(() => arrived.length > 1).then(() => after(milliseconds, then)(socket, arrived))

interface Setup {
  readonly gateway: InProcess
  readonly outcomes: AttemptOutcome[]
  /** Requests that have come, in their order: whether the connection of each was closed. */
  readonly arrived: { readonly port: number; closed: boolean }[]
}

/** A gateway to two endpoints; the first request that comes, at either, meets the first behaviour, and so on. */
async function toTwo(
  scope: Scope,
  policies: Policies,
  behaviours: readonly Behaviour[],
  more: InProcessOptions = {},
  endpoints = 2,
): Promise<Setup> {
  const arrived: Setup['arrived'] = []
  const outcomes: AttemptOutcome[] = []
  const observer: AttemptObserver = {
    attemptStarted() {},
    attemptEnded: (outcome) => void outcomes.push({ ...outcome }),
  }
  const upstreams: number[] = []
  for (let i = 0; i < endpoints; i++) {
    const { port } = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        const one = { port, closed: false }
        socket.once('close', () => (one.closed = true))
        const behaviour = behaviours[Math.min(arrived.length, behaviours.length - 1)]!
        arrived.push(one)
        behaviour(socket, arrived)
      }),
    )
    upstreams.push(port)
  }
  const gateway = await inProcess(scope, { upstreams, rules: toUp(policies), observer, ...more })
  return { gateway, arrived, outcomes }
}

const hedge = (more: object = {}): Policies => ({
  hedge: { after: '40ms', maxPercent: 100 },
  retry: { attempts: 0, budgetPercent: 100 },
  ...more,
})

describe('a request that is slow', () => {
  it('is sent to another endpoint, whose response wins; the first attempt is cancelled and blamed for nothing', async (t) => {
    for (const method of ['GET', 'HEAD']) {
      const { gateway, arrived, outcomes } = await toTwo(t, hedge(), [silent, answer('second')])
      using client = await gateway.connect()
      const response = await client.request({ method })
      assert.deepEqual([response.status, response.text], [200, method === 'GET' ? 'second' : ''])
      await until(() => arrived[0]!.closed)
      assert.notEqual(arrived[0]!.port, arrived[1]!.port)
      client.end()
      await gateway.nothingLeft()
      const [line = {}] = gateway.log()
      assert.deepEqual([line.attempts, line.endpoint, line.reason], [2, `127.0.0.1:${arrived[1]!.port}`, undefined])
      assert.deepEqual(
        outcomes.map(({ endpoint, failure, status }) => [endpoint.port, failure, status]),
        [
          [arrived[0]!.port, null, 0],
          [arrived[1]!.port, null, 200],
        ],
      )
    }
  })

  it('is answered by the first attempt where that is quicker after all', async (t) => {
    const { gateway, arrived } = await toTwo(t, hedge(), [withRival(answer('first')), silent])
    using client = await gateway.connect()
    assert.equal((await client.request()).text, 'first')
    await until(() => arrived[1]!.closed)
    assert.equal(arrived[0]!.closed, false, 'its connection is kept')
    client.end()
    await gateway.nothingLeft()
  })

  it('goes on with one attempt where the other fails', async (t) => {
    for (const behaviours of [
      [withRival(reset), withRival(answer('left'), 200)],
      [withRival(answer('left'), 200), reset],
      // A status that is to be retried is a failure, too.
      [withRival(answer('', 503)), withRival(answer('left'), 200)],
      [withRival(answer('left'), 200), answer('', 503)],
    ]) {
      const policies = hedge({ retry: { attempts: 0, codes: [503], budgetPercent: 100 } })
      const { gateway, arrived } = await toTwo(t, policies, behaviours)
      using client = await gateway.connect()
      const response = await client.request()
      assert.deepEqual([response.status, response.text, arrived.length], [200, 'left', 2])
      client.end()
      await gateway.nothingLeft()
    }
  })

  it('fails, or is retried, when both have failed', async (t) => {
    const failing = [withRival(reset, 100), reset, answer('third')]
    const { gateway, arrived } = await toTwo(t, hedge(), failing)
    using client = await gateway.connect()
    assert.equal((await client.request()).json().reason, 'ResetBeforeResponse')
    assert.equal(arrived.length, 2)
    const retried = await toTwo(t, hedge({ retry: { attempts: 1, backoff: '1ms', budgetPercent: 100 } }), failing)
    using other = await retried.gateway.connect()
    assert.equal((await other.request()).text, 'third')
    other.end()
    await retried.gateway.nothingLeft()
  })

  it('is no trial that goes well, where the endpoint on trial loses', async (t) => {
    const hung = await rawBackend(t, (socket) => onHead(socket, () => {}))
    const well = await rawBackend(t, (socket) => onHead(socket, () => answer('well')(socket, [])))
    const gateway = await inProcess(t, {
      upstreams: [hung.port, well.port],
      backend: { loadBalancing: { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false } },
      rules: toUp(hedge()),
    })
    const table = gateway.endpoints
    // That of the first endpoint, behind that of the Backend.
    table.eject(1)
    table.offerTrial(1)
    using client = await gateway.connect()
    for (let i = 0; i < 4; i++) assert.equal((await client.request()).text, 'well')
    client.end()
    await gateway.nothingLeft()
    assert.equal(table.state(1) & (SLOT_STATE.trial | SLOT_STATE.trying | SLOT_STATE.ejected), SLOT_STATE.ejected)
  })

  it('ends both attempts with its deadline, and with its client', async (t) => {
    const late = await toTwo(t, hedge({ timeouts: { request: '300ms' } }), [silent])
    using client = await late.gateway.connect()
    assert.equal((await client.request()).json().reason, 'RequestTimeout')
    await until(() => late.arrived.length === 2 && late.arrived.every(({ closed }) => closed))
    const gone = await toTwo(t, hedge(), [silent])
    using leaving = await gone.gateway.connect()
    leaving.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    await until(() => gone.arrived.length === 2)
    leaving.reset()
    await gone.gateway.nothingLeft()
    await until(() => gone.arrived.every(({ closed }) => closed))
    assert.deepEqual(
      gone.outcomes.map(({ failure }) => failure),
      ['ClientGone', 'ClientGone'],
    )
  })

  it('gets the deadline of an attempt for each: one that hangs is followed by the other', async (t) => {
    const policies = hedge({ timeouts: { responseHead: '200ms' } })
    const { gateway, outcomes } = await toTwo(t, policies, [silent, after(230, answer('second'))])
    using client = await gateway.connect()
    const response = await client.request()
    // On a slow machine both may be late.
    if (response.status === 200) assert.equal(response.text, 'second')
    else assert.equal(response.json().reason, 'ResponseHeadTimeout')
    assert.equal(outcomes[0]!.failure, 'ResponseHeadTimeout')
  })
})

describe('no second attempt', () => {
  const slow = [after(250, answer('ok'))]

  for (const [what, request] of [
    ['a POST', { method: 'POST', body: 'x' }],
    ['a PUT', { method: 'PUT', body: 'x' }],
    ['an OPTIONS', { method: 'OPTIONS' }],
    ['a GET with a body', { method: 'GET', body: 'x' }],
  ] as const)
    it(`is made for ${what}`, async (t) => {
      const { gateway, arrived } = await toTwo(t, hedge(), slow)
      using client = await gateway.connect()
      assert.equal((await client.request(request)).text, 'ok')
      assert.equal(arrived.length, 1)
    })

  it('is made without the policy, at 0 per cent, without a budget for retries, or at the only endpoint', async (t) => {
    for (const [policies, endpoints] of [
      [{}, 2],
      [hedge({ hedge: { after: '40ms', maxPercent: 0 } }), 2],
      [hedge({ retry: { budgetPercent: 0 } }), 2],
      [hedge(), 1],
    ] as const) {
      const { gateway, arrived } = await toTwo(t, policies, slow, {}, endpoints)
      using client = await gateway.connect()
      assert.equal((await client.request()).text, 'ok')
      assert.equal(arrived.length, 1)
    }
  })

  it('takes the place of a request, where the Backend is at its limit', async (t) => {
    const limits = { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 1 }
    const { gateway, arrived } = await toTwo(t, hedge(), slow, { backend: { limits } })
    using client = await gateway.connect()
    assert.equal((await client.request()).text, 'ok')
    assert.equal(arrived.length, 1)
    client.end()
    await gateway.nothingLeft()
  })

  it('takes a client away from the endpoint of its session', async (t) => {
    const sessionAffinity = { cookie: { name: 'hg', sameSite: 'Lax' } } as const
    const { gateway, arrived } = await toTwo(t, hedge(), [answer('ok'), ...slow], { backend: { sessionAffinity } })
    using client = await gateway.connect()
    // Nobody has a session yet, so on a slow machine this one may be hedged.
    const cookie = (await client.request()).header('set-cookie')!.split(';')[0]!
    const before = arrived.length
    assert.equal((await client.request({ headers: { cookie } })).text, 'ok')
    assert.equal(arrived.length - before, 1)
    client.end()
    await gateway.nothingLeft()
    const [first, second] = gateway.log()
    assert.equal(second!.endpoint, first!.endpoint)
  })

  it('is made beyond the share of the requests', async (t) => {
    const policies = hedge({ hedge: { after: '20ms', maxPercent: 10 } })
    const { gateway, arrived } = await toTwo(t, policies, slow)
    const clients = await Promise.all(Array.from({ length: 30 }, () => gateway.connect()))
    await Promise.all(clients.map((client) => client.request()))
    assert.ok(arrived.length > 30 && arrived.length <= 33, `${arrived.length} requests`)
    for (const client of clients) client.end()
    await gateway.nothingLeft()
  })
})
