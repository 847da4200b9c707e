import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend, type Received } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const everything = (echo: EchoBackend): string =>
  backend('echo', [echo.port]) + route('all', ['fwd.test'], [{ name: 'all', backendRefs: [{ name: 'echo' }] }])

async function echoed(gateway: Gateway, headers: Record<string, string> = {}): Promise<Received> {
  const answer = await gateway.request({ host: 'fwd.test', path: '/x', headers })
  assert.equal(answer.status, 200, answer.text)
  return answer.json() as unknown as Received
}

describe('what the upstream is told of the client', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const echo = await echoBackend(scope)
    gateway = await startGateway(scope, { 'all.yaml': everything(echo) })
  })

  it('says who asked, how and for what', async () => {
    const { headers } = await echoed(gateway)
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'http')
    assert.equal(headers['x-forwarded-host'], 'fwd.test')
    assert.equal(headers['x-forwarded-port'], String(gateway.port))
    assert.equal(headers.host, 'fwd.test')
  })

  it('overwrites what an untrusted client claims, in every form', async () => {
    const { headers } = await echoed(gateway, {
      'X-Forwarded-For': '6.6.6.6',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.test',
      'x-forwarded-port': '1',
      forwarded: 'for=6.6.6.6;proto=https;host=evil.test',
      'x-real-ip': '6.6.6.6',
    })
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'http')
    assert.equal(headers['x-forwarded-host'], 'fwd.test')
    assert.doesNotMatch(headers.forwarded ?? '', /6\.6\.6\.6|evil|https/)
  })

  it('removes hop-by-hop fields and those that Connection names, both ways', async () => {
    const { headers } = await echoed(gateway, {
      connection: 'close, x-hop',
      'x-hop': 'secret',
      te: 'gzip',
      'proxy-connection': 'keep-alive',
      'keep-alive': 'timeout=5',
      'x-kept': 'yes',
    })
    for (const name of ['x-hop', 'te', 'proxy-connection', 'keep-alive', 'upgrade'])
      assert.equal(headers[name], undefined, name)
    assert.equal(headers['x-kept'], 'yes')
    const answer = await gateway.request({ host: 'fwd.test', path: '/x' })
    assert.equal(answer.header('keep-alive'), undefined)
  })

  for (const name of ['host', 'content-length', 'transfer-encoding', 'x-forwarded-for'])
    it(`does not let Connection take ${name} away`, async () => {
      const headers = { connection: `close, ${name}` }
      const answer = await gateway.request({ host: 'fwd.test', path: '/x', method: 'POST', headers, body: 'body' })
      if (answer.status === 400) return
      const received = answer.json() as unknown as Received
      assert.deepEqual([received.headers.host, received.body], ['fwd.test', 'body'])
      assert.equal(received.headers['x-forwarded-for'], '127.0.0.1')
    })

  it('sends no field twice that must stand once', async () => {
    using client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: fwd.test\r\nx-request-id: a\r\nx-request-id: b\r\n\r\n')
    const answer = await client.response()
    const { headers } = answer.json() as unknown as Received
    assert.doesNotMatch(headers['x-request-id']!, /,/)
  })

  it('passes cookies, repeated fields and odd bytes of values on as they are', async () => {
    using client = await gateway.connect()
    client.send(
      'GET / HTTP/1.1\r\nhost: fwd.test\r\ncookie: a=1; b="2"\r\nx-multi: 1\r\nX-Multi: 2\r\nx-odd: caf\xe9\r\n\r\n',
    )
    const { headers } = (await client.response()).json() as unknown as Received
    assert.deepEqual([headers.cookie, headers['x-multi'], headers['x-odd']], ['a=1; b="2"', '1, 2', 'caf\xe9'])
  })

  it('dates its answers', async () => {
    const answer = await gateway.request({ host: 'nobody.test' })
    assert.ok(Math.abs(Date.parse(answer.header('date')!) - Date.now()) < 5_000)
  })
})

describe('behind a trusted proxy', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const echo = await echoBackend(scope)
    const near = {
      name: 'near',
      matches: [{ path: { type: 'Exact', value: '/near' }, sourceCIDRs: ['203.0.113.0/24'] }],
      respond: { statusCode: 200, body: 'near' },
    }
    gateway = await startGateway(
      scope,
      { 'all.yaml': everything(echo), 'near.yaml': route('near', ['near.test'], [near]) },
      { settings: { clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['127.0.0.0/8', '10.0.0.0/8'] } } },
    )
  })

  it('takes the rightmost untrusted address for the client', async () => {
    const { headers } = await echoed(gateway, { 'x-forwarded-for': '6.6.6.6, 203.0.113.9, 10.1.1.1' })
    assert.match(headers['x-forwarded-for']!, /203\.0\.113\.9/)
    const line = await gateway.logged((entry) => entry.path === '/x')
    assert.equal(line.client, '203.0.113.9')
  })

  it('matches that address, not the one of the proxy', async () => {
    const options = { host: 'near.test', path: '/near' }
    const inside = await gateway.request({ ...options, headers: { 'x-forwarded-for': '203.0.113.7' } })
    assert.equal(inside.text, 'near')
    const spoofed = await gateway.request({ ...options, headers: { 'x-forwarded-for': '203.0.113.7, 8.8.8.8' } })
    assert.equal(spoofed.status, 404)
  })

  it('keeps the scheme and the request id that the proxy states', async () => {
    const { headers } = await echoed(gateway, {
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-proto': 'https',
      'x-request-id': 'from-the-proxy-1',
    })
    assert.deepEqual([headers['x-forwarded-proto'], headers['x-request-id']], ['https', 'from-the-proxy-1'])
  })
})
