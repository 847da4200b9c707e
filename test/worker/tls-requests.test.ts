import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { TestAuthority } from '../lib/certificates.ts'
import { h2Session } from '../lib/h2-websocket.ts'
import { settingsWith } from './test-plane.ts'
import { exchange, type TlsRig, tlsRig } from './tls-rig.ts'

const authority = new TestAuthority()
const RESPOND = { respond: { statusCode: 200, body: 'served' } }
const STRICT = {
  hostnames: ['strict.example'],
  tls: {
    mode: 'Terminate',
    http: 'Redirect',
    minVersion: 'TLS1.3',
    hsts: { maxAge: '1h', includeSubDomains: true, preload: false },
  },
  rules: { all: RESPOND },
} as const
const CLOSED = {
  hostnames: ['closed.example'],
  tls: { mode: 'Terminate', http: 'Closed', minVersion: 'TLS1.2' },
  rules: { all: RESPOND },
} as const

async function rigWithHosts(t: TestContext): Promise<TlsRig> {
  const rig = await tlsRig(t, {
    defaultSecret: 'default',
    routes: { 'default/strict': STRICT, 'default/closed': CLOSED },
  })
  rig.secret('default', authority.server('*.example'))
  return rig
}

async function statusOf(rig: TlsRig, servername: string, text: string): Promise<string> {
  const answer = await exchange(await rig.handshake({ servername }), text)
  return answer.slice(9, 12)
}

describe('requests on connections that were made for another host', () => {
  it('get 421 where the options differ, also with an absolute target, and are served where they are equal', async (t) => {
    const rig = await rigWithHosts(t)
    const get = (host: string): string => `GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`
    for (const [servername, host, expected] of [
      ['strict.example', 'strict.example', '200'],
      ['strict.example', 'STRICT.example.:443', '200'],
      ['closed.example', 'strict.example', '421'],
      ['strict.example', 'closed.example', '421'],
      ['strict.example', 'anybody.example', '421'],
      ['anybody.example', 'closed.example', '200'],
      ['closed.example', 'anybody.example', '200'],
    ] as const)
      assert.equal(await statusOf(rig, servername, get(host)), expected, `${host} on a connection for ${servername}`)
    const absolute = 'GET https://strict.example/ HTTP/1.1\r\nhost: strict.example\r\nconnection: close\r\n\r\n'
    assert.equal(await statusOf(rig, 'closed.example', absolute), '421')
    const pipelined = `GET / HTTP/1.1\r\nhost: closed.example\r\n\r\n${get('strict.example')}`
    const answers = await exchange(await rig.handshake({ servername: 'closed.example' }), pipelined)
    assert.deepEqual(answers.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 421'])
  })
})

describe('an open connection of HTTP/2', () => {
  it('gets 421 for a host of other options, and for its own once these have changed', async (t) => {
    const rig = await rigWithHosts(t)
    const url = `https://127.0.0.2:${rig.tlsPort}`
    const session = await h2Session(t, url, { servername: 'closed.example', rejectUnauthorized: false })
    const status = async (host: string): Promise<unknown> => {
      const stream = session.request({ ':path': '/', ':authority': host })
      const [headers] = (await once(stream, 'response')) as [Record<string, unknown>]
      await once(stream.resume(), 'close')
      return headers[':status']
    }
    assert.deepEqual([await status('closed.example'), await status('strict.example')], [200, 421])
    const tls = { ...CLOSED.tls, minVersion: 'TLS1.3' } as const
    const rules = { all: RESPOND }
    await rig.link({ rules, routes: { 'default/strict': STRICT, 'default/closed': { ...CLOSED, tls } } })
    assert.deepEqual([await status('closed.example'), await status('anybody.example')], [421, 200])
    await rig.link({ rules, routes: { 'default/closed': CLOSED } })
    assert.deepEqual([await status('closed.example'), await status('strict.example')], [200, 200])
  })
})

describe('a request in clear text behind a proxy that ends TLS', () => {
  it('is served where the proxy is trusted and says https, and redirected to https otherwise', async (t) => {
    const rig = await rigWithHosts(t)
    const ask = async (trusted: readonly string[], fields: string): Promise<string> => {
      const clientAddress = { header: 'x-forwarded-for', trustedCIDRs: trusted, trustedHops: 0 }
      const listener = { name: 'http', address: '127.0.0.1', port: 0 }
      await rig.use({ ...settingsWith([listener]), clientAddress })
      const client = connect(rig.port, '127.0.0.1')
      client.write(`GET / HTTP/1.1\r\nhost: strict.example\r\n${fields}connection: close\r\n\r\n`)
      let answer = ''
      for await (const bytes of client) answer += String(bytes)
      return /^location: (.*)\r$/m.exec(answer)?.[1] ?? answer.slice(9, 12)
    }
    const loop = 'https://strict.example/'
    const https = 'x-forwarded-proto: https\r\n'
    const from = 'x-forwarded-for: 203.0.113.7\r\n'
    const proxies = ['127.0.0.0/8']
    assert.equal(await ask(proxies, https), '200')
    assert.equal(await ask(proxies, from + https), '200')
    // Two proxies, of which the outer one speaks to the client: what it says counts, not how the inner one is spoken to.
    assert.equal(
      await ask(proxies, 'x-forwarded-for: 203.0.113.7, 127.0.0.9\r\nx-forwarded-proto: https, http\r\n'),
      '200',
    )
    assert.equal(await ask(proxies, `${from}x-forwarded-proto: http\r\n`), loop)
    assert.equal(await ask(proxies, from), loop)
    // Written by the client, left of what the trusted proxy has added.
    assert.equal(await ask(proxies, `${from}x-forwarded-proto: https, http\r\n`), loop)
    assert.equal(await ask(['192.0.2.0/24'], from + https), loop)
    assert.equal(await ask([], https), loop)
  })
})

describe('HSTS and clear text', () => {
  it('is stated over https alone, and clear text is redirected or refused as the host says', async (t) => {
    const rig = await rigWithHosts(t)
    const secure = await rig.fetch({ servername: 'strict.example' })
    assert.match(secure, /^HTTP\/1\.1 200 .*\r\nstrict-transport-security: max-age=3600; includeSubDomains\r\n/s)
    const clear = async (head: string): Promise<string> => {
      const client = connect(rig.port, '127.0.0.1')
      client.write(`${head}connection: close\r\n\r\n`)
      let answer = ''
      for await (const bytes of client) answer += String(bytes)
      return answer
    }
    const redirected = await clear('GET /a?b=c HTTP/1.1\r\nhost: strict.example\r\n')
    assert.match(redirected, /^HTTP\/1\.1 308 .*\r\nlocation: https:\/\/strict\.example\/a\?b=c\r\n/s)
    assert.doesNotMatch(redirected, /strict-transport-security/)
    assert.match(
      await clear('POST / HTTP/1.1\r\nhost: closed.example\r\ncontent-length: 0\r\n'),
      /^HTTP\/1\.1 403 .*ClearTextClosed/s,
    )
    assert.match(await clear('GET / HTTP/1.1\r\nhost: anybody.example\r\n'), /^HTTP\/1\.1 200 /)
  })
})
