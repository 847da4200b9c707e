/** One fetch, however many wait; and what a client that is slow, or leaves, does to the others. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { eventually } from '../harness.ts'
import { RawClient, type RawResponse, requestBytes } from '../raw-client.ts'
import { holdings } from '../wire.ts'
import { type CacheRig, FRESH, linesOf, type Page, STANDARD, shown } from './rig.ts'

const HERD = 100
const MIB = 1 << 20

/** So many clients on connections of their own, so in both workers. */
const herd = (page: Page, many = HERD) => Array.from({ length: many }, () => page.get())

export function collapsing(rig: () => CacheRig): void {
  it('a herd on a cold page is one fetch, in both workers', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page(STANDARD, { fields: [FRESH], head: promise })
    const answers = herd(page)
    await page.arrived(1)
    await waiting(rig(), HERD)
    const before = page.asked.length
    resolve()
    const all = await Promise.all(answers)
    assert.equal(page.asked.length, 1, `${before} before the answer; ${told(all)}`)
    for (const answer of all) page.is(answer, 1, 1)
    await page.hits()
  })

  it('those who come while the body is under way get its beginning at once, and its rest with the others', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const body = 'first half|second half'
    const page = rig().page(STANDARD, { fields: [FRESH], body, rest: promise })
    const early = herd(page, 4)
    await page.arrived(1)
    const clients = await Promise.all(Array.from({ length: 8 }, () => RawClient.connect(rig().gateway.port)))
    for (const client of clients) client.send(requestBytes({ host: STANDARD, path: page.path }))
    await eventually(() => {
      for (const client of clients) assert.match(client.unread.toString(), /\r\n\r\nfirst half/)
    })
    assert.equal(page.asked.length, 1)
    resolve()
    for (const answer of await Promise.all([...early, ...clients.map((client) => client.response())]))
      assert.equal(answer.text, body, shown(answer))
    for (const client of clients) client.socket.destroy()
  })

  it('a page that turns out uncacheable: all fetch at once, none behind the other, and each gets its own', async () => {
    const first = Promise.withResolvers<void>()
    const others = Promise.withResolvers<void>()
    const page = rig().page(
      STANDARD,
      ({ fields }) => ({ fields: ['cache-control: private'], body: `for ${fields.get('x-who')}`, head: first.promise }),
      ({ fields }) => ({
        fields: ['cache-control: private'],
        body: `for ${fields.get('x-who')}`,
        head: others.promise,
      }),
    )
    const answers = Array.from({ length: 20 }, async (_, at) => {
      const answer = await page.get({ 'x-who': `c${at}` })
      assert.equal(answer.text, `for c${at}`)
    })
    await page.arrived(1)
    await waiting(rig(), 20)
    first.resolve()
    // While none of them has an answer, all of them are at the origin.
    await page.arrived(20)
    others.resolve()
    await Promise.all(answers)
    assert.equal(page.asked.length, 20)
  })

  it('a fetch that fails releases those who wait, and is not repeated by each behind the other', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page(STANDARD, { raw: 'nonsense\r\n\r\n', head: promise }, { fields: [FRESH] })
    const answers = herd(page, 20)
    await page.arrived(1)
    await waiting(rig(), 20)
    resolve()
    for (const answer of await Promise.all(answers)) assert.ok([200, 502].includes(answer.status), shown(answer))
    assert.equal((await page.get()).status, 200)
  })

  it('a fetch that breaks in the middle breaks for all who read along: never a part as the whole', async () => {
    const body = 'x'.repeat(10_000)
    for (const framing of ['length', 'chunked'] as const) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const page = rig().page(
        STANDARD,
        { fields: [FRESH], framing, body, cut: 9_000, rest: promise },
        { fields: [FRESH] },
      )
      const answers = herd(page, 10).map((answer) =>
        answer.then(
          ({ text }) => text,
          () => 'broken',
        ),
      )
      await page.arrived(1)
      await waiting(rig(), 10)
      resolve()
      for (const text of await Promise.all(answers))
        assert.ok(text === 'broken' || text === `${page.path} answer 2`, text.slice(0, 50))
      assert.match((await page.get()).text, /answer \d$/)
    }
  })

  it('a client that leaves does not end the fetch that others wait for', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const page = rig().page(STANDARD, { fields: [FRESH], head: promise })
    const first = await RawClient.connect(rig().gateway.port)
    first.send(requestBytes({ host: STANDARD, path: page.path }))
    await page.arrived(1)
    const others = herd(page, 10)
    await waiting(rig(), 11)
    await leaves(rig(), first)
    resolve()
    for (const answer of await Promise.all(others)) page.is(answer, 1, 1)
  })

  it('a client that leaves in the middle of the body: the others get all of it', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const body = 'y'.repeat(300_000)
    const page = rig().page(STANDARD, { fields: [FRESH], body, rest: promise })
    const first = await RawClient.connect(rig().gateway.port)
    first.send(requestBytes({ host: STANDARD, path: page.path }))
    await page.arrived(1)
    const others = herd(page, 4)
    await waiting(rig(), 5)
    await leaves(rig(), first)
    resolve()
    for (const { text } of await Promise.all(others)) assert.ok(text === body)
    assert.equal(page.asked.length, 1)
  })

  it('a slow client holds nobody back: neither those who wait, nor the store', async () => {
    const body = Buffer.alloc(6 * MIB, 'a slow client reads nothing, and this goes by. ')
    const page = rig().page(STANDARD, { fields: [FRESH], body })
    const slow = await RawClient.connect(rig().gateway.port)
    slow.socket.pause()
    slow.send(requestBytes({ host: STANDARD, path: page.path }))
    await page.arrived(1)
    const fast = await page.get()
    assert.ok(fast.body.equals(body))
    assert.equal(page.asked.length, 1, shown(fast))
    slow.socket.resume()
    assert.ok((await slow.response()).body.equals(body))
    slow.socket.destroy()
  })

  it('HEAD and ranges of a page under way wait for it, or are fetched: never a wrong part', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const body = '0123456789'.repeat(100)
    const page = rig().page(STANDARD, { fields: [FRESH], body, rest: promise })
    const whole = page.get()
    await page.arrived(1)
    const head = page.send({ method: 'HEAD' })
    const range = page.get({ range: 'bytes=990-994' })
    const conditional = page.get({ 'if-none-match': '"x"' })
    resolve()
    assert.equal((await whole).text, body)
    assert.equal((await head).header('content-length'), '1000')
    const part = await range
    assert.equal(part.text, part.status === 206 ? '01234' : body, shown(part))
    assert.equal((await conditional).text, body)
  })
}

/** What the cache said, and how often. */
function told(answers: readonly RawResponse[]): string {
  const counts = new Map<string, number>()
  for (const answer of answers) {
    const line = linesOf(answer, 'cache-status')
    counts.set(line, (counts.get(line) ?? 0) + 1)
  }
  return [...counts].map(([line, count]) => `${count} × ${line}`).join(' | ')
}

/** Until the gateway has so many requests that are not answered yet: no other test runs meanwhile. */
const waiting = (rig: CacheRig, many: number): Promise<void> =>
  eventually(async () => {
    const { exchanges } = await holdings(rig.gateway)
    assert.ok(exchanges >= many, `${exchanges} of ${many} requests`)
  })

/** Resets a connection, and waits until the gateway has noticed. */
async function leaves(rig: CacheRig, client: RawClient): Promise<void> {
  const before = await holdings(rig.gateway)
  client.reset()
  await eventually(async () => assert.ok((await holdings(rig.gateway)).clients < before.clients))
}
