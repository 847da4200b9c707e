import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { suite, test } from 'node:test'
import { fastify } from 'fastify'
import type { AdminData } from '../../src/admin/admin-data.ts'
import { RESPONSES } from '../../src/admin/response-schemas.ts'
import type { RouteRow } from '../../src/admin/route-rows.ts'
import { type AdminServer, startAdmin } from '../../src/admin/server.ts'
import { Registrations } from '../../src/control/registration/registrations.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { NO_CACHES, NO_EXPLANATIONS } from './no-caches.ts'

const ROUTE: RouteRow = {
  hostname: 'shop.example.com',
  path: { type: 'PathPrefix', value: '/api' },
  method: 'GET',
  headers: [{ name: 'x-beta', type: 'Exact', value: '1' }],
  queryParams: [],
  cookies: [],
  sourceCIDRs: ['10.0.0.0/8'],
  listeners: ['http'],
  route: 'shop/shop',
  rule: 'api',
  action: 'forward',
  backends: [
    { backend: 'shop/api', weight: 90, priority: 0 },
    { weight: 10, priority: 0, reason: 'BackendNotFound' },
  ],
}

const DATA: AdminData = {
  unhealthy: () => [],
  unready: () => ['worker 1 serves no table yet'],
  version: () => ({ version: '0.1.0', node: '26.10.0', generation: 7, workers: 2, replica: 2, replicas: 3, zone: 'a' }),
  routes: () => Array.from({ length: 450 }, (_, i) => ({ ...ROUTE, rule: `rule-${i}` })),
  backends: () => [
    {
      id: 'shop/api',
      protocol: 'HTTPS',
      algorithm: 'RoundRobin',
      inFlight: 3,
      total: 1,
      ready: 1,
      eligible: 1,
      panic: false,
      endpoints: [
        { authority: '[::1]:8080', state: 'eligible', taken: true, reason: '', weight: 1, inFlight: 3, zone: 'a' },
      ],
    },
  ],
  statuses: () => [
    {
      kind: 'Route',
      key: 'shop/shop',
      rules: 3,
      conditions: [{ type: 'Ready', status: 'True', reason: 'Ready', message: 'All is well.', observedGeneration: 4 }],
    },
  ],
  problems: () => [
    {
      object: 'Route shop/old',
      file: 'shop.yaml',
      line: 3,
      column: 5,
      field: 'spec.rules[0]',
      reason: 'Invalid',
      message: 'No.',
    },
    { reason: 'Syntax', message: 'not YAML' },
  ],
  settings: () => [
    { path: 'listeners[0].port', value: 8080, origin: 'default' },
    { path: 'accessLog.fields', value: { site: 'berlin' }, origin: 'settings.yaml:3' },
  ],
  metrics: async () => ({ contentType: 'text/plain; version=0.0.4; charset=utf-8', body: '# none\n' }),
}

const NONE = new Registrations({
  time: new VirtualTime().keeper(),
  terms: () => ({ status: 404, reason: 'BackendNotFound', title: 'none', detail: 'none' }),
  refusal: () => undefined,
  changed: () => {},
  keep: () => {},
  expired: () => {},
})

/** Bytes in, bytes out: what a library would put right or refuse to send must reach the server. */
function exchange(server: AdminServer, head: string): Promise<{ status: number; head: string; body: string }> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(`${head}\r\nconnection: close\r\n\r\n`))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    socket.on('error', reject)
    socket.on('close', () => {
      const end = text.indexOf('\r\n\r\n')
      resolve({ status: Number(text.slice(9, 12)), head: text.slice(0, end).toLowerCase(), body: text.slice(end + 4) })
    })
  })
}

function get(server: AdminServer, path: string, headers = ''): ReturnType<typeof exchange> {
  return exchange(server, `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${server.port}${headers}`)
}

/** Fastify checks what comes in by a schema, not what goes out: the answer is sent to it. */
async function assertFits(schema: object, answer: object): Promise<void> {
  const judge = fastify({
    bodyLimit: 10_000_000,
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } },
  })
  judge.post('/', { schema: { body: schema } }, () => 'fits')
  const { body } = await judge.inject({ method: 'POST', url: '/', payload: answer })
  assert.equal(body, 'fits')
  await judge.close()
}

suite('admin server', async () => {
  const server = await startAdmin({
    address: '127.0.0.1:0',
    data: DATA,
    registrations: NONE,
    caches: NO_CACHES,
    explanations: NO_EXPLANATIONS,
  })
  test.after(() => server.close())

  const lists = ['routes', 'backends', 'statuses', 'problems', 'config'] as const
  for (const name of lists)
    test(`/api/v1/${name} answers what its schema says, and nothing is lost on the way`, async () => {
      const { status, head, body } = await get(server, `/api/v1/${name}?limit=1000`)
      assert.equal(status, 200)
      assert.match(head, /content-type: application\/json/)
      const answer = JSON.parse(body)
      await assertFits(RESPONSES[name], answer)
      const read = name === 'config' ? DATA.settings() : DATA[name](0)
      assert.deepEqual(answer, { items: [...read] })
    })

  test('the single views have the members of their schemas', async () => {
    for (const [path, schema] of [
      ['/', RESPONSES.index],
      ['/healthz', RESPONSES.health],
      ['/readyz', RESPONSES.health],
      ['/api/v1/version', RESPONSES.version],
    ] as const) {
      const answer = JSON.parse((await get(server, path)).body)
      await assertFits(schema, answer)
    }
    const { paths } = JSON.parse((await get(server, '/')).body)
    for (const path of paths as string[]) {
      const example = path.replace('{namespace}', 'shop').replace('{name}', 'api').replace('{id}', 'a')
      const { status, body } = await get(server, example)
      // What is only changed is refused to be read; the Backend of registrations does not exist here.
      if (path.startsWith('/api/v1/cache/') || path === '/api/v1/explain')
        assert.ok(status === 404 || status === 400, path)
      else if (path.endsWith('/heartbeat')) assert.equal(status, 404)
      else if (path.includes('{')) assert.equal(JSON.parse(body).reason, 'BackendNotFound', path)
      else assert.notEqual(status, 404, path)
    }
  })

  test('health and readiness contain the reasons of a failure', async () => {
    assert.deepEqual(JSON.parse((await get(server, '/healthz')).body), { status: 'ok', reasons: [] })
    const ready = await get(server, '/readyz')
    assert.equal(ready.status, 503)
    assert.deepEqual(JSON.parse(ready.body), { status: 'not ready', reasons: ['worker 1 serves no table yet'] })
  })

  test('metrics keep the content type of their format', async () => {
    const { head, body } = await get(server, '/metrics')
    assert.match(head, /content-type: text\/plain; version=0\.0\.4; charset=utf-8/)
    assert.equal(body, '# none\n')
  })

  test('the pages of a long list contain every row once', async () => {
    const rules: string[] = []
    let path = '/api/v1/routes'
    for (let pages = 0; ; pages++) {
      assert.ok(pages < 10)
      const { items, next } = JSON.parse((await get(server, path)).body)
      rules.push(...items.map((row: RouteRow) => row.rule))
      if (next === undefined) break
      path = `/api/v1/routes?offset=${next}`
    }
    assert.deepEqual(
      rules,
      Array.from({ length: 450 }, (_, i) => `rule-${i}`),
    )
    assert.equal(JSON.parse((await get(server, '/api/v1/routes?limit=9999')).body).items.length, 450)
    assert.deepEqual(JSON.parse((await get(server, '/api/v1/routes?offset=450')).body), { items: [] })
  })

  test('a page of Backends costs nothing for those before it', async () => {
    const asked: number[] = []
    const view = DATA.backends(0)[Symbol.iterator]().next().value!
    const data: AdminData = {
      ...DATA,
      *backends(offset) {
        asked.push(offset)
        for (let i = offset; i < 4; i++) yield { ...view, id: `shop/${i}` }
      },
    }
    const large = await startAdmin({
      address: '127.0.0.1:0',
      data,
      registrations: NONE,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
    test.after(() => large.close())
    const { items, next } = JSON.parse((await get(large, '/api/v1/backends?offset=2&limit=1')).body)
    assert.deepEqual([items.map(({ id }: { id: string }) => id), next, asked], [['shop/2'], 3, [2]])
  })

  test('an invalid query is rejected, not ignored', async () => {
    for (const query of ['limit=x', 'limit=-1', 'limit=1e3', 'offset=1&offset=2', 'limt=5', 'limit='])
      assert.equal((await get(server, `/api/v1/routes?${query}`)).status, 400, query)
  })

  test('DNS rebinding is rejected', async () => {
    for (const path of ['/api/v1/routes', '/metrics', '/healthz', '/missing'])
      for (const host of ['evil.example', `evil.example:${server.port}`, '10.0.0.1', ''])
        assert.equal((await exchange(server, `GET ${path} HTTP/1.1\r\nhost: ${host}`)).status, 421, `${path} ${host}`)
    assert.equal((await exchange(server, 'GET /api/v1/routes HTTP/1.0')).status, 421)
    for (const host of ['localhost', `localhost:${server.port}`, '[::1]:1', '127.0.0.2'])
      assert.equal((await exchange(server, `GET /api/v1/version HTTP/1.1\r\nhost: ${host}`)).status, 200, host)
  })

  test('cross-origin requests are rejected, without a CORS header', async () => {
    for (const headers of [
      'origin: http://evil.example',
      'origin: null',
      'origin: https://127.0.0.1',
      `origin: http://localhost:${server.port}`,
      'sec-fetch-site: cross-site',
      'sec-fetch-site: same-site',
    ]) {
      const { status, head } = await get(server, '/api/v1/routes', `\r\n${headers}`)
      assert.equal(status, 403, headers)
      assert.doesNotMatch(head, /access-control/)
    }
    for (const headers of [
      `origin: http://127.0.0.1:${server.port}`,
      'sec-fetch-site: same-origin',
      'sec-fetch-site: none',
    ])
      assert.equal((await get(server, '/api/v1/version', `\r\n${headers}`)).status, 200, headers)
  })

  test('writes are rejected for every path', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND'])
      for (const path of ['/api/v1/routes', '/missing']) {
        const { status, head } = await exchange(
          server,
          `${method} ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 0`,
        )
        assert.equal(status, 405, `${method} ${path}`)
        assert.match(head, /allow: get, head/)
      }
    const question = await exchange(
      server,
      'PUT /api/v1/explain?x HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 0',
    )
    assert.equal(question.status, 405)
    assert.match(question.head, /allow: post/)
    const head = await exchange(server, 'HEAD /api/v1/routes HTTP/1.1\r\nhost: localhost')
    assert.equal(head.status, 200)
    assert.equal(head.body, '')
  })

  test('every response forbids caching, framing and type sniffing', async () => {
    for (const path of ['/api/v1/version', '/missing', '/metrics']) {
      const { head } = await get(server, path)
      for (const field of [
        'cache-control: no-store',
        'x-content-type-options: nosniff',
        "content-security-policy: default-src 'none'",
      ])
        assert.ok(head.includes(field), `${path}: ${field}`)
    }
  })

  test('an unknown path and a failure are problems of RFC 9457 without internal details', async () => {
    const missing = await get(server, '/missing')
    assert.equal(missing.status, 404)
    assert.match(missing.head, /content-type: application\/problem\+json/)
    const failing = await startAdmin({
      address: '127.0.0.1:0',
      data: {
        ...DATA,
        routes: () => {
          throw new Error('secret detail')
        },
        metrics: () => Promise.reject(new Error('secret detail')),
      },
      registrations: NONE,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
    try {
      for (const path of ['/api/v1/routes', '/metrics']) {
        const { status, body } = await get(failing, path)
        assert.equal(status, 500)
        assert.deepEqual(JSON.parse(body), { type: 'about:blank', title: 'The control thread failed', status: 500 })
      }
    } finally {
      await failing.close()
    }
  })

  for (const [path, status] of [
    ['/api/v1/%zz', 400],
    [`/api/v1/cache/warm-ups/${'a'.repeat(300)}`, 414],
  ] as const)
    test(`${status}: a path that comes to no route is refused as any other`, async () => {
      const answer = await get(server, path)
      assert.equal(answer.status, status)
      assert.match(answer.head, /content-type: application\/problem\+json/)
      assert.match(answer.head, /x-content-type-options: nosniff/)
      const { title, reason } = JSON.parse(answer.body)
      assert.deepEqual([title, reason], ['The request cannot be served', 'InvalidRequest'])
    })

  test('a head that is too large is rejected', async () => {
    assert.equal((await get(server, '/api/v1/version', `\r\nx-large: ${'x'.repeat(20_000)}`)).status, 431)
  })

  test('closing ends open connections and frees the port', async () => {
    const other = await startAdmin({
      address: '127.0.0.1:0',
      data: DATA,
      registrations: NONE,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
    const socket = connect(other.port, '127.0.0.1')
    const closed = new Promise((resolve) => socket.once('close', resolve))
    await new Promise((resolve) => socket.once('connect', resolve))
    socket.write(`GET /api/v1/version HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    await new Promise((resolve) => socket.once('data', resolve))
    await other.close()
    await closed
    const again = await startAdmin({
      address: other.address,
      data: DATA,
      registrations: NONE,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
    assert.equal(again.address, other.address)
    await again.close()
  })

  test('a reachable address is rejected before the socket is bound', async () => {
    await assert.rejects(
      startAdmin({
        address: '0.0.0.0:0',
        data: DATA,
        registrations: NONE,
        caches: NO_CACHES,
        explanations: NO_EXPLANATIONS,
      }),
      /not implemented yet/,
    )
    await assert.rejects(
      startAdmin({
        address: server.address,
        data: DATA,
        registrations: NONE,
        caches: NO_CACHES,
        explanations: NO_EXPLANATIONS,
      }),
      {
        code: 'EADDRINUSE',
      },
    )
  })
})
