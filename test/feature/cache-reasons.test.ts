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
      { [STANDARD]: {}, [TIERED]: { store: 'Tiered' }, [REDIS]: { store: 'Redis' }, [SMALL]: { maxObjectBytes: 100 } },
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

  async function purge(page: Page): Promise<void> {
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' }
    const body = JSON.stringify({ urls: [`http://${page.host}${page.path}`] })
    const { status } = await admin('/purges', { method: 'POST', headers, body })
    assert.equal(status, 200)
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
})
