import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { certificateRef } from '../../src/snapshot/host-tls.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { binary, tcp4, tlv, withChecksum } from '../proxy-protocol/headers.ts'
import { listening, until } from '../socket/sockets.ts'
import { InProcess } from './in-process.ts'
import { type InProcessOptions, settingsWith } from './test-plane.ts'

const authority = new TestAuthority()
const V1 = 'PROXY TCP4 203.0.113.7 198.51.100.1 51234 9443\r\n'
const V2 = tcp4('203.0.113.7', 51234, '198.51.100.1', 9443)

const ADDRESSES = { http: '127.0.0.1', https: '127.0.0.2', plain: '127.0.0.3' } as const

interface Rig {
  readonly gateway: InProcess
  /** Heads that the upstream has received. */
  readonly heads: string[]
  open(listener: 'http' | 'https' | 'plain', localAddress?: string): Promise<Socket>
}

/** Listeners that expect a header of 127.0.0.1 alone, and one that expects none. */
async function rig(
  t: TestContext,
  options: InProcessOptions & { readonly clientAddress?: string[] } = {},
): Promise<Rig> {
  const heads: string[] = []
  const upstream = await listening(t, (socket) => {
    let text = ''
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1')
      if (!text.includes('\r\n\r\n')) return
      heads.push(text)
      text = ''
      socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
    })
  })
  const gateway = new InProcess({ upstreams: [upstream.port], ...options })
  t.after(() => {
    gateway.listeners.destroy()
    gateway.plane.backends.retain([])
  })
  const secret = certificateRef('test', 'default')
  const issued = authority.server('rig.test')
  gateway.plane.contents.apply([
    { id: secret.chain, bytes: Buffer.from(issued.cert) },
    { id: secret.key, bytes: Buffer.from(issued.key) },
  ])
  const proxyProtocol = { trusted: ['127.0.0.1/32'] }
  const settings = settingsWith(
    [
      { name: 'http', address: ADDRESSES.http, port: 0, proxyProtocol },
      { name: 'https', address: ADDRESSES.https, port: 0, tls: true, proxyProtocol },
      { name: 'plain', address: ADDRESSES.plain, port: 0 },
    ],
    options,
  )
  await gateway.use({
    ...settings,
    tls: { defaultCertificate: secret, ticketKey: null },
    clientAddress:
      options.clientAddress === undefined
        ? null
        : { header: 'x-forwarded-for', trustedCIDRs: options.clientAddress, trustedHops: 0 },
  })
  await gateway.linked
  return {
    gateway,
    heads,
    async open(listener, localAddress = '127.0.0.1') {
      const socket = connect({ port: gateway.listeners.ports.get(listener)!, host: ADDRESSES[listener], localAddress })
      socket.on('error', () => {})
      t.after(() => void socket.destroy())
      await once(socket, 'connect')
      return socket
    },
  }
}

const GET = 'GET /a HTTP/1.1\r\nhost: rig.test\r\nx-forwarded-for: 192.0.2.66\r\n\r\n'

/** @returns what the socket received until it has a whole response, or was closed */
async function response(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (bytes: Buffer) => (text += bytes.toString('latin1')))
  const closed = new Promise((resolve) => socket.once('close', resolve))
  await Promise.race([closed, until(() => text.endsWith('ok') || /HTTP\/1.1 [45]/.test(text))])
  return text
}

const field = (head: string, name: string): string | undefined => new RegExp(`^${name}: (.*)\\r$`, 'im').exec(head)?.[1]

describe('a listener that expects PROXY headers', () => {
  for (const [version, header] of [
    ['1', Buffer.from(V1)],
    ['2', V2],
  ] as const) {
    it(`takes the client from a header of version ${version}, in whatever pieces it comes`, async (t) => {
      const { gateway, heads, open } = await rig(t)
      const all = Buffer.concat([header, Buffer.from(GET)])
      const whole = await open('http')
      whole.write(all)
      assert.match(await response(whole), /^HTTP\/1.1 200/)
      const bytewise = await open('http')
      bytewise.setNoDelay(true)
      for (const byte of header) {
        bytewise.write(Buffer.of(byte))
        await new Promise(setImmediate)
      }
      bytewise.write(GET)
      assert.match(await response(bytewise), /^HTTP\/1.1 200/)
      for (const head of heads) {
        assert.equal(field(head, 'x-forwarded-for'), '203.0.113.7')
        assert.equal(field(head, 'x-forwarded-port'), '9443')
        assert.equal(field(head, 'x-forwarded-proto'), 'http')
      }
      assert.deepEqual(
        gateway.log().map(({ client }) => client),
        ['203.0.113.7', '203.0.113.7'],
      )
      // A further request on the connection is the same client's.
      whole.write(GET)
      await until(() => heads.length === 3)
      assert.equal(field(heads[2]!, 'x-forwarded-for'), '203.0.113.7')
      assert.deepEqual(gateway.proxyRefusals, [])
    })

    it(`takes it before the handshake, from a header of version ${version}`, async (t) => {
      const { heads, open } = await rig(t)
      const socket = await open('https')
      socket.write(header)
      const secured = connectTls({ socket, servername: 'rig.test', ca: authority.ca })
      t.after(() => void secured.destroy())
      await once(secured, 'secureConnect')
      secured.write(GET)
      assert.match(await response(secured), /^HTTP\/1.1 200/)
      assert.equal(field(heads[0]!, 'x-forwarded-for'), '203.0.113.7')
      assert.equal(field(heads[0]!, 'x-forwarded-proto'), 'https')
      assert.equal(field(heads[0]!, 'x-forwarded-port'), '9443')
    })
  }

  it('takes the header and the ClientHello from one piece', async (t) => {
    const { heads, open } = await rig(t)
    const far = await open('https')
    // What the TLS client writes goes out behind the header, in one write.
    const { near, client } = await tlsClient(t)
    const hello: Buffer = await new Promise((resolve) => near.once('data', resolve))
    far.write(Buffer.concat([V2, hello]))
    near.pipe(far)
    far.pipe(near)
    await once(client, 'secureConnect')
    client.write(GET)
    assert.match(await response(client), /^HTTP\/1.1 200/)
    assert.equal(field(heads[0]!, 'x-forwarded-for'), '203.0.113.7')
  })

  it('takes the socket itself where the proxy speaks for itself', async (t) => {
    const { heads, open } = await rig(t)
    for (const header of [Buffer.from('PROXY UNKNOWN\r\n'), binary(0x20, 0), binary(0x21, 0)]) {
      const socket = await open('http')
      socket.write(Buffer.concat([header, Buffer.from(GET)]))
      await response(socket)
    }
    assert.deepEqual(
      heads.map((head) => field(head, 'x-forwarded-for')),
      ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    )
  })

  it('believes forwarding fields of the client that the header names, never of the proxy that sent it', async (t) => {
    const { heads, open } = await rig(t, { clientAddress: ['127.0.0.0/8', '203.0.113.7/32'] })
    for (const client of ['203.0.113.7', '203.0.113.8']) {
      const socket = await open('http')
      socket.write(Buffer.concat([tcp4(client, 1, '198.51.100.1', 9443), Buffer.from(GET)]))
      await response(socket)
    }
    assert.deepEqual(
      heads.map((head) => field(head, 'x-forwarded-for')),
      ['192.0.2.66, 203.0.113.7', '203.0.113.8'],
    )
  })

  it('matches rules by the client that the header names', async (t) => {
    const { open } = await rig(t, {
      rules: {
        office: {
          matches: [
            {
              path: { type: 'PathPrefix', value: '/' },
              headers: [],
              queryParams: [],
              cookies: [],
              sourceCIDRs: ['203.0.113.0/24'],
            },
          ],
          respond: { statusCode: 200, contentType: 'text/plain', body: 'ok' },
        } as never,
      },
    })
    const answers: string[] = []
    for (const client of ['203.0.113.7', '198.51.100.9']) {
      const socket = await open('http')
      socket.write(Buffer.concat([tcp4(client, 1, '198.51.100.1', 80), Buffer.from(GET)]))
      answers.push((await response(socket)).slice(9, 12))
    }
    assert.deepEqual(answers, ['200', '404'])
  })

  it('closes connections of strangers without reading, whatever they send', async (t) => {
    const { gateway, heads, open } = await rig(t)
    for (const listener of ['http', 'https'] as const)
      for (const header of [V1, V2, GET]) {
        const socket = await open(listener, '127.0.0.9')
        socket.write(header)
        socket.write(GET)
        assert.equal(await response(socket), '')
      }
    assert.deepEqual(gateway.proxyRefusals, Array(6).fill('untrusted'))
    assert.deepEqual(heads, [])
  })

  it('closes connections whose header cannot be used, with the reason', async (t) => {
    const { gateway, heads, open } = await rig(t)
    const cases: readonly (readonly [string | Buffer, string])[] = [
      [GET, 'missing'],
      ['\x16\x03\x01\x02\x00', 'missing'],
      ['PROXY TCP4 203.0.113.7 198.51.100.1 51234\r\n', 'malformed'],
      [`PROXY TCP4 ${'x'.repeat(200)}`, 'oversized'],
      [binary(0x22, 0x11, Buffer.alloc(12)), 'malformed'],
      [withChecksum(V2, 1), 'checksum'],
      [Buffer.concat([binary(0x21, 0x11).subarray(0, 14), Buffer.of(0xff, 0xff)]), 'oversized'],
      [tcp4('1.2.3.4', 1, '1.2.3.4', 1, tlv(1, 'x').subarray(0, 3)), 'malformed'],
    ]
    for (const [bytes, reason] of cases) {
      const socket = await open('http')
      socket.write(Buffer.from(bytes as string, 'latin1'))
      socket.write(GET)
      assert.equal(await response(socket), '', reason)
    }
    assert.deepEqual(
      gateway.proxyRefusals,
      cases.map(([, reason]) => reason),
    )
    assert.deepEqual(heads, [])
  })

  it('closes a connection whose header is cut, or does not come in time', async (t) => {
    const { gateway, open } = await rig(t, { handshake: 200 })
    const cut = await open('http')
    cut.end(V2.subarray(0, 20))
    assert.equal(await response(cut), '')
    const slow = await open('http')
    slow.write(V1.slice(0, 10))
    assert.equal(await response(slow), '')
    const silent = await open('https')
    assert.equal(await response(silent), '')
    assert.deepEqual(gateway.proxyRefusals, ['gone', 'timeout', 'timeout'])
    await gateway.nothingLeft()
  })

  it('takes no second header: behind the first there is the request', async (t) => {
    const { heads, open } = await rig(t)
    for (const second of [
      Buffer.from('PROXY TCP4 10.0.0.1 198.51.100.1 1 2\r\n'),
      tcp4('10.0.0.1', 1, '198.51.100.1', 2),
    ]) {
      const socket = await open('http')
      socket.write(Buffer.concat([V2, second, Buffer.from(GET)]))
      assert.match(await response(socket), /^HTTP\/1.1 400/)
    }
    assert.deepEqual(heads, [])
  })

  it('is another one when the settings say so: without headers, or from others', async (t) => {
    const { gateway, open } = await rig(t)
    const settings = (trusted: string[] | null) =>
      settingsWith([{ name: 'http', address: '127.0.0.1', port: 0, proxyProtocol: trusted && { trusted } }])
    await gateway.use(settings(['192.0.2.0/24']))
    const stranger = await open('http')
    assert.equal(await response(stranger), '')
    await gateway.use(settings(null))
    const direct = await open('http')
    direct.write(GET)
    assert.match(await response(direct), /^HTTP\/1.1 200/)
    assert.deepEqual(gateway.proxyRefusals, ['untrusted'])
  })
})

describe('a listener that expects none', () => {
  it('answers a PROXY header as what it is there: no request', async (t) => {
    const { heads, open } = await rig(t)
    for (const header of [V1, V2]) {
      const socket = await open('plain')
      socket.write(header)
      socket.write(GET)
      assert.match(await response(socket), /^HTTP\/1.1 400/)
    }
    assert.deepEqual(heads, [])
  })
})

/** A TLS client whose bytes come out of `near`. */
async function tlsClient(t: TestContext): Promise<{ readonly near: Socket; readonly client: Socket }> {
  const accepted = Promise.withResolvers<Socket>()
  const { port } = await listening(t, (socket) => accepted.resolve(socket))
  const client = connectTls({ port, host: '127.0.0.1', servername: 'rig.test', ca: authority.ca })
  client.on('error', () => {})
  t.after(() => void client.destroy())
  return { near: await accepted.promise, client }
}
