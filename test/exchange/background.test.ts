/** Exchanges that filters begin: the request of another one once more, for nobody but the filter. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MOST_UNATTENDED } from '../../src/exchange/unattended.ts'
import { GatewayError } from '../../src/lib/error.ts'
import { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import type { BackgroundExchange, BackgroundRequest, BackgroundSink } from '../../src/policy/background.ts'
import type { FilterServices } from '../../src/policy/services.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { GatewayOptions, Scope, ServedRequest } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

/** Takes a response, and says when it has to be waited for. */
class Taker implements BackgroundSink {
  status = 0
  fields: Record<string, string> = {}
  body = ''
  over = 0
  failure: GatewayError | null = null
  takes = true
  broken: 'head' | 'data' | 'end' | null = null

  head({ status, fields }: ResponseHead): void {
    if (this.broken === 'head') throw new Error('broken at the head')
    this.status = status
    fields.forEach((name, value) => void (this.fields[name] = value))
  }

  data(bytes: Buffer, start: number, end: number): boolean {
    if (this.broken === 'data') throw new Error('broken at the data')
    this.body += bytes.toString('latin1', start, end)
    return this.takes
  }

  end(): void {
    this.over++
    if (this.broken === 'end') throw new Error('broken at the end')
  }

  fail(error: GatewayError): void {
    this.over++
    this.failure = error
  }
}

interface World {
  readonly gateway: MemoryGateway
  readonly served: ServedRequest[]
  readonly taker: Taker
  /** What the last `begin` returned. */
  begun: BackgroundExchange | null
  /** How often filters were called, and chains let go. */
  requests: number
  responses: number
  disposed: number
  request: BackgroundRequest
}

const PLAIN: BackgroundRequest = { method: 'GET', timeout: 60_000 }

/** Each request is answered by the filter, which makes it once more for itself. */
function world(scope: Scope, more: Partial<GatewayOptions> = {}): World {
  const served: ServedRequest[] = []
  const taker = new Taker()
  const gateway = memoryGateway(scope, {
    upstreams: [(request) => void served.push(request)],
    definitions: [
      {
        name: 'answerer',
        phase: 'cache',
        create: (_, services: FilterServices) => ({
          name: 'answerer',
          onRequest(x) {
            at.requests++
            at.begun = services.background.begin(x, at.request, taker)
            return { type: 'respond', response: { status: 200, fields: new Fields(), body: Buffer.from('stored') } }
          },
          onResponse: () => void at.responses++,
          dispose: () => void at.disposed++,
        }),
      },
    ],
    ...more,
  })
  const at: World = { gateway, served, taker, begun: null, requests: 0, responses: 0, disposed: 0, request: PLAIN }
  return at
}

/** A client has its answer, and the upstream its request. */
async function asked(at: World, fields: Record<string, string> = {}): Promise<ServedRequest> {
  assert.equal((await at.gateway.ask({ path: '/a?b=c', fields }).response()).body, 'stored')
  await at.gateway.until(() => at.served.length > 0, 'the request in the background')
  return at.served[0]!
}

describe('an exchange in the background', () => {
  it('makes the request of another once more, as changed, and is in no log', async (t) => {
    const at = world(t, {
      rules: toUp({
        requestHeaders: { set: [{ name: 'x-env', value: 'prod' }] },
        rewrite: { hostname: 'api.internal', path: { type: 'ReplaceFullPath', replaceFullPath: '/v2' } },
      }),
    })
    at.request = {
      method: 'GET',
      timeout: 60_000,
      edit(fields) {
        fields.remove('range')
        fields.set('if-none-match', '"1"')
      },
    }
    const request = await asked(at, { range: 'bytes=0-1', cookie: 'k=v', accept: 'text/html' })
    assert.deepEqual([request.method, request.target], ['GET', '/v2?b=c'])
    const { host, accept, range } = request.fields
    assert.deepEqual([host, accept, range], ['api.internal', 'text/html', undefined])
    assert.deepEqual([request.fields['if-none-match'], request.fields.cookie], ['"1"', 'k=v'])
    assert.equal(request.fields['x-env'], 'prod')
    assert.equal(request.fields['x-request-id'], at.gateway.log()[0]!.id)
    request.head(200, { etag: '"2"', 'content-length': '3' })
    request.write('new')
    request.end()
    await at.gateway.nothingLeft()
    const { taker } = at
    assert.deepEqual([taker.status, taker.fields.etag, taker.body], [200, '"2"', 'new'])
    assert.deepEqual([taker.over, taker.failure], [1, null])
    // The one response that the filter saw is its own.
    assert.deepEqual([at.requests, at.responses], [1, 0])
    assert.deepEqual(
      at.gateway.log().map(({ bytesOut }) => bytesOut),
      ['stored'.length],
    )
    assert.equal(at.gateway.context.unattended.size, 0)
  })

  it('leaves the client’s own request alone', async (t) => {
    let own: Fields | null = null
    const at = world(t, {
      filters: [
        {
          phase: 'begin',
          filter: {
            name: 'looks',
            onRequest: () => undefined,
            onResponse(x) {
              own = x.request.copy()
            },
          },
        },
      ],
    })
    at.request = { ...PLAIN, edit: (fields) => fields.set('x-mine', 'yes') }
    const request = await asked(at, { 'x-mine': 'no' })
    assert.equal(request.fields['x-mine'], 'yes')
    assert.equal(own!.get('x-mine'), 'no')
    request.respond(200)
    await at.gateway.nothingLeft()
  })

  it('is tried again as the rule says', async (t) => {
    const at = world(t, { rules: toUp({ retry: { attempts: 2, backoff: '10ms', codes: [503] } }) })
    const request = await asked(at)
    request.reset()
    await at.gateway.until(() => at.served.length === 2, 'the second attempt')
    at.served[1]!.respond(503)
    await at.gateway.until(() => at.served.length === 3, 'the third attempt')
    at.served[2]!.respond(200, 'new')
    await at.gateway.nothingLeft()
    assert.deepEqual([at.taker.status, at.taker.body, at.taker.over], [200, 'new', 1])
  })

  it('fails by the reason for which a client would be refused', async (t) => {
    for (const [more, reason] of [
      [{ upstreams: [] }, 'NoEndpoint'],
      [{ upstreams: ['refusing' as const] }, 'ConnectFailure'],
      [{ rules: toUp({ timeouts: { request: '1s' }, retry: { attempts: 0 } }) }, 'RequestTimeout'],
    ] as const) {
      const at = world(t, more)
      await at.gateway.ask().response()
      await at.gateway.until(() => at.taker.over > 0, reason)
      assert.deepEqual([at.taker.over, at.taker.failure?.reason, at.taker.status], [1, reason, 0])
      await at.gateway.nothingLeft()
    }
  })

  it('fails where its response breaks off', async (t) => {
    const at = world(t)
    const request = await asked(at)
    request.head(200, { 'content-length': '10' })
    request.write('abc')
    await at.gateway.until(() => at.taker.body === 'abc')
    request.reset()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.taker.over, at.taker.failure?.reason], [1, 'UpstreamTruncated'])
  })

  it('is over after its time', async (t) => {
    const at = world(t)
    at.request = { ...PLAIN, timeout: 3_000 }
    const request = await asked(at)
    await at.gateway.pass(2_500)
    assert.equal(at.taker.over, 0)
    await at.gateway.pass(1_000)
    assert.deepEqual([at.taker.failure?.reason, request.gone], ['RequestTimeout', true])
    await at.gateway.nothingLeft()
  })

  it('takes a place at the Backend, and gets none where it is full', async (t) => {
    const at = world(t, { backend: { limits: { maxConnections: 10, maxPending: 10, maxConcurrentRequests: 1 } } })
    const request = await asked(at)
    await at.gateway.ask().response()
    await at.gateway.until(() => at.taker.over === 1)
    assert.equal(at.taker.failure?.reason, 'Overloaded')
    at.taker.failure = null
    request.respond(200, 'new')
    await at.gateway.nothingLeft()
    assert.deepEqual([at.taker.body, at.taker.failure, at.taker.over], ['new', null, 2])
  })

  it('goes by the tables of its cause, and its chain is let go behind it', async (t) => {
    const at = world(t)
    const client = at.gateway.ask()
    await at.gateway.until(() => at.begun !== null)
    // Other tables are in force before it begins.
    await at.gateway.link({ all: { respond: { statusCode: 404 } } })
    assert.equal((await client.response()).body, 'stored')
    await at.gateway.until(() => at.served.length === 1, 'the request in the background')
    assert.equal((await at.gateway.ask().response()).status, 404)
    const before = at.disposed
    at.served[0]!.respond(200, 'new')
    await at.gateway.nothingLeft()
    assert.equal(at.taker.body, 'new')
    assert.deepEqual([before, at.disposed], [0, 1])
  })

  it('waits while its taker has no room', async (t) => {
    const at = world(t)
    at.taker.takes = false
    const request = await asked(at)
    const length = 1024 * 1024
    request.head(200, { 'content-length': `${length}` })
    request.write(Buffer.alloc(length, 'x'))
    request.end()
    await at.gateway.pass(1_000)
    assert.equal(at.taker.body.length < length / 2 && request.unsent > 0, true)
    at.taker.takes = true
    at.begun!.resume()
    await at.gateway.nothingLeft()
    assert.deepEqual([at.taker.body.length, at.taker.over], [length, 1])
  })

  it('can be given up, before it begins and within its response', async (t) => {
    const early = world(t)
    await early.gateway.link(toUp({ requestHeaders: { set: [{ name: 'x', value: 'y' }] } }))
    const client = early.gateway.ask()
    await early.gateway.until(() => early.begun !== null)
    early.begun!.abort()
    await client.response()
    await early.gateway.nothingLeft()
    assert.deepEqual([early.served.length, early.taker.over], [0, 0])

    const late = world(t)
    const request = await asked(late)
    request.head(200, { 'content-length': '10' })
    request.write('abc')
    await late.gateway.until(() => late.taker.body === 'abc')
    late.begun!.abort()
    late.begun!.resume()
    await late.gateway.nothingLeft()
    assert.deepEqual([request.gone, late.taker.over], [true, 0])
    late.begun!.abort()
  })

  for (const where of ['head', 'data', 'end'] as const)
    it(`ends where its taker throws at the ${where}, which is reported`, async (t) => {
      const at = world(t)
      at.taker.broken = where
      const request = await asked(at)
      request.head(200, { 'content-length': '10' })
      request.write('abcdefghij')
      request.end()
      await at.gateway.nothingLeft()
      assert.match(String(at.gateway.errors[0]), new RegExp(`broken at the ${where}`))
      assert.equal(at.gateway.errors.length, 1)
      assert.equal(at.taker.failure, null)
    })

  it('carries the body that it is given', async (t) => {
    const at = world(t)
    at.request = { ...PLAIN, method: 'QUERY', body: Buffer.from('select') }
    const request = await asked(at)
    assert.deepEqual([request.method, await request.body()], ['QUERY', 'select'])
    assert.equal(request.fields['content-length'], '6')
    request.respond(200, 'rows')
    await at.gateway.nothingLeft()
    assert.equal(at.taker.body, 'rows')
  })

  it('gets nothing that is meant for one client', async (t) => {
    const sticky = { sessionAffinity: { cookie: { name: 'sticky' } } } as NonNullable<GatewayOptions['backend']>
    const at = world(t, { backend: sticky })
    const request = await asked(at)
    request.respond(200, 'new')
    await at.gateway.nothingLeft()
    assert.equal(at.taker.fields['set-cookie'], undefined)
  })

  it('is refused where a namespace has enough of them, and when the thread is about to end', async (t) => {
    const at = world(t)
    for (let i = 0; i < MOST_UNATTENDED / 2; i++) await at.gateway.ask().response()
    assert.notEqual(at.begun, null)
    await at.gateway.ask().response()
    assert.equal(at.begun, null)
    await at.gateway.until(() => at.served.length === MOST_UNATTENDED / 2, 'all of them')
    for (const request of at.served) request.respond(200)
    await at.gateway.nothingLeft()
    await at.gateway.ask().response()
    assert.notEqual(at.begun, null)
    const before = at.taker.over
    at.gateway.context.unattended.end(new GatewayError('ShuttingDown'))
    assert.equal(at.taker.over, before + 1)
    await at.gateway.nothingLeft()
    await at.gateway.ask().response()
    assert.equal(at.begun, null)
  })
})
