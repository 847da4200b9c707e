/** What is retried as configured: methods, timeouts, statuses of gRPC; when, and where. */
import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { describe, it } from 'node:test'
import type { Policies } from '../../src/api/policies.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type Scope, toUp } from '../worker/test-plane.ts'

type Behaviour = (socket: Socket, head: string, body: Buffer) => void

const OK: Behaviour = (socket, _, body) => {
  const text = `ok ${body}`
  socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${text.length}\r\n\r\n${text}`)
}
const reset: Behaviour = (socket) => void socket.resetAndDestroy()
const silent: Behaviour = () => {}
const status =
  (code: number, ...fields: string[]): Behaviour =>
  (socket) =>
    void socket.write(
      `HTTP/1.1 ${code} X\r\n${fields.map((field) => `${field}\r\n`).join('')}content-length: 0\r\n\r\n`,
    )

/** No endpoint is ejected. */
const UNCHECKED = {
  passive: {
    consecutiveFailures: 0,
    baseEjection: '30s',
    maxEjectionPercent: 50,
    successRate: { belowMeanPercent: 0, minRequests: 100 },
  },
  panicPercent: 30,
}

interface Setup {
  readonly gateway: InProcess
  /** When each request came, by endpoint. */
  readonly seen: readonly (readonly number[])[]
}

/** A gateway to endpoints that are asked in turn; each behaves in a way of its own, first ones first. */
async function toEndpoints(
  scope: Scope,
  policies: Policies,
  behaviours: readonly (readonly Behaviour[])[],
): Promise<Setup> {
  const seen: number[][] = []
  const upstreams: number[] = []
  for (const turns of behaviours) {
    const times: number[] = []
    seen.push(times)
    const { port } = await rawBackend(scope, (socket) =>
      onHead(socket, (head, rest) => {
        const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
        const answer = (body: Buffer): void => {
          const turn = turns[Math.min(times.length, turns.length - 1)]!
          times.push(performance.now())
          turn(socket, head, body)
        }
        if (rest.length >= length) answer(rest)
        else socket.once('data', (more: Buffer) => answer(Buffer.concat([rest, more])))
      }),
    )
    upstreams.push(port)
  }
  const gateway = await inProcess(scope, {
    upstreams,
    backend: {
      loadBalancing: { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false },
      healthCheck: UNCHECKED,
    },
    rules: toUp(policies),
  })
  return { gateway, seen }
}

const retry = (more: object): Policies => ({ retry: { attempts: 1, backoff: '1ms', ...more } })
const counts = (seen: Setup['seen']): number[] => seen.map((times) => times.length)

describe('retries as configured', () => {
  it('repeat a POST that was reset, or answered by a status, only where `methods` has it, with its body', async (t) => {
    for (const failing of [reset, status(503)]) {
      const allowed = await toEndpoints(t, retry({ methods: ['POST'], codes: [503] }), [[failing, OK]])
      using client = await allowed.gateway.connect()
      const response = await client.request({ method: 'POST', body: 'an order' })
      assert.deepEqual([response.status, response.text], [200, 'ok an order'])
      const safe = await toEndpoints(t, retry({ codes: [503] }), [[failing, OK]])
      using other = await safe.gateway.connect()
      assert.ok((await other.request({ method: 'POST', body: 'an order' })).status >= 502)
      assert.deepEqual(counts(safe.seen), [1], 'an order is made once')
      const without = await toEndpoints(t, retry({ methods: ['POST'], codes: [503] }), [[failing, OK]])
      using third = await without.gateway.connect()
      assert.ok((await third.request({ method: 'GET' })).status >= 502, 'the list is all there is')
    }
  })

  it('repeat no body of which more than the bound was sent', async (t) => {
    const { gateway, seen } = await toEndpoints(t, retry({ methods: ['POST'], codes: [503] }), [[status(503), OK]])
    using client = await gateway.connect()
    assert.equal((await client.request({ method: 'POST', body: 'x'.repeat(100_000) })).status, 503)
    assert.deepEqual(counts(seen), [1])
  })

  it('ask another endpoint where one did not answer in time, if `reasons` says so', async (t) => {
    for (const [reason, timeouts] of [
      ['ResponseHeadTimeout', { responseHead: '200ms' }],
      ['BackendRequestTimeout', { backendRequest: '200ms' }],
    ] as const) {
      // More than one attempt: on a slow machine the good endpoint may be late, too.
      const policies = { timeouts, ...retry({ attempts: 4, reasons: [reason] }) }
      const { gateway } = await toEndpoints(t, policies, [[silent], [OK]])
      using client = await gateway.connect()
      for (let i = 0; i < 3; i++) assert.equal((await client.request()).status, 200)
      for (const [reasons, method] of [
        [[reason], 'POST'],
        [['ConnectFailure', 'ResetBeforeResponse'], 'GET'],
        // There is no other endpoint.
        [[reason], 'GET'],
      ] as const) {
        const without = await toEndpoints(t, { timeouts, ...retry({ reasons }) }, [[silent]])
        using other = await without.gateway.connect()
        const response = await other.request({ method, body: method === 'POST' ? 'x' : '' })
        assert.deepEqual([response.status, response.json().reason], [504, reason])
        assert.deepEqual(counts(without.seen), [1])
      }
      client.end()
      await gateway.nothingLeft()
    }
  })

  it('never follow a timeout once the response has begun, nor one of the whole exchange', async (t) => {
    const begun: Behaviour = (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf')
    const all = ['ResponseHeadTimeout', 'BackendRequestTimeout', 'ResetBeforeResponse', 'ConnectFailure']
    const late = await toEndpoints(t, { timeouts: { backendRequest: '100ms' }, ...retry({ reasons: all }) }, [[begun]])
    using client = await late.gateway.connect()
    await assert.rejects(client.request())
    assert.deepEqual(counts(late.seen), [1])
    const whole = await toEndpoints(t, { timeouts: { request: '100ms' }, ...retry({ reasons: all }) }, [[silent]])
    using other = await whole.gateway.connect()
    assert.equal((await other.request()).json().reason, 'RequestTimeout')
    assert.deepEqual(counts(whole.seen), [1])
  })
})

describe('retries of gRPC calls', () => {
  const headers = { 'content-type': 'application/grpc', te: 'trailers' }
  const call = { method: 'POST', body: '\0\0\0\0\x02hi', headers }
  const unavailable = status(200, 'content-type: application/grpc', 'grpc-status: 14', 'grpc-message: later')
  const done = status(200, 'content-type: application/grpc', 'grpc-status: 0')

  it('follow a status of `grpcCodes` that comes alone, and no other', async (t) => {
    const { gateway, seen } = await toEndpoints(t, retry({ grpcCodes: ['UNAVAILABLE'] }), [[unavailable, done]])
    using client = await gateway.connect()
    assert.equal((await client.request(call)).header('grpc-status'), '0')
    assert.deepEqual(counts(seen), [2])
    const aborted = await toEndpoints(t, retry({ grpcCodes: ['ABORTED'] }), [[unavailable, done]])
    using other = await aborted.gateway.connect()
    assert.equal((await other.request(call)).header('grpc-status'), '14')
    const without = await toEndpoints(t, retry({}), [[unavailable, done]])
    using third = await without.gateway.connect()
    assert.equal((await third.request(call)).header('grpc-status'), '14')
  })

  it('take a status of HTTP for what the client would be told', async (t) => {
    const { gateway } = await toEndpoints(t, retry({ grpcCodes: ['UNAVAILABLE'] }), [[status(503), done]])
    using client = await gateway.connect()
    assert.equal((await client.request(call)).header('grpc-status'), '0')
  })

  it('are left to no status of a request that is no call', async (t) => {
    const { gateway, seen } = await toEndpoints(t, retry({ grpcCodes: ['UNAVAILABLE'] }), [[unavailable, done]])
    using client = await gateway.connect()
    assert.equal((await client.request()).header('grpc-status'), '14')
    assert.deepEqual(counts(seen), [1])
  })

  it('wait for grpc-retry-pushback-ms, and do not happen where it forbids them', async (t) => {
    const later = (wait: string): Behaviour =>
      status(200, 'content-type: application/grpc', 'grpc-status: 14', `grpc-retry-pushback-ms: ${wait}`)
    const waiting = await toEndpoints(t, retry({ grpcCodes: ['UNAVAILABLE'] }), [[later('300'), done]])
    using client = await waiting.gateway.connect()
    assert.equal((await client.request(call)).header('grpc-status'), '0')
    const [first = 0, second = 0] = waiting.seen[0]!
    assert.ok(second - first >= 290, `${second - first} ms`)
    const never = await toEndpoints(t, retry({ grpcCodes: ['UNAVAILABLE'] }), [[later('-1')], [done]])
    using other = await never.gateway.connect()
    const told = new Set<string | undefined>()
    for (let i = 0; i < 2; i++) told.add((await other.request(call)).header('grpc-status'))
    assert.deepEqual(told, new Set(['0', '14']))
  })
})

describe('Retry-After of a response that would be retried', () => {
  const codes = { codes: [503, 429] }

  it('of a 503 keeps its endpoint alone, and another is asked at once', async (t) => {
    const { gateway } = await toEndpoints(t, retry(codes), [[status(503, 'retry-after: 3600')], [OK]])
    using client = await gateway.connect()
    for (let i = 0; i < 4; i++) assert.equal((await client.request()).status, 200)
  })

  it('is waited for where there is no other endpoint', async (t) => {
    const { gateway, seen } = await toEndpoints(t, retry(codes), [[status(503, 'retry-after: 1'), OK]])
    using client = await gateway.connect()
    assert.equal((await client.request()).status, 200)
    const [first = 0, second = 0] = seen[0]!
    assert.ok(second - first >= 980, `${second - first} ms`)
  })

  it('is for the client where it is long, or where the time of the exchange is over before', async (t) => {
    for (const [wait, timeouts] of [
      ['3600', {}],
      ['2', { request: '1s' }],
    ] as const) {
      const { gateway, seen } = await toEndpoints(t, { timeouts, ...retry(codes) }, [
        [status(503, `retry-after: ${wait}`)],
      ])
      using client = await gateway.connect()
      const response = await client.request()
      assert.deepEqual([response.status, response.header('retry-after')], [503, wait])
      assert.deepEqual(counts(seen), [1])
    }
  })

  it('of a 429 concerns the client: no other endpoint is asked before', async (t) => {
    const { gateway, seen } = await toEndpoints(t, retry(codes), [
      [status(429, 'retry-after: 3600')],
      [status(429, 'retry-after: 3600')],
    ])
    using client = await gateway.connect()
    assert.equal((await client.request()).status, 429)
    assert.equal(counts(seen)[0]! + counts(seen)[1]!, 1)
  })
})

describe('the endpoint that has failed', () => {
  it('gets no other attempt of the exchange while another is left, by every algorithm', async (t) => {
    for (const algorithm of ['RoundRobin', 'WeightedRoundRobin', 'LeastRequest', 'PeakEWMA', 'Random'] as const) {
      const paths: string[][] = []
      const failing = async (): Promise<number> => {
        const { port } = await rawBackend(t, (socket) =>
          onHead(socket, (head) => {
            ;(paths[Number(/\/(\d+) /.exec(head)![1])] ??= []).push(`${port}`)
            status(503)(socket, head, Buffer.alloc(0))
          }),
        )
        return port
      }
      const gateway = await inProcess(t, {
        upstreams: [await failing(), await failing(), await failing()],
        backend: {
          loadBalancing: { algorithm, slowStart: '0s', zoneAware: false },
          healthCheck: UNCHECKED,
        },
        rules: toUp(retry({ attempts: 2, codes: [503] })),
      })
      using client = await gateway.connect()
      for (let i = 0; i < 8; i++) assert.equal((await client.request({ path: `/${i}` })).status, 503)
      for (const path of paths) assert.equal(new Set(path).size, 3, `${algorithm}: ${path.join(' ')}`)
    }
  })
})
