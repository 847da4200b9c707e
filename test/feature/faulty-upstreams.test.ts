import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { onHead, rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import { requestBytes } from './raw-client.ts'

/** What an upstream does with a request, and what the client gets for it. */
interface Fault {
  readonly name: string
  readonly serve: (socket: Socket) => void
  readonly status: number
  readonly reason: string
}

const says = (bytes: string): ((socket: Socket) => void) => {
  return (socket) => socket.end(Buffer.from(bytes, 'latin1'))
}

const REFUSED: readonly Fault[] = [
  { name: 'garbage', serve: says('SSH-2.0-OpenSSH_9.2\r\n'), status: 502, reason: 'UpstreamProtocolError' },
  {
    name: 'bare-lf',
    serve: says('HTTP/1.1 200 OK\ncontent-length: 0\n\n'),
    status: 502,
    reason: 'UpstreamProtocolError',
  },
  {
    name: 'two-lengths',
    serve: says('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
    status: 502,
    reason: 'UpstreamProtocolError',
  },
  {
    name: 'length-and-coding',
    serve: says('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n'),
    status: 502,
    reason: 'UpstreamProtocolError',
  },
  {
    name: 'unasked-switch',
    serve: says('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
    status: 502,
    reason: 'UpstreamProtocolError',
  },
  {
    name: 'huge-head',
    serve: says(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(200_000)}\r\n\r\n`),
    status: 502,
    reason: 'UpstreamHeadTooLarge',
  },
  {
    name: 'bad-chunk',
    serve: says('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\nzz\r\n'),
    status: 502,
    reason: 'UpstreamProtocolError',
  },
  { name: 'hang-up', serve: (socket) => socket.end(), status: 502, reason: 'ResetBeforeResponse' },
  { name: 'half-head', serve: says('HTTP/1.1 200 OK\r\ncontent-le'), status: 502, reason: 'UpstreamTruncated' },
  { name: 'reset', serve: (socket) => socket.resetAndDestroy(), status: 502, reason: 'ResetBeforeResponse' },
  { name: 'silent', serve: () => {}, status: 504, reason: 'ResponseHeadTimeout' },
  {
    name: 'hints-for-ever',
    serve: (socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'), 60)
      socket.on('close', () => clearInterval(timer))
    },
    status: 504,
    reason: 'ResponseHeadTimeout',
  },
]

/** The head is out already: all that is left is to close, so that nobody takes the part for the whole. */
const CUT: readonly Fault[] = [
  {
    name: 'short-body',
    serve: says('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
    status: 200,
    reason: 'UpstreamTruncated',
  },
  {
    name: 'short-chunks',
    serve: says('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab'),
    status: 200,
    reason: 'UpstreamTruncated',
  },
  {
    name: 'bad-chunk-later',
    serve: (socket) => {
      socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n')
      setTimeout(() => socket.end('zz\r\n'), 50)
    },
    status: 200,
    reason: 'UpstreamProtocolError',
  },
  {
    name: 'stalled-body',
    serve: (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
    status: 200,
    reason: 'IdleTimeout',
  },
]

describe('upstreams that misbehave', () => {
  const scope = suiteScope()
  let gateway: Gateway
  const sockets = new Map<string, Set<Socket>>()
  before(async () => {
    let manifests = ''
    const rules: object[] = []
    for (const fault of [...REFUSED, ...CUT]) {
      const raw = await rawBackend(scope, (socket) => onHead(socket, () => fault.serve(socket)))
      sockets.set(fault.name, raw.sockets)
      manifests += backend(fault.name, [raw.port])
      rules.push({
        name: fault.name,
        matches: [{ path: { type: 'Exact', value: `/${fault.name}` } }],
        backendRefs: [{ name: fault.name }],
        policies: { timeouts: { responseHead: '400ms', idle: '600ms' }, retry: { attempts: 0 } },
      })
    }
    const lying = await rawBackend(scope, (socket) =>
      onHead(socket, () =>
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nEVIL!'),
      ),
    )
    manifests += backend('lying', [lying.port])
    rules.push({
      name: 'lying',
      matches: [{ path: { type: 'Exact', value: '/lying' } }],
      backendRefs: [{ name: 'lying' }],
    })
    gateway = await startGateway(scope, { 'all.yaml': manifests + route('faults', ['faults.test'], rules) })
  })

  for (const fault of REFUSED)
    it(`${fault.name}: ${fault.status} ${fault.reason}, in the answer and in the log`, async () => {
      using client = await gateway.connect()
      client.send(requestBytes({ host: 'faults.test', path: `/${fault.name}` }))
      let answer = await client.response()
      while (answer.status === 103) answer = await client.response()
      assert.deepEqual([answer.status, answer.json().reason], [fault.status, fault.reason])
      const line = await gateway.logged((entry) => entry.rule === fault.name)
      assert.deepEqual([line.status, line.reason], [fault.status, fault.reason])
    })

  for (const fault of CUT)
    it(`${fault.name}: the client sees the cut, the log says ${fault.reason}`, async () => {
      using client = await gateway.connect()
      await assert.rejects(client.request({ host: 'faults.test', path: `/${fault.name}` }))
      const line = await gateway.logged((entry) => entry.rule === fault.name)
      assert.equal(line.reason, fault.reason)
    })

  it('never gives bytes after the end of one answer to the next request', async () => {
    using client = await gateway.connect()
    for (let i = 0; i < 10; i++)
      assert.equal((await client.request({ host: 'faults.test', path: '/lying' })).text, 'ok')
  })

  it('keeps no connection to any of them', async () => {
    await eventually(() => {
      const open = [...sockets].filter(([, set]) => set.size > 0).map(([name]) => name)
      assert.deepEqual(open, [])
    })
  })
})
