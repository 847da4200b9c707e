import assert from 'node:assert/strict'
import { once } from 'node:events'
import { before, describe, it } from 'node:test'
import { KEY, SWITCHES } from '../lib/websocket-lines.ts'
import { onHead, rawBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from './harness.ts'
import type { RawClient } from './raw-client.ts'

const UPGRADE = (path: string, token: string): string =>
  `GET ${path} HTTP/1.1\r\nhost: up.test\r\nconnection: Upgrade\r\nupgrade: ${token}\r\nsec-websocket-key: ${KEY}\r\n\r\n`

async function bytes(client: RawClient, expected: string): Promise<void> {
  await eventually(() => assert.equal(client.unread.toString('latin1'), expected))
}

describe('upgraded connections', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let open = 0
  before(async () => {
    // Agrees to websocket and then sends back in capitals what it gets; to anything else it answers as to a plain
    // request.
    const origin = await rawBackend(scope, (socket) => {
      open++
      socket.on('close', () => open--)
      onHead(socket, (head) => {
        if (!/upgrade: websocket/i.test(head))
          return void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nplain')
        socket.removeAllListeners('data')
        socket.on('data', (chunk: Buffer) => socket.write(chunk.toString('latin1').toUpperCase()))
        socket.on('end', () => socket.end())
        socket.write(`${SWITCHES}hello`)
      })
    })
    const rule = (name: string, policies: object): object => ({
      name,
      matches: [{ path: { type: 'PathPrefix', value: `/${name}` } }],
      backendRefs: [{ name: 'origin' }],
      policies,
    })
    gateway = await startGateway(scope, {
      'all.yaml':
        backend('origin', [origin.port]) +
        route(
          'up',
          ['up.test'],
          [rule('ws', {}), rule('none', { upgrades: [] }), rule('idle', { timeouts: { tunnelIdle: '300ms' } })],
        ),
    })
  })

  it('become bytes both ways, those that came behind the head first', async () => {
    using client = await gateway.connect()
    client.send(UPGRADE('/ws', 'websocket'))
    assert.equal((await client.response()).status, 101)
    client.send('and back')
    await bytes(client, 'helloAND BACK')
    client.end()
    await once(client.socket, 'close', { signal: AbortSignal.timeout(5_000) })
    const line = await gateway.logged((entry) => entry.rule === 'ws')
    assert.equal(line.status, 101)
    await eventually(() => assert.equal(open, 0, 'the upstream side is closed too'))
  })

  for (const [path, token] of [
    ['/ws', 'h2c'],
    ['/none', 'websocket'],
  ] as const)
    it(`are not opened for ${token} at ${path}: the request goes on as a plain one`, async () => {
      using client = await gateway.connect()
      client.send(UPGRADE(path, token))
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.text], [200, 'plain'])
    })

  it('are ended when no byte moves for too long', async () => {
    using client = await gateway.connect()
    client.send(UPGRADE('/idle', 'websocket'))
    assert.equal((await client.response()).status, 101)
    const began = performance.now()
    await once(client.socket, 'end', { signal: AbortSignal.timeout(5_000) })
    assert.ok(performance.now() - began < 3_000)
    assert.equal((await gateway.logged((entry) => entry.rule === 'idle')).reason, 'IdleTimeout')
  })
})
