import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { suite, test } from 'node:test'
import { type ConnectionOptions, connect, createServer } from 'node:tls'
import { ALERT, ClientHelloReader, HelloFault, MAX_HELLO_BYTES } from '../../src/tls/client-hello.ts'
import { TestAuthority } from '../lib/certificates.ts'
import { clientHello, common, counted, extension, protocols, records, serverName, versions } from './hello-writer.ts'

function read(bytes: Buffer): ReturnType<ClientHelloReader['push']> {
  return new ClientHelloReader().push(bytes)
}

function helloOf(bytes: Buffer): Exclude<ReturnType<ClientHelloReader['push']>, HelloFault | null> {
  const found = read(bytes)
  assert.ok(found !== null && !(found instanceof HelloFault), `no hello: ${JSON.stringify(found)}`)
  return found
}

/** What the client of node:tls sends first, as it came from the network. */
async function firstFlight(options: ConnectionOptions): Promise<Buffer> {
  const server = createTcpServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const client = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ...options })
  client.on('error', () => {})
  const [socket] = await accepted
  const parts: Buffer[] = []
  for await (const bytes of socket) {
    parts.push(bytes as Buffer)
    if (read(Buffer.concat(parts)) !== null) break
  }
  client.destroy()
  server.close()
  return Buffer.concat(parts)
}

suite('the ClientHello of node:tls', () => {
  test('name, protocols and version', async () => {
    const hello = helloOf(
      await firstFlight({ servername: 'shop.example.com', ALPNProtocols: ['h2', 'http/1.1'], maxVersion: 'TLSv1.3' }),
    )
    assert.equal(hello.serverName, 'shop.example.com')
    assert.deepEqual(hello.protocols, ['h2', 'http/1.1'])
    assert.equal(hello.version, 0x0304)
    assert.equal(hello.ticketName, null)
  })

  test('neither name nor protocols, TLS 1.2', async () => {
    const hello = helloOf(await firstFlight({ maxVersion: 'TLSv1.2', minVersion: 'TLSv1.2' }))
    assert.equal(hello.serverName, '')
    assert.deepEqual(hello.protocols, [])
    assert.equal(hello.version, 0x0303)
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`the key of a ticket over ${version}`, async () => {
      const ticketKeys = Buffer.alloc(48, 1)
      ticketKeys.write('the key is named', 0)
      const authority = new TestAuthority()
      const server = createServer({ ...authority.server('a.example'), ticketKeys }, (socket) => socket.end('x'))
      server.listen(0, '127.0.0.1')
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      const options = { ca: authority.ca, servername: 'a.example', maxVersion: version }
      const client = connect({ host: '127.0.0.1', port, ...options })
      const [session] = (await once(client, 'session')) as [Buffer]
      client.destroy()
      server.close()
      const hello = helloOf(await firstFlight({ ...options, session }))
      assert.equal(hello.ticketName?.toString(), 'the key is named')
    })
})

suite('pieces', () => {
  const message = clientHello([serverName('shop.example.com'), protocols('h2'), ...common()])
  const whole = records(message)

  test('a hello is complete with its last byte, and its bytes are handed on unchanged', () => {
    for (const size of [1, 2, 3, 7, whole.length - 1, whole.length]) {
      const reader = new ClientHelloReader()
      for (let at = 0; at < whole.length; at += size) {
        const found = reader.push(whole.subarray(at, at + size))
        if (at + size < whole.length) assert.equal(found, null)
        else assert.equal((found as { serverName: string }).serverName, 'shop.example.com')
      }
      assert.deepEqual(reader.bytes, whole)
    }
  })

  test('fifty records, down to one byte in each', () => {
    for (const size of [1, 2, 3, 4, 5, Math.ceil(message.length / 50)]) {
      const reader = new ClientHelloReader()
      const bytes = records(message, size)
      let found: unknown = null
      for (const byte of bytes) found ??= reader.push(Buffer.from([byte]))
      assert.equal((found as { serverName: string }).serverName, 'shop.example.com')
    }
  })

  test('what follows the hello is no part of it', () => {
    const reader = new ClientHelloReader()
    const found = reader.push(Buffer.concat([whole, Buffer.from([20, 3, 3, 0, 1, 1])]))
    assert.equal((found as { serverName: string }).serverName, 'shop.example.com')
    assert.equal(reader.bytes.length, whole.length + 6)
  })
})

suite('server names', () => {
  for (const [sent, expected] of [
    ['127.0.0.1', '127.0.0.1'],
    ['', ''],
    ['SHOP.Example.COM.', 'SHOP.Example.COM.'],
    ['bücher.example', 'bÃ¼cher.example'],
    ['a'.repeat(255), 'a'.repeat(255)],
  ] as const)
    test(`${sent.slice(0, 20) || 'an empty one'} is read as it was sent`, () => {
      assert.equal(helloOf(records(clientHello([serverName(sent), ...common()]))).serverName, expected)
    })

  for (const [what, sent, alert] of [
    ['longer than 255 bytes', 'a'.repeat(256), ALERT.unrecognizedName],
    ['of 64 KiB', 'a'.repeat(65_000), ALERT.unrecognizedName],
    ['with a NUL', 'a\0b', ALERT.unrecognizedName],
  ] as const)
    test(`${what} is refused`, () => {
      const fault = read(records(clientHello([serverName(sent)])))
      assert.ok(fault instanceof HelloFault)
      assert.equal(fault.alert, alert)
    })

  test('of another type, or several, are refused as OpenSSL does', () => {
    const two = counted(2, Buffer.concat([counted(2, Buffer.from('a')), counted(2, Buffer.from('b'))]))
    for (const body of [serverName('a', 1), extension(0, two), extension(0, counted(2, Buffer.alloc(0)))]) {
      const fault = read(records(clientHello([body])))
      assert.ok(fault instanceof HelloFault)
      assert.equal(fault.alert, ALERT.decodeError)
    }
  })
})

suite('what is no ClientHello', () => {
  for (const [what, bytes, expected] of [
    [
      'a request in clear text',
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      { notTls: true, alert: ALERT.unexpectedMessage },
    ],
    ['an unknown version', Buffer.from([22, 4, 0, 0, 1]), { alert: ALERT.protocolVersion }],
    ['a record over 16 KiB', Buffer.from([22, 3, 1, 0x40, 1]), { alert: ALERT.recordOverflow }],
    ['an empty record', Buffer.from([22, 3, 1, 0, 0]), { alert: ALERT.unexpectedMessage }],
    ['a ServerHello', records(Buffer.from([2, 0, 0, 1, 0])), { alert: ALERT.unexpectedMessage }],
    ['a length over 64 KiB', records(Buffer.from([1, 1, 0, 0, 0])), { alert: ALERT.illegalParameter }],
    [
      'an alert within it',
      Buffer.concat([records(clientHello([]).subarray(0, 20)), Buffer.from([21, 3, 1, 0, 2, 2, 0])]),
      { alert: ALERT.unexpectedMessage },
    ],
    ['no cipher', records(clientHello([], Buffer.alloc(0))), { alert: ALERT.decodeError }],
    ['an extension twice', records(clientHello([serverName('a'), serverName('b')])), { alert: ALERT.illegalParameter }],
    ['an empty protocol', records(clientHello([protocols('h2', '')])), { alert: ALERT.decodeError }],
    ['no protocols', records(clientHello([protocols()])), { alert: ALERT.decodeError }],
    ['no versions', records(clientHello([versions()])), { alert: ALERT.decodeError }],
    [
      'a pre-shared key cut short',
      records(clientHello([extension(41, Buffer.from([0, 9, 0]))])),
      { alert: ALERT.decodeError },
    ],
  ] as const)
    test(`${what} is refused with its alert`, () => {
      const fault = read(bytes)
      assert.ok(fault instanceof HelloFault)
      assert.deepEqual(
        { notTls: fault.notTls, alert: fault.alert },
        { notTls: false, ...(expected as { alert: number; notTls?: boolean }) },
      )
    })

  test('records that never complete a hello are bounded', () => {
    const reader = new ClientHelloReader()
    // The header of a message of 64 KiB, and then a byte in each record: five bytes of header each time.
    let found = reader.push(records(Buffer.from([1, 0, 0xff, 0xf0])))
    let sent = 0
    for (; found === null && sent < MAX_HELLO_BYTES * 2; sent += 6) found = reader.push(records(Buffer.from([0])))
    assert.ok(found instanceof HelloFault)
    assert.ok(sent <= MAX_HELLO_BYTES)
  })

  test('a hello of nearly 64 KiB is read', () => {
    const padding = extension(21, Buffer.alloc(60_000))
    assert.equal(helloOf(records(clientHello([padding, serverName('a.example')]))).serverName, 'a.example')
  })
})
