/** RFC 9111 §3: what is stored, and which fields of it. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Answer } from './origin.ts'
import { type CacheRig, type Fate, FRESH, type Row, STANDARD, shown, table } from './rig.ts'

/** Statuses that may be stored without being told how long they are fresh (RFC 9110 §15.1); 206 has tests of its own. */
const HEURISTIC = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]
const OTHERS = [201, 202, 205, 299, 302, 303, 307, 400, 403, 418, 500, 502, 503, 504, 599]

/** About this request, this connection or this client alone; a 401 that is stored keeps those out who may get in. */
const NEVER = [401, 412, 416, 417, 421, 428, 429, 431]

const LONG_AGO = 'last-modified: Sun, 06 Nov 1994 08:49:37 GMT'

/** A 205 has no content (RFC 9110 §15.3.6). */
const ofStatus = (status: number, ...fields: string[]): Answer => ({
  ...{ status, fields },
  ...(status === 205 ? { body: '' } : {}),
})

const row = (rule: string, fate: Fate, ...answer: string[]): Row => ({ rule, answer, fate })

const ROWS: readonly Row[] = [
  ...[...HEURISTIC, ...OTHERS].map(
    (status): Row => ({ rule: `§3 a ${status} with max-age`, answer: ofStatus(status, FRESH), fate: 'hit' }),
  ),
  ...NEVER.map(
    (status): Row => ({
      rule: `§3 a ${status}`,
      answer: ofStatus(status, 'cache-control: public, max-age=3600'),
      fate: 'unstored',
    }),
  ),
  ...HEURISTIC.map(
    (status): Row => ({ rule: `§4.2.2 a ${status} by heuristics`, answer: ofStatus(status, LONG_AGO), fate: 'hit' }),
  ),
  ...OTHERS.map(
    (status): Row => ({
      rule: `§4.2.2 no heuristics for a ${status}`,
      answer: ofStatus(status, LONG_AGO),
      fate: 'asks',
    }),
  ),
  ...OTHERS.map(
    (status): Row => ({
      rule: `§4.2.2 a ${status} by heuristics where it is public`,
      answer: ofStatus(status, LONG_AGO, 'cache-control: public'),
      fate: 'hit',
    }),
  ),
  ...[200, 301, 404, 503].map(
    (status): Row => ({
      rule: `§5.2.2.5 a ${status} with no-store`,
      answer: { status, fields: ['cache-control: no-store, max-age=3600'] },
      fate: 'unstored',
    }),
  ),
  row(
    '§5.2.2.5 no-store behind what would be stored, in a line of its own',
    'unstored',
    FRESH,
    'cache-control: no-store',
  ),
  row('§5.2 No-StOrE in any case', 'unstored', 'cache-control: No-StOrE, max-age=3600'),
  row('§5.2 no-store with a value it does not have', 'unstored', 'cache-control: no-store=1, max-age=3600'),
  row('§5.2 no-store within a quoted string is none', 'hit', 'cache-control: max-age=3600, ext="a, no-store, b"'),
  row('§5.2 a directive whose name begins with no-store is none', 'hit', 'cache-control: max-age=3600, no-storeage'),
  row('§5.2.2.7 private', 'unstored', 'cache-control: private, max-age=3600'),
  row('§5.2.2.7 private and public: the stricter', 'unstored', 'cache-control: public, private, max-age=3600'),
  row('§5.2.2.7 PRIVATE in any case', 'unstored', 'cache-control: max-age=3600, PRIVATE'),
  row(
    '§5.2.2.3 must-understand with a status we know: no-store is passed over',
    'hit',
    `${FRESH}, must-understand, no-store`,
  ),
  {
    rule: '§5.2.2.3 must-understand with a status we do not know',
    answer: { status: 299, fields: [`${FRESH}, must-understand`] },
    fate: 'unstored',
  },
  {
    rule: '§5.2.2.3 must-understand and no-store with a status we do not know',
    answer: { status: 599, fields: [`${FRESH}, must-understand, no-store`] },
    fate: 'unstored',
  },
  {
    rule: '§4.2.2 no heuristics for a request with a Cookie',
    answer: [LONG_AGO],
    request: { cookie: 'session=of-one' },
    fate: 'asks',
  },
  row('§3 nothing says how long, and there is no Last-Modified', 'asks', 'x-nothing: said'),
  row('security.md: Set-Cookie', 'unstored', FRESH, 'set-cookie: session=of-one'),
  row(
    'security.md: Set-Cookie and public',
    'unstored',
    'cache-control: public, max-age=3600',
    'set-cookie: session=of-one',
  ),
  ...[
    { by: 'public', fate: 'hit' as const, directive: 'public, max-age=3600' },
    { by: 's-maxage', fate: 'hit' as const, directive: 's-maxage=3600' },
    { by: 'must-revalidate', fate: 'hit' as const, directive: 'max-age=3600, must-revalidate' },
    { by: 'proxy-revalidate', fate: 'unstored' as const, directive: 'max-age=3600, proxy-revalidate' },
    { by: 'max-age alone', fate: 'unstored' as const, directive: 'max-age=3600' },
    { by: 'immutable', fate: 'unstored' as const, directive: 'max-age=3600, immutable' },
  ].map(
    ({ by, fate, directive }): Row => ({
      rule: `§3.5 a response to a request with Authorization, by ${by}`,
      answer: [`cache-control: ${directive}`],
      request: { authorization: 'Bearer of-one' },
      fate,
    }),
  ),
  {
    rule: '§3.5 what was stored without Authorization is used for a request with it',
    answer: [FRESH],
    again: { authorization: 'Bearer of-one' },
    fate: 'hit',
  },
  {
    rule: '§5.2.1.5 no-store of a request',
    answer: [FRESH],
    request: { 'cache-control': 'no-store' },
    again: {},
    fate: 'unstored',
  },
  { rule: '§3 a chunked body', answer: { fields: [FRESH], framing: 'chunked' }, fate: 'hit' },
  { rule: '§3 a body that ends with its connection', answer: { fields: [FRESH], framing: 'close' }, fate: 'hit' },
  { rule: '§3 an empty body', answer: { fields: [FRESH], body: '' }, fate: 'hit' },
  {
    rule: '§3 interim responses are not the response',
    answer: {
      interim: ['HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\ncache-control: no-store'],
      fields: [FRESH],
    },
    fate: 'hit',
  },
  { rule: '§5.5 Warning is nothing', answer: [FRESH, 'warning: 110 - "Response is Stale"'], fate: 'hit' },
  { rule: '§5.4 Pragma of a response is nothing', answer: [FRESH, 'pragma: no-cache'], fate: 'hit' },
]

export function storing(rig: () => CacheRig): void {
  table(rig, ROWS)

  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'FOO'])
    it(`RFC 9111 §3: a response to ${method} is not stored`, async () => {
      const page = rig().page(STANDARD, { fields: ['cache-control: public, max-age=3600'] })
      await page.send({ method, body: '' })
      await page.send({ method, body: '' })
      assert.equal(page.asked.length, 2)
      page.is(await page.get(), 3, 3)
    })

  it('RFC 9111 §4: POST and the like go to the origin, whatever is stored', async () => {
    for (const method of ['POST', 'OPTIONS', 'FOO']) {
      const page = rig().page(STANDARD, { fields: [FRESH] })
      await page.gets(1, 1)
      page.is(await page.send({ method, body: '' }), 2, 2)
    }
  })

  it('RFC 9111 §4: HEAD is answered by what a GET stored', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'x-mark: yes'] })
    const whole = await page.gets(1, 1)
    const head = await page.send({ method: 'HEAD' })
    assert.equal(page.asked.length, 1, shown(head))
    assert.equal(head.header('content-length'), String(whole.body.length))
    assert.equal(head.header('x-mark'), 'yes')
    assert.equal(head.text, '')
  })

  it('RFC 9111 §4: GET is not answered by what a HEAD brought', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    const head = await page.send({ method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal((await page.get()).text, `${page.path} answer 2`)
    await page.hits({}, 2)
  })

  it('RFC 9111 §3.1: fields of one connection are not stored, nor those that Connection names', async () => {
    const never = ['keep-alive: timeout=5', 'x-one-hop: 1', 'upgrade: h9c', 'te: trailers']
    const proxy = ['proxy-authenticate: Basic', 'proxy-authentication-info: a', 'proxy-connection: keep-alive']
    const fields = [FRESH, 'connection: x-one-hop, keep-alive, upgrade, te', 'x-kept: yes', ...never, ...proxy]
    const page = rig().page(STANDARD, { fields })
    await page.get()
    const hit = await page.hits()
    assert.equal(hit.header('x-kept'), 'yes')
    for (const line of [...never, ...proxy]) {
      const [name = ''] = line.split(':')
      assert.equal(hit.header(name), undefined, `${name} came out of the store`)
    }
  })

  for (const directive of [
    'no-cache="x-secret, X-Other"',
    'private="x-secret, X-Other"',
    'private=x-secret, no-cache=x-other',
  ])
    it(`RFC 9111 §5.2.2: ${directive}: the rest is stored, these fields are not`, async () => {
      const fields = [`cache-control: max-age=3600, ${directive}`, 'x-secret: 1', 'x-other: 2', 'x-kept: yes']
      const page = rig().page(STANDARD, { fields })
      const first = await page.gets(1, 1)
      assert.equal(first.header('x-secret'), '1')
      const hit = await page.hits()
      assert.equal(hit.header('x-kept'), 'yes')
      assert.equal(hit.header('x-secret'), undefined)
      assert.equal(hit.header('x-other'), undefined)
    })

  it('RFC 9111 §3: all other fields are stored as they are: unknown ones, several of a name, in their order', async () => {
    const own = ['x-many: 1', 'x-other: é'.normalize('NFC'), 'X-Many: 2', 'link: <a>', 'link: <b>, <c>', 'x-empty:']
    const page = rig().page(STANDARD, { fields: [FRESH, ...own, 'content-type: text/plain; charset="utf-8"'] })
    const first = await page.gets(1, 1)
    const hit = await page.hits()
    const seen = ({ fields }: typeof hit) =>
      fields.filter(([name]) => /^(x-many|x-other|link|x-empty|content-type)$/.test(name))
    assert.deepEqual(seen(hit), seen(first))
    assert.equal(seen(hit).length, 7)
  })

  it('RFC 9111 §3: trailers of a chunked body are given to clients of the store or left out, never mixed into the head', async () => {
    const page = rig().page(STANDARD, {
      ...{ fields: [FRESH, 'trailer: x-sum'], framing: 'chunked' },
      trailers: ['x-sum: 17', 'cache-control: no-store'],
    })
    await page.gets(1, 1, { te: 'trailers' })
    const hit = await page.hits({ te: 'trailers' })
    assert.equal(hit.header('x-sum'), undefined)
    assert.equal(hit.header('cache-control'), 'max-age=3600')
  })

  it('RFC 9111 §3.3: a body that is cut off is never used for another client', async () => {
    for (const framing of ['length', 'chunked'] as const) {
      const page = rig().page(STANDARD, { fields: [FRESH], framing, cut: 5 }, { fields: [FRESH] })
      await assert.rejects(page.get())
      assert.equal((await page.stored()).status, 504)
      await page.gets(2, 2)
      await page.hits({}, 2)
    }
  })

  it('RFC 9110 §15.3.6: a 205 that has content all the same: what a hit announces comes, and the next response behind it', async () => {
    for (const bytes of [2, 300_000]) {
      const page = rig().page(STANDARD, { status: 205, fields: [FRESH], body: 'x'.repeat(bytes) })
      for (let i = 0; i < 3; i++) {
        const { status, text } = await page.get()
        assert.deepEqual([status, text.length], [205, bytes])
        await rig().page(STANDARD, {}).gets(1, 1)
      }
      assert.equal(page.asked.length, 1)
    }
  })

  it('§5.1, RFC 9110 §6.6.1: a hit keeps the Date of the origin; Age says how old it is', async () => {
    const told = new Date(Date.now() - 100_000).toUTCString()
    const page = rig().page(STANDARD, { fields: [FRESH, `date: ${told}`, 'age: 50'] })
    await page.gets(1, 1)
    const hit = await page.hits()
    assert.equal(hit.header('date'), told)
    const age = Number(hit.header('age'))
    assert.ok(age >= 100 && age < 160, `age ${age}`)
  })

  it('RFC 9110 §6.6.1: a response without Date gets one when it is stored', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'date:'] })
    await page.gets(1, 1)
    const hit = await page.hits()
    assert.match(hit.header('date') ?? 'none', /^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/)
  })
}
