/** Exchanges that go on when their client leaves, because a filter needs their response. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MOST_UNATTENDED } from '../../src/exchange/unattended.ts'
import { GatewayError } from '../../src/lib/error.ts'
import type { ExchangeSummary } from '../../src/policy/exchange.ts'
import type { Filter } from '../../src/policy/filter.ts'
import { drainWorker } from '../../src/worker/drain.ts'
import { onHead, rawBackend } from '../feature/backends.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import { until } from '../socket/sockets.ts'
import type { GatewayOptions, Scope, ServedRequest } from '../suite/transport-rig.ts'
import { inProcess } from '../worker/in-process.ts'
import { toUp } from '../worker/test-plane.ts'

/** Keeps what passes, as a cache does. */
class Keeper implements Filter {
  readonly name = 'keeper'
  readonly stays: (() => number) | undefined
  asked = 0
  readonly statuses: number[] = []
  kept = ''
  complete = 0
  aborted = 0
  readonly ends: ExchangeSummary[] = []

  constructor(stays?: () => number) {
    this.stays = stays
  }

  onRequest(): undefined {}

  onResponse(_x: unknown, { status }: { readonly status: number }): undefined {
    this.statuses.push(status)
  }

  responseBody(): ReturnType<NonNullable<Filter['responseBody']>> {
    return (sink, resume) => ({
      data: (chunk) => {
        this.kept += Buffer.from(chunk).toString('latin1')
        return sink.write(chunk)
      },
      end: (trailers) => {
        this.complete++
        sink.end(trailers)
      },
      drained: resume,
      abort: () => void this.aborted++,
    })
  }

  onClientGone(): number {
    this.asked++
    return this.stays?.() ?? 60_000
  }

  onEnd(_x: unknown, summary: ExchangeSummary): void {
    this.ends.push(summary)
  }
}

interface World {
  readonly gateway: MemoryGateway
  readonly served: ServedRequest[]
  readonly keeper: Keeper
}

function world(scope: Scope, keeper = new Keeper(), more: Partial<GatewayOptions> = {}): World {
  const served: ServedRequest[] = []
  const gateway = memoryGateway(scope, {
    upstreams: [(request) => void served.push(request)],
    filters: [{ phase: 'cache', filter: keeper }],
    ...more,
  })
  return { gateway, served, keeper }
}

/** A request whose client leaves when `part` of the body has come to it. */
async function leaveWithin({ gateway, served }: World, part: string): Promise<ServedRequest> {
  const client = gateway.ask()
  await gateway.until(() => served.length > 0, 'the request')
  const [request] = served
  request!.head(200, { 'content-length': '10' })
  request!.write(part)
  await client.head()
  await gateway.pass(20)
  client.vanish()
  return request!
}

function onlyLine(gateway: MemoryGateway): Readonly<Record<string, unknown>> {
  const lines = gateway.log()
  assert.equal(lines.length, 1)
  return lines[0]!
}

describe('an exchange whose client leaves', () => {
  it('goes on to the end of its response, and the log says what the client got', async (t) => {
    const at = world(t)
    const request = await leaveWithin(at, 'abc')
    await at.gateway.pass(500)
    assert.equal(request.gone, false)
    request.write('defghij')
    request.end()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.kept, at.keeper.complete, at.keeper.aborted], ['abcdefghij', 1, 0])
    const line = onlyLine(at.gateway)
    assert.deepEqual([line.status, line.reason, line.bytesOut, line.attempts], [200, 'ClientGone', 3, 1])
    assert.equal(line.detail, 'closed; the rest was fetched')
    assert.equal((line.duration as number) < 100, true, 'the time of the client')
    const [end] = at.keeper.ends
    assert.deepEqual([end!.status, end!.bytesOut, end!.reason], [200, 3, 'ClientGone'])
    assert.deepEqual(at.gateway.errors, [])
  })

  it('goes on where nothing has come yet, also with another attempt', async (t) => {
    const at = world(t, new Keeper(), {
      rules: toUp({ retry: { attempts: 2, backoff: '10ms' } }),
    })
    const client = at.gateway.ask({ path: '/a?b=c' })
    await at.gateway.until(() => at.served.length === 1, 'the request')
    client.vanish()
    await at.gateway.pass(50)
    at.served[0]!.reset()
    await at.gateway.until(() => at.served.length === 2, 'the second attempt')
    assert.equal(at.served[1]!.target, '/a?b=c')
    at.served[1]!.respond(200, 'whole')
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.statuses, at.keeper.kept, at.keeper.complete], [[200], 'whole', 1])
    const line = onlyLine(at.gateway)
    assert.deepEqual([line.status, line.reason, line.bytesOut, line.attempts], [0, 'ClientGone', 0, 2])
  })

  it('ends where no filter needs its response', async (t) => {
    const at = world(t, new Keeper(() => 0))
    const request = await leaveWithin(at, 'abc')
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.asked, at.keeper.complete, at.keeper.aborted, request.gone], [1, 0, 1, true])
    assert.equal(onlyLine(at.gateway).detail, 'closed')
  })

  it('ends where the filter throws, which is reported', async (t) => {
    const at = world(
      t,
      new Keeper(() => {
        throw new Error('a fault')
      }),
    )
    const request = await leaveWithin(at, 'abc')
    await at.gateway.nothingLeft()
    assert.equal(request.gone, true)
    assert.match(String(at.gateway.errors[0]), /a fault/)
  })

  it('is over after the time that the filter has given', async (t) => {
    const at = world(t, new Keeper(() => 5_000))
    const request = await leaveWithin(at, 'abc')
    await at.gateway.pass(4_000)
    assert.equal(request.gone, false)
    await at.gateway.pass(1_500)
    assert.equal(request.gone, true)
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.complete, at.keeper.aborted], [0, 1])
    assert.equal(onlyLine(at.gateway).detail, 'closed; then RequestTimeout, without a client')
  })

  it('fails where its upstream breaks off, for the filter, too', async (t) => {
    const at = world(t)
    const request = await leaveWithin(at, 'abc')
    request.reset()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.complete, at.keeper.aborted], [0, 1])
    const line = onlyLine(at.gateway)
    assert.deepEqual(
      [line.status, line.reason, line.detail],
      [200, 'ClientGone', 'closed; then UpstreamTruncated, closed'],
    )
  })

  it('shows its filters the failure where no upstream responds', async (t) => {
    const at = world(t)
    const client = at.gateway.ask()
    await at.gateway.until(() => at.served.length === 1, 'the request')
    client.vanish()
    at.served[0]!.reset()
    await at.gateway.nothingLeft()
    assert.deepEqual(at.keeper.statuses, [502])
    assert.equal(onlyLine(at.gateway).status, 0)
  })

  it('keeps its place at the Backend', async (t) => {
    const at = world(t, new Keeper(), {
      backend: { limits: { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 1 } },
    })
    const request = await leaveWithin(at, 'abc')
    assert.equal((await at.gateway.ask().response()).status, 503)
    request.write('defghij')
    request.end()
    await at.gateway.until(() => at.keeper.complete === 1)
    const next = at.gateway.ask()
    await at.gateway.until(() => at.served.length === 2, 'the next request')
    at.served[1]!.respond(200, 'next')
    assert.equal((await next.response()).body, 'next')
    await at.gateway.nothingLeft()
  })

  it('is no longer held up by the client', async (t) => {
    const at = world(t)
    const client = at.gateway.ask()
    client.pause()
    await at.gateway.until(() => at.served.length > 0, 'the request')
    const [request] = at.served
    const length = 1024 * 1024
    request!.head(200, { 'content-length': `${length}` })
    request!.write(Buffer.alloc(length, 'x'))
    request!.end()
    await at.gateway.pass(1_000)
    assert.equal(request!.unsent > 0, true)
    client.vanish()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.kept.length, at.keeper.complete], [length, 1])
    assert.equal((onlyLine(at.gateway).bytesOut as number) < length, true)
  })

  it('ends where the request is not complete', async (t) => {
    const at = world(t)
    const client = at.gateway.ask({ method: 'POST', length: 10 })
    client.write('abc')
    await at.gateway.until(() => at.served.length > 0, 'the request')
    client.vanish()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.keeper.asked, at.served[0]!.gone], [0, true])
  })

  it('ends where the response is the gateway’s own', async (t) => {
    const keeper = new Keeper()
    const at = world(t, keeper, {
      filters: [
        { phase: 'cache', filter: keeper },
        {
          phase: 'mirror',
          filter: {
            name: 'stored',
            onRequest: (x) => {
              x.request.get('x-none')
              const body = {
                length: 10,
                start(sink: { write(chunk: Uint8Array): boolean }) {
                  sink.write(Buffer.from('abc'))
                  return { resume() {}, abort() {} }
                },
              }
              return { type: 'respond', response: { status: 200, fields: x.request.copy(), body } }
            },
          },
        },
      ],
    })
    const client = at.gateway.ask()
    await client.head()
    client.vanish()
    await at.gateway.nothingLeft()
    assert.equal(keeper.asked, 0)
  })

  it('is one of so many that a namespace leaves as many to the others', async (t) => {
    const at = world(t)
    const clients = Array.from({ length: MOST_UNATTENDED }, () => at.gateway.ask())
    await at.gateway.until(() => at.served.length === clients.length, 'all requests')
    for (const client of clients) client.vanish()
    await at.gateway.pass(20)
    assert.equal(at.served.filter(({ gone }) => !gone).length, MOST_UNATTENDED / 2)
    assert.equal(at.gateway.context.unattended.size, MOST_UNATTENDED / 2)
    for (const request of at.served) if (!request.gone) request.respond(200, 'x')
    await at.gateway.nothingLeft()
    assert.equal(at.gateway.context.unattended.size, 0)
    assert.equal(at.keeper.complete, MOST_UNATTENDED / 2)
  })

  it('ends with the thread, at once where that is cut off', async (t) => {
    const at = world(t)
    const request = await leaveWithin(at, 'abc')
    at.gateway.context.unattended.end(new GatewayError('ShuttingDown'))
    await at.gateway.nothingLeft()
    assert.equal(request.gone, true)
    assert.equal(onlyLine(at.gateway).detail, 'closed; then ShuttingDown')
  })
})

describe('a drain', () => {
  it('gives exchanges without a client a moment behind all others, then ends them', async (t) => {
    const at = world(t)
    const request = await leaveWithin(at, 'abc')
    const { context } = at.gateway
    let attended = -1
    const listeners = {
      async drain(_grace: number, active: () => number) {
        attended = active()
      },
    }
    await drainWorker(listeners, context, 0)
    assert.equal(attended, 0, 'nobody waits for them')
    await at.gateway.nothingLeft()
    assert.equal(request.gone, true)
    assert.equal(context.unattended.closed, true)
  })
})

describe('over sockets', () => {
  it('the connection of the client is gone, and the response is fetched all the same', async (t) => {
    const keeper = new Keeper()
    let finish = (): void => {}
    const { port } = await rawBackend(t, (socket) => {
      onHead(socket, () => {
        socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')
        finish = () => void socket.write('defghij')
      })
    })
    const gateway = await inProcess(t, { upstreams: [port], filters: [{ phase: 'cache', filter: keeper }] })
    const client = await gateway.connect()
    client.send('GET / HTTP/1.1\r\nhost: w.test\r\n\r\n')
    await until(() => keeper.kept === 'abc')
    client.socket.resetAndDestroy()
    await until(() => keeper.asked === 1)
    assert.equal(gateway.holdings.connections, 0)
    assert.equal(gateway.holdings.exchanges, 1)
    finish()
    await gateway.nothingLeft()
    assert.deepEqual([keeper.kept, keeper.complete], ['abcdefghij', 1])
    const [line] = gateway.log()
    assert.deepEqual([line!.status, line!.reason, line!.bytesOut], [200, 'ClientGone', 3])
  })
})
