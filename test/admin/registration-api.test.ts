import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { after, before, suite, test } from 'node:test'
import type { AdminData } from '../../src/admin/admin-data.ts'
import { type AdminServer, startAdmin } from '../../src/admin/server.ts'
import { Registrations } from '../../src/control/registration/registrations.ts'
import { VirtualTime } from '../lib/virtual-time.ts'
import { NO_CACHES, NO_EXPLANATIONS } from './no-caches.ts'

const TOKEN = 'a-token-of-this-test'
const PATH = '/api/v1/backends/shop/api/endpoints'
const JSON_TYPE = { 'content-type': 'application/json' }
const BODY = { address: '10.0.0.7', port: 8080 }

interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Record<string, unknown>
}

suite('registration API', () => {
  let server: AdminServer
  let changes = 0
  let usable = true
  before(async () => {
    const registrations = new Registrations({
      time: new VirtualTime().keeper(),
      terms: (backend) =>
        backend === 'shop/api' || backend === 'shop/api.v2'
          ? { lease: 30_000 }
          : { status: 404, reason: 'BackendNotFound', title: 'The Backend does not exist', detail: backend },
      refusal: () => undefined,
      changed: () => {},
      keep: () => {
        changes++
      },
      expired: () => {},
    })
    const digests = [createHash('sha256').update(TOKEN).digest()]
    const read = async () => (usable ? { ok: true as const, digests } : { ok: false as const, fault: '/etc/x' })
    // What the API of registrations never asks for.
    const data = {} as AdminData
    server = await startAdmin({
      address: '127.0.0.1:0',
      tokens: { read },
      data,
      registrations,
      caches: NO_CACHES,
      explanations: NO_EXPLANATIONS,
    })
  })
  after(() => server.close())

  function send(method: string, path: string, body?: unknown, headers: Record<string, string | string[]> = {}) {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body)
    const sent = request(
      {
        ...{ host: '127.0.0.1', port: server.port, method, path, agent: false },
        headers: { authorization: `Bearer ${TOKEN}`, ...(text === undefined ? {} : JSON_TYPE), ...headers },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () => {
          const all = Buffer.concat(chunks).toString()
          const parsed = all === '' ? {} : (JSON.parse(all) as Record<string, unknown>)
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: parsed })
        })
      },
    )
    sent.on('error', reject)
    sent.end(text)
    return promise
  }

  const reasonOf = ({ status, headers, body }: Answer): string => {
    assert.match(String(headers['content-type']), /^application\/problem\+json/)
    assert.equal(body.status, status)
    return `${status} ${body.reason}`
  }

  test('PUT registers and renews, GET shows, heartbeat renews, DELETE drains', async () => {
    const put = { ...BODY, weight: 3, zone: 'a', metadata: { version: '7', 'example.com/rack': 'r1' }, lease: '20s' }
    const created = await send('PUT', `${PATH}/a`, put)
    const view = { id: 'a', ...put, state: 'ready', remaining: '20s' }
    assert.deepEqual([created.status, created.body], [201, view])
    assert.equal((await send('PUT', `${PATH}/a`, put)).status, 200)
    assert.deepEqual((await send('GET', `${PATH}/a`)).body, view)
    assert.deepEqual((await send('GET', PATH)).body, { items: [view] })
    assert.equal((await send('POST', `${PATH}/a/heartbeat`)).status, 200)
    // Clients state a content type whether or not there is content.
    assert.equal((await send('POST', `${PATH}/a/heartbeat`, '', JSON_TYPE)).status, 200)
    assert.deepEqual((await send('DELETE', `${PATH}/a?drain=5s`)).body, { ...view, state: 'draining', remaining: '5s' })
    assert.equal(reasonOf(await send('POST', `${PATH}/a/heartbeat`)), '409 EndpointDraining')
    assert.equal((await send('DELETE', `${PATH}/a?drain=0s`)).status, 200)
    assert.equal(reasonOf(await send('GET', `${PATH}/a`)), '404 EndpointNotFound')
  })

  test('a list is paged, and needs no token', async () => {
    const path = '/api/v1/backends/shop/api.v2/endpoints'
    for (let i = 0; i < 5; i++) await send('PUT', `${path}/e${i}`, { ...BODY, port: i + 1 })
    const page = await send('GET', `${path}?limit=2&offset=2`, undefined, { authorization: '' })
    const items = page.body.items as { id: string }[]
    assert.deepEqual([items.map(({ id }) => id), page.body.next], [['e2', 'e3'], 4])
  })

  test('no change without a token that is right, and nothing is read of its body', async () => {
    const seen = changes
    const attempts: [string, string, string][] = [
      ['PUT', `${PATH}/b`, JSON.stringify(BODY)],
      ['POST', `${PATH}/b/heartbeat`, ''],
      ['DELETE', `${PATH}/b`, ''],
    ]
    for (const [method, path, body] of attempts) {
      for (const authorization of ['', 'Bearer', `Basic ${TOKEN}`, TOKEN, 'Bearer  ', `Bearer ${TOKEN}, Bearer x`]) {
        const answer = await send(method, path, body, { authorization })
        assert.equal(reasonOf(answer), '401 TokenMissing', authorization)
        assert.match(String(answer.headers['www-authenticate']), /^Bearer /)
      }
      for (const token of [`${TOKEN}x`, TOKEN.slice(1), TOKEN.toUpperCase(), 'x'.repeat(8_000)])
        assert.equal(reasonOf(await send(method, path, body, { authorization: `Bearer ${token}` })), '401 TokenWrong')
    }
    // Refused before the body, which is neither JSON nor of an allowed size.
    const huge = await send('PUT', `${PATH}/b`, 'x'.repeat(100_000), { authorization: 'Bearer wrong-token' })
    assert.equal(reasonOf(huge), '401 TokenWrong')
    usable = false
    const unusable = await send('PUT', `${PATH}/b`, BODY)
    usable = true
    assert.equal(reasonOf(unusable), '503 TokenUnusable')
    assert.ok(!JSON.stringify(unusable.body).includes('/etc/x'))
    assert.equal(changes, seen)
  })

  test('a page of a browser cannot change anything, even with the token', async () => {
    const seen = changes
    for (const headers of [
      { origin: 'http://evil.example' },
      { 'sec-fetch-site': 'cross-site' },
      { origin: `http://localhost:${server.port}` },
    ])
      assert.equal((await send('PUT', `${PATH}/b`, BODY, headers)).status, 403)
    assert.equal((await send('PUT', `${PATH}/b`, BODY, { host: 'evil.example' })).status, 421)
    assert.equal((await send('OPTIONS', `${PATH}/b`, undefined, { origin: 'http://evil.example' })).status, 405)
    assert.equal(changes, seen)
  })

  test('bodies that are no endpoint are refused by name, whatever their form', async () => {
    const seen = changes
    for (const body of [
      ...['null', '[]', '"x"', '1', '{', '{}', ''],
      { address: '10.0.0.7' },
      { ...BODY, port: 0 },
      { ...BODY, port: 65_536 },
      { ...BODY, port: '80' },
      { ...BODY, port: 80.5 },
      { ...BODY, address: 7 },
      { ...BODY, address: 'x'.repeat(46) },
      { ...BODY, weight: 0 },
      { ...BODY, weight: -1 },
      { ...BODY, weight: 1e9 },
      { ...BODY, weight: null },
      { ...BODY, zone: '' },
      { ...BODY, zone: 'z'.repeat(64) },
      { ...BODY, lease: 30 },
      { ...BODY, leese: '30s' },
      { ...BODY, metadata: [] },
      { ...BODY, metadata: { a: 1 } },
      { ...BODY, metadata: { a: 'x'.repeat(257) } },
      { ...BODY, metadata: { '': 'x' } },
      { ...BODY, metadata: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`k${i}`, ''])) },
      '{"address":"10.0.0.7","port":80,"metadata":{"__proto__":"x"}}',
      '{"address":"10.0.0.7","port":80,"__proto__":{"weight":9}}',
    ])
      assert.equal(
        reasonOf(await send('PUT', `${PATH}/b`, body, JSON_TYPE)),
        '400 InvalidRequest',
        JSON.stringify(body),
      )
    assert.equal(reasonOf(await send('PUT', `${PATH}/b`, JSON.stringify(BODY).padEnd(9_000))), '413 BodyTooLarge')
    const xml = await send('PUT', `${PATH}/b`, '<a/>', { 'content-type': 'text/xml' })
    assert.equal(reasonOf(xml), '415 UnsupportedMediaType')
    assert.equal(changes, seen)
  })

  test('a member or parameter that is unknown is named', async () => {
    const detailOf = async (method: string, path: string, body: unknown) =>
      String((await send(method, path, body, JSON_TYPE)).body.detail)
    assert.match(await detailOf('PUT', `${PATH}/b`, { ...BODY, wieght: 2 }), /: "wieght"$/)
    assert.match(await detailOf('PUT', `${PATH}/b`, { ...BODY, metadata: { 'a b': 'x' } }), /^body\/metadata.*: "a b"$/)
    assert.match(await detailOf('DELETE', `${PATH}/b?drian=5s`, undefined), /: "drian"$/)
  })

  test('ids and names that are none are refused', async () => {
    for (const id of ['-a', 'a-', '.', '..', '%2e%2e', 'a%2Fb', 'a%00', 'a%20b', 'x'.repeat(129), '%F0%9F%98%80'])
      assert.ok([400, 405].includes((await send('PUT', `${PATH}/${id}`, BODY)).status), id)
    assert.equal((await send('PUT', `${PATH}/${'x'.repeat(128)}`, BODY)).status, 201)
    assert.equal((await send('PUT', '/api/v1/backends/Shop/api/endpoints/a', BODY)).status, 400)
    assert.equal(reasonOf(await send('PUT', '/api/v1/backends/shop/none/endpoints/a', BODY)), '404 BackendNotFound')
    assert.equal(reasonOf(await send('GET', '/api/v1/backends/shop/none/endpoints')), '404 BackendNotFound')
  })

  test('other methods are refused with those that exist', async () => {
    for (const [method, path, allow] of [
      ['POST', PATH, 'GET, HEAD'],
      ['PATCH', `${PATH}/a`, 'GET, HEAD, PUT, DELETE'],
      ['PUT', `${PATH}/a/heartbeat`, 'POST'],
      ['PUT', '/api/v1/routes', 'GET, HEAD'],
    ] as const) {
      const answer = await send(method, path, {})
      assert.equal(reasonOf(answer), '405 MethodNotAllowed')
      assert.equal(answer.headers.allow, allow)
    }
  })

  test('a flood of heartbeats is told to wait', async () => {
    await send('PUT', `${PATH}/flood`, { ...BODY, port: 9 })
    const answers = await Promise.all(Array.from({ length: 40 }, () => send('POST', `${PATH}/flood/heartbeat`)))
    const refused = answers.filter(({ status }) => status !== 200)
    assert.equal(refused.length, 20)
    assert.equal(reasonOf(refused[0]!), '429 TooManyHeartbeats')
    assert.equal(refused[0]!.headers['retry-after'], '1')
  })
})
