/** Connections of probes: TLS and its Secrets, options that change, and endpoints that mean no good. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer as createHttps, type Server as HttpsServer } from 'node:https'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { Probes } from '../../../src/control/health/probes.ts'
import { EndpointTable, SLOT_STATE } from '../../../src/shared-memory/endpoint-table.ts'
import type { ActiveHealth } from '../../../src/snapshot/health.ts'
import type { BackendConfig } from '../../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { TestAuthority } from '../../lib/certificates.ts'

const CA = 'Secret shop/ca ca.crt headgate.dev/ca'
const CHAIN = 'Secret shop/client tls.crt kubernetes.io/tls'
const KEY = 'Secret shop/client tls.key kubernetes.io/tls'

const ACTIVE: ActiveHealth = {
  type: 'HTTP',
  protocol: 'HTTP',
  path: '/healthz',
  port: undefined,
  interval: 100,
  timeout: 5_000,
  jitterPercent: 0,
  healthyAfter: 1,
  unhealthyAfter: 1,
  codes: [[200, 399]],
  hostname: undefined,
  headers: [],
  bodyContains: '',
  grpcService: '',
}

describe('connections of probes', () => {
  const servers: Server[] = []
  const sockets = new Set<Socket>()
  let table: EndpointTable
  let probes: Probes
  /** Faults as endpoints turned; '' = well again. */
  let turns: string[]
  let wake: () => void

  beforeEach(() => {
    table = new EndpointTable(EndpointTable.allocate(1, 64))
    turns = []
    wake = () => {}
    probes = new Probes({
      table,
      time: systemTimers,
      random: () => 0,
      sockets: 8,
      refuses: () => undefined,
      turned(_, __, fault) {
        turns.push(fault)
        wake()
      },
    })
  })

  afterEach(() => {
    probes.stop()
    for (const socket of sockets) socket.destroy()
    for (const server of servers.splice(0)) server.close()
  })

  async function listening(server: Server): Promise<number> {
    servers.push(server)
    server.on('connection', (socket: Socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  function probe(port: number, active: Partial<ActiveHealth> = {}, more: Partial<BackendConfig> = {}): void {
    table.enlist(0)
    const rows: EndpointRow[] = [{ address: '127.0.0.1', port, slot: 0, weight: 1, state: 'ready' }]
    probes.set({ id: 'shop/api', protocol: 'HTTP', ...more } as BackendConfig, { ...ACTIVE, ...active }, rows)
  }

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => (wake = resolve))
  }

  async function turned(fault: RegExp): Promise<void> {
    const from = turns.length
    await until(() => turns.length > from)
    assert.match(turns.at(-1)!, fault)
    assert.equal((table.state(0) & SLOT_STATE.unhealthy) !== 0, turns.at(-1) !== '')
  }

  function deliver(contents: Readonly<Record<string, string | null>>): void {
    probes.accept({
      type: 'contents',
      contents: Object.entries(contents).map(([id, text]) => ({ id, bytes: text === null ? null : Buffer.from(text) })),
    } as Parameters<Probes['accept']>[0])
  }

  const old = new TestAuthority('Old')
  const young = new TestAuthority('Young')

  async function https(options: object): Promise<{ server: HttpsServer; port: number; seen: string[] }> {
    const seen: string[] = []
    const connections = new Map<TLSSocket, number>()
    const server = createHttps({ keepAliveTimeout: 60_000, ...options }, (request, response) => {
      const socket = request.socket as TLSSocket
      if (!connections.has(socket)) connections.set(socket, connections.size + 1)
      const { subject } = socket.getPeerCertificate()
      seen.push(`${connections.get(socket)} ${String(socket.servername)} ${subject?.CN ?? 'nobody'}`)
      response.end()
      wake()
    })
    server.on('tlsClientError', () => {})
    return { server, port: await listening(server as unknown as Server), seen }
  }

  const tls = (more: object = {}): Partial<BackendConfig> => ({
    protocol: 'HTTPS',
    tls: {
      ca: CA,
      serverName: 'up.test',
      serviceName: undefined,
      clientCertificate: undefined,
      insecureSkipVerify: false,
      ...more,
    },
  })

  it('are verified by the CA of the Backend, and renewed with each rotation of it', async () => {
    const { server, port, seen } = await https(old.server('up.test'))
    probe(port, { protocol: 'HTTPS' }, tls())
    await turned(/./)
    assert.equal(seen.length, 0, 'nothing is asked without the CA')
    deliver({ [CA]: old.ca })
    await turned(/^$/)
    await until(() => seen.length >= 3)
    assert.deepEqual(new Set(seen), new Set(['1 up.test nobody']), 'on one connection that is kept')
    server.setSecureContext(young.server('up.test'))
    deliver({ [CA]: young.ca })
    await until(() => seen.includes('2 up.test nobody'))
    assert.equal(turns.at(-1), '', 'a rotation is no fault of the endpoint')
    deliver({ [CA]: old.ca })
    await turned(/certificate/)
  })

  it('present the certificate of the Backend, and the new one when it is rotated', async () => {
    const options = { ...old.server('up.test'), requestCert: true, rejectUnauthorized: true, ca: young.ca }
    const { port, seen } = await https(options)
    const client = (name: string) => {
      const { cert, key } = young.issue({ use: 'client', subject: { commonName: name } })
      return { [CHAIN]: cert, [KEY]: key }
    }
    deliver({ [CA]: old.ca, ...client('first') })
    probe(port, { protocol: 'HTTPS' }, tls({ clientCertificate: { secret: 'shop/client', chain: CHAIN, key: KEY } }))
    await until(() => seen.includes('1 up.test first'))
    deliver(client('second'))
    await until(() => seen.includes('2 up.test second'))
    assert.deepEqual(turns, [])
  })

  it('are not renewed by Secrets of others, nor by options that do not concern them', async () => {
    const { port, seen } = await https(old.server('up.test'))
    deliver({ [CA]: old.ca })
    probe(port, { protocol: 'HTTPS' }, tls())
    await until(() => seen.length >= 2)
    deliver({ 'Secret other/ca ca.crt headgate.dev/ca': young.ca })
    probe(port, { protocol: 'HTTPS', healthyAfter: 3 }, { ...tls(), maxConnections: 7 })
    const asked = seen.length
    await until(() => seen.length >= asked + 3)
    assert.deepEqual(new Set(seen), new Set(['1 up.test nobody']))
  })

  it('follow options that change while a probe is under way', async () => {
    const asked: string[] = []
    const port = await listening(
      createServer((socket) =>
        socket.on('data', () => {
          asked.push('silent')
          wake()
        }),
      ),
    )
    const other = await listening(
      createServer((socket) =>
        socket.on('data', () => {
          asked.push('other')
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
          wake()
        }),
      ),
    )
    probe(port, { timeout: 200 })
    await until(() => asked.includes('silent'))
    probe(port, { port: other })
    await until(() => asked.filter((one) => one === 'other').length >= 2)
    assert.equal(asked.filter((one) => one === 'silent').length, 1)
  })

  it('are used sooner as soon as the interval is a shorter one', async () => {
    let asked = 0
    const port = await listening(
      createServer((socket) =>
        socket.on('data', () => {
          asked++
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
          wake()
        }),
      ),
    )
    probe(port, { interval: 3_600_000 })
    await until(() => asked === 1)
    probe(port, { interval: 100 })
    await until(() => asked >= 3)
  })

  /** Sends as fast as it is read, for ever or so many times; @returns bytes that were taken */
  function flood(
    first: string,
    more: string,
    times = Number.POSITIVE_INFINITY,
  ): { port: Promise<number>; sent: number } {
    const state = { sent: 0, port: undefined as unknown as Promise<number> }
    const chunk = Buffer.from(more.repeat(Math.ceil(65_536 / more.length)))
    const server = createServer((socket) =>
      socket.once('data', () => {
        socket.write(first)
        let left = times
        const next = (): void => {
          while (!socket.destroyed && left > 0) {
            left -= chunk.length
            state.sent += chunk.length
            if (!socket.write(chunk)) return void socket.once('drain', next)
          }
        }
        next()
      }),
    )
    state.port = listening(server)
    return state
  }

  const GIB = 1024 ** 3
  /** More than what is read, and what lies in buffers of sockets on the way. */
  const TAKEN = 64 * 1024 ** 2

  it('take a bounded part of a body of 1 GiB, and judge by what was looked for', async () => {
    const large = flood(`HTTP/1.1 200 OK\r\ncontent-length: ${GIB}\r\n\r\n`, '.', GIB)
    probe(await large.port, { bodyContains: 'ready' })
    await turned(/^the first 64 KiB of the body do not hold "ready"$/)
    assert.ok(large.sent < TAKEN, `${large.sent} bytes were taken`)
  })

  for (const [what, first, more, fault] of [
    ['a head without end', 'HTTP/1.1 200 OK\r\n', 'x-more: and more\r\n', /too large|not valid HTTP/i],
    ['a field without end', 'HTTP/1.1 200 OK\r\nx: ', 'and more ', /too large|not valid HTTP/i],
    ['interim responses without end', '', 'HTTP/1.1 103 Early Hints\r\n\r\n', /too many interim responses/],
    [
      'a chunk extension without end',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;',
      'x',
      /not valid HTTP|chunk/,
    ],
  ] as const)
    it(`end with ${what}`, async () => {
      const endless = flood(first, more)
      probe(await endless.port, { bodyContains: 'ready' })
      await turned(fault)
      assert.ok(endless.sent < TAKEN, `${endless.sent} bytes were taken`)
    })

  it('end at the time-out with a server that sends a byte now and then', async () => {
    const port = await listening(
      createServer((socket) => {
        socket.once('data', () => {
          const text = 'HTTP/1.1 200 OK\r\nx: and so on'
          let at = 0
          const timer = setInterval(() => socket.write(text[at++ % text.length]!), 20)
          socket.on('close', () => clearInterval(timer))
        })
      }),
    )
    probe(port, { timeout: 300, codes: [[200, 299]] })
    await turned(/^no answer within 300 ms$/)
  })

  it('are probed no faster for ever where an endpoint flaps with every probe', async () => {
    const times: number[] = []
    const port = await listening(
      createServer((socket) =>
        socket.on('data', () => {
          times.push(performance.now())
          socket.write(`HTTP/1.1 ${times.length % 2 === 0 ? 500 : 200} X\r\ncontent-length: 0\r\n\r\n`)
          wake()
        }),
      ),
    )
    probe(port, { interval: 200, unhealthyAfter: 2, healthyAfter: 2 })
    await until(() => times.length >= 11)
    // Each probe that contradicts the state is followed sooner, each that agrees is not.
    assert.ok(times.at(-1)! - times[0]! >= 700, `${times.at(-1)! - times[0]!} ms for ten probes`)
    assert.deepEqual(turns, [], 'neither threshold is ever met')
  })
})
