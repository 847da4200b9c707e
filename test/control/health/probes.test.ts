import assert from 'node:assert/strict'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createH2Server, type ServerHttp2Stream } from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Probes } from '../../../src/control/health/probes.ts'
import { EndpointTable, SLOT_STATE } from '../../../src/shared-memory/endpoint-table.ts'
import type { ActiveHealth } from '../../../src/snapshot/health.ts'
import type { BackendConfig } from '../../../src/snapshot/snapshot.ts'
import type { EndpointRow } from '../../../src/thread/messages.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const ACTIVE: ActiveHealth = {
  type: 'HTTP',
  protocol: 'HTTP',
  path: '/healthz',
  port: undefined,
  interval: 100,
  timeout: 300,
  jitterPercent: 20,
  healthyAfter: 2,
  unhealthyAfter: 2,
  codes: [[200, 399]],
  hostname: undefined,
  headers: [],
  bodyContains: '',
  grpcService: '',
}

interface Turn {
  readonly slot: number
  readonly fault: string
}

describe('probes', () => {
  const servers: Server[] = []
  const sockets = new Set<Socket>()
  let table: EndpointTable
  let probes: Probes
  let turns: Turn[]
  let heard: () => void
  let refusal: string | undefined

  beforeEach(() => {
    table = new EndpointTable(EndpointTable.allocate(1, 64))
    turns = []
    heard = () => {}
    refusal = undefined
    open(8)
  })

  afterEach(() => {
    probes.stop()
    for (const socket of sockets) socket.destroy()
    for (const server of servers.splice(0)) server.close()
  })

  function open(limit: number): void {
    probes = new Probes({
      table,
      time: systemTimers,
      random: Math.random,
      sockets: limit,
      refuses: () => refusal,
      turned(_, slot, fault) {
        turns.push({ slot, fault })
        heard()
      },
    })
  }

  async function listening(server: Server): Promise<number> {
    servers.push(server)
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  }

  function http(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<number> {
    return listening(createServer({ keepAliveTimeout: 60_000 }, handle))
  }

  function probe(
    ports: readonly number[],
    active: Partial<ActiveHealth> = {},
    more: Partial<BackendConfig> = {},
  ): void {
    const rows: EndpointRow[] = ports.map((port, slot) => {
      table.enlist(slot)
      return { address: '127.0.0.1', port, slot, weight: 1, state: 'ready' }
    })
    const plan = { id: 'shop/api', protocol: 'HTTP', ...more } as BackendConfig
    probes.set(plan, { ...ACTIVE, ...active }, rows)
  }

  async function until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => (heard = resolve))
  }

  async function unhealthy(slot = 0): Promise<string> {
    await until(() => turns.some((turn) => turn.slot === slot && turn.fault !== ''))
    assert.notEqual(table.state(slot) & SLOT_STATE.unhealthy, 0)
    return turns.find((turn) => turn.slot === slot)!.fault
  }

  /** Two endpoints are probed: the first must stay well until the second, of which probes fail, has turned. */
  async function staysWell(
    port: number,
    active: Partial<ActiveHealth>,
    more: Partial<BackendConfig> = {},
  ): Promise<void> {
    const closed = await http(() => {})
    servers.pop()!.close()
    probe([port, closed], active, more)
    await unhealthy(1)
    assert.equal(table.state(0), SLOT_STATE.live, probes.faultOf(0))
  }

  it('ask with the path, host and fields that are stated, on one connection that is kept', async () => {
    const seen: (readonly [string | undefined, string | undefined, unknown, Socket])[] = []
    const port = await http((request, response) => {
      seen.push([request.url, request.headers.host, request.headers['x-check'], request.socket])
      response.end('fine')
      if (seen.length === 4) heard()
    })
    probe([port], { hostname: 'api.internal', headers: [{ name: 'x-check', value: 'yes' }] })
    await until(() => seen.length >= 4)
    for (const [url, host, check, socket] of seen) {
      assert.deepEqual([url, host, check], ['/healthz', 'api.internal', 'yes'])
      assert.equal(socket, seen[0]![3])
    }
    assert.equal(table.state(0), SLOT_STATE.live)
  })

  it('follow thresholds both ways', async () => {
    const answers = [500, 200, 500, 500, 200, 500, 200, 200]
    const port = await http((_, response) => response.writeHead(answers.shift() ?? 200).end())
    probe([port])
    await until(() => turns.length === 2)
    assert.deepEqual(turns, [
      { slot: 0, fault: 'status 500 is not among 200-399' },
      { slot: 0, fault: '' },
    ])
    assert.equal(answers.length, 0)
    assert.equal(table.eligible(0), true)
  })

  const faults: Readonly<Record<string, readonly [(response: ServerResponse) => void, Partial<ActiveHealth>, RegExp]>> =
    {
      redirects: [
        (response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(),
        { codes: [[200, 299]] },
        /^status 302 is not among 200-299; redirects are not followed$/,
      ],
      hangs: [() => {}, {}, /^no answer within 300 ms$/],
      resets: [(response) => response.socket!.resetAndDestroy(), {}, /closed the connection before it answered/],
      'streams for ever without the text': [
        (response) => response.writeHead(200).write('.'),
        { bodyContains: 'ready' },
        /^no answer within 300 ms$/,
      ],
      'answers a body without end': [
        (response) => flood(response),
        { bodyContains: 'ready' },
        /^the first 64 KiB of the body do not hold "ready"$/,
      ],
      'is not HTTP': [(response) => response.socket!.end('SSH-2.0-x\r\n'), {}, /not valid HTTP/],
    }
  for (const [name, [handle, active, fault]] of Object.entries(faults))
    it(`fail where an endpoint ${name}, and say so`, async () => {
      const port = await http((_, response) => handle(response))
      probe([port], active)
      assert.match(await unhealthy(), fault)
    })

  function flood(response: ServerResponse): void {
    const chunk = Buffer.alloc(64 * 1024, '.')
    const more = (): void => {
      while (!response.destroyed && response.write(chunk));
      if (!response.destroyed) response.once('drain', more)
    }
    response.writeHead(200)
    more()
  }

  it('fail where nothing listens, and recover when something does', async () => {
    const port = await http(() => {})
    servers.pop()!.close()
    probe([port])
    assert.match(await unhealthy(), /could not be connected.*ECONNREFUSED/)
    for (let i = 0; i < 9; i++) table.faults.failed(0)
    const server = createServer((_, response) => response.end())
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    await until(() => turns.at(-1)!.fault === '')
    assert.equal(table.eligible(0), true)
    assert.equal(table.faults.inARow(0), 0)
  })

  it('judge by the status where no text is asked for, whatever follows it', async () => {
    const port = await http((_, response) => flood(response))
    await staysWell(port, {})
  })

  it('find the text in the body', async () => {
    const port = await http((_, response) => response.end('all is ready'))
    await staysWell(port, { bodyContains: 'is ready' })
  })

  it('connect another port where one is stated', async () => {
    const closed = await http(() => {})
    servers.pop()!.close()
    const port = await http((_, response) => response.end())
    probe([closed], { port })
    let asked = 0
    servers.at(-1)!.on('request', () => {
      asked++
      heard()
    })
    await until(() => asked >= 4)
    assert.equal(turns.length, 0)
  })

  it('of type TCP ask for a connection and nothing more', async () => {
    let bytes = 0
    const port = await listening(createTcpServer((socket) => socket.on('data', (data) => (bytes += data.length))))
    await staysWell(port, { type: 'TCP' })
    assert.equal(bytes, 0)
  })

  it('begin with a PROXY header of the gateway itself where connections do', async () => {
    let first = ''
    const port = await listening(
      createTcpServer((socket) =>
        socket.once('data', (data) => {
          first = data.toString('latin1')
          socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
          heard()
        }),
      ),
    )
    probe([port], {}, { proxyProtocol: 'V1' })
    await until(() => first !== '')
    assert.match(first, /^PROXY UNKNOWN\r\nGET \/healthz HTTP\/1\.1\r\n/)
  })

  const services = (serving: number, status = '0') =>
    async function (this: void): Promise<number> {
      const server = createH2Server()
      server.on('stream', (stream: ServerHttp2Stream, headers) => {
        const chunks: Buffer[] = []
        stream.on('data', (chunk: Buffer) => chunks.push(chunk))
        stream.on('end', () => {
          const asked = Buffer.concat(chunks).subarray(7).toString()
          const known = headers[':path'] === '/grpc.health.v1.Health/Check' && asked === 'shop.Orders'
          stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true })
          stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': known ? status : '5' }))
          stream.end(Buffer.from([0, 0, 0, 0, 2, 8, serving]))
        })
      })
      return await listening(server as unknown as Server)
    }
  const grpc: Partial<ActiveHealth> = { type: 'GRPC', protocol: 'GRPC', grpcService: 'shop.Orders' }

  it('ask the health service of gRPC', async () => {
    await staysWell(await services(1)(), grpc)
  })

  for (const [serving, status, fault] of [
    [2, '0', /^the service says NOT_SERVING$/],
    [1, '12', /has no service grpc\.health\.v1\.Health/],
    [1, '14', /^grpc-status 14$/],
  ] as const)
    it(`fail where the health service of gRPC answers ${serving} with grpc-status ${status}`, async () => {
      probe([await services(serving, status)()], grpc)
      assert.match(await unhealthy(), fault)
    })

  it('ask over HTTP/2', async () => {
    const server = createH2Server((request, response) =>
      response.writeHead(request.url === '/healthz' ? 204 : 404).end(),
    )
    await staysWell(await listening(server as unknown as Server), { protocol: 'H2C', codes: [[204, 204]] })
  })

  it('dial nothing that the guard refuses', async () => {
    refusal = 'is link-local, where clouds keep credentials'
    let connections = 0
    const port = await listening(createTcpServer(() => connections++))
    probe([port])
    assert.match(await unhealthy(), /^127\.0\.0\.1:\d+ is link-local/)
    assert.equal(connections, 0)
  })

  it('never have more sockets than the bound, and starve nobody', async () => {
    probes.stop()
    open(3)
    const asked = new Map<number, number>()
    const ports: number[] = []
    for (let i = 0; i < 12; i++)
      ports.push(
        await http((request, response) => {
          asked.set(request.socket.localPort!, (asked.get(request.socket.localPort!) ?? 0) + 1)
          assert.ok(sockets.size <= 3 + 3, 'those that are closing may be counted here, too')
          response.end()
          heard()
        }),
      )
    probe(ports)
    await until(() => ports.every((port) => (asked.get(port) ?? 0) >= 3))
    assert.ok(probes.sockets <= 3)
  })

  it('of a namespace whose endpoints are silent leave places for those of others', async () => {
    let asked = 0
    let connections = 0
    const silent = await listening(createTcpServer(() => connections++))
    const calm = await http((_, response) => {
      asked++
      response.end()
      heard()
    })
    const row = (slot: number, port: number): EndpointRow => {
      table.enlist(slot)
      return { address: '127.0.0.1', port, slot, weight: 1, state: 'ready' }
    }
    const plan = (id: string) => ({ id, protocol: 'HTTP' }) as BackendConfig
    const many = Array.from({ length: 40 }, (_, i) => row(i, silent))
    for (const [id, part] of [['evil/a', many.slice(0, 20)] as const, ['evil/b', many.slice(20)] as const])
      probes.set(plan(id), { ...ACTIVE, timeout: 60_000 }, part)
    probes.set(plan('calm/api'), ACTIVE, [row(60, calm)])
    await until(() => asked >= 5)
    assert.ok(connections <= 4, `${connections} of 8 places`)
  })

  it('keep what they know through another version of the options, and forget who is gone', async () => {
    const port = await http((_, response) => response.writeHead(500).end())
    probe([port])
    await unhealthy()
    const before = turns.length
    probe([port], { interval: 150 })
    assert.match(probes.faultOf(0), /status 500/)
    assert.notEqual(table.state(0) & SLOT_STATE.unhealthy, 0)
    assert.equal(turns.length, before)
    probe([])
    assert.equal(probes.faultOf(0), '')
    assert.equal(probes.sockets, 0)
  })

  it('go on at endpoints that stay, beside one that comes and one that goes', async () => {
    const asked = [0, 0, 0]
    const [failing, leaving, coming] = await Promise.all(
      asked.map((_, i) =>
        http((_request, response) => {
          asked[i]!++
          response.writeHead(i === 0 ? 500 : 200).end()
          heard()
        }),
      ),
    )
    probe([failing!, leaving!])
    await unhealthy()
    await until(() => asked[1]! > 0)
    table.enlist(2)
    const plan = { id: 'shop/api', protocol: 'HTTP' } as BackendConfig
    const row: EndpointRow = { address: '127.0.0.1', port: coming!, slot: 2, weight: 1, state: 'ready' }
    probes.change(plan, ACTIVE, [1], [row])
    const before = asked[1]!
    await until(() => asked[2]! > 3 && asked[0]! > 6)
    assert.ok(asked[1]! <= before + 1, 'at most the one that was on its way')
    assert.match(probes.faultOf(0), /status 500/)
    probes.change(plan, ACTIVE, [0, 2], [])
    assert.equal(probes.sockets, 0)
  })

  it('say nothing of a kept connection that its server closed', async () => {
    let asked = 0
    const port = await http((_, response) => {
      asked++
      response.end()
      setImmediate(() => response.socket?.destroy())
      heard()
    })
    probe([port])
    await until(() => asked >= 5)
    assert.equal(turns.length, 0)
  })
})
