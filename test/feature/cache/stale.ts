/** RFC 5861: what is served stale while it is fetched anew, and where the origin fails. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { eventually } from '../harness.ts'
import type { Answer } from './origin.ts'
import { type CacheRig, FRESH, STANDARD, shown } from './rig.ts'

const stale = (directives: string, age = 5_400): string[] => [
  `cache-control: max-age=3600, ${directives}`,
  `age: ${age}`,
]
const WHILE = 'stale-while-revalidate=9999'
const ERROR = 'stale-if-error=9999'
const NO_STORE = ['cache-control: no-store']

const FAILURES: Readonly<Record<string, Answer>> = {
  500: { status: 500, fields: NO_STORE },
  502: { status: 502, fields: NO_STORE },
  503: { status: 503, fields: NO_STORE },
  504: { status: 504, fields: NO_STORE },
  'what is not HTTP': { raw: 'so what?\r\n\r\n' },
  'half a head': { raw: 'HTTP/1.1 200 OK\r\ncontent-le' },
}

export function whileStale(rig: () => CacheRig): void {
  it('RFC 5861 §3: stale-while-revalidate: the stale response at once, one fetch behind it, then the new one', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page(STANDARD, { fields: stale(WHILE) }, { fields: [FRESH], head: promise })
    await page.gets(1, 1)
    // Whoever asks while the fetch is under way gets the stale one and begins no other.
    const answers = await Promise.all(Array.from({ length: 20 }, () => page.get()))
    for (const answer of answers) {
      assert.equal(answer.text, `${page.path} answer 1`)
      assert.ok(Number(answer.header('age')) >= 5_400, shown(answer))
    }
    await page.arrived(2)
    resolve()
    await eventually(async () => assert.equal((await page.get()).text, `${page.path} answer 2`))
    assert.equal(page.asked.length, 2)
  })

  it('RFC 5861 §3: stale-while-revalidate validates behind the client, by the stored tag', async () => {
    const page = rig().page(STANDARD, { fields: [...stale(WHILE), 'etag: "one"'] }, { status: 304, fields: [FRESH] })
    await page.gets(1, 1)
    assert.equal((await page.get()).text, `${page.path} answer 1`)
    await page.arrived(2)
    assert.equal(page.last.fields.get('if-none-match'), '"one"')
    assert.equal(page.last.method, 'GET')
    await eventually(async () => assert.ok(Number((await page.get()).header('age')) < 100))
    assert.equal(page.asked.length, 2)
  })

  it('RFC 5861 §3: the fetch behind the client carries nothing of that client alone', async () => {
    const page = rig().page(STANDARD, { fields: stale(WHILE) }, { fields: [FRESH] })
    await page.gets(1, 1)
    const own = { range: 'bytes=0-1', 'if-none-match': '"x"', 'x-own': '1' }
    await page.get(own)
    await page.arrived(2)
    for (const name of ['range', 'if-none-match', 'if-range', 'expect'])
      assert.equal(page.last.fields.has(name), false, `${name} went to the origin`)
  })

  it('RFC 5861 §3: beyond stale-while-revalidate a client waits for the origin', async () => {
    const page = rig().page(STANDARD, { fields: stale('stale-while-revalidate=60') }, { fields: [FRESH] })
    await page.gets(1, 1)
    await page.gets(2, 2)
  })

  it('RFC 5861 §3: a client that asks for max-age or no-cache is not given what is stale', async () => {
    for (const [at, directives] of ['no-cache', 'max-age=60', 'min-fresh=1', 'max-stale=10, max-age=0'].entries()) {
      const page = rig().page(STANDARD, { fields: stale(WHILE) }, { fields: [FRESH] })
      await page.gets(1, 1)
      await page.gets(2, 2, { 'cache-control': directives, 'x-at': String(at) })
    }
  })

  it('RFC 5861 §3: a fetch behind the client that fails leaves the stale response, and is not tried by every client', async () => {
    const page = rig().page(STANDARD, { fields: stale(WHILE) }, { status: 503, fields: NO_STORE })
    await page.gets(1, 1)
    await page.get()
    await page.arrived(2)
    assert.equal((await page.get()).text, `${page.path} answer 1`)
  })

  it('RFC 5861 §3: staleWhileRevalidate of the policy, where the origin says nothing', async () => {
    const old = { fields: ['cache-control: max-age=3600', 'age: 5400'] }
    const page = rig().page('stale.test', old, { fields: [FRESH] })
    await page.gets(1, 1)
    assert.equal((await page.get()).text, `${page.path} answer 1`)
    await eventually(async () => assert.equal((await page.get()).text, `${page.path} answer 2`))
    assert.equal(page.asked.length, 2)
  })

  it('RFC 5861 §3: what the origin says goes before the policy: stale-while-revalidate=0', async () => {
    const page = rig().page('stale.test', { fields: stale('stale-while-revalidate=0') }, { fields: [FRESH] })
    await page.gets(1, 1)
    await page.gets(2, 2)
  })
}

export function ifError(rig: () => CacheRig): void {
  for (const [failure, answer] of Object.entries(FAILURES))
    it(`RFC 5861 §4: stale-if-error: the stale response instead of ${failure}`, async () => {
      const page = rig().page(STANDARD, { fields: stale(ERROR) }, answer, { fields: [FRESH] })
      await page.gets(1, 1)
      const second = await page.get()
      page.is(second, 1, 2)
      assert.ok(Number(second.header('age')) >= 5_400, shown(second))
      // Here or a little later it is fetched again.
      await eventually(async () => assert.equal((await page.get()).text, `${page.path} answer 3`))
    })

  it('RFC 5861 §4: stale-if-error is for failures: 404 and 403 are answers', async () => {
    for (const status of [403, 404, 410, 429]) {
      const page = rig().page(STANDARD, { fields: stale(ERROR) }, { status, fields: NO_STORE })
      await page.gets(1, 1)
      assert.equal((await page.get()).status, status)
    }
  })

  it('RFC 5861 §4: beyond stale-if-error a failure is the answer', async () => {
    const page = rig().page(STANDARD, { fields: stale('stale-if-error=60') }, { status: 503, fields: NO_STORE })
    await page.gets(1, 1)
    assert.equal((await page.get()).status, 503)
  })

  it('RFC 5861 §4: stale-if-error of a request', async () => {
    const fields = ['cache-control: max-age=3600', 'age: 5400', 'etag: "a"']
    const page = rig().page(STANDARD, { fields }, { status: 503, fields: NO_STORE })
    await page.gets(1, 1)
    page.is(await page.get({ 'cache-control': 'stale-if-error=9999' }), 1, 2)
    assert.equal((await page.get({ 'cache-control': 'stale-if-error=60' })).status, 503)
    assert.equal((await page.get()).status, 503)
  })

  it('RFC 5861 §4: staleIfError of the policy, where the origin says nothing; and not where it says 0', async () => {
    const failure: Answer = { status: 503, fields: NO_STORE }
    // Beyond the policy's staleWhileRevalidate.
    const page = rig().page('stale.test', { fields: ['cache-control: max-age=3600', 'age: 9000'] }, failure)
    await page.gets(1, 1)
    page.is(await page.get(), 1, 2)
    const strict = rig().page('stale.test', { fields: stale('stale-if-error=0', 9_000) }, failure)
    await strict.gets(1, 1)
    assert.equal((await strict.get()).status, 503)
  })

  it('RFC 5861 §4: a fetch that breaks behind its head is no case for stale-if-error: the client sees that it breaks', async () => {
    const page = rig().page(STANDARD, { fields: stale(ERROR) }, { fields: [FRESH], cut: 5 }, { fields: [FRESH] })
    await page.gets(1, 1)
    // A gateway that holds back the head until the body is there may give the stale one: but never a mixture.
    const second = await page.get().catch(() => undefined)
    if (second !== undefined) assert.equal(second.text, `${page.path} answer 1`)
  })
}
