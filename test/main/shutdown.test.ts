import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { closedPort, rawBackend } from '../feature/backends.ts'
import { backend, eventually, route, type Scope } from '../feature/harness.ts'
import { RawClient, request } from '../feature/raw-client.ts'
import { start } from './gateway-process.ts'

const rules = [
  { name: 'slow', matches: [{ path: { value: '/slow' } }], backendRefs: [{ name: 'slow' }] },
  { name: 'ping', matches: [{ path: { value: '/ping' } }], respond: { statusCode: 200, body: 'pong' } },
]

/** A backend that responds when the test calls `answer`. */
async function slowBackend(scope: Scope) {
  let arrived: () => void = () => {}
  let answer: () => void = () => {}
  const request_ = new Promise<void>((resolve) => {
    arrived = resolve
  })
  const { port } = await rawBackend(scope, (socket) => {
    socket.on('data', () => {
      answer = () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone')
      arrived()
    })
  })
  return { port, arrived: request_, answer: () => answer() }
}

async function begun(scope: Scope, flags: readonly string[]) {
  const slow = await slowBackend(scope)
  const manifests = { 'a.yaml': backend('slow', [slow.port]) + route('all', ['a.example'], rules) }
  const gateway = await start(scope, manifests, { workers: 2, flags })
  return { slow, gateway }
}

describe('SIGTERM', () => {
  it('ends readiness first, serves during the delay, finishes open exchanges and exits with 0', async (t) => {
    const { slow, gateway } = await begun(t, ['--drain-delay', '1500ms', '--drain-timeout', '20s'])
    using client = await RawClient.connect(gateway.port)
    client.send('GET /slow HTTP/1.1\r\nhost: a.example\r\n\r\n')
    await slow.arrived
    const signalled = performance.now()
    gateway.child.kill('SIGTERM')
    await eventually(async () => {
      const { status, text } = await gateway.signals('/readyz')
      assert.deepEqual([status, text], [503, 'shutting down\n'])
    })
    assert.equal((await gateway.signals('/healthz')).status, 200)
    // Clients that still connect are served, with `connection: close`.
    if (performance.now() - signalled < 500) {
      // The worker may not know of the drain at the first response.
      await eventually(async () => {
        using other = await RawClient.connect(gateway.port)
        const late = await other.request({ path: '/ping', host: 'a.example' })
        assert.deepEqual([late.status, late.header('connection')], [200, 'close'])
      })
    }
    await eventually(() => assert.rejects(RawClient.connect(gateway.port), /ECONNREFUSED/))
    assert.equal(gateway.child.exitCode, null, 'it waits for the open exchange')
    slow.answer()
    const response = await client.response()
    assert.deepEqual([response.status, response.text], [200, 'done'])
    assert.deepEqual(await gateway.ended, [0, null])
    await gateway.logged(/^drain: all exchanges finished/)
  })

  it('closes the remaining connections at the deadline, logs their number and exits with 0', async (t) => {
    const { slow, gateway } = await begun(t, ['--drain-delay', '0', '--drain-timeout', '300ms'])
    using client = await RawClient.connect(gateway.port)
    client.send('GET /slow HTTP/1.1\r\nhost: a.example\r\n\r\n')
    await slow.arrived
    gateway.child.kill('SIGTERM')
    assert.deepEqual(await gateway.ended, [0, null])
    await gateway.logged(/^drain: the deadline/)
  })

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const)
    it(`followed by ${signal} ends the process immediately with ${code}`, async (t) => {
      const { slow, gateway } = await begun(t, ['--drain-delay', '0', '--drain-timeout', '60s'])
      using client = await RawClient.connect(gateway.port)
      client.send('GET /slow HTTP/1.1\r\nhost: a.example\r\n\r\n')
      await slow.arrived
      gateway.child.kill('SIGTERM')
      await gateway.logged(/^SIGTERM/)
      await delay(50)
      assert.equal(gateway.child.exitCode, null)
      gateway.child.kill(signal)
      assert.deepEqual(await gateway.ended, [code, null])
    })

  it('ends a process that is not ready yet', async (t) => {
    const gateway = await start(t, {}, { ready: false })
    await eventually(() => gateway.signals('/healthz'))
    gateway.child.kill('SIGTERM')
    assert.deepEqual(await gateway.ended, [0, null])
  })
})

describe('a port that is in use', () => {
  it('is reported in one line before any socket opens, and the process exits with 1', async (t) => {
    const port = await closedPort()
    const other = createServer().listen(port, '127.0.0.1')
    await once(other, 'listening')
    t.after(() => other.close())
    const gateway = await start(t, {}, { ready: false, port })
    assert.deepEqual(await gateway.ended, [1, null])
    assert.equal(gateway.log.length, 1)
    assert.match(gateway.log[0]!.message, new RegExp(`^listener http: 127.0.0.1:${port} is already in use\\. `))
  })

  it('is detected when a second gateway binds it with SO_REUSEPORT', async (t) => {
    const first = await start(t, {}, { workers: 2 })
    const second = await start(t, {}, { ready: false, port: first.port, workers: 2 })
    assert.deepEqual(await second.ended, [1, null])
    assert.match(second.log[0]!.message, /already in use/)
  })
})

describe('the signals listener', () => {
  it('serves its paths for GET and HEAD, and nothing else', async (t) => {
    const gateway = await start(t, {})
    assert.deepEqual(
      await Promise.all(['/healthz', '/readyz', '/'].map(async (path) => (await gateway.signals(path)).status)),
      [200, 200, 404],
    )
    const refused = await request(gateway.signalsPort, { method: 'POST', path: '/readyz', host: 'localhost' })
    assert.equal(refused.status, 405)
  })

  it('reports ready with an empty folder, while requests get 404', async (t) => {
    const gateway = await start(t, {})
    assert.equal((await request(gateway.port, { host: 'nobody.example' })).status, 404)
    await gateway.logged(/^ready after \d+ ms: http 127\.0\.0\.1:\d+, admin .*; 0 routes, 0 rules, 1 worker$/)
  })
})

describe('settings that are not valid', () => {
  it('end the process with 1 and one line per error', async (t) => {
    const settings = `${t.name.length}`
    const gateway = await start(t, {}, { ready: false, flags: ['--settings', `/nowhere/${settings}.yaml`] })
    assert.deepEqual(await gateway.ended, [1, null])
    assert.match(gateway.log.at(-1)!.message, /\/nowhere\/\d+\.yaml: The settings file does not exist/)
  })
})
