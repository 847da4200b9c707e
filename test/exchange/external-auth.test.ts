/** `auth.external` over real connections: a service decides, and what it says goes where the rule lets it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type AddressInfo, connect, createServer as createRelay } from 'node:net'
import { describe, it } from 'node:test'
import type { BackendSpec } from '../../src/api/backend.ts'
import type { Policies } from '../../src/api/policies.ts'
import { Connectors } from '../../src/connector/connectors.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { closedPort, type EchoBackend, echoBackend, httpBackend, type Received } from '../feature/backends.ts'
import type { RawResponse, RequestOptions } from '../feature/raw-client.ts'
import { authorizationService } from '../grpc/authorization-service.ts'
import { type InProcess, inProcess } from '../worker/in-process.ts'
import { type InProcessOptions, type Scope, toUp } from '../worker/test-plane.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

interface World {
  readonly gateway: InProcess
  readonly up: EchoBackend
  /** What the service was asked. */
  readonly asked: IncomingMessage[]
  answer: Answer
}

const allow: Answer = (_, response) => void response.writeHead(202).end()

async function service(scope: Scope, answer: Answer) {
  const asked: IncomingMessage[] = []
  const { port } = await httpBackend(scope, (request, response) => {
    asked.push(request)
    answer(request, response)
  })
  return { asked, authz: port }
}

async function world(
  scope: Scope,
  external: object,
  policies: object = {},
  more: InProcessOptions = {},
  spec: Partial<BackendSpec> = {},
): Promise<World> {
  const { asked, authz } = await service(scope, (request, response) => w.answer(request, response))
  const up = await echoBackend(scope)
  const gateway = await inProcess(scope, {
    upstreams: [up.port],
    rules: toUp({
      auth: { external: { backendRef: { name: 'authz' }, timeout: '30s', ...external } },
      ...policies,
    } as Policies),
    backends: { 'default/authz': { upstreams: [authz], spec } },
    ...more,
  })
  const w: World = { gateway, up, asked, answer: allow }
  return w
}

async function ask({ gateway }: World, options: RequestOptions = {}): Promise<RawResponse> {
  using own = await gateway.connect()
  return await own.request({ host: 'w.test', ...options })
}

const lastLine = ({ gateway }: World) => gateway.log().at(-1)!

/** Every value of a header. */
const all = (response: RawResponse, name: string) =>
  response.fields.flatMap(([own, value]) => (own === name ? [value] : []))

const seen = ({ up }: World): Received => up.received.at(-1)!
const BROWSER = { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate' }

describe('auth.external', () => {
  it('asks without the body, tells what was asked for, and hands on what the rule names and nothing else', async (t) => {
    const w = await world(t, { path: '/oauth2/auth', requestHeaders: ['cookie'], responseHeaders: ['X-User'] })
    w.answer = (_, response) => void response.writeHead(202, { 'x-user': 'alice', 'x-admin': 'yes' }).end('ignored')
    const headers = {
      cookie: 'sid=1',
      authorization: 'Basic eDp5',
      'x-user': 'root',
      x_user: 'root',
      'x-original-uri': '/other',
    }
    const response = await ask(w, { method: 'POST', path: '/a/../b?q=1&r', headers, body: 'secret' })
    assert.equal(response.status, 200)
    const [asked] = w.asked
    assert.deepEqual([asked!.method, asked!.url], ['GET', '/oauth2/auth'])
    const { headers: told } = asked!
    assert.deepEqual(
      [
        'x-original-method',
        'x-original-uri',
        'x-original-host',
        'x-original-url',
        'x-forwarded-uri',
        'x-forwarded-for',
      ].map((name) => told[name]),
      ['POST', '/b?q=1&r', 'w.test', 'http://w.test/b?q=1&r', '/b?q=1&r', '127.0.0.1'],
    )
    assert.deepEqual(
      [told.cookie, told.authorization, told['x-user'], told['content-length']],
      ['sid=1', undefined, undefined, undefined],
    )
    const { headers: got, body } = seen(w)
    assert.deepEqual(
      [got['x-user'], got.x_user, got['x-admin'], got.cookie, body],
      ['alice', undefined, undefined, 'sid=1', 'secret'],
    )
    await w.gateway.nothingLeft()
  })

  it('keeps its connection to the service, whatever that answers', async (t) => {
    const w = await world(t, {})
    for (const answer of [allow, (_: unknown, response: ServerResponse) => void response.writeHead(401).end('no')])
      for (let i = 0; i < 3; i++) {
        w.answer = answer
        await ask(w)
      }
    assert.equal(new Set(w.asked.map(({ socket }) => socket)).size, 1)
  })

  it('passes a refusal on: status, Location, challenge, cookies, page, and no other header', async (t) => {
    const w = await world(t, {})
    const refusals: [number, Record<string, string | string[]>, string][] = [
      [302, { location: 'https://id.example/login', 'set-cookie': ['a=1', 'b=2'] }, 'Found'],
      [401, { 'www-authenticate': 'Bearer realm="x"', 'content-type': 'text/plain' }, 'who are you'],
      [403, {}, ''],
      [429, { 'retry-after': '7' }, ''],
    ]
    for (const [status, headers, body] of refusals) {
      w.answer = (_, response) => void response.writeHead(status, { ...headers, 'x-internal': 'secret' }).end(body)
      const response = await ask(w)
      assert.deepEqual([response.status, response.text], [status, body])
      for (const [name, value] of Object.entries(headers))
        assert.deepEqual(all(response, name), Array.isArray(value) ? value : [value])
      assert.equal(response.header('x-internal'), undefined)
      assert.equal(response.header('cache-control'), 'no-store')
      const line = lastLine(w)
      assert.deepEqual([line.reason, line.detail], ['AuthDenied', `the authorization service answered ${status}`])
    }
    assert.equal((await ask(w, { method: 'HEAD' })).status, 429)
    assert.equal(w.up.received.length, 0)
  })

  it('gives the client the cookies of an answer beside those of the backend, also where a later filter refuses', async (t) => {
    const w = await world(
      t,
      { clientHeaders: ['set-cookie', 'x-auth'], responseHeaders: ['x-role'] },
      { authorization: [{ name: 'role', claim: 'x-role', in: ['ops'] }] },
    )
    let role = 'ops'
    w.answer = (_, response) =>
      void response.writeHead(200, { 'set-cookie': 'session=2', 'x-auth': 'ok', 'x-role': role }).end()
    const good = await ask(w)
    assert.deepEqual([good.status, all(good, 'set-cookie'), good.header('x-auth')], [200, ['session=2'], 'ok'])
    role = 'dev'
    const refused = await ask(w)
    assert.deepEqual([refused.status, all(refused, 'set-cookie')], [403, ['session=2']])
  })

  it('fails closed: gone, slow, broken, failing, speaking in tongues', async (t) => {
    const w = await world(t, {})
    for (const [answer, detail] of [
      [(_: unknown, response: ServerResponse) => void response.writeHead(500).end(), /answered 500$/],
      [(_: unknown, response: ServerResponse) => void response.writeHead(304).end(), /answered 304$/],
      [(_: unknown, response: ServerResponse) => void response.writeHead(302).end(), /answered 302$/],
      [(request: IncomingMessage) => void request.socket.destroy(), /ResetBeforeResponse$/],
      [(request: IncomingMessage) => void request.socket.end('HTTP/9 what\r\n\r\n'), /UpstreamProtocolError$/],
    ] as const) {
      w.answer = answer as Answer
      const response = await ask(w)
      assert.deepEqual([response.status, response.header('www-authenticate')], [503, undefined])
      assert.match(String(lastLine(w).detail), detail)
    }
    assert.equal(w.up.received.length, 0)
    const slow = await world(t, { timeout: '60ms' })
    slow.answer = () => {}
    assert.equal((await ask(slow)).status, 503)
    assert.match(String(lastLine(slow).detail), /ResponseHeadTimeout$/)
    const none = await world(t, {}, {}, { backends: {} })
    assert.equal((await ask(none)).status, 503)
    const closed = await world(t, {}, {}, { backends: { 'default/authz': { upstreams: [] } } })
    assert.equal((await ask(closed)).status, 503)
    await w.gateway.nothingLeft()
  })

  it('asks another endpoint where one is gone, and asks no second time what may have been received', async (t) => {
    const { asked, authz } = await service(t, (request, response) =>
      request.url === '/cut' ? void request.socket.destroy() : void response.writeHead(200).end(),
    )
    const upstreams = [await closedPort(), authz]
    const loadBalancing = { algorithm: 'RoundRobin', slowStart: '0s', zoneAware: false } as const
    const backends = { 'default/authz': { upstreams, spec: { loadBalancing } } }
    const w = await world(t, {}, {}, { backends })
    for (let i = 0; i < 6; i++) assert.equal((await ask(w)).status, 200)
    const cut = await world(t, { path: '/cut' }, {}, { backends: { 'default/authz': { upstreams: [authz] } } })
    const before = asked.length
    assert.equal((await ask(cut)).status, 503)
    assert.equal(asked.length, before + 1)
  })

  it('fails open where it is told to, without an identity of the client, and only while the service is down', async (t) => {
    const w = await world(t, { failOpen: true, responseHeaders: ['x-user'] })
    for (const answer of [
      (_: IncomingMessage, response: ServerResponse) => void response.writeHead(502).end(),
      (request: IncomingMessage) => void request.socket.destroy(),
    ]) {
      w.answer = answer
      assert.equal((await ask(w, { headers: { 'x-user': 'root', x_user: 'root' } })).status, 200)
      assert.deepEqual([seen(w).headers['x-user'], seen(w).headers.x_user], [undefined, undefined])
      assert.match(String(lastLine(w).note), /^passed by failOpen: the authorization service /)
    }
    w.answer = (_, response) => void response.writeHead(401).end()
    assert.equal((await ask(w)).status, 401)
    const slow = await world(t, { failOpen: true, timeout: '60ms' })
    slow.answer = () => {}
    assert.equal((await ask(slow)).status, 200)
    const none = await world(t, { failOpen: true }, {}, { backends: {} })
    assert.equal((await ask(none)).status, 503)
    // Who sends many requests does not open the door by that.
    const busy = await world(
      t,
      { failOpen: true },
      {},
      {},
      { limits: { maxConnections: 4, maxPending: 4, maxConcurrentRequests: 1 } },
    )
    const asked = Promise.withResolvers<ServerResponse>()
    busy.answer = (_, response) => asked.resolve(response)
    const first = ask(busy)
    const held = await asked.promise
    assert.equal((await ask(busy)).status, 503)
    held.writeHead(200).end()
    assert.equal((await first).status, 200)
  })

  it('may not ask a Backend of another namespace that does not allow it', async (t) => {
    const { asked, authz } = await service(t, allow)
    for (const [allowedNamespaces, status] of [
      [{ from: 'Same' }, 503],
      [{ from: 'Names', names: ['shop'] }, 503],
      [{ from: 'Names', names: ['default'] }, 200],
    ] as const) {
      const before = asked.length
      const w = await world(
        t,
        { backendRef: { name: 'authz', namespace: 'other' } },
        {},
        { backends: { 'other/authz': { upstreams: [authz], spec: { allowedNamespaces } } } },
      )
      assert.equal((await ask(w)).status, status)
      assert.equal(asked.length - before, status === 200 ? 1 : 0)
    }
  })

  it('sends a browser to sign in, keeps where it wanted to go, and answers 401 to all else', async (t) => {
    const w = await world(t, { signIn: { url: '/oauth2/start', returnParam: 'rd' } })
    w.answer = (_, response) => void response.writeHead(401, { 'set-cookie': 'csrf=1' }).end('no')
    const first = await ask(w, { path: '/orders?id=1&x=%20', headers: BROWSER })
    assert.deepEqual(
      [first.status, first.header('location'), all(first, 'set-cookie'), first.header('cache-control')],
      [302, '/oauth2/start?rd=%2Forders%3Fid%3D1%26x%3D%2520', ['csrf=1'], 'no-store'],
    )
    for (const headers of [
      { accept: 'text/html', 'sec-fetch-mode': 'cors' },
      { accept: 'application/json' },
      { accept: 'text/html', 'x-requested-with': 'XMLHttpRequest' },
      {},
    ])
      assert.equal((await ask(w, { headers })).status, 401, JSON.stringify(headers))
    assert.equal((await ask(w, { method: 'POST', headers: BROWSER })).status, 401)
    assert.equal((await ask(w, { headers: { accept: 'text/html' } })).status, 302)
    // Already there: it would be sent in a circle.
    assert.equal((await ask(w, { path: '/oauth2/start?rd=%2F', headers: BROWSER })).status, 401)
    // Never the name of another host.
    const other = await ask(w, { path: '//evil.example/x', headers: BROWSER })
    assert.match(other.header('location')!, /^\/oauth2\/start\?rd=(%2Fevil|http%3A%2F%2Fw\.test%2F)/)
    w.answer = (_, response) => void response.writeHead(403).end()
    assert.equal((await ask(w, { headers: BROWSER })).status, 403)
    const absolute = await world(t, { signIn: { url: 'https://id.example/?a=b', returnParam: 'rd' } })
    absolute.answer = (_, response) => void response.writeHead(401).end()
    const away = await ask(absolute, { path: '/x', host: 'w.test:8080', headers: BROWSER })
    assert.equal(away.header('location'), 'https://id.example/?a=b&rd=http%3A%2F%2Fw.test%3A8080%2Fx')
  })

  it('keeps an answer for as long as it may, and for nobody else', async (t) => {
    const w = await world(t, {
      cache: { ttl: '10m', by: ['cookie:sid'] },
      requestHeaders: ['cookie'],
      responseHeaders: ['x-user'],
    })
    w.answer = (request, response) => void response.writeHead(200, { 'x-user': request.headers.cookie ?? '' }).end()
    const count = async (options: RequestOptions): Promise<number> => {
      const before = w.asked.length
      assert.equal((await ask(w, options)).status, 200)
      return w.asked.length - before
    }
    const base = { path: '/a', headers: { cookie: 'sid=1' } }
    assert.equal(await count(base), 1)
    assert.equal(await count(base), 0)
    assert.equal(seen(w).headers['x-user'], 'sid=1')
    for (const other of [
      { ...base, path: '/b' },
      { ...base, path: '/a?q' },
      { ...base, method: 'HEAD' },
      { ...base, host: 'w.test:81' },
      { ...base, headers: { cookie: 'sid=2' } },
      { ...base, headers: { cookie: 'sid=1; admin=yes' } },
    ]) {
      assert.equal(await count(other), 1, JSON.stringify(other))
      assert.equal(await count(other), 0, JSON.stringify(other))
    }
    // Without what it is kept by it is not kept.
    assert.deepEqual([await count({ path: '/a' }), await count({ path: '/a' })], [1, 1])
    // Neither is a cookie that is meant for one client, nor a refusal.
    w.answer = (_, response) => void response.writeHead(200, { 'set-cookie': 'sid=9' }).end()
    assert.deepEqual([await count({ ...base, path: '/c' }), await count({ ...base, path: '/c' })], [1, 1])
    w.answer = (_, response) => void response.writeHead(401).end()
    for (let i = 0; i < 2; i++) assert.equal((await ask(w, { ...base, path: '/d' })).status, 401)
    w.answer = allow
    assert.equal(await count({ ...base, path: '/d' }), 1)
  })

  it('asks once for requests that come together, and gives a refusal to each of its own', async (t) => {
    const w = await world(t, { cache: { ttl: '10m', by: ['cookie:sid'] } })
    const waiting: ServerResponse[] = []
    let first = Promise.withResolvers<void>()
    const hold = (_: unknown, response: ServerResponse): void => {
      waiting.push(response)
      first.resolve()
    }
    w.answer = hold
    const several = () => Array.from({ length: 4 }, () => ask(w, { headers: { cookie: 'sid=1' } }))
    const together = several()
    await first.promise
    // The one that asked may go: the others still get the answer.
    for (const response of waiting.splice(0)) response.writeHead(200).end()
    assert.deepEqual(
      (await Promise.all(together)).map(({ status }) => status),
      [200, 200, 200, 200],
    )
    assert.equal(w.asked.length, 1)
    first = Promise.withResolvers()
    // A cookie is for the client that asked: the others are asked about by themselves.
    const cookies = Array.from({ length: 3 }, () => ask(w, { path: '/in', headers: { cookie: 'sid=1' } }))
    await first.promise
    let session = 0
    w.answer = (_, response) => void response.writeHead(200, { 'set-cookie': `session=${session++}` }).end()
    for (const response of waiting.splice(0)) w.answer({} as never, response)
    const given = (await Promise.all(cookies)).map((response) => all(response, 'set-cookie').join())
    assert.deepEqual(new Set(given), new Set(['session=0', 'session=1', 'session=2']))
    first = Promise.withResolvers()
    w.answer = hold
    const refused = Array.from({ length: 3 }, () => ask(w, { path: '/no', headers: { cookie: 'sid=1' } }))
    await first.promise
    w.answer = (_, response) => void response.writeHead(403).end('no')
    for (const response of waiting.splice(0)) response.writeHead(403).end('no')
    assert.deepEqual(
      (await Promise.all(refused)).map(({ status, text }) => [status, text]),
      Array(3).fill([403, 'no']),
    )
    await w.gateway.nothingLeft()
  })

  it('lets the service replace a header that it was told, which no other method hands on', async (t) => {
    const keys = { apiKey: { secretName: 'keys', from: [{ header: 'x-api-key' }] } }
    const external = {
      backendRef: { name: 'authz' },
      requestHeaders: ['authorization'],
      responseHeaders: ['authorization'],
    }
    const w = await world(t, {}, { auth: { anyOf: [keys, { external }] } })
    w.answer = (request, response) =>
      void response.writeHead(200, { authorization: `Bearer for ${request.headers.authorization}` }).end()
    await ask(w, { headers: { authorization: 'Basic x' } })
    assert.equal(seen(w).headers.authorization, 'Bearer for Basic x')
    w.answer = allow
    await ask(w, { headers: { authorization: 'Basic x' } })
    assert.equal(seen(w).headers.authorization, undefined)
    const before = w.asked.length
    assert.equal((await ask(w, { headers: { 'x-api-key': 'a' } })).status, 503)
    assert.equal(w.asked.length, before)
  })

  it('counts cookies and passwords that the service is told as what browsers attach by themselves', async (t) => {
    const w = await world(t, {})
    const key = Buffer.alloc(16).toString('base64')
    const handshake = { connection: 'upgrade', upgrade: 'websocket', 'sec-websocket-key': key }
    const statusOf = async (headers: Readonly<Record<string, string>>) =>
      (await ask(w, { headers: { ...handshake, origin: 'https://evil.example', ...headers } })).status
    for (const headers of [{ cookie: 'sid=1' }, { authorization: 'Basic eDp5' }])
      assert.equal(await statusOf(headers), 403)
    assert.equal(w.up.received.length, 0)
    assert.equal(await statusOf({ authorization: 'Bearer x' }), 200)
  })

  it('ends where it asks itself, again and again', async (t) => {
    let port = 0
    let calls = 0
    const relay = createRelay((socket) => {
      calls++
      const through = connect(port, '127.0.0.1')
      for (const side of [socket, through]) side.on('error', () => {})
      socket.pipe(through).pipe(socket)
    }).listen(0, '127.0.0.1')
    await once(relay, 'listening')
    t.after(() => relay.close())
    const w = await world(
      t,
      {},
      {},
      { backends: { 'default/authz': { upstreams: [(relay.address() as AddressInfo).port] } } },
    )
    port = w.gateway.port
    assert.equal((await ask(w)).status, 503)
    assert.ok(calls > 0 && calls <= 8, `${calls} calls`)
    assert.ok(w.gateway.log().some(({ reason }) => reason === 'LoopDetected'))
    assert.equal(w.up.received.length, 0)
  })
})

describe('auth.external over gRPC', () => {
  async function checked(t: Scope, external: object = {}, policies: object = {}) {
    const service = await authorizationService(t)
    const w = await world(t, { protocol: 'GRPC', ...external }, policies, {
      backends: { 'default/authz': { upstreams: [service.port], spec: { protocol: 'GRPC' } } },
      connectors: new Connectors(systemTimers),
    })
    return { w, service }
  }
  const header = (key: string, value: string) => ({ header: { key, value } })

  it('tells what Envoy tells, and takes headers and claims of the answer', async (t) => {
    const { w, service } = await checked(
      t,
      { requestHeaders: ['cookie', 'x-trace'], responseHeaders: ['x-user'], clientHeaders: ['set-cookie'] },
      { authorization: [{ name: 'team', claim: 'org.teams', in: ['shop'] }] },
    )
    service.answer = {
      status: { code: 0 },
      ok_response: {
        headers: [header('X-User', 'alice'), header('x-admin', 'yes')],
        headers_to_remove: ['X-Trace', 'host', 'content-length'],
        response_headers_to_add: [header('set-cookie', 'a=1'), header('x-internal', 'no')],
      },
      dynamic_metadata: {
        fields: { org: { structValue: { fields: { teams: { listValue: { values: [{ stringValue: 'shop' }] } } } } } },
      },
    }
    const headers = { cookie: 'a=b', 'x-trace': '7', x_user: 'root', authorization: 'Bearer x' }
    const response = await ask(w, { method: 'PUT', path: '/x?y=1', headers, body: 'secret' })
    assert.deepEqual(
      [response.status, all(response, 'set-cookie'), response.header('x-internal')],
      [200, ['a=1'], undefined],
    )
    const got = seen(w).headers
    assert.deepEqual(
      [got['x-user'], got.x_user, got['x-admin'], got['x-trace'], got.host, seen(w).body],
      ['alice', undefined, undefined, undefined, 'w.test', 'secret'],
    )
    const { source, request, context_extensions: extensions } = service.calls[0]!.attributes
    assert.equal(source.address.socket_address.address, '127.0.0.1')
    const { method, path, host, scheme, size, body, headers: told } = request.http
    assert.deepEqual([method, path, host, scheme, size, body], ['PUT', '/x?y=1', 'w.test', 'http', 6, ''])
    assert.deepEqual(told, { cookie: 'a=b', 'x-trace': '7' })
    assert.ok(Math.abs(request.time.seconds * 1_000 - Date.now()) < 60_000)
    assert.equal(extensions.rule, 'all')
  })

  it('passes a refusal on, and lets nothing pass that is not said clearly', async (t) => {
    const { w, service } = await checked(t)
    service.answer = {
      status: { code: 16 },
      denied_response: {
        status: { code: 401 },
        headers: [header('Location', '/login'), header('x-no', '1')],
        body: 'page',
      },
    }
    const denied = await ask(w)
    assert.deepEqual(
      [denied.status, denied.text, denied.header('location'), denied.header('x-no')],
      [401, 'page', '/login', undefined],
    )
    for (const [answer, status] of [
      [{ status: { code: 7 } }, 403],
      [{ status: { code: -1 } }, 403],
      [{ status: { code: 0 }, denied_response: { status: { code: 403 } } }, 403],
      [{ status: { code: 7 }, denied_response: { status: { code: 200 } } }, 503],
      [{ status: { code: 7 }, denied_response: { status: { code: 500 } } }, 503],
      [{ status: { code: 0 }, error_response: { status: { code: 500 } } }, 503],
      [{ status: { code: 0 }, ok_response: { query_parameters_to_remove: ['token'] } }, 503],
      [Object.assign(new Error('down'), { code: 14 }), 503],
    ] as const) {
      service.answer = answer
      assert.equal((await ask(w)).status, status, JSON.stringify(answer))
    }
    assert.equal(w.up.received.length, 0)
    service.answer = { status: { code: 0 } }
    assert.equal((await ask(w)).status, 200)
  })
})
