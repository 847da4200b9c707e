/** Whether what is said of a response, to clients and in the metrics, is so: why it was fetched, why not stored. */
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, it } from 'node:test'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'
import type { Answer } from './cache/origin.ts'
import { CacheRig, cacheStatus, type Fields, FRESH, linesOf, type Page, STANDARD } from './cache/rig.ts'
import { eventually, suiteScope } from './harness.ts'

const TIERED = 'tiered.test'
const REDIS = 'redis.test'
const SMALL = 'small.test'
const CHOSEN = 'chosen.test'
const RELOAD = { 'cache-control': 'no-cache' }
const TOKEN = 'token-of-the-feature-test'

describe('what the cache says of a response', { skip: NO_REDIS }, () => {
  const scope = suiteScope()
  let rig: CacheRig

  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'headgate-reasons-'))
    scope.after(() => rm(folder, { recursive: true }))
    await writeFile(join(folder, 'token'), TOKEN, { mode: 0o600 })
    const redis = await RedisServer.of(scope)
    rig = await CacheRig.start(
      scope,
      {
        [STANDARD]: {},
        [TIERED]: { store: 'Tiered' },
        [REDIS]: { store: 'Redis' },
        [CHOSEN]: { store: 'Redis', key: { query: { include: ['q'] } } },
        [SMALL]: { maxObjectBytes: 100 },
      },
      () => '',
      {
        admin: { tokenFile: join(folder, 'token') },
        redis: { addresses: [redis.address] },
        cache: { debugCIDRs: ['127.0.0.0/8'] },
      },
    )
  })

  const admin = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(`http://127.0.0.1:${rig.gateway.adminPort}/api/v1/cache${path}`, init)

  const asked = (body: unknown): RequestInit => ({
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

  async function purge(page: Page, query = ''): Promise<void> {
    const { status } = await admin('/purges', asked({ urls: [`http://${page.host}${page.path}${query}`] }))
    assert.equal(status, 200)
  }

  /** What would become of a GET. */
  async function explained(page: Page, fields: Fields = {}, query = ''): Promise<string> {
    const headers = Object.entries(fields).map(([name, value]) => ({ name, value }))
    const request = asked({ url: `http://${page.host}${page.path}${query}`, headers })
    const answer = await fetch(`http://127.0.0.1:${rig.gateway.adminPort}/api/v1/explain`, request)
    const { cache } = (await answer.json()) as { cache: { result: string; stores: { state: string }[] } }
    return `${cache.result}: ${cache.stores.map(({ state }) => state).join(' ')}`
  }

  /** Of responses, by why they were stored or not. */
  async function judged(): Promise<Readonly<Record<string, number>>> {
    const { responses } = (await (await admin('')).json()) as { responses: { reason: string; count: number }[] }
    return Object.fromEntries(responses.map(({ reason, count }) => [reason, count]))
  }

  /** A page that is stored, while a reload of it, whose body is not whole yet, is being stored. */
  async function whileReloaded(page: Page, whole: () => void, check: () => Promise<void>): Promise<void> {
    await page.gets(1, 1)
    const reload = page.get(RELOAD)
    try {
      await page.arrived(2)
      // Behind it, at the same origin, so its head has come.
      await page.get({ ...RELOAD, 'x-after': '1' })
      await check()
    } finally {
      whole()
      await reload
    }
  }

  it('one that another request is storing has found room', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig.page(STANDARD, { fields: [FRESH] }, { fields: [FRESH], rest: promise }, { fields: [FRESH] })
    await whileReloaded(page, resolve, async () => {
      const before = await judged()
      const told = linesOf(await page.get(RELOAD), 'cache-status')
      assert.match(told, /;detail="miss RequestNoCache, AnotherRequest"$/)
      assert.doesNotMatch(told, /;stored/)
      const after = await judged()
      assert.equal(after.Stored, before.Stored)
      assert.equal(after.NoRoom, undefined)
      assert.equal(after.AnotherRequest, (before.AnotherRequest ?? 0) + 1)
    })
  })

  it('one that is confirmed while another request stores a newer one is not counted as stored', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const fields = [FRESH, 'etag: "1"']
    const page = rig.page(STANDARD, { fields }, { fields, rest: promise }, { status: 304, fields })
    await whileReloaded(page, resolve, async () => {
      const before = await judged()
      const { stored, detail } = cacheStatus(await page.get(RELOAD))
      assert.equal(detail, '"revalidated RequestNoCache"')
      assert.equal(stored, undefined)
      const after = await judged()
      assert.equal(after.Stored, before.Stored)
      assert.equal(after.AnotherRequest, (before.AnotherRequest ?? 0) + 1)
    })
  })

  const LONG = 'x'.repeat(500)
  const ended: readonly (readonly [what: string, reason: string, answer: Answer, headers?: Fields])[] = [
    ['one that is whole', 'Stored', { fields: [FRESH] }],
    ['one without content', 'Stored', { fields: [FRESH], body: '' }],
    ['one whose length is not told', 'Stored', { fields: [FRESH], framing: 'chunked' }],
    ['one that its client has already', 'Stored', { fields: [FRESH, 'etag: "1"'] }, { 'if-none-match': '"1"' }],
    ['one that turns out too long', 'TooLarge', { fields: [FRESH], framing: 'chunked', body: LONG }],
    ['one that is said to be too long', 'TooLarge', { fields: [FRESH], body: LONG }],
    ['one that ends early', 'Incomplete', { fields: [FRESH], cut: 3 }],
  ]
  for (const [what, reason, answer, headers] of ended)
    it(`${what} is counted once, as ${reason}`, async () => {
      const page = rig.page(SMALL, answer)
      const before = await judged()
      // One that ends early is a fault to the client, too.
      await page.get(headers).catch(() => {})
      await eventually(async () => {
        const after = await judged()
        const more = Object.entries(after).filter(([name, count]) => count !== (before[name] ?? 0))
        assert.deepEqual(more, [[reason, (before[reason] ?? 0) + 1]])
      })
    })

  it('a key that is too long for the memory passes by, and is not missed each time', async () => {
    const page = rig.page(STANDARD, { fields: [FRESH] })
    const said = async (bytes: number): Promise<string> => {
      const query = { method: 'QUERY', headers: { 'content-type': 'text/plain' }, body: 'q'.repeat(bytes) }
      const response = await page.send(query)
      assert.equal(response.status, 200)
      return String(cacheStatus(response).detail).replaceAll('"', '')
    }
    // With a key of 64 KiB all in all, and one byte more of content than counts.
    assert.deepEqual([await said(65_000), await said(65_000)], ['miss NotStored', 'hit Memory'])
    for (const bytes of [65_536, 65_536]) assert.equal(await said(bytes), 'bypass KeyTooLong')
    assert.equal(await said(65_537), 'bypass RequestContent')
  })

  for (const host of [STANDARD, TIERED, REDIS])
    for (const [what, fwd, fields] of [
      ['one', 'uri-miss', [FRESH]],
      ['one that varies', 'miss', [FRESH, 'vary: x-lang']],
    ] as const)
      it(`${what} of ${host} that was purged was purged, and is no other variant`, async () => {
        const page = rig.page(host, { fields })
        await page.gets(1, 1)
        await eventually(async () => assert.equal((await page.stored()).status, 200))
        await page.hits()
        await purge(page)
        const again = cacheStatus(await page.get())
        assert.deepEqual([again.fwd, again.detail], [fwd, '"miss Purged"'])
        assert.equal(page.asked.length, 2)
      })

  it('a part that was purged is no part of an answer: what is asked for is fetched as it is, once', async () => {
    const page = rig.page(STANDARD, ({ fields }) => {
      const [, first = '', last = ''] = /^bytes=(\d+)-(\d+)$/.exec(fields.get('range') ?? '') ?? []
      const body = LONG.slice(Number(first), Number(last) + 1)
      return { status: 206, fields: [FRESH, 'etag: "1"', `content-range: bytes ${first}-${last}/500`], body }
    })
    await page.get({ range: 'bytes=0-99' })
    await eventually(async () => assert.equal((await page.stored({ range: 'bytes=0-99' })).status, 206))
    await purge(page)
    assert.equal(await explained(page, { range: 'bytes=50-199' }), 'miss Purged: purged')
    const { fwd, detail } = cacheStatus(await page.get({ range: 'bytes=50-199' }))
    assert.deepEqual([fwd, detail], ['uri-miss', '"miss Purged"'])
    assert.deepEqual(
      page.asked.map(({ fields }) => fields.get('range')),
      ['bytes=0-99', 'bytes=50-199'],
    )
  })

  // Redis may be late, and is left alone then: each attempt has a page of its own.
  for (const [host, purged, unread] of [
    [STANDARD, 'miss Purged: purged', 'miss NotStored: nothing'],
    [TIERED, 'miss Purged: purged purged', 'miss RequestNoCache: nothing'],
    [REDIS, 'miss Purged: nothing purged', 'miss RequestNoCache: nothing'],
    [CHOSEN, 'miss Purged: nothing purged', 'miss RequestNoCache: nothing'],
  ] as const) {
    it(`behind a purge of ${host} it is explained as it is, however often`, () =>
      eventually(async () => {
        const page = rig.page(host, { fields: [FRESH] })
        await page.get({}, '?x=1')
        await eventually(async () => assert.match(await explained(page, {}, '?x=1'), /^hit/), 1_000)
        // Of a key that has `q` alone the URL with any `q` names the page without one.
        await purge(page, host === CHOSEN ? '?q=1' : '?x=1')
        for (const _ of [1, 2]) assert.equal(await explained(page, {}, '?x=1'), purged)
        assert.equal(cacheStatus(await page.get({}, '?x=1')).detail, '"miss Purged"')
      }))

    it(`a reload of ${host} that leaves archives alone is explained as that`, () =>
      eventually(async () => {
        const page = rig.page(host, { fields: [FRESH] })
        assert.equal(await explained(page, RELOAD), unread)
        assert.equal(cacheStatus(await page.get(RELOAD)).detail, `"${unread.slice(0, unread.indexOf(':'))}"`)
      }))
  }
})
