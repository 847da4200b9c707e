/**
 * Calls of gRPC and gRPC-Web, whatever carries them: what clients get for a status, whoever states it, and when. With
 * real clients and servers: test/worker/grpc-clients.test.ts.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Filter } from '../../src/policy/filter.ts'
import { decodeText, framed, readWebResponse } from '../grpc/web-client.ts'
import { toUp } from '../worker/test-plane.ts'
import type {
  ClientRequest,
  FieldMap,
  GatewayOptions,
  ReceivedResponse,
  ServedRequest,
  TransportGateway,
  TransportRig,
  UpstreamScript,
} from './transport-rig.ts'

const GRPC = { 'content-type': 'application/grpc' }
const PATH = '/shop.Orders/Get'

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const frame = (text: string): string => latin1(framed(text))

type Options = Omit<GatewayOptions, 'upstreams'>
type Scenario = (gateway: TransportGateway) => Promise<void>

/** Runs one case and sees that nothing is left of it. */
function on(rig: TransportRig, upstreams: UpstreamScript | readonly UpstreamScript[]) {
  return (title: string, scenario: Scenario, options: Options = {}): void => {
    it(title, async (t) => {
      const scripts = typeof upstreams === 'object' ? upstreams : [upstreams]
      const gateway = await rig.gateway(t, { upstreams: scripts, backend: { protocol: 'GRPC' }, ...options })
      await scenario(gateway)
      await gateway.nothingLeft()
      assert.deepEqual(gateway.errors, [])
    })
  }
}

export function grpcSuite(name: string, rig: TransportRig): void {
  describe(`a call of gRPC ${name}`, () => {
    calls(rig)
    statuses(rig)
  })
  describe(`the status of a refusal ${name}`, () => refusals(rig))
  describe(`the deadline of a call ${name}`, () => deadlines(rig))
  describe(`a call that fails when it has begun ${name}`, () => lateFailures(rig))
  describe(`gRPC-Web ${name}`, () => {
    web(rig)
    webFailures(rig)
  })
}

/** A unary call. */
function call(gateway: TransportGateway, fields: FieldMap = {}, message = 'ask', path = PATH): ClientRequest {
  const request = gateway.ask({ method: 'POST', path, fields: { ...GRPC, ...fields }, length: 'unknown' })
  request.write(frame(message))
  request.end()
  return request
}

/** What a client of gRPC takes for the status: of the trailers, or of a head that is all there is. */
function statusOf({ status, fields, body, trailers, complete }: ReceivedResponse): string {
  assert.equal(complete, true)
  assert.equal(status, 200)
  assert.match(fields['content-type']!, /^application\/grpc(\+proto)?$/)
  if (trailers['grpc-status'] !== undefined) return trailers['grpc-status']
  assert.equal(body, '')
  return `${fields['grpc-status']} at once`
}

const messageOf = ({ fields, trailers }: ReceivedResponse): string | undefined =>
  trailers['grpc-message'] ?? fields['grpc-message']

/** Answers with the message that was asked, and a status. */
function echo(request: ServedRequest, trailers: FieldMap = { 'grpc-status': '0' }): void {
  void request.body().then((body) => {
    request.head(200, { 'content-type': 'application/grpc', 'x-meta': 'head' })
    request.write(body)
    request.end(trailers)
  })
}

async function logged(gateway: TransportGateway, expected: Readonly<Record<string, unknown>>): Promise<void> {
  await gateway.nothingLeft()
  const [line, ...more] = gateway.log()
  assert.equal(more.length, 0)
  const found = Object.fromEntries(Object.keys(expected).map((name) => [name, line?.[name]]))
  assert.deepEqual(found, expected)
}

function calls(rig: TransportRig): void {
  const seen: FieldMap[] = []
  on(rig, (request) => {
    seen.push(request.fields)
    echo(request, { 'grpc-status': '0', 'x-late-bin': 'AAEC' })
  })('passes with messages, metadata and trailers, and is logged with both statuses', async (gateway) => {
    const response = await call(gateway, { 'x-mine-bin': 'AAECAwQ', 'grpc-encoding': 'gzip' }).response()
    assert.deepEqual([statusOf(response), response.body], ['0', frame('ask')])
    assert.deepEqual([response.fields['x-meta'], response.trailers['x-late-bin']], ['head', 'AAEC'])
    const [fields] = seen
    assert.deepEqual(
      [fields!['content-type'], fields!['x-mine-bin'], fields!['grpc-encoding'], fields!['grpc-timeout'], fields!.te],
      ['application/grpc', 'AAECAwQ', 'gzip', undefined, 'trailers'],
    )
    await logged(gateway, { status: 200, grpcStatus: 0, reason: undefined, path: PATH })
  })

  on(rig, (request) =>
    request.respond(200, '', { 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'no%20such' }),
  )('that is answered by trailers alone stays so', async (gateway) => {
    const response = await call(gateway).response()
    assert.deepEqual([statusOf(response), messageOf(response)], ['5 at once', 'no%20such'])
    await logged(gateway, { status: 200, grpcStatus: 5, reason: undefined })
  })

  on(rig, (request) => {
    request.head(200, { ...GRPC, 'grpc-status': '9', 'grpc-message': 'not now' })
    request.end()
  })('whose status is in the head, and an end behind it, has it at the end', async (gateway) => {
    const response = await call(gateway).response()
    assert.deepEqual([statusOf(response), messageOf(response)], ['9', 'not now'])
    await logged(gateway, { status: 200, grpcStatus: 9, reason: undefined })
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first'))
  })('that its client cancels is cancelled at the upstream', async (gateway) => {
    const request = call(gateway)
    await request.head()
    request.vanish()
    await logged(gateway, { status: 200, grpcStatus: undefined, reason: 'ClientGone' })
  })

  let over: ServedRequest | undefined
  on(rig, (request) => {
    over = request
    request.head(200, { 'content-type': 'application/grpc' })
    request.end({ 'grpc-status': '16', 'grpc-message': 'who are you' })
  })('is over with its status, also while the client still sends', async (gateway) => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields: GRPC, length: 'unknown' })
    request.write(frame('first'))
    const response = await request.response()
    assert.equal(statusOf(response), '16')
    await gateway.until(() => over!.gone && gateway.log().length === 1)
    request.vanish()
    await logged(gateway, { status: 200, grpcStatus: 16, reason: undefined })
  })
}

function statuses(rig: TransportRig): void {
  on(rig, (request) => echo(request, {}))(
    'without grpc-status is UNKNOWN, and the reason is logged',
    async (gateway) => {
      const response = await call(gateway).response()
      assert.deepEqual([statusOf(response), response.body], ['2', frame('ask')])
      assert.match(messageOf(response)!, /^The upstream ended a gRPC call without grpc-status \(GrpcStatusMissing, /)
      await logged(gateway, { status: 200, grpcStatus: 2, reason: 'GrpcStatusMissing' })
    },
  )

  on(rig, (request) => request.respond(200, '', { 'content-type': 'application/grpc' }))(
    'whose head is all there is, without a status, is UNKNOWN',
    async (gateway) => {
      assert.equal(statusOf(await call(gateway).response()), '2 at once')
      await logged(gateway, { status: 200, grpcStatus: 2, reason: 'GrpcStatusMissing' })
    },
  )

  const mapped = { 400: 13, 401: 16, 403: 7, 404: 12, 418: 2, 429: 14, 431: 13, 500: 2, 502: 14, 503: 14, 504: 14 }
  on(rig, (request) =>
    request.respond(Number(request.fields['x-status']), 'not gRPC', { 'content-type': 'text/html', 'x-from': 'up' }),
  )('that something else answers than gRPC has the status of the HTTP status', async (gateway) => {
    for (const [http, grpc] of Object.entries({ 200: 2, ...mapped })) {
      const response = await call(gateway, { 'x-status': http }).response()
      assert.deepEqual([statusOf(response), response.fields['x-from']], [`${grpc} at once`, 'up'], http)
      assert.equal(messageOf(response), `HTTP ${http} without grpc-status`)
    }
    await gateway.nothingLeft()
    // Their bodies are read and dropped, so that connections can be used again.
    assert.ok(gateway.connections < 6, `${gateway.connections} connections`)
    for (const line of gateway.log())
      assert.deepEqual([line.status, line.reason, typeof line.grpcStatus], [200, 'GrpcStatusMissing', 'number'])
  })

  on(rig, (request) => request.respond(500, '', { 'content-type': 'application/grpc', 'grpc-status': '13' }))(
    'keeps a status that is stated, whatever the HTTP status',
    async (gateway) => {
      const { status, fields } = await call(gateway).response()
      assert.deepEqual([status, fields['grpc-status']], [500, '13'])
      await logged(gateway, { status: 500, grpcStatus: 13, reason: undefined })
    },
  )

  let steps = 0
  const stepping: Filter = {
    name: 'stepping',
    responseBody() {
      steps++
      return undefined
    },
  }
  on(rig, (request) =>
    request.fields['x-ask'] === 'all' ? echo(request) : request.respond(200, '', { ...GRPC, 'grpc-status': '5' }),
  )(
    'that is all there is passes no steps of a body, which could put an end behind it',
    async (gateway) => {
      assert.equal(statusOf(await call(gateway).response()), '5 at once')
      assert.equal(statusOf(await call(gateway, { 'grpc-timeout': 'x' }).response()), '13 at once')
      assert.equal(steps, 0)
      assert.equal(statusOf(await call(gateway, { 'x-ask': 'all' }).response()), '0')
      assert.equal(steps, 1)
    },
    { filters: [{ phase: 'compression', filter: stepping }] },
  )

  on(rig, 'refusing')(
    'of the gateway itself passes none, either',
    async (gateway) => {
      steps = 0
      assert.equal(statusOf(await call(gateway).response()), '14 at once')
      assert.equal(steps, 0)
    },
    { filters: [{ phase: 'compression', filter: stepping }] },
  )

  on(rig, (request) => request.respond(200, 'page', { 'content-type': 'text/html' }))(
    'has rules of its own, and other requests have none of them',
    async (gateway) => {
      for (const fields of [{}, { 'content-type': 'application/grpcx' }, { 'content-type': 'application/json' }]) {
        const { body, trailers } = await gateway.ask({ method: 'POST', fields, body: 'x' }).response()
        assert.deepEqual([body, trailers], ['page', {}])
      }
      const { body } = await gateway.ask({ method: 'GET', fields: GRPC }).response()
      assert.equal(body, 'page')
      await gateway.nothingLeft()
      for (const line of gateway.log()) assert.equal('grpcStatus' in line, false)
    },
  )
}

/** A policy that is a row has no type of its own among the policies. */
const PAGE: object = {
  errors: [{ codes: ['400-599'], source: 'Any', contentType: 'text/html', body: '<h1>sorry</h1>' }],
}

function refusals(rig: TransportRig): void {
  const refused = (
    title: string,
    upstream: UpstreamScript | readonly UpstreamScript[],
    options: Options,
    [status, reason, message]: readonly [number, string | undefined, RegExp],
    path = PATH,
  ): void =>
    on(rig, upstream)(
      title,
      async (gateway) => {
        const response = await call(gateway, {}, 'ask', path).response()
        assert.equal(statusOf(response), `${status} at once`)
        assert.match(decodeURIComponent(messageOf(response)!), message)
        await logged(gateway, { status: 200, grpcStatus: status, reason })
      },
      options,
    )

  refused(
    'is INTERNAL where the path is not valid',
    echo,
    {},
    [13, 'BadPath', /^The path .* \(BadPath, request /],
    '/a%00b',
  )
  refused(
    'is UNIMPLEMENTED where no rule matches the method',
    echo,
    { rules: { one: { matches: [{ path: { type: 'Exact', value: '/shop.Orders/List' } }] } } },
    [12, 'RouteNotFound', /^No rule of this host matches the request \(RouteNotFound, request /],
  )
  refused('is UNAVAILABLE where no endpoint can be reached', 'refusing', {}, [14, 'ConnectFailure', /ConnectFailure/])
  refused('is UNAVAILABLE where there is no endpoint', [], {}, [14, 'NoEndpoint', /NoEndpoint/])
  refused('is UNAVAILABLE where the upstream breaks off before it answers', (request) => request.reset(), {}, [
    14,
    'ResetBeforeResponse',
    /ResetBeforeResponse/,
  ])
  refused(
    'is RESOURCE_EXHAUSTED where the request is too large',
    echo,
    { rules: toUp({ retry: { attempts: 0 }, limits: { maxRequestBytes: '4' } }) },
    [8, 'BodyTooLarge', /BodyTooLarge/],
  )
  refused(
    'is no error page',
    'refusing',
    {
      rules: toUp({ retry: { attempts: 0 }, ...PAGE }),
    },
    [14, 'ConnectFailure', /ConnectFailure/],
  )
  refused(
    'is what a rule answers itself, with its text',
    echo,
    {
      rules: {
        closed: { respond: { statusCode: 503, contentType: 'text/plain', body: 'back at 14:00, für alle' } },
      },
    },
    [14, undefined, /^back at 14:00, für alle$/],
  )
  refused(
    'is UNKNOWN for a redirect',
    echo,
    { rules: { moved: { redirect: { hostname: 'other.test', statusCode: 302 } } } },
    [2, undefined, /^HTTP 302$/],
  )

  on(rig, (request) => request.respond(503, 'busy', { 'content-type': 'text/html' }))(
    'is no error page for the answer of a backend, either',
    async (gateway) => {
      const response = await call(gateway).response()
      assert.equal(statusOf(response), '14 at once')
    },
    { rules: toUp({ ...PAGE }) },
  )

  on(rig, (request) => request.respond(503, '', { 'content-type': 'application/grpc', 'grpc-status': '9' }))(
    'of a backend outlives an error page',
    async (gateway) => {
      const response = await call(gateway).response()
      assert.equal(statusOf(response), '9 at once')
      await logged(gateway, { grpcStatus: 9 })
    },
    { rules: toUp({ ...PAGE }) },
  )
}

function deadlines(rig: TransportRig): void {
  const asked: FieldMap[] = []
  on(rig, (request) => {
    asked.push(request.fields)
    echo(request)
  })('goes to the upstream, less what has passed of it', async (gateway) => {
    for (const timeout of ['30S', '2M', '99999999H', '40000m']) {
      assert.equal(statusOf(await call(gateway, { 'grpc-timeout': timeout }).response()), '0')
      const left = asked.pop()!['grpc-timeout']!
      if (timeout === '30S') assert.match(left, /^2\d{4}m$|^30000m$/)
      if (timeout === '2M') assert.match(left, /^1[01]\d{4}m$|^120000m$/)
      if (timeout === '99999999H') assert.match(left, /^9999999[89]H$/)
      if (timeout === '40000m') assert.match(left, /^3\d{4}m$|^40000m$/)
    }
  })

  on(rig, (request) => {
    asked.push(request.fields)
    echo(request)
  })(
    'is that of the rule where that comes first, and the upstream is told so',
    async (gateway) => {
      assert.equal(statusOf(await call(gateway, { 'grpc-timeout': '1H' }).response()), '0')
      assert.match(asked.pop()!['grpc-timeout']!, /^[34]\d{4}m$/)
    },
    { rules: toUp({ timeouts: { request: '40s' } }) },
  )

  let silent: ServedRequest | undefined
  on(rig, (request) => {
    silent = request
  })('ends the call with DEADLINE_EXCEEDED, and cancels it at the upstream', async (gateway) => {
    const response = await call(gateway, { 'grpc-timeout': '200m' }).response()
    assert.equal(statusOf(response), '4 at once')
    await gateway.until(() => silent!.gone)
    await logged(gateway, { status: 200, grpcStatus: 4, reason: 'RequestTimeout' })
    assert.ok(Number(gateway.log()[0]!.duration) >= 199)
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first'))
    silent = request
  })('ends a stream with it, too', async (gateway) => {
    const response = await call(gateway, { 'grpc-timeout': '200m' }).response()
    assert.deepEqual([statusOf(response), response.body], ['4', frame('first')])
    assert.match(messageOf(response)!, /RequestTimeout/)
    await gateway.until(() => silent!.gone)
    await logged(gateway, { status: 200, grpcStatus: 4, reason: 'RequestTimeout' })
  })

  let reached = 0
  on(rig, (request) => {
    reached++
    echo(request)
  })('that is not valid is refused, and one that has passed is over', async (gateway) => {
    for (const [timeout, status, reason] of [
      ['1s', '13', 'BadGrpcRequest'],
      ['', '13', 'BadGrpcRequest'],
      ['123456789m', '13', 'BadGrpcRequest'],
      ['0n', '4', 'RequestTimeout'],
    ] as const) {
      assert.equal(statusOf(await call(gateway, { 'grpc-timeout': timeout }).response()), `${status} at once`)
      assert.equal(gateway.log().at(-1)!.reason, reason)
    }
    assert.equal(reached, 0)
  })

  on(rig, (request) => request.respond(200, `${request.fields['grpc-timeout']}`))(
    'is none for a request that is no call of gRPC',
    async (gateway) => {
      const fields = { 'content-type': 'text/plain', 'grpc-timeout': 'soon' }
      assert.equal((await gateway.ask({ method: 'POST', fields, body: 'x' }).response()).body, 'soon')
    },
  )
}

function lateFailures(rig: TransportRig): void {
  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first'))
    void request.body().then(() => request.reset())
  })('is UNAVAILABLE where the upstream dies, behind what has come of it', async (gateway) => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields: GRPC, length: 'unknown' })
    request.write(frame('ask'))
    await request.head()
    request.end()
    const response = await request.response()
    assert.deepEqual([statusOf(response), response.body], ['14', frame('first')])
    assert.match(messageOf(response)!, /UpstreamTruncated, request/)
    await logged(gateway, { status: 200, grpcStatus: 14, reason: 'UpstreamTruncated' })
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc', 'content-length': '100' })
    request.write(frame('first'))
    void request.body().then(() => request.reset())
  })('is so, too, where the upstream had stated a length', async (gateway) => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields: GRPC, length: 'unknown' })
    const { fields } = await request.head()
    assert.equal('content-length' in fields, false)
    request.end()
    const response = await request.response()
    assert.deepEqual([statusOf(response), response.body], ['14', frame('first')])
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first'))
  })(
    'is UNAVAILABLE where nothing moves any more',
    async (gateway) => {
      assert.equal(statusOf(await call(gateway).response()), '14')
      await logged(gateway, { status: 200, grpcStatus: 14, reason: 'IdleTimeout' })
    },
    { rules: toUp({ timeouts: { idle: '150ms' } }) },
  )

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/json' })
    request.write('{')
    void request.body().then(() => request.reset())
  })('is cut as any other where it is no call of gRPC', async (gateway) => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields: { 'content-type': 'a/b' }, length: 'unknown' })
    await request.head()
    request.end()
    assert.equal((await request.response()).complete, false)
  })
}

interface WebAnswer {
  readonly status: string | undefined
  readonly message: string | undefined
  readonly messages: string[]
}

function readWeb({ status, fields, body, complete }: ReceivedResponse): WebAnswer {
  assert.deepEqual([status, complete], [200, true])
  const type = fields['content-type']!
  assert.match(type, /^application\/grpc-web(-text)?(\+proto)?$/)
  const { messages, trailers } = readWebResponse(
    type.includes('-text') ? decodeText(body) : Buffer.from(body, 'latin1'),
  )
  assert.equal('grpc-status' in fields, false)
  return {
    status: trailers?.['grpc-status'],
    message: trailers?.['grpc-message'],
    messages: messages.map((one) => one.toString('latin1')),
  }
}

const TEXT = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text' }

function web(rig: TransportRig): void {
  const seen: { fields: FieldMap; body: string }[] = []
  const note = (request: ServedRequest): void => {
    echo(request, { 'grpc-status': '0', 'grpc-message': '', 'x-late': 'yes' })
    void request.body().then((body) => seen.push({ fields: request.fields, body }))
  }

  on(rig, note)('in bytes is gRPC for the upstream', async (gateway) => {
    const fields = { 'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1' }
    const response = await gateway.ask({ method: 'POST', path: PATH, fields, body: frame('ask') }).response()
    assert.equal(response.fields['content-type'], 'application/grpc-web')
    assert.deepEqual(readWeb(response), { status: '0', message: '', messages: ['ask'] })
    const [{ fields: sent, body }] = seen.splice(0) as [{ fields: FieldMap; body: string }]
    assert.deepEqual([sent['content-type'], body], ['application/grpc+proto', frame('ask')])
    await logged(gateway, { status: 200, grpcStatus: 0, reason: undefined })
  })

  on(rig, note)('in text is gRPC for the upstream, however the text is cut and padded', async (gateway) => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields: TEXT, length: 'unknown' })
    const half = Math.floor(frame('a question').length / 2)
    const text = [frame('a question').slice(0, half), frame('a question').slice(half)]
      .map((part) => Buffer.from(part, 'latin1').toString('base64'))
      .join('')
    for (const character of text) request.write(character)
    request.end()
    const response = await request.response()
    assert.equal(response.fields['content-type'], 'application/grpc-web-text')
    assert.deepEqual(readWeb(response), { status: '0', message: '', messages: ['a question'] })
    const [{ fields, body }] = seen.splice(0) as [{ fields: FieldMap; body: string }]
    assert.deepEqual(
      [fields['content-type'], fields['content-length'], body],
      ['application/grpc', undefined, frame('a question')],
    )
  })

  on(rig, echo)('is answered in the form that the client accepts', async (gateway) => {
    const bytes = { 'content-type': 'application/grpc-web', accept: 'application/grpc-web-text' }
    const one = await gateway.ask({ method: 'POST', path: PATH, fields: bytes, body: frame('ask') }).response()
    assert.equal(one.fields['content-type'], 'application/grpc-web-text')
    assert.deepEqual(readWeb(one).messages, ['ask'])
    const text = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web' }
    const body = Buffer.from(frame('ask'), 'latin1').toString('base64')
    const two = await gateway.ask({ method: 'POST', path: PATH, fields: text, body }).response()
    assert.equal(two.fields['content-type'], 'application/grpc-web')
    assert.deepEqual(readWeb(two).messages, ['ask'])
    const any = { 'content-type': 'application/grpc-web-text', accept: '*/*' }
    const three = await gateway.ask({ method: 'POST', path: PATH, fields: any, body }).response()
    assert.equal(three.fields['content-type'], 'application/grpc-web-text')
  })

  on(rig, (request) =>
    request.respond(200, '', { 'content-type': 'application/grpc', 'grpc-status': '7', 'grpc-message': 'not%20you' }),
  )('has the status in its last frame also where the upstream sends trailers alone', async (gateway) => {
    for (const fields of [TEXT, { 'content-type': 'application/grpc-web' }]) {
      const response = await gateway.ask({ method: 'POST', path: PATH, fields, length: 'unknown' })
      response.end()
      assert.deepEqual(readWeb(await response.response()), { status: '7', message: 'not%20you', messages: [] })
    }
  })

  on(rig, (request) =>
    request.respond(500, '', { 'content-type': 'application/grpc+proto', 'grpc-status': '13', 'x-more': 'yes' }),
  )('is 200 with a status, whatever the HTTP status of the upstream', async (gateway) => {
    const response = await gateway.ask({ method: 'POST', path: PATH, fields: TEXT, body: '' }).response()
    assert.deepEqual(
      [response.fields['content-type'], response.fields['x-more']],
      ['application/grpc-web-text+proto', 'yes'],
    )
    assert.equal(readWeb(response).status, '13')
    await logged(gateway, { status: 200, grpcStatus: 13 })
  })

  on(rig, (request) =>
    request.respond(200, request.fields['content-type']!, { 'content-type': 'application/grpc-web' }),
  )(
    'passes as it is to a Backend that is asked over HTTP/1.1',
    async (gateway) => {
      const fields = { 'content-type': 'application/grpc-web+proto' }
      const { body } = await gateway.ask({ method: 'POST', path: PATH, fields, body: frame('ask') }).response()
      assert.equal(body, 'application/grpc-web+proto')
      await logged(gateway, { status: 200, grpcStatus: undefined, reason: undefined })
    },
    { backend: { protocol: 'HTTP' } },
  )

  let streaming: ServedRequest | undefined
  on(rig, (request) => {
    streaming = request
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('x'.repeat(rig.large)))
    request.end({ 'grpc-status': '0' })
  })('streams with back-pressure, and arrives whole', async (gateway) => {
    for (const fields of [{ 'content-type': 'application/grpc-web' }, TEXT]) {
      const request = gateway.ask({ method: 'POST', path: PATH, fields, length: 'unknown' })
      request.end()
      request.pause()
      await request.head()
      await gateway.pass(200)
      assert.ok(streaming!.unsent > 0, 'all of the message was taken for a client that does not read')
      request.resume()
      const { status, messages } = readWeb(await request.response())
      assert.deepEqual([status, messages[0]!.length], ['0', rig.large])
    }
  })
}

function webFailures(rig: TransportRig): void {
  const asked = (gateway: TransportGateway, fields: FieldMap): ClientRequest => {
    const request = gateway.ask({ method: 'POST', path: PATH, fields, length: 'unknown' })
    request.end()
    return request
  }

  on(rig, 'refusing')('is refused in its own form', async (gateway) => {
    for (const fields of [TEXT, { 'content-type': 'application/grpc-web+proto' }]) {
      const { status, message } = readWeb(await asked(gateway, fields).response())
      assert.equal(status, '14')
      assert.match(message!, /ConnectFailure/)
    }
    await gateway.nothingLeft()
    for (const line of gateway.log()) assert.deepEqual([line.status, line.grpcStatus], [200, 14])
  })

  on(rig, (request) => request.respond(404, 'nothing here', { 'content-type': 'text/plain' }))(
    'has a status also where something else answers than gRPC',
    async (gateway) => {
      const bytesWanted = { 'content-type': 'application/grpc-web-text', accept: 'application/grpc-web+proto' }
      for (const fields of [TEXT, { 'content-type': 'application/grpc-web' }, bytesWanted])
        assert.equal(readWeb(await asked(gateway, fields).response()).status, '12')
    },
  )

  on(rig, (request) => echo(request, {}))('without grpc-status is UNKNOWN', async (gateway) => {
    const { status } = readWeb(await asked(gateway, { 'content-type': 'application/grpc-web' }).response())
    assert.equal(status, '2')
    await logged(gateway, { grpcStatus: 2, reason: 'GrpcStatusMissing' })
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first'))
    void request.body().then(() => request.reset())
  })('is ended by the status of its failure between two messages', async (gateway) => {
    for (const fields of [TEXT, { 'content-type': 'application/grpc-web' }]) {
      const request = gateway.ask({ method: 'POST', path: PATH, fields, length: 'unknown' })
      await request.head()
      request.end()
      const { status, messages } = readWeb(await request.response())
      assert.deepEqual([status, messages], ['14', ['first']])
    }
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc' })
    request.write(frame('first').slice(0, -1))
  })('is cut within a message, since its trailers would be read as part of it', async (gateway) => {
    const response = await asked(gateway, { 'content-type': 'application/grpc-web', 'grpc-timeout': '200m' }).response()
    assert.deepEqual([response.status, response.complete], [200, false])
    await logged(gateway, { status: 200, reason: 'RequestTimeout' })
  })

  on(rig, (request) => {
    request.head(200, { 'content-type': 'application/grpc-web' })
    request.write(frame('first'))
    void request.body().then(() => request.reset())
  })(
    'is cut where it is not translated',
    async (gateway) => {
      const request = gateway.ask({
        ...{ method: 'POST', path: PATH, length: 'unknown' as const },
        fields: { 'content-type': 'application/grpc-web' },
      })
      await request.head()
      request.end()
      assert.equal((await request.response()).complete, false)
    },
    { backend: { protocol: 'HTTP' } },
  )

  on(rig, () => {})('whose text is no base64 is refused, in its own form', async (gateway) => {
    for (const body of ['????', 'AAA', 'AA==A===']) {
      const response = await gateway.ask({ method: 'POST', path: PATH, fields: TEXT, body }).response()
      assert.equal(readWeb(response).status, '13', body)
    }
    await gateway.nothingLeft()
    for (const line of gateway.log()) assert.equal(line.reason, 'BadGrpcRequest')
  })
}
