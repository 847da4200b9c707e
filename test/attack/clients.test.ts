/** A client on the wire who wants past a rule, into the log, or everybody's attention. */
import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { before, describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type EchoBackend, echoBackend } from '../feature/backends.ts'
import { backend, eventually, type Gateway, route, startGateway, suiteScope } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'

const prefix = (value: string) => ({ matches: [{ path: { type: 'PathPrefix', value } }] })
const DENIED = { respond: { statusCode: 403 } }

function resolved(path: string): string {
  const plain = path
    .replaceAll('\\', '/')
    .replaceAll(/\/(\.\.?);[^/]*/g, '/$1')
    .replaceAll(/\/+/g, '/')
  return new URL(`http://x${plain.replaceAll(' ', '%20')}`).pathname
}

describe('a hostile client', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend

  before(async () => {
    echo = await echoBackend(scope)
    gateway = await startGateway(
      scope,
      {
        'a.yaml':
          backend('echo', [echo.port]) +
          route(
            'main',
            ['x.example'],
            [
              { name: 'guarded', ...prefix('/admin'), ...DENIED },
              {
                name: 'kept',
                ...prefix('/kept'),
                backendRefs: [{ name: 'echo' }],
                policies: { pathEncoding: 'KeepEncodedSlash' },
              },
              {
                name: 'moved',
                ...prefix('/moved'),
                redirect: { path: { type: 'ReplaceFullPath', replaceFullPath: '/moved/here' } },
              },
              { name: 'open', ...prefix('/'), backendRefs: [{ name: 'echo' }] },
            ],
          ),
      },
      { settings: { limits: { connections: 64 } } },
    )
  })

  it('reaches a guarded path in no spelling: it is refused, or the upstream gets another path', async () => {
    const spellings = [
      '/admin',
      '/./admin',
      '/x/../admin',
      '//admin',
      '/%61dmin',
      '/%61%64%6d%69%6e',
      '/%2e/admin',
      '/x/%2E%2e/admin',
      '/x/.%2e/admin',
      '/admin%2Fx',
      '/admin/.',
      '/admin%20',
      '/..;/admin',
      '/x/..;/admin',
      '/x/..;a=b/admin',
      '/.;/admin',
      '/;/admin',
      '/admin;/x',
      '/admin;a=b',
      '/\\admin',
      '/x\\..\\admin',
      '/%5cadmin',
      '/x/..%2fadmin',
      '/x/..%5cadmin',
      '/x/%252e%252e/admin',
      '/%2561dmin',
      '/%25%36%31dmin',
      '/x%2f..%2fadmin',
      '/kept/..%2fadmin',
      '/kept/%2e%2e%2fadmin',
      '/kept/%252e%252e%252fadmin',
      '/kept%2f..%2f..%2fadmin',
      '/%c0%afadmin',
      '/%c0%ae%c0%ae/admin',
      '/x/%e0%80%ae./admin',
      '/admin%00',
      '/%00/admin',
      '/admin%0a',
      '/admin/?x',
      '/admin?',
      '/?/../admin',
      '/admin#',
      '/#/../admin',
      '/x#/../../admin',
      '/ADMIN',
      '/admin.',
      '/admin..',
      '/...//admin',
      '/%ff%61dmin',
      '/x/../../../admin',
      '/admin/../admin/',
      '/%u0061dmin',
      '/%',
      '/%a',
      '/\u00e1dmin',
      'http://x.example/admin',
      'http://x.example//admin',
      'http://x.example/x/../admin',
      'http://x.example?/admin',
      'x/admin',
      '?/admin',
    ]
    for (const path of spellings) {
      const seen = echo.received.length
      const { status } = await gateway.request({ host: 'x.example', path })
      if (status !== 200) {
        assert.ok([400, 403].includes(status), `${status} for ${path}`)
        assert.equal(echo.received.length, seen)
        continue
      }
      // What a server behind us may do with what it gets: decode it up to three times, take a backslash for a slash,
      // cut the parameters off a dot segment, merge slashes, resolve dots. Without any of it, it is in normal form.
      const sent = echo.received.at(-1)!.url.split('?')[0]!
      assert.equal(
        resolved(sent),
        sent.replaceAll(' ', '%20'),
        `${path} arrives as ${sent}, which is not in normal form`,
      )
      let read = sent
      for (let i = 0; i < 3; i++) {
        assert.doesNotMatch(resolved(read), /^\/admin(?:\/|$)/, `${path} arrives as ${sent}`)
        // An escaped letter that was escaped once more is a name of its own for whoever decodes as often as he should.
        read = read.replace(/%(2e|2f|5c|3b|25(?=(?:25)*(?:2e|2f|5c|3b)))/gi, (_, code: string) =>
          String.fromCharCode(Number.parseInt(code, 16)),
        )
      }
    }
  })

  it('is of no host that it is not, whatever it puts beside the name', async () => {
    for (const host of [
      'x.example@evil',
      'evil@x.example',
      'x.example/',
      'x.example:80:80',
      'x.example:0',
      'x.example:99999',
      'x.example:+80',
      'x..example',
      '.x.example',
      'x.example..',
      'x%2eexample',
      'x.example,evil',
      'x.example evil',
      '[x.example]',
      '[::1',
      '::1',
      'x\u00b7example',
      'x.example\u0000',
      '',
    ])
      assert.ok([400, 404].includes((await gateway.request({ host })).status), host)
    for (const host of ['X.EXAMPLE', 'x.example.', 'x.example:81', 'x.example:'])
      assert.equal((await gateway.request({ host })).status, 200, host)
  })

  it('tells no upstream who it is not', async () => {
    const forged = {
      'x-forwarded-for': '6.6.6.6',
      X_Forwarded_For: '6.6.6.6',
      'x-forwarded_for': '6.6.6.6',
      'X-FORWARDED-PROTO': 'https',
      x_forwarded_proto: 'https',
      'x-forwarded-host': 'evil',
      'x-forwarded-port': '1',
      'x-forwarded-prefix': '/evil',
      forwarded: 'for=6.6.6.6',
      'x-real-ip': '6.6.6.6',
      x_real_ip: '6.6.6.6',
      'x-request-id': 'forged',
      x_request_id: 'forged',
      ...Object.fromEntries(
        [
          ...['User', 'Email', 'Groups', 'Preferred-Username', 'Access-Token', 'Client-Cert', 'Tls-Client-Cert-Info'],
          ...['Prefix', 'Server', 'Uri', 'Method', 'Ssl', 'Scheme', 'Protocol', 'For-Original', ''],
        ].map((member) => [`X-Forwarded-${member}`, 'forged']),
      ),
      'x-Forwarded_User': 'forged',
      X_FORWARDED_GROUPS: 'forged',
      'X-Forwarded': 'forged',
      'X-Original-URL': 'forged',
      X_Original_Host: 'forged',
      'X-Original-Forwarded-For': 'forged',
      'X-Rewrite-URL': 'forged',
      'X-Client-IP': 'forged',
      'X-Cluster-Client-Ip': 'forged',
      'X-Scheme': 'forged',
      'X-Url-Scheme': 'forged',
      'Front-End-Https': 'forged',
    }
    await gateway.request({ host: 'x.example', path: '/who', headers: forged })
    const { headers } = echo.received.at(-1)!
    assert.doesNotMatch(JSON.stringify(headers), /6\.6\.6\.6|evil|forged/)
    assert.equal(headers['x-forwarded-for'], '127.0.0.1')
    assert.equal(headers['x-forwarded-proto'], 'http')
    // What Connection names goes before anything is decided or forwarded, but cannot take our own fields away.
    await gateway.request({
      host: 'x.example',
      path: '/who',
      headers: { connection: 'close, x-forwarded-for, x-request-id, host, x-secret', 'x-secret': '1' },
    })
    const after = echo.received.at(-1)!.headers
    assert.equal(after['x-forwarded-for'], '127.0.0.1')
    assert.equal(after.host, 'x.example')
    assert.equal(after['x-secret'], undefined)
  })

  it('moves no upstream and no redirect to a host or port of its choice', async () => {
    for (const [host, sent] of [
      ['x.example:31337', ['x.example:31337', '31337']],
      ['x.example', ['x.example', '80']],
    ] as const) {
      const headers = { 'x-forwarded-host': 'evil', 'x-forwarded-port': '1', forwarded: 'host=evil;proto=https' }
      await gateway.request({ host, path: '/who', headers })
      const got = echo.received.at(-1)!.headers
      assert.deepEqual([got['x-forwarded-host'], got['x-forwarded-port']], sent)
      const moved = await gateway.request({ host, path: '/moved', headers })
      assert.equal(moved.header('location'), `http://${host}/moved/here`)
    }
  })

  it('upgrades to no protocol that was not allowed', async () => {
    for (const upgrade of ['h2c', 'websocket, h2c', 'h2c, websocket', 'TLS/1.0', 'x']) {
      const headers = { connection: 'Upgrade, HTTP2-Settings', upgrade, 'http2-settings': 'AAMAAABkAAQAAP__' }
      assert.equal((await gateway.request({ host: 'x.example', path: '/up', headers })).status, 200, upgrade)
      const got = echo.received.at(-1)!.headers
      assert.equal(got['http2-settings'], undefined)
      assert.notEqual(got.upgrade, 'h2c')
    }
  })

  it('writes no line of its own into the access log', async () => {
    const hostile = '/log/%0a%22%7d"},{"forged":1}\\u000a\u001b[2J'
    const before = gateway.accessLog.length
    for (const [path, host] of [
      [hostile, 'x.example'],
      ['/log', '"},{"forged":1'],
      [`/log/${'%22'.repeat(3_000)}`, 'x.example'],
      ['/log?"}\\', 'x.example'],
    ] as const)
      await gateway.request({ path, host, method: 'GET' })
    await gateway.request({ method: '"FORGED"', host: 'x.example' })
    await gateway.request({ method: 'M'.repeat(2_000), host: 'x.example' })
    await eventually(() =>
      assert.ok(gateway.accessLog.length >= before + 6, `${gateway.accessLog.length - before} lines`),
    )
    for (const line of gateway.accessLog) {
      assert.equal(line.forged, undefined)
      assert.doesNotMatch(String(line.path), /[^\x20-\x7e\x80-\xff\u2026]/)
      assert.ok(String(line.path).length < 2_100 && String(line.method).length < 300 && String(line.host).length < 300)
    }
  })

  it('makes no new time series by methods, hosts, paths or ids', async () => {
    const series = async () =>
      (await request(gateway.signalsPort, { host: 'localhost', path: '/metrics' })).text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#'))
    for (let i = 0; i < 20; i++) await gateway.request({ host: 'x.example', method: 'GET' })
    await gateway.request({ host: 'none.example', method: 'OTHER' })
    await gateway.request({ host: 'x y', method: 'OTHER' })
    await delay(50)
    const before = (await series()).length
    for (let i = 0; i < 60; i++)
      await gateway.request({
        host: `h${i}.example`,
        method: `M${i}`,
        path: `/p${i}`,
        headers: { 'x-request-id': `i${i}` },
      })
    await delay(50)
    const after = await series()
    assert.ok(after.length <= before + 8, `${before} series became ${after.length}`)
    assert.doesNotMatch(after.join('\n'), /h17\.example|M17|p17/)
  })

  it('keeps no probe out by connections that say nothing', async () => {
    const idle: Socket[] = []
    for (let i = 0; i < 150; i++) {
      const socket = connect(gateway.signalsPort, '127.0.0.1')
      socket.on('error', () => {})
      socket.write('GET /healthz HTTP/1.1\r\nx: ')
      idle.push(socket)
    }
    try {
      await delay(200)
      for (let i = 0; i < 3; i++)
        assert.equal((await request(gateway.signalsPort, { host: 'localhost', path: '/healthz' })).status, 200)
    } finally {
      for (const socket of idle) socket.destroy()
    }
  })

  it('is told nothing by the admin API through a name that resolves to this machine, or as a page', async () => {
    const get = async (host: string, headers: Record<string, string> = {}, method = 'GET') =>
      (await request(gateway.adminPort, { host, headers, method, path: '/api/v1/routes' })).status
    assert.equal(await get('127.0.0.1'), 200)
    for (const host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.nip.io',
      '127.0.0.1@evil',
      '2130706433',
      '0x7f000001',
      '127.1',
      '',
      '0.0.0.0',
      'localhost,evil',
    ])
      assert.ok([400, 421].includes(await get(host)), host)
    assert.equal(await get('localhost', { origin: 'http://evil.example' }), 403)
    assert.equal(await get('localhost', { origin: 'null' }), 403)
    assert.equal(await get('localhost', { 'sec-fetch-site': 'cross-site' }), 403)
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS'])
      assert.equal(await get('localhost', {}, method), 405, method)
    assert.equal(await get('localhost', { x: 'y'.repeat(20_000) }), 431)
  })

  it('holds the listener up only as long as its connections may be slow, and with bounded memory', async () => {
    const slow: Socket[] = []
    for (let i = 0; i < 200; i++) {
      const socket = connect(gateway.port, '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`GET /${'a'.repeat(8_000)}`)
      slow.push(socket)
    }
    await eventually(() =>
      assert.ok(
        slow.filter((socket) => socket.destroyed || socket.readyState === 'closed').length > 100,
        'beyond the limit connections are closed at once',
      ),
    )
    for (const socket of slow) socket.destroy()
    await eventually(async () => assert.equal((await gateway.request({ host: 'x.example' })).status, 200))
  })
})

describe('a hostile client of a trusted proxy', () => {
  const scope = suiteScope()
  let gateway: Gateway
  let echo: EchoBackend
  // What the proxy appends about the client it sees.
  const XFF = 'x-forwarded-for'

  async function start(header: string): Promise<void> {
    echo = await echoBackend(scope)
    const trustedCIDRs = ['127.0.0.0/8', '10.0.0.0/8']
    const near = {
      name: 'near',
      matches: [{ sourceCIDRs: ['127.0.0.0/8', '10.0.0.0/8'] }],
      backendRefs: [{ name: 'echo' }],
    }
    gateway = await startGateway(
      scope,
      { 'a.yaml': backend('echo', [echo.port]) + route('near', ['near.example'], [near]) },
      { settings: { clientAddress: { header, trustedCIDRs } } },
    )
  }

  it('does not become the proxy, whatever it puts before what that appends', async () => {
    await start('Forwarded')
    const append = 'for=203.0.113.9;proto=https;host=near.example'
    for (const forged of [
      'for=10.0.0.1',
      'for="',
      'for="10.0.0.1',
      'for=10.0.0.1;x="',
      'for="\\',
      '"",for=10.0.0.1;by="',
      'for=10.0.0.1;host="evil\\"',
      ',,,',
      '""""',
      `${'for=10.0.0.1, '.repeat(63)}for=10.0.0.1`,
    ])
      for (const forwarded of [`${forged}, ${append}`, `${forged},${append},, `]) {
        const { status } = await gateway.request({ host: 'near.example', headers: { forwarded, [XFF]: '10.0.0.1' } })
        assert.equal(status, 404, forwarded)
      }
    assert.equal(echo.received.length, 0)
    await gateway.stop()
    await start('X-Forwarded-For')
    for (const forged of ['10.0.0.1', '"', ',', '10.0.0.1,'.repeat(100), '[', 'unknown', '10.0.0.1:'])
      for (const value of [`${forged}, 203.0.113.9`, `${forged},203.0.113.9,, `]) {
        const headers = { [XFF]: value, forwarded: 'for=10.0.0.1' }
        assert.equal((await gateway.request({ host: 'near.example', headers })).status, 404, value)
      }
    assert.equal(echo.received.length, 0)
    const inside = await gateway.request({ host: 'near.example', headers: { [XFF]: '203.0.113.9, 10.0.0.1, ,' } })
    assert.equal(inside.status, 404)
    assert.equal((await gateway.request({ host: 'near.example', headers: { [XFF]: ',10.0.0.1, ,' } })).status, 200)
  })
})
