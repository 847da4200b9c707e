/** RFC 9111 §4.3, RFC 9110 §13: conditional requests, of the cache to the origin and of clients to the cache. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RawResponse } from '../raw-client.ts'
import type { Answer } from './origin.ts'
import { type CacheRig, date, type Fields, FRESH, STANDARD, shown } from './rig.ts'

const STALE = 'cache-control: max-age=0'
const TAG = 'etag: "one"'
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'
const MODIFIED = `last-modified: ${THEN}`

/** What a client that states conditions gets of a fresh response with `"one"`, modified in 1994. */
const CONDITIONS: readonly (readonly [rule: string, fields: Fields, status: number])[] = [
  ['§13.1.2 the tag', { 'if-none-match': '"one"' }, 304],
  ['§13.1.2 the tag, weak: compared weakly', { 'if-none-match': 'W/"one"' }, 304],
  ['§13.1.2 another tag', { 'if-none-match': '"two"' }, 200],
  ['§13.1.2 a list with it', { 'if-none-match': '"a", W/"b", "one"' }, 304],
  ['§13.1.2 a list without it', { 'if-none-match': '"a", "b"' }, 200],
  ['§13.1.2 a tag with a comma that is not two tags', { 'if-none-match': '"a, "one"' }, 200],
  ['§13.1.2 *', { 'if-none-match': '*' }, 304],
  ['§13.1.2 an unquoted tag is another one', { 'if-none-match': 'one' }, 200],
  ['§13.1.2 the tag in another case is another one', { 'if-none-match': '"ONE"' }, 200],
  ['§13.1.3 since then', { 'if-modified-since': THEN }, 304],
  ['§13.1.3 since later', { 'if-modified-since': date(-60) }, 304],
  ['§13.1.3 since before', { 'if-modified-since': 'Sat, 05 Nov 1994 08:49:37 GMT' }, 200],
  ['§13.1.3 since what is no date', { 'if-modified-since': 'yesterday' }, 200],
  ['§13.1.3 by RFC 850', { 'if-modified-since': 'Sunday, 06-Nov-94 08:49:37 GMT' }, 304],
  ['§13.1.3 by asctime', { 'if-modified-since': 'Sun Nov  6 08:49:37 1994' }, 304],
  ['§13.2.2 another tag, and since then', { 'if-none-match': '"two"', 'if-modified-since': THEN }, 200],
  [
    '§13.2.2 the tag, and since before',
    { 'if-none-match': '"one"', 'if-modified-since': 'Sat, 05 Nov 1994 08:49:37 GMT' },
    304,
  ],
]

export function validation(rig: () => CacheRig): void {
  ofClients(rig)
  ofOrigins(rig)
  updates(rig)
}

function ofClients(rig: () => CacheRig): void {
  for (const [rule, fields, status] of CONDITIONS)
    it(`RFC 9111 §4.3.2: ${rule}: ${status}, from what is fresh`, async () => {
      const page = rig().page(STANDARD, { fields: [FRESH, TAG, MODIFIED, 'content-language: de', 'content-type: a/b'] })
      await page.gets(1, 1)
      const answer = await page.get(fields)
      assert.equal(answer.status, status, shown(answer))
      assert.equal(page.asked.length, 1)
      assert.equal(answer.header('etag'), '"one"')
      assert.match(answer.header('age') ?? 'none', /^\d+$/)
      if (status === 304) {
        assert.equal(answer.text, '')
        // RFC 9110 §15.4.5: what would have come with 200 and tells a cache how long.
        assert.equal(answer.header('cache-control'), 'max-age=3600')
        assert.ok(answer.header('date') !== undefined)
        assert.equal(answer.header('content-length'), undefined)
      } else assert.equal(answer.text, `${page.path} answer 1`)
      assert.equal((await page.send({ method: 'HEAD', headers: fields })).status, status)
    })

  it('RFC 9111 §4.3.2: If-None-Match where the stored response has no tag is 200', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    await page.gets(1, 1)
    await page.hits({ 'if-none-match': '"one"' })
  })

  it('RFC 9111 §4.3.2: If-Modified-Since where the stored response has no Last-Modified compares its Date', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, `date: ${date(-100)}`] })
    await page.gets(1, 1)
    assert.equal((await page.get({ 'if-modified-since': date(-200) })).status, 200)
    assert.equal((await page.get({ 'if-modified-since': date(-50) })).status, 304)
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9111 §4.3.2: conditions are nothing to a stored 404', async () => {
    const page = rig().page(STANDARD, { status: 404, fields: [FRESH, TAG] })
    await page.get()
    const answer = await page.get({ 'if-none-match': '"one"' })
    assert.equal(answer.status, 404, shown(answer))
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9111 §4.3.2: If-Match and If-Unmodified-Since are for the origin', async () => {
    for (const fields of [{ 'if-match': '"two"' }, { 'if-unmodified-since': date(-9e8) }] as Fields[]) {
      const page = rig().page(STANDARD, { fields: [FRESH, TAG, MODIFIED] }, { status: 412, fields: [STALE] })
      await page.gets(1, 1)
      assert.equal((await page.get(fields)).status, 412, JSON.stringify(fields))
      await page.hits()
    }
  })

  it('RFC 9111 §4.3.1: a condition of a client that finds nothing goes to the origin, whose 304 stores no page', async () => {
    const page = rig().page(STANDARD, ({ fields }) =>
      fields.get('if-none-match') === '"one"' ? { status: 304, fields: [FRESH, TAG] } : { fields: [FRESH, TAG] },
    )
    const answer = await page.get({ 'if-none-match': '"one"' })
    assert.equal(answer.status, 304, shown(answer))
    const plain = await page.get()
    assert.equal(plain.status, 200, shown(plain))
    assert.match(plain.text, /^\/p\d+ answer \d$/)
  })

  it('RFC 9111 §4.3.2: a client with an older copy of what was stale and is validated gets 200, one with this copy 304', async () => {
    for (const [tag, status] of [
      ['"old"', 200],
      ['"one"', 304],
    ] as const) {
      const page = rig().page(STANDARD, { fields: [STALE, TAG] }, ({ fields }) =>
        (fields.get('if-none-match') ?? '').includes('"one"') ? { status: 304, fields: [FRESH, TAG] } : {},
      )
      await page.gets(1, 1)
      const answer = await page.get({ 'if-none-match': tag })
      assert.equal(answer.status, status, shown(answer))
      assert.equal(page.asked.length, 2)
      if (status === 200) assert.equal(answer.text, `${page.path} answer 1`)
      await page.hits()
    }
  })
}

function ofOrigins(rig: () => CacheRig): void {
  it('RFC 9111 §4.3.1: a stale response is validated by its own tag and date, exactly as they came', async () => {
    const page = rig().page(
      STANDARD,
      { fields: [STALE, 'etag: W/"a,b\\"', MODIFIED] },
      { status: 304, fields: [FRESH] },
    )
    await page.gets(1, 1)
    await page.gets(1, 2)
    assert.equal(page.last.fields.get('if-none-match'), 'W/"a,b\\"')
    const since = page.last.fields.get('if-modified-since')
    assert.ok(since === undefined || since === THEN, `since ${since}`)
    await page.hits()
  })

  it('RFC 9111 §4.3.3: a full response to a validation replaces what is stored', async () => {
    const page = rig().page(STANDARD, { fields: [STALE, TAG] }, { fields: [FRESH, 'etag: "two"'] })
    await page.gets(1, 1)
    await page.gets(2, 2)
    const hit = await page.hits({}, 2)
    assert.equal(hit.header('etag'), '"two"')
  })

  it('RFC 9111 §4.3.3: a failure of a validation is the answer, and what is stored stays', async () => {
    const page = rig().page(
      STANDARD,
      { fields: [STALE, TAG] },
      { status: 500, fields: ['cache-control: no-store'] },
      { status: 304, fields: [FRESH] },
    )
    await page.gets(1, 1)
    assert.equal((await page.get()).status, 500)
    const third = await page.get()
    assert.equal(third.status, 200, shown(third))
    assert.equal(third.text, `${page.path} answer 1`)
  })

  it('RFC 9111 §4.3.4: a 304 that names another tag does not make the stored page fresh', async () => {
    const page = rig().page(
      STANDARD,
      { fields: [STALE, TAG] },
      { status: 304, fields: [FRESH, 'etag: "another"'] },
      { fields: [FRESH, 'etag: "another"'] },
    )
    await page.gets(1, 1)
    const second = await page.get()
    // Whatever is done about such an origin: a client without conditions gets a whole page, and none is kept as the other.
    assert.notEqual(second.status, 304, shown(second))
    const third = await page.get()
    if (third.header('etag') === '"another"') assert.notEqual(third.text, `${page.path} answer 1`)
  })

  it('RFC 9111 §4.3.3: a 304 for a client that asked for a page, of an origin that was not asked a condition', async () => {
    const page = rig().page(STANDARD, { status: 304, fields: [FRESH, TAG] }, { fields: [FRESH, TAG] })
    await page.get()
    const second = await page.get()
    assert.equal(second.status, 200, shown(second))
    assert.equal(second.text, `${page.path} answer 2`)
  })

  it('RFC 9111 §4.3.1: a stored response without validators is fetched anew without conditions', async () => {
    const page = rig().page(STANDARD, { fields: [STALE] }, { fields: [FRESH] })
    await page.gets(1, 1)
    await page.gets(2, 2)
    for (const name of ['if-none-match', 'if-modified-since', 'if-range', 'if-match'])
      assert.equal(page.last.fields.has(name), false, name)
  })
}

function updates(rig: () => CacheRig): void {
  it('RFC 9111 §3.2: fields of a 304 replace those that are stored, but for those of the body and of one connection', async () => {
    const second: Answer = {
      status: 304,
      fields: [
        ...[FRESH, TAG, 'x-changed: new', 'x-added: yes', 'x-many: 3'],
        ...['content-length: 7', 'connection: x-hop', 'x-hop: 1', 'set-cookie: a=b'],
      ],
    }
    const fields = [STALE, TAG, 'x-changed: old', 'x-kept: yes', 'x-many: 1', 'x-many: 2', 'content-type: text/plain']
    const page = rig().page(STANDARD, { fields }, second)
    await page.gets(1, 1)
    const told = await page.gets(1, 2)
    const hit = await page.hits()
    for (const answer of [told, hit]) {
      assert.equal(answer.header('x-changed'), 'new', shown(answer))
      assert.equal(answer.header('x-added'), 'yes')
      assert.equal(answer.header('x-kept'), 'yes')
      assert.equal(answer.header('x-many'), '3')
      assert.equal(answer.header('content-type'), 'text/plain')
      assert.equal(answer.header('content-length'), String(Buffer.byteLength(`${page.path} answer 1`)))
      assert.equal(answer.header('x-hop'), undefined)
    }
    assert.equal(hit.header('set-cookie'), undefined, 'a cookie came out of the store')
  })

  it('RFC 9111 §4.3.4: a 304 makes it fresh by what it says: another max-age, Date and Age', async () => {
    const page = rig().page(
      STANDARD,
      { fields: [STALE, TAG, 'age: 500', `date: ${date(-600)}`] },
      { status: 304, fields: ['cache-control: max-age=100', TAG] },
    )
    await page.gets(1, 1)
    await page.gets(1, 2)
    const hit = await page.hits()
    assert.ok(Number(hit.header('age')) < 60, shown(hit))
    assert.equal(hit.header('cache-control'), 'max-age=100')
  })

  it('RFC 9111 §4.3.4: a 304 with no-store, private or another Vary is nothing to be used again', async () => {
    for (const line of ['cache-control: no-store', 'cache-control: private, max-age=60', 'vary: *']) {
      const page = rig().page(
        STANDARD,
        { fields: [STALE, TAG] },
        { status: 304, fields: [TAG, line] },
        { fields: [FRESH] },
      )
      await page.gets(1, 1)
      await page.gets(1, 2)
      const third = await page.get()
      assert.equal(page.asked.length, 3, `${line}: ${shown(third)}`)
    }
  })

  const heads: readonly (readonly [rule: string, fields: readonly string[], after: 'updated' | 'gone'])[] = [
    ['the same tag and length', [FRESH, TAG, 'x-changed: new', 'content-length: SAME'], 'updated'],
    ['another tag', [FRESH, 'etag: "two"', 'content-length: SAME'], 'gone'],
    ['another length', [FRESH, TAG, 'content-length: 3'], 'gone'],
    ['another Last-Modified', [FRESH, TAG, `last-modified: ${date(-5)}`], 'gone'],
  ]
  for (const [rule, fields, after] of heads)
    it(`RFC 9111 §4.3.5: a HEAD with ${rule}: what a GET stored is ${after}`, async () => {
      // What is gone was fresh, and what is updated was stale: else nothing would have to be done.
      const before = after === 'gone' ? FRESH : STALE
      const page = rig().page(STANDARD, { fields: [before, TAG, MODIFIED, 'x-changed: old'] }, ({ method }) => {
        if (method !== 'HEAD') return { fields: [FRESH, 'etag: "two"'] }
        const length = String(`${page.path} answer 1`.length)
        return { raw: `HTTP/1.1 200 OK\r\n${fields.map((line) => `${line.replace('SAME', length)}\r\n`).join('')}\r\n` }
      })
      await page.gets(1, 1)
      const head = await page.send({ method: 'HEAD', headers: { 'cache-control': 'no-cache' } })
      assert.equal(head.status, 200)
      assert.equal(page.asked.length, 2)
      const third: RawResponse = await page.get()
      if (after === 'gone') {
        assert.equal(third.text, `${page.path} answer 3`)
        return
      }
      // §4.3.5 is a SHOULD: what is not updated is validated, and never fresh with the old fields.
      if (page.asked.length === 2) assert.equal(third.header('x-changed'), 'new')
      else assert.equal(third.text, `${page.path} answer 3`)
    })
}
