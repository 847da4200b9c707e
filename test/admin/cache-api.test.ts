import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import type { AdminData } from '../../src/admin/admin-data.ts'
import type { RegistrationRequests } from '../../src/admin/registrations.ts'
import { type AdminServer, startAdmin } from '../../src/admin/server.ts'
import type { CachedObject } from '../../src/cache/cached-object.ts'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { labelOf, MAX_LABELS, namespaceLabel, writeLabels } from '../../src/cache/purge-labels.ts'
import { HARD, KEPT, Purges, type PurgeVerdict, SOFT } from '../../src/cache/purges.ts'
import { Caches } from '../../src/control/cache/caches.ts'
import { createMetrics } from '../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../src/shared-memory/metrics-reader.ts'
import { PurgeLog } from '../../src/shared-memory/purge-log.ts'
import { aloneAs } from '../../src/store/purge-store.ts'
import type { ToWorker } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { eventually } from '../feature/harness.ts'
import { NO_EXPLANATIONS } from './no-caches.ts'

const TOKEN = 'a-token-of-the-tests'
const BASE = '/api/v1/cache'

interface Answer {
  readonly status: number
  readonly body: Readonly<Record<string, unknown>>
  readonly headers: Headers
}

describe('the admin API of the cache', () => {
  const log = new PurgeLog(PurgeLog.allocate(2), 2)
  const worker = new Purges(log, 0)
  let replicas = 1
  let serving = true
  const asked: ToWorker[] = []
  let server: AdminServer
  let caches: Caches

  before(async () => {
    caches = new Caches({
      log,
      writer: 1,
      time: systemTimers,
      random: Math.random,
      name: 'test',
      namespacesOf: (host) => (!serving ? undefined : host === 'shop.example' ? ['shop', 'images'] : []),
      rules: () => (serving ? [{ route: 'shop/web', rule: 'a' }] : undefined),
      others: aloneAs('own'),
      peers: () => undefined,
      replicas: () => replicas,
      listeners: () => [],
      ask(message) {
        asked.push(message)
        return asked.length > 1
      },
      metrics: new MetricsReader(createMetrics({ workers: 1 })),
      memory: allocateCache(8 * 2 ** 20, 1, [1, 2]),
      failure: () => {},
      report: () => {},
    })
    caches.start({ redis: null, stateDirectory: undefined })
    const digests = [createHash('sha256').update(TOKEN).digest()]
    server = await startAdmin({
      address: '127.0.0.1:0',
      tokens: { read: async () => ({ ok: true, digests }) },
      // What the API of the cache never asks for.
      data: {} as AdminData,
      registrations: {} as RegistrationRequests,
      caches,
      explanations: NO_EXPLANATIONS,
    })
  })
  after(async () => {
    caches.stop()
    await server.close()
  })

  async function send(method: string, path: string, body?: unknown, token = TOKEN): Promise<Answer> {
    const response = await fetch(`http://127.0.0.1:${server.port}${BASE}${path}`, {
      method,
      headers: { ...(token !== '' && { authorization: `Bearer ${token}` }), 'content-type': 'application/json' },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? {} : JSON.parse(text), headers: response.headers }
  }

  function verdict(namespace: string, path: string, since: number): PurgeVerdict {
    const labels = new Float64Array(MAX_LABELS)
    const own = { namespace: namespaceLabel(namespace), host: 'shop.example', path, query: undefined }
    const count = writeLabels(labels, { ...own, match: 'exact', route: `${namespace}/web`, rule: 'all' })
    return worker.judge(since, labels, count, () => `shop.example${path}`)
  }

  it('purges by URL in every namespace that the host leads to, before it answers', async () => {
    const since = log.last
    const { status, body } = await send('POST', '/purges', { urls: ['https://shop.example/a'] })
    assert.equal(status, 200, JSON.stringify(body))
    assert.deepEqual(body, {
      namespaces: ['shop', 'images'],
      purged: 1,
      soft: false,
      replicas: 1,
      reached: 1,
      acts: ['own'],
      missing: [],
      everywhere: true,
      history: 'None',
      kept: false,
      unknown: [],
      detail: 'It acts.',
    })
    for (const namespace of ['shop', 'images']) assert.equal(verdict(namespace, '/a', since), HARD)
    assert.equal(verdict('shop', '/b', since), KEPT)
  })

  it('purges in one namespace, softly', async () => {
    const since = log.last
    const { status, body } = await send('POST', '/namespaces/shop/purges', { route: 'web', soft: true })
    assert.deepEqual([status, body.soft], [200, true])
    assert.equal(verdict('shop', '/a', since), SOFT)
    assert.equal(verdict('images', '/a', since), KEPT)
  })

  it('purges rules whose cache ends, and the namespace in one record where they are many', async () => {
    const ended = (length: number) => Array.from({ length }, (_, i) => ({ route: 'shop/web', rule: `r${i}` }))
    const first = log.last
    caches.ended([{ route: 'shop/web', rule: 'all' }, ...ended(3), { route: 'images/other', rule: 'all' }])
    await eventually(() => assert.equal(log.last - first, 5))
    assert.deepEqual([verdict('shop', '/a', first), verdict('images', '/a', first)], [HARD, KEPT])
    const second = log.last
    caches.ended(ended(10_000))
    await eventually(() => assert.ok(log.last > second))
    assert.equal(log.last - second, 1)
    assert.deepEqual([verdict('shop', '/a', second), verdict('images', '/a', second)], [HARD, KEPT])
  })

  it('says where other replicas are not told', async () => {
    replicas = 3
    const { status, body } = await send('POST', '/namespaces/shop/purges', { all: true })
    assert.deepEqual([status, body.replicas, body.reached], [202, 3, 1])
    assert.match(String(body.detail), /in this replica alone/)
    replicas = 1
  })

  it('needs a token for every change', async () => {
    const since = log.last
    assert.equal((await send('POST', '/namespaces/shop/purges', { all: true }, '')).status, 401)
    assert.equal((await send('POST', '/purges', { urls: ['http://shop.example/'] }, 'wrong')).status, 401)
    assert.equal((await send('POST', '/warm-ups', { urls: ['http://shop.example/'] }, '')).status, 401)
    assert.equal(verdict('shop', '/', since), KEPT)
  })

  it('refuses what it cannot do, and says why', async () => {
    const since = log.last
    const cases: readonly [path: string, body: unknown, status: number, reason: string][] = [
      ['/purges', { urls: ['https://other.example/'] }, 404, 'NamespaceUnknown'],
      ['/purges', { tags: ['x'] }, 422, 'InvalidPurge'],
      ['/purges', { urls: ['/a'] }, 422, 'InvalidPurge'],
      ['/namespaces/shop/purges', {}, 422, 'InvalidPurge'],
      ['/namespaces/shop/purges', { tags: ['a b'] }, 422, 'InvalidPurge'],
      ['/namespaces/shop/purges', { route: 'other/web' }, 422, 'InvalidPurge'],
      ['/purges', { urls: [''] }, 422, 'InvalidPurge'],
      ['/namespaces/shop/purges', { tags: ['a', ''] }, 422, 'InvalidPurge'],
      ['/warm-ups', { urls: [''] }, 422, 'InvalidWarmUp'],
      ['/namespaces/shop/purges', { urls: [] }, 400, 'InvalidRequest'],
      ['/namespaces/shop/purges', { everything: true }, 400, 'InvalidRequest'],
      ['/namespaces/Shop/purges', { all: true }, 400, 'InvalidRequest'],
      ['/warm-ups', { urls: ['ftp://a/'] }, 422, 'InvalidWarmUp'],
      ['/warm-ups', { urls: ['https://user:word@a/'] }, 422, 'InvalidWarmUp'],
      ['/warm-ups', {}, 400, 'InvalidRequest'],
    ]
    for (const [path, body, status, reason] of cases) {
      const answer = await send('POST', path, body)
      assert.deepEqual([answer.status, answer.body.reason], [status, reason], `${path} ${JSON.stringify(body)}`)
    }
    for (const [path, title] of [
      ['/lookups', 'It cannot be looked up'],
      ['/namespaces/shop/lookups', 'It cannot be looked up'],
      ['/purges', 'It cannot be purged'],
    ] as const) {
      const answer = await send('POST', path, { urls: ['/a'] })
      assert.deepEqual([answer.status, answer.body.title], [422, title], path)
    }
    assert.equal((await send('GET', '/warm-ups/99')).status, 404)
    serving = false
    assert.equal((await send('POST', '/purges', { urls: ['https://shop.example/'] })).status, 503)
    serving = true
    assert.equal(log.last, since, 'nothing was purged')
    const other = await send('DELETE', '/purges')
    assert.deepEqual([other.status, other.headers.get('allow')], [405, 'POST'])
    const read = await send('PUT', '/warm-ups/1')
    assert.deepEqual([read.status, read.headers.get('allow')], [405, 'GET, HEAD'])
  })

  it('says in its detail that nothing here has a name', async () => {
    const { status, body } = await send('POST', '/namespaces/shop/purges', { route: 'wbe' })
    assert.ok(status === 200 || status === 202)
    const hosts = await send('POST', '/purges', { urls: ['https://shop.example/a', 'https://other.example/'] })
    const host = 'No rule has the host other.example: state the namespace of what was stored of it.'
    assert.deepEqual([hosts.status, hosts.body.unknown], [200, [host]])
    assert.doesNotMatch(String(hosts.body.detail), /all the same/)
    const none = await send('POST', '/purges', { urls: ['https://other.example/', 'https://else.example/'] })
    assert.deepEqual([none.status, none.body.title], [404, 'No rule has the hosts other.example, else.example'])
    const unknown = 'There is no Route shop/wbe with a rule that is served here.'
    assert.deepEqual((body as { unknown: unknown }).unknown, [unknown])
    assert.ok(
      (body as { detail: string }).detail.startsWith(`${unknown} What is stored by it is purged all the same. It acts`),
      JSON.stringify(body),
    )
  })

  it('shows what a purge would concern, as a worker finds it', async () => {
    asked.length = 0
    assert.equal(
      (await send('POST', '/lookups', { urls: ['https://shop.example/a'] })).status,
      503,
      'no worker is there',
    )
    const object = {
      ...{ key: 'GET https://shop.example/a; namespace shop', status: 200, bytes: 5, state: 'fresh', age: 1 },
      ...{ lifetime: 60, lifetimeBy: 'origin', staleWhileRevalidate: 0, staleIfError: 0, tags: 2 },
      ...{ received: '2026-01-01T00:00:00.000Z', keyDigest: 'abc', validator: '"1"' },
    } as CachedObject
    const looking = send('POST', '/namespaces/shop/lookups', { tags: ['hero'] })
    await eventually(() => assert.equal(asked.length, 2))
    const question = asked[1]!
    assert.ok(question.type === 'find-cached')
    assert.deepEqual(
      question.records.map(({ label }) => label),
      [labelOf('tag', 'hero')],
    )
    caches.found(question.id, [object], true)
    const { status, body } = await looking
    assert.deepEqual(
      [status, body],
      [
        200,
        {
          ...{ items: [{ replica: 'own', ...object }], complete: true, unknown: [], replicas: ['own'], missing: [] },
          ...{ everywhere: true, detail: 'Of the only replica.' },
        },
      ],
    )
    assert.equal((await send('POST', '/lookups', { urls: ['https://shop.example/'] }, '')).status, 401)
    assert.equal((await send('POST', '/lookups', { urls: ['https://other.example/'] })).status, 404)
  })

  it('counts what the memory holds, without a token', async () => {
    const { status, body } = await send('GET', '', undefined, '')
    assert.equal(status, 200)
    const { limit, requests, responses, purges, replicas, missing, everywhere, detail, ...counts } = body
    assert.deepEqual(replicas, [{ name: 'own', limit, requests, responses, purges, ...counts }])
    assert.deepEqual([missing, everywhere, detail], [[], true, 'Of the only replica.'])
    assert.equal(limit, 8 * 2 ** 20)
    assert.deepEqual([requests, responses, purges], [[], [], { history: 'None' }])
    assert.ok(
      Object.values(counts).every((count) => count === 0),
      JSON.stringify(counts),
    )
  })

  it('asks one replica alone, and says which there are', async () => {
    const { status, body } = await send('GET', '?replica=own')
    assert.deepEqual([status, body.everywhere, body.detail], [200, false, 'Of own alone.'])
    for (const [method, path, sent] of [
      ['GET', '', undefined],
      ['POST', '/lookups', { urls: ['https://shop.example/a'] }],
      ['POST', '/warm-ups', { urls: ['http://shop.example/a'] }],
    ] as const) {
      const answer = await send(method, `${path}?replica=other`, sent)
      assert.deepEqual([answer.status, answer.body.reason, answer.body.detail], [404, 'NoReplica', 'There are own'])
    }
    assert.equal((await send('GET', '?replicas=own')).status, 400)
  })

  it('says that a settled number of replicas is more than answer', async () => {
    replicas = 3
    const { body } = await send('GET', '')
    replicas = 1
    const detail = 'Of this replica alone: it is one of 3, and they do not ask each other.'
    assert.deepEqual([body.everywhere, body.detail], [false, detail])
  })

  it('takes several hundred names at once, so that every thread reads each of them', async () => {
    const since = log.last
    const tags = Array.from({ length: 256 }, (_, i) => `tag-${i}`)
    const answers = await Promise.all([1, 2, 3].map(() => send('POST', '/namespaces/shop/purges', { tags })))
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200, 200],
    )
    assert.equal(log.last - since, 768)
  })
})
