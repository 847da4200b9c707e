import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { onHead, rawBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const HEAD = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n'

describe('deadlines', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const silent = await rawBackend(scope, () => {})
    // A byte now and then, without an end: never idle, never done.
    const dripping = await rawBackend(scope, (socket) =>
      onHead(socket, () => {
        socket.write(HEAD)
        const timer = setInterval(() => socket.write('1\r\nx\r\n'), 50)
        socket.on('close', () => clearInterval(timer))
      }),
    )
    const rule = (name: string, to: string, timeouts: object): object => ({
      name,
      matches: [{ path: { type: 'Exact', value: `/${name}` } }],
      backendRefs: [{ name: to }],
      policies: { timeouts, retry: { attempts: 0 } },
    })
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('silent', [silent.port]) +
        backend('dripping', [dripping.port]) +
        route(
          'deadlines',
          ['time.test'],
          [
            rule('head', 'silent', { responseHead: '300ms' }),
            rule('try', 'silent', { backendRequest: '300ms' }),
            rule('whole', 'silent', { request: '300ms' }),
            rule('whole-body', 'dripping', { request: '400ms' }),
            rule('body', 'silent', { idle: '300ms' }),
          ],
        ),
    })
  })

  for (const [path, reason] of [
    ['/head', 'ResponseHeadTimeout'],
    ['/try', 'BackendRequestTimeout'],
    ['/whole', 'RequestTimeout'],
  ] as const)
    it(`${path}: 504 ${reason} in its time`, async () => {
      const began = performance.now()
      const answer = await gateway.request({ host: 'time.test', path })
      const took = performance.now() - began
      assert.deepEqual([answer.status, answer.json().reason], [504, reason])
      assert.ok(took > 250 && took < 2_500, `${took} ms`)
    })

  it('ends an answer that never ends', async () => {
    using client = await gateway.connect()
    await assert.rejects(client.request({ host: 'time.test', path: '/whole-body' }), /before/)
    assert.equal((await gateway.logged((entry) => entry.rule === 'whole-body')).reason, 'RequestTimeout')
  })

  it('gives a body that does not come 408', async () => {
    using client = await gateway.connect()
    client.send('POST /body HTTP/1.1\r\nhost: time.test\r\ncontent-length: 10\r\n\r\nabc')
    const answer = await client.response()
    assert.deepEqual([answer.status, answer.json().reason], [408, 'RequestBodyTimeout'])
    await client.closed()
  })

  it('stops asking the upstream when the client has gone', async () => {
    const client = await gateway.connect()
    client.send('GET /head HTTP/1.1\r\nhost: time.test\r\nx-mark: gone\r\n\r\n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    client.reset()
    const line = await gateway.logged((entry) => entry.reason === 'ClientGone')
    assert.equal(line.rule, 'head')
  })
})
