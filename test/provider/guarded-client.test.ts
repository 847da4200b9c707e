/** Calls to providers against servers that misbehave, on real sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, createServer as createTcpServer, type Server } from 'node:net'
import { after, describe, test } from 'node:test'
import { ProviderError, type ProviderFault, type ProviderRequest } from '../../src/policy/provider-client.ts'
import { GuardedClient, type GuardedClientOptions } from '../../src/provider/guarded-client.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { DialGuard } from '../../src/transport/dial-guard.ts'
import { TestAuthority } from '../lib/certificates.ts'

const open: Server[] = []
after(() => {
  for (const server of open) {
    if ('closeAllConnections' in server) (server as unknown as { closeAllConnections(): void }).closeAllConnections()
    server.close()
  }
})

async function listen(server: Server): Promise<number> {
  open.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  return `http://127.0.0.1:${await listen(createServer(answer))}`
}

function client(options: Partial<GuardedClientOptions> = {}): GuardedClient {
  return new GuardedClient({ time: systemTimers, refuses: () => undefined, ...options })
}

const GET = { owner: 'shop', method: 'GET' } as const

async function faultOf(promise: Promise<unknown>): Promise<{ fault: ProviderFault; message: string }> {
  try {
    await promise
  } catch (error) {
    assert.ok(error instanceof ProviderError, String(error))
    return { fault: error.fault, message: error.message }
  }
  throw new assert.AssertionError({ message: 'the call succeeded' })
}

describe('a response', () => {
  test('comes with status, header fields and body; 500 is one, too', async () => {
    const seen: string[] = []
    const url = await serve((request, response) => {
      seen.push(`${request.method} ${request.url} ${request.headers.accept} ${request.headers['accept-encoding']}`)
      response.writeHead(request.url === '/bad' ? 500 : 200, { 'cache-control': 'max-age=60', 'x-a': ['1', '2'] })
      response.end('{"a":1}')
    })
    const { status, headers, body } = await client().request({ ...GET, url: `${url}/keys?x=1` })
    assert.deepEqual([status, Buffer.from(body).toString()], [200, '{"a":1}'])
    assert.deepEqual([headers['cache-control'], headers['x-a']], ['max-age=60', '1, 2'])
    assert.equal((await client().request({ ...GET, url: `${url}/bad` })).status, 500)
    assert.deepEqual(seen, ['GET /keys?x=1 application/json identity', 'GET /bad application/json identity'])
  })

  test('a form is posted with the given fields', async () => {
    const url = await serve((request, response) => {
      let text = ''
      request.on('data', (chunk) => (text += chunk))
      request.on('end', () => response.end(`${request.headers['content-type']} ${text}`))
    })
    const { body } = await client().request({
      owner: 'shop',
      method: 'POST',
      url,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: 'a=1',
    })
    assert.equal(Buffer.from(body).toString(), 'application/x-www-form-urlencoded a=1')
  })
})

describe('a server that misbehaves', () => {
  const cases: readonly [name: string, fault: ProviderFault, answer: (response: ServerResponse) => void][] = [
    ['redirects', 'redirect', (r) => r.writeHead(302, { location: 'http://169.254.169.254/' }).end()],
    ['announces 100 MB', 'too-large', (r) => r.writeHead(200, { 'content-length': 100_000_000 }).flushHeaders()],
    ['sends chunks without end', 'too-large', (r) => pour(r)],
    ['compresses unasked', 'encoding', (r) => r.writeHead(200, { 'content-encoding': 'gzip' }).end('x')],
    ['is silent', 'timeout', () => {}],
    ['drips its body', 'timeout', (r) => drip(r)],
    ['ends within its body', 'connect', (r) => breakOff(r)],
  ]
  for (const [name, fault, answer] of cases)
    test(`one that ${name} is told as ${fault}`, async () => {
      const url = await serve((_, response) => answer(response))
      const timeout = fault === 'timeout' ? 300 : 30_000
      const one = client()
      assert.equal((await faultOf(one.request({ ...GET, url, timeout }))).fault, fault)
      assert.equal(one.running, 0)
    })

  test('one that speaks no HTTP', async () => {
    const port = await listen(
      createTcpServer((socket) => {
        socket.on('error', () => {})
        socket.once('data', () => socket.end('220 mail\r\n\r\n'))
      }),
    )
    assert.equal((await faultOf(client().request({ ...GET, url: `http://127.0.0.1:${port}` }))).fault, 'malformed')
  })

  test('a certificate of an unknown authority, and of another name', async () => {
    const authority = new TestAuthority()
    const { cert, key } = authority.issue({ names: { dns: ['id.test'] } })
    const port = await listen(createTlsServer({ cert, key }, (_, response) => response.end('ok')))
    const names = { lookup: async () => [{ address: '127.0.0.1', family: 4 }] }
    const { fault, message } = await faultOf(client(names).request({ ...GET, url: `https://id.test:${port}` }))
    assert.equal(fault, 'tls', message)
    const known = client({ ...names, ca: authority.ca })
    assert.equal((await known.request({ ...GET, url: `https://id.test:${port}` })).status, 200)
    assert.equal((await faultOf(known.request({ ...GET, url: `https://other.test:${port}` }))).fault, 'tls')
  })
})

function pour(response: ServerResponse): void {
  const more = (): void => {
    while (!response.destroyed && response.write(Buffer.alloc(65_536)));
  }
  response.on('drain', more)
  more()
}

function drip(response: ServerResponse): void {
  const timer = setInterval(() => response.write(' '), 20)
  response.on('close', () => clearInterval(timer))
}

function breakOff(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': 10 })
  response.write('x', () => response.destroy())
}

describe('the dial guard', () => {
  const guard = new DialGuard({
    loopback: false,
    ownAddresses: [],
    places: [],
    closedPorts: [],
    denyCIDRs: ['10.1.0.0/16'],
    ownPorts: [],
  })
  const refuses = (address: string, port: number): string | undefined => guard.refuses(address, port)
  const spellings = [
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f.0.0.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://169.254.169.254/latest/meta-data',
    'http://[64:ff9b::a9fe:a9fe]/',
    'http://0.0.0.0/',
    'https://10.1.2.3/',
    'https://[fd00:ec2::254]/',
  ]
  for (const url of spellings)
    test(`refuses ${url}`, async () => {
      assert.equal((await faultOf(client({ refuses }).request({ ...GET, url }))).fault, 'address')
    })

  test('judges what a name leads to, and connects to nothing else', async () => {
    const url = await serve((_, response) => response.end('reached'))
    const { port } = new URL(url)
    let asked = 0
    // The second answer would be another one: a name that is rebound between check and connection.
    const lookup = async () => [
      { address: ['127.0.0.1', '127.0.0.2'][Math.min(asked++, 1)]!, family: 4 },
      { address: '127.0.0.3', family: 4 },
    ]
    const only = client({ lookup, refuses: (address) => (address === '127.0.0.1' ? undefined : 'is refused') })
    const { body } = await only.request({ ...GET, url: `http://id.test:${port}/` })
    assert.equal(Buffer.from(body).toString(), 'reached')
    assert.equal(asked, 1)
    const { fault, message } = await faultOf(only.request({ ...GET, url: `http://id.test:${port}/` }))
    assert.equal(fault, 'address')
    assert.equal(message, 'its name id.test leads to an address that is refused')
  })

  test('a host that its owner must not name is not looked up', async () => {
    const names: string[] = []
    const strict = client({
      refusesHost: (owner, host, port) => (owner === 'shop' && host === 'id.test' && port === 443 ? undefined : 'no'),
      lookup: async (name) => {
        names.push(name)
        return []
      },
    })
    assert.equal((await faultOf(strict.request({ ...GET, url: 'https://id.test/' }))).fault, 'name')
    assert.equal((await faultOf(strict.request({ ...GET, owner: 'b', url: 'https://id.test/' }))).fault, 'address')
    assert.deepEqual(names, ['id.test'])
  })

  test('addresses with credentials in them, and other schemes', async () => {
    for (const url of ['https://user:secret@id.test/', 'ftp://id.test/', 'file:///etc/passwd', 'nonsense']) {
      const { fault, message } = await faultOf(client().request({ ...GET, url }))
      assert.equal(fault, 'url')
      assert.ok(!message.includes('secret'))
    }
  })
})

describe('turns', () => {
  test('an owner whose calls hang does not delay another; its own wait, are bounded and can be given up', async () => {
    let hanging = 0
    const url = await serve((request, response) => {
      if (request.url === '/hang') hanging++
      else response.end('ok')
    })
    const one = client()
    const stop = new AbortController()
    const hang: ProviderRequest = {
      owner: 'evil',
      method: 'GET',
      url: `${url}/hang`,
      timeout: 60_000,
      signal: stop.signal,
    }
    const calls = Array.from({ length: 8 + 256 }, () => faultOf(one.request(hang)))
    assert.equal((await faultOf(one.request(hang))).fault, 'busy')
    for (let i = 0; i < 20; i++) assert.equal((await one.request({ ...GET, url })).status, 200)
    assert.ok(hanging <= 8)
    stop.abort()
    for (const call of calls) assert.equal((await call).fault, 'aborted')
    assert.equal(one.running, 0)
    assert.equal((await one.request({ owner: 'evil', method: 'GET', url })).status, 200)
  })

  test('a name server that hangs for one owner does not delay the look-ups of another', async () => {
    const url = await serve((_, response) => response.end('ok'))
    const { port } = new URL(url)
    const stop = new AbortController()
    const one = client({
      lookup: (name) =>
        name === 'hangs.test' ? new Promise(() => {}) : Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
    })
    const slow = Array.from({ length: 8 }, () =>
      faultOf(one.request({ owner: 'evil', method: 'GET', url: 'http://hangs.test/', signal: stop.signal })),
    )
    assert.equal((await one.request({ ...GET, url: `http://id.test:${port}/` })).status, 200)
    stop.abort()
    for (const call of slow) assert.equal((await call).fault, 'aborted')
  })
})
