import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { type EchoBackend, echoBackend, type Received, rawBackend } from './backends.ts'
import { backend, type Gateway, route, startGateway, suiteScope } from './harness.ts'

const redirects = route(
  'redirects',
  [],
  [
    {
      name: 'path',
      matches: [exact('/path')],
      redirect: { path: { type: 'ReplaceFullPath', replaceFullPath: '/new' } },
    },
    { name: 'host', matches: [exact('/host')], redirect: { hostname: 'www.test' } },
    { name: 'https', matches: [exact('/https')], redirect: { scheme: 'https' } },
    { name: 'http', matches: [exact('/http')], redirect: { scheme: 'http' } },
    { name: 'port', matches: [exact('/port')], redirect: { port: 443 } },
  ],
)

function exact(value: string): object {
  return { path: { type: 'Exact', value } }
}

const everything = (echo: EchoBackend): string =>
  backend('echo', [echo.port]) + route('all', ['fwd.test'], [{ name: 'all', backendRefs: [{ name: 'echo' }] }])

async function echoed(gateway: Gateway, headers: Record<string, string> = {}): Promise<Received> {
  const answer = await gateway.request({ host: 'fwd.test', path: '/x', headers })
  assert.equal(answer.status, 200, answer.text)
  return answer.json<Received>()
}

describe('what the upstream is told of the client', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const echo = await echoBackend(scope)
    gateway = await startGateway(scope, { 'all.yaml': everything(echo), 'redirects.yaml': redirects })
  })

  it('says who asked, how and for what', async () => {
    const { headers } = await echoed(gateway)
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'http')
    assert.equal(headers['x-forwarded-host'], 'fwd.test')
    assert.equal(headers['x-forwarded-port'], '80')
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

  it('names the port the client asks at, not the one it listens on', async () => {
    for (const [host, port] of [
      ['fwd.test:30080', '30080'],
      ['FWD.test.:30080', '30080'],
      ['fwd.test:443', '443'],
      ['fwd.test:80', '80'],
      ['fwd.test:', '80'],
      ['fwd.test', '80'],
    ] as const) {
      const { headers } = (await gateway.request({ host, path: '/x' })).json<Received>()
      assert.deepEqual([headers['x-forwarded-host'], headers['x-forwarded-port'], headers.host], [host, port, host])
    }
    using client = await gateway.connect()
    client.send('GET http://fwd.test:30080/x HTTP/1.1\r\nhost: fwd.test:30080\r\n\r\n')
    const { headers } = (await client.response()).json<Received>()
    assert.deepEqual([headers['x-forwarded-port'], headers.host], ['30080', 'fwd.test:30080'])
  })

  it('passes on no word of a proxy that is none', async () => {
    const { headers } = await echoed(gateway, {
      'X-Forwarded-User': 'root',
      x_forwarded_email: 'root@fwd.test',
      'x-Forwarded-Groups': 'admin',
      'X-Forwarded-Client-Cert': 'Hash=1',
      'X-Forwarded-Prefix': '/x',
      'X-Original-URL': '/admin',
      'X-Rewrite_Url': '/admin',
      'x-client-ip': '6.6.6.6',
      'x-user': 'kept',
    })
    const forged = Object.keys(headers).filter((name) => /forwarded|original|rewrite|client/.test(name))
    assert.deepEqual(forged.sort(), ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto'])
    assert.equal(headers['x-user'], 'kept')
  })

  it('takes no trailer for the word of a proxy either', async () => {
    using client = await gateway.connect()
    client.send('POST /x HTTP/1.1\r\nhost: fwd.test\r\ntransfer-encoding: chunked\r\n\r\n')
    client.send('0\r\nx-forwarded-user: root\r\nX_Original-Url: /admin\r\nx-sum: 1\r\n\r\n')
    const { trailers } = (await client.response()).json<Received>()
    assert.deepEqual(trailers, { 'x-sum': '1' })
  })

  it('redirects to where the client is, whatever port it listens on', async () => {
    for (const [host, path, location] of [
      ['shop.test', '/path?a=b', 'http://shop.test/new?a=b'],
      ['shop.test:80', '/path', 'http://shop.test/new'],
      ['shop.test:', '/path', 'http://shop.test/new'],
      ['Shop.Test.:30080', '/path', 'http://shop.test:30080/new'],
      ['[2001:DB8::1]', '/path', 'http://[2001:db8::1]/new'],
      ['[2001:DB8::1]:30080', '/path', 'http://[2001:db8::1]:30080/new'],
      ['shop.test', '/host', 'http://www.test/host'],
      ['shop.test:30080', '/host', 'http://www.test:30080/host'],
      ['shop.test', '/https', 'https://shop.test/https'],
      ['shop.test:8080', '/https', 'https://shop.test/https'],
      ['shop.test:8080', '/http', 'http://shop.test/http'],
      ['shop.test:8080', '/port', 'http://shop.test:443/port'],
    ] as const) {
      const answer = await gateway.request({ host, path, headers: { 'x-forwarded-proto': 'https' } })
      assert.deepEqual([answer.status, answer.header('location')], [302, location], `${host}${path}`)
    }
  })

  it('redirects an HTTP/1.0 client that names no host to where it is, and to no host that nobody named', async () => {
    for (const [path, status, location] of [
      ['/path?a=b', 302, '/new?a=b'],
      ['/host', 302, 'http://www.test/host'],
      ['/https', 400, undefined],
      ['/port', 400, undefined],
    ] as const) {
      using client = await gateway.connect()
      client.send(`GET ${path} HTTP/1.0\r\n\r\n`)
      const answer = await client.response()
      assert.deepEqual([answer.status, answer.header('location')], [status, location], path)
      if (status === 400) assert.equal(answer.json().reason, 'BadHost')
    }
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
      const received = answer.json<Received>()
      assert.deepEqual([received.headers.host, received.body], ['fwd.test', 'body'])
      assert.equal(received.headers['x-forwarded-for'], '127.0.0.1')
    })

  it('sends no field twice that must stand once', async () => {
    using client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: fwd.test\r\nx-request-id: a\r\nx-request-id: b\r\n\r\n')
    const answer = await client.response()
    const { headers } = answer.json<Received>()
    assert.doesNotMatch(headers['x-request-id']!, /,/)
  })

  it('passes cookies, repeated fields and odd bytes of values on as they are', async () => {
    using client = await gateway.connect()
    client.send(
      'GET / HTTP/1.1\r\nhost: fwd.test\r\ncookie: a=1; b="2"\r\nx-multi: 1\r\nX-Multi: 2\r\nx-odd: caf\xe9\r\n\r\n',
    )
    const { headers } = (await client.response()).json<Received>()
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
      { 'all.yaml': everything(echo), 'near.yaml': route('near', ['near.test'], [near]), 'redirects.yaml': redirects },
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

  it('redirects to the scheme, host and port that the proxy states', async () => {
    for (const [headers, path, location, host = 'shop.test'] of [
      [{ 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' }, '/path', 'https://shop.test/new'],
      [{ 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' }, '/path', 'https://shop.test/new', 'shop.test:8080'],
      [{ 'x-forwarded-proto': 'https' }, '/path', 'https://shop.test/new'],
      [{ 'x-forwarded-proto': 'https' }, '/path', 'https://shop.test:8443/new', 'shop.test:8443'],
      [{ 'x-forwarded-proto': 'https, https' }, '/path', 'https://shop.test/new'],
      [{ 'x-forwarded-proto': 'wss' }, '/host', 'https://www.test/host'],
      [{ 'x-forwarded-proto': 'https', 'x-forwarded-port': '8443' }, '/host', 'https://www.test:8443/host'],
      [{ 'x-forwarded-proto': 'https' }, '/http', 'http://shop.test/http'],
      [{ 'x-forwarded-proto': 'https' }, '/port', 'https://shop.test/port', 'shop.test:8443'],
      [{ 'x-forwarded-host': 'shop.test:30080' }, '/path', 'http://shop.test:30080/new', 'origin.internal:8080'],
      [{ 'x-forwarded-host': 'evil.test, a_b.test' }, '/path', 'http://a_b.test/new', 'origin.internal'],
    ] as [Record<string, string>, string, string, string?][]) {
      const answer = await gateway.request({ host, path, headers: { 'x-forwarded-for': '203.0.113.9', ...headers } })
      assert.deepEqual([answer.status, answer.header('location')], [302, location], JSON.stringify([headers, host]))
    }
  })

  it('tells upstreams one story out of lists, and none of Forwarded', async () => {
    const { headers } = await echoed(gateway, {
      'x-forwarded-for': '6.6.6.6, 203.0.113.9,, 10.1.1.1,',
      'x-forwarded-proto': 'https, http',
      'x-forwarded-host': 'a_b.test:8443, fwd.test',
      'x-forwarded-port': '1',
      forwarded: 'for=6.6.6.6;proto=http;host=evil.test',
      'x-forwarded-scheme': 'http',
      'x-forwarded-user': 'ann',
    })
    assert.deepEqual(
      ['for', 'proto', 'host', 'port', 'user', 'scheme'].map((name) => headers[`x-forwarded-${name}`]),
      ['203.0.113.9, 10.1.1.1, 127.0.0.1', 'https', 'a_b.test:8443', '8443', 'ann', undefined],
    )
    assert.equal(headers.forwarded, undefined)
    // Matched is what the request itself names.
    assert.equal(headers.host, 'fwd.test')
  })
})

describe('behind a proxy that speaks of Forwarded', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const echo = await echoBackend(scope)
    gateway = await startGateway(
      scope,
      { 'all.yaml': everything(echo), 'redirects.yaml': redirects },
      { settings: { clientAddress: { header: 'Forwarded', trustedCIDRs: ['127.0.0.0/8', '10.0.0.0/8'] } } },
    )
  })

  it('believes its proto and host, and no other field', async () => {
    const { headers } = await echoed(gateway, {
      forwarded:
        'for=6.6.6.6;host=evil.test, For="203.0.113.9:4711";Proto=https;host="a_b.test:8443", for=10.1.1.1;proto=http',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'evil.test',
      'x-forwarded-port': '1',
    })
    assert.deepEqual(
      [...['for', 'proto', 'host', 'port'].map((name) => headers[`x-forwarded-${name}`]), headers.forwarded],
      [
        '203.0.113.9, 10.1.1.1, 127.0.0.1',
        'https',
        'a_b.test:8443',
        '8443',
        'for=203.0.113.9;proto=https;host="a_b.test:8443", for=10.1.1.1, for=127.0.0.1',
      ],
    )
    const line = await gateway.logged((entry) => entry.path === '/x')
    assert.equal(line.client, '203.0.113.9')
  })

  it('redirects to where Forwarded says that the client is', async () => {
    const headers = { forwarded: 'for=203.0.113.9;proto=https;host=www.test', 'x-forwarded-proto': 'http' }
    const answer = await gateway.request({ host: 'origin.internal:8080', path: '/path', headers })
    assert.equal(answer.header('location'), 'https://www.test/new')
  })
})

describe('what a Route says of forwarding', () => {
  const scope = suiteScope()
  let gateway: Gateway
  before(async () => {
    const echo = await echoBackend(scope)
    const requestHeaders = {
      set: [
        { name: 'x-forwarded-user', value: '%{header:x-auth}' },
        { name: 'x-role', value: '%{header:x-auth-role}' },
      ],
      add: [{ name: 'x-forwarded-prefix', value: '/shop' }],
      remove: ['x-forwarded-groups', 'x-auth'],
    }
    gateway = await startGateway(
      scope,
      {
        'all.yaml':
          backend('echo', [echo.port]) +
          route(
            'edits',
            ['fwd.test'],
            [{ name: 'all', backendRefs: [{ name: 'echo' }], policies: { requestHeaders } }],
          ),
      },
      { settings: { clientAddress: { header: 'X-Forwarded-For', trustedCIDRs: ['127.0.0.1/32'] } } },
    )
  })

  it('acts on what a trusted proxy passes on, in every spelling', async () => {
    const { headers } = await echoed(gateway, {
      'x-forwarded-user': 'root',
      'x-forwarded-groups': 'admin',
      'x-forwarded-email': 'ann@fwd.test',
      x_forwarded_groups: 'admin',
      x_role: 'root',
      'x-auth': 'ann',
      x_auth: 'eve',
    })
    assert.deepEqual(
      ['user', 'groups', 'email', 'prefix'].map((name) => headers[`x-forwarded-${name}`]),
      ['ann', undefined, 'ann@fwd.test', '/shop'],
    )
    assert.deepEqual(
      Object.keys(headers).filter((name) => name.includes('_') || /auth|role/.test(name)),
      [],
    )
  })
})

describe('the Host of an endpoint that has a name', () => {
  const scope = suiteScope()
  let echo: Awaited<ReturnType<typeof echoBackend>>
  let gateway: Gateway

  before(async () => {
    echo = await echoBackend(scope)
    const silent = await rawBackend(scope, (socket) => socket.once('data', () => socket.destroy()))
    const named = [{ address: 'localhost', port: echo.port }]
    const both = [
      { address: 'localhost', port: silent.port },
      { address: '127.0.0.1', port: echo.port },
    ]
    const hostHeader = 'UseServerName'
    const policies = { retry: { attempts: 3, reasons: ['ConnectFailure', 'ResetBeforeResponse'], budgetPercent: 100 } }
    gateway = await startGateway(scope, {
      'named.yaml':
        backend('named', [], { endpoints: named, hostHeader }) +
        route('named', ['named.test'], [{ name: 'all', backendRefs: [{ name: 'named' }] }]),
      'both.yaml':
        backend('both', [], { endpoints: both, hostHeader }) +
        route('both', ['fwd.test'], [{ name: 'all', backendRefs: [{ name: 'both' }], policies }]),
      'levels.yaml':
        backend('silent', [], { endpoints: both.slice(0, 1), hostHeader }) +
        backend('spare', [], { endpoints: both.slice(1) }) +
        route(
          'levels',
          ['levels.test'],
          [{ name: 'all', backendRefs: [{ name: 'silent' }, { name: 'spare', priority: 1 }], policies }],
        ),
    })
  })

  it('is not missing at a Backend of another level that is tried next and keeps the Host of the client', async () => {
    const { status, json } = await gateway.request({ host: 'levels.test', path: '/x' })
    assert.equal(status, 200)
    assert.equal(json<Received>().headers.host, 'levels.test')
  })

  it('has the port of the endpoint, where that is not 80', async () => {
    const { headers } = (await gateway.request({ host: 'named.test:30080', path: '/x' })).json<Received>()
    assert.deepEqual(
      [headers.host, headers['x-forwarded-host'], headers['x-forwarded-port']],
      [`localhost:${echo.port}`, 'named.test:30080', '30080'],
    )
  })

  it('is not missing at an endpoint without a name that is tried next', async () => {
    // Whichever endpoint comes first: of a few requests one begins at the silent one.
    for (let i = 0; i < 6; i++) {
      const { headers } = await echoed(gateway)
      assert.equal(headers.host, 'fwd.test')
    }
    assert.ok((await gateway.logged((line) => Number(line.attempts) > 1)) !== undefined)
  })
})
