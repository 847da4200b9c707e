/**
 * What public suites ask of HTTP caches and no other file here does (the facts of cache-tests.fyi: what an origin says,
 * what is asked, what has to come), without their waits: what is stale was stored as old as that.
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { RawClient, type RawResponse } from '../raw-client.ts'
import { type CacheRig, date, type Fate, type Fields, FRESH, type Row, STANDARD, shown, table } from './rig.ts'

const row = (rule: string, fate: Fate, ...answer: string[]): Row => ({ rule, answer, fate })
const cc = (directives: string): string => `cache-control: ${directives}`
const cdn = (directives: string): string => `cdn-cache-control: ${directives}`
const AHEAD = `expires: ${date(10_000)}`
const PAST = `expires: ${date(-10_000)}`

/** A stale response is not used, whatever its status. */
const STATUSES = [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]

const three = (again: Fields, fate: Fate): Row => ({
  rule: `§4.1 Vary by three: ${JSON.stringify(again)}`,
  answer: [FRESH, 'vary: x-a, x-b, x-c'],
  request: { 'x-a': '1', 'x-b': 'abc', 'x-c': '789' },
  ...{ again, fate },
})

const ROWS: readonly Row[] = [
  ...STATUSES.map(
    (status): Row => ({
      rule: `§4.2 a ${status} that has expired`,
      answer: { status, fields: [PAST, `last-modified: ${date(-1e5)}`] },
      fate: 'stale',
    }),
  ),
  row('§4.2.1 s-maxage before a longer max-age', 'asks', cc('max-age=3600, s-maxage=1'), 'age: 5'),
  row('§4.2.1 s-maxage before a longer max-age behind it', 'asks', cc('s-maxage=1, max-age=3600'), 'age: 5'),
  row(
    '§4.2.1 s-maxage before a longer max-age in another line',
    'asks',
    cc('max-age=3600'),
    cc('s-maxage=1'),
    'age: 5',
  ),
  row('§4.2.1 s-maxage before a shorter max-age', 'hit', cc('max-age=1, s-maxage=3600'), 'age: 5'),
  row('§5.3 s-maxage before max-age=0 and a past Expires', 'hit', cc('max-age=0, s-maxage=3600'), PAST),
  row('§5.3 Expires and Date ahead, Expires first', 'stale', `expires: ${date(300)}`, `date: ${date(400)}`),
  row('§5.3 Expires is now', 'stale', `expires: ${date(0)}`, `date: ${date(0)}`),
  row('§5.3 Expires beside a Date that is none', 'hit', 'date: foo', AHEAD),
  row('§4.2.3 Age beyond Expires less a slow Date', 'stale', `date: ${date(-10)}`, `expires: ${date(10)}`, 'age: 25'),
  row('§4.2.3 Age beyond Expires less a fast Date', 'stale', `date: ${date(10)}`, `expires: ${date(20)}`, 'age: 15'),
  row('§4.2.2 changed just now: nothing can be estimated', 'asks', `last-modified: ${date(-5)}`, `date: ${date(-5)}`),
  ...[60, 600, 3_600, 86_400].map((ago) => row(`§4.2.2 changed ${ago} s ago`, 'hit', `last-modified: ${date(-ago)}`)),
  row('§4.2.2 an attachment', 'hit', `last-modified: ${date(-1e5)}`, 'content-disposition: attachment; filename=a.txt'),
  row('§3 an attachment', 'hit', FRESH, 'content-disposition: attachment; filename=a.txt'),
  row('§5.4 Pragma of a response, by heuristics', 'hit', `last-modified: ${date(-1e5)}`, 'pragma: no-cache'),
  row('§5.4 Pragma of a response that nobody knows', 'hit', FRESH, 'pragma: unrecognised-extension'),
  {
    rule: '§5.4 Pragma of a request that nobody knows',
    answer: [FRESH],
    request: {},
    again: { pragma: 'x' },
    fate: 'hit',
  },
  { rule: '§4 Cookie of a request', answer: [FRESH], request: {}, again: { cookie: 'a=b' }, fate: 'hit' },
  row('§5.2.2.3 must-understand: a 200 that is fresh', 'hit', cc('max-age=3600, no-store, must-understand')),
  row('§5.2.2.4 no-cache and a future Expires', 'asks', cc('max-age=10000, No-CaChE'), AHEAD),
  row('§5.2.2.5 no-store and a future Expires', 'unstored', cc('max-age=10000, no-store'), AHEAD),
  row(
    '§5.2.3 private with an extension that widens it: the extension is unknown',
    'unstored',
    cc('private, community="UCI"'),
  ),
  three({ 'x-a': '1', 'x-b': 'abc', 'x-c': '789' }, 'hit'),
  three({ 'x-c': '789', 'x-a': '1', 'x-b': 'abc' }, 'hit'),
  three({ 'x-a': '2', 'x-b': 'abc', 'x-c': '789' }, 'unstored'),
  three({ 'x-a': '1', 'x-c': '789', 'x-b': 'abcde' }, 'unstored'),
  three({ 'x-a': '1', 'x-c': '789' }, 'unstored'),
  three({}, 'unstored'),
  {
    rule: '§4.1 Vary by three, one of them absent both times',
    answer: [FRESH, 'vary: x-a, x-b, x-c'],
    request: { 'x-a': '1', 'x-c': '3' },
    fate: 'hit',
  },
  ...[['*, *'], ['*', '*'], [', *'], ['', '*'], ['*, x-a'], ['x-a, *']].map((lines) =>
    row(`§4.1 Vary: ${JSON.stringify(lines)}`, 'asks', FRESH, ...lines.map((line) => `vary: ${line}`)),
  ),
  {
    rule: '§4.1 languages in another case',
    answer: [FRESH, 'vary: accept-language'],
    request: { 'accept-language': 'en, de' },
    again: { 'accept-language': 'eN, De' },
    fate: 'hit',
  },
  {
    rule: '§4.1 languages with other white space',
    answer: [FRESH, 'vary: accept-language'],
    request: { 'accept-language': 'en, de' },
    again: { 'accept-language': ' en ,   de' },
    fate: 'hit',
  },
  {
    rule: '§4.1, RFC 9110 §12.5.4 languages in another order are another wish',
    answer: [FRESH, 'vary: accept-language'],
    request: { 'accept-language': 'en, de' },
    again: { 'accept-language': 'de, en' },
    fate: 'unstored',
  },
  {
    rule: '§4.1 white space within a field that nobody knows',
    answer: [FRESH, 'vary: x-a'],
    request: { 'x-a': '1,2' },
    again: { 'x-a': '1, 2' },
    fate: 'unstored',
  },
  row('RFC 9213 §2.2 Age beyond its max-age', 'unstored', cdn('max-age=3600'), 'age: 7200'),
  row('RFC 9213 §2.2 it is longer than Cache-Control', 'hit', cc('max-age=1'), cdn('max-age=3600'), 'age: 5'),
  row('RFC 9213 §2.2 it is shorter than Cache-Control', 'unstored', cc('max-age=3600'), cdn('max-age=1'), 'age: 5'),
  row('RFC 9213 §2.2 2^31', 'hit', cdn('max-age=2147483648')),
  row('RFC 9213 §2.2 beyond 2^31', 'hit', cdn('max-age=99999999999')),
  row('RFC 9213 §2.2 an extension', 'hit', cdn('foobar, max-age=3600')),
  row('RFC 9213 §2.2 max-age=0 and a future Expires', 'unstored', cdn('max-age=0'), AHEAD),
  row('RFC 9213 §2.2 private, whatever the rest', 'unstored', cdn('private'), cc('max-age=10000'), AHEAD),
  row(
    'RFC 9213 §2.2 no-cache, whatever the rest',
    'validates',
    cdn('no-cache'),
    cc('max-age=10000'),
    AHEAD,
    'etag: "a"',
  ),
  row('RFC 9213 §2.1 white space before = is no field', 'unstored', cc('no-store'), cdn('max-age =100')),
  row('RFC 9213 §2.1 white space behind = is no field', 'unstored', cc('no-store'), cdn('max-age= 100')),
  row('RFC 9213 §2.1 an unknown type is no field', 'unstored', cdn('max-age=10000, &&&&&'), cc('no-store')),
  row('RFC 9213 §2.1 a wrong type allows nothing', 'unstored', cdn('max-age="10000"'), cc('no-store')),
]

/** Fields of all kinds, by name, that are stored and that a 304 replaces. */
const ANY_FIELDS: Readonly<Record<string, readonly [string, string]>> = {
  'test-header': ['a', 'b'],
  'x-test-header': ['a', 'b'],
  'content-foo': ['a', 'b'],
  'x-content-foo': ['a', 'b'],
  'content-location': ['/foo', '/bar'],
  'content-md5': ['rL0Y20zC+Fzt72VPzMSk2A==', 'N7UdGUp1E+RbVvZSTy1R8g=='],
  'content-security-policy': ["default-src 'self'", "default-src 'self' cdn.example.com"],
  'content-type': ['text/plain', 'text/plain;charset=utf-8'],
  'clear-site-data': ['"cache"', '"cookies"'],
  expires: ['Fri, 01 Jan 2038 01:01:01 GMT', 'Mon, 11 Jan 2038 11:11:11 GMT'],
  'public-key-pins': ['a', 'b'],
  'x-frame-options': ['deny', 'sameorigin'],
  'x-xss-protection': ['1', '1; mode=block'],
  'accept-ch': ['DPR', 'DPR, Width'],
}

export function publishedCases(rig: () => CacheRig): void {
  table(rig, ROWS)
  updating(rig)
  conditions(rig)
  ofClients(rig)
}

function updating(rig: () => CacheRig): void {
  it('RFC 9111 §3.1, §3.2: fields of any name are stored, and replaced by those of a 304', async () => {
    const fields = (at: 0 | 1) => Object.entries(ANY_FIELDS).map(([name, values]) => `${name}: ${values[at]}`)
    const page = rig().page(
      STANDARD,
      { fields: [cc('max-age=0'), 'etag: "a"', 'content-encoding: identity', ...fields(0)] },
      { status: 304, fields: [FRESH, 'etag: "a"', 'content-encoding: gzip', ...fields(1)] },
    )
    const has = (answer: RawResponse, at: 0 | 1): void => {
      for (const [name, values] of Object.entries(ANY_FIELDS)) assert.equal(answer.header(name), values[at], name)
      // The bytes that are stored are in their coding, whatever a 304 says of another transfer.
      assert.equal(answer.header('content-encoding'), 'identity')
    }
    has(await page.gets(1, 1), 0)
    has(await page.stored(), 0)
    has(await page.gets(1, 2), 1)
    has(await page.hits(), 1)
  })

  it('RFC 9111 §4.3.4: a 304 that leaves a field out leaves the stored one', async () => {
    const since = 'last-modified: Wed, 01 Jan 2020 00:00:00 GMT'
    const page = rig().page(STANDARD, { fields: [cc('max-age=0'), since, 'x-a: 1'] }, { status: 304, fields: [since] })
    await page.gets(1, 1)
    assert.equal((await page.gets(1, 2)).header('x-a'), '1')
    assert.equal(page.last.fields.get('if-modified-since'), 'Wed, 01 Jan 2020 00:00:00 GMT')
  })

  it('RFC 9111 §4, §5.1, RFC 9110 §6.6.1: a hit has the Age of now, and Date and Expires of the origin', async () => {
    for (const lifetime of [[AHEAD], [FRESH, AHEAD]]) {
      const then = date(-40)
      const page = rig().page(STANDARD, { fields: [...lifetime, `date: ${then}`, 'age: 30'] })
      await page.gets(1, 1)
      const hit = await page.hits()
      assert.ok(Number(hit.header('age')) >= 40, shown(hit))
      assert.equal(hit.header('date'), then)
      assert.equal(`expires: ${hit.header('expires')}`, AHEAD)
    }
  })

  it('RFC 9111 §5.2.2.5: a no-store that came for a client who wished something newer leaves what is stored', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'x-a: 1'] }, { fields: [cc('no-store, max-age=0'), 'x-a: 2'] })
    await page.gets(1, 1)
    await page.gets(2, 2, { 'cache-control': 'no-cache' })
    assert.equal((await page.hits()).header('x-a'), '1')
  })

  it('RFC 9111 §5.2.2.2: must-revalidate: used while fresh, validated when stale', async () => {
    const fields = [cc('max-age=60, must-revalidate'), 'etag: "abcd"']
    const page = rig().page(
      STANDARD,
      { fields },
      { status: 304, fields: [cc('max-age=60'), 'age: 61'] },
      { status: 304 },
    )
    await page.gets(1, 1)
    await page.hits()
    await page.gets(1, 2, { 'cache-control': 'no-cache' })
    await page.gets(1, 3)
    assert.equal(page.last.fields.get('if-none-match'), '"abcd"')
  })
}

function conditions(rig: () => CacheRig): void {
  for (const list of ['"abcdef", "1", "2"', '"1", "abcdef", "2"', '"1", "2", "abcdef"', '"1","abcdef"', ',"abcdef",'])
    it(`RFC 9110 §13.1.2: If-None-Match: ${list} matches "abcdef"`, async () => {
      const page = rig().page(STANDARD, { fields: [FRESH, 'etag: "abcdef"'] })
      await page.gets(1, 1)
      const answer = await page.get({ 'if-none-match': list })
      assert.equal(answer.status, 304, shown(answer))
      assert.equal(answer.header('etag'), '"abcdef"')
      assert.equal(page.asked.length, 1)
    })

  for (const [tag, asked] of [
    ['"abcdef"', 'abcdef'],
    ['abcdef', 'abcdef'],
    ['abcdef', '"abcdef"'],
    ['w/"abcdef"', 'w/"abcdef"'],
    ['W\\"abcdef"', 'W\\"abcdef"'],
    ['W"abcdef"', 'W"abcdef"'],
  ] as const)
    it(`RFC 9110 §8.8.3: ${asked} is no match for ${tag}: one of them is no entity tag`, async () => {
      const page = rig().page(STANDARD, { fields: [FRESH, `etag: ${tag}`] })
      await page.gets(1, 1)
      await page.hits({ 'if-none-match': asked })
    })

  it('RFC 9110 §13.1.5: If-Range without Range is nothing', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'etag: "a"'] })
    await page.gets(1, 1)
    for (const tag of ['"a"', '"b"']) await page.hits({ 'if-range': tag })
  })

  it('RFC 9111 §4.3.2: what is stale is validated, and its client gets 304 by its own date', async () => {
    const since = date(-3_000)
    const fields = [cc('max-age=0'), `last-modified: ${since}`]
    const page = rig().page(STANDARD, { fields }, { status: 304, fields: [FRESH] })
    await page.gets(1, 1)
    const answer = await page.get({ 'if-modified-since': since })
    assert.equal(answer.status, 304, shown(answer))
    assert.equal(page.last.fields.get('if-modified-since'), since)
  })

  it('RFC 9111 §4.3.1: a validation has the fields that Vary names', async () => {
    const page = rig().page(STANDARD, { fields: [cc('max-age=0'), 'etag: "a"', 'vary: abc'] }, { status: 304 })
    await page.gets(1, 1, { abc: '123' })
    await page.gets(1, 2, { abc: '123' })
    assert.equal(page.last.fields.get('abc'), '123')
    assert.equal(page.last.fields.get('if-none-match'), '"a"')
  })

  it('RFC 9110 §15.4.5: a 304 has what its 200 would have said to caches', async () => {
    const said = { 'cache-control': 'max-age=3600', 'content-location': '/x', vary: 'x-a', etag: '"a"' }
    const fields = [...Object.entries(said).map(([name, value]) => `${name}: ${value}`), AHEAD, `date: ${date(-5)}`]
    const page = rig().page(STANDARD, { fields: [...fields, 'content-type: a/b', 'content-language: de'] })
    const whole = await page.gets(1, 1)
    const answer = await page.get({ 'if-none-match': '"a"' })
    assert.equal(answer.status, 304)
    for (const name of [...Object.keys(said), 'expires', 'date'])
      assert.equal(answer.header(name), whole.header(name), name)
    for (const name of ['content-type', 'content-language', 'content-length'])
      assert.equal(answer.header(name), undefined, name)
  })
}

function ofClients(rig: () => CacheRig): void {
  for (const status of [102, 103])
    it(`RFC 9110 §15.2: a ${status} is passed on, and the final response is stored`, async () => {
      const hint = `HTTP/1.1 ${status} Wait\r\nlink: </style.css>; rel=preload`
      const page = rig().page(STANDARD, { interim: [hint], fields: [FRESH] })
      using client = await RawClient.connect(rig().gateway.port)
      client.send(`GET ${page.path} HTTP/1.1\r\nhost: ${STANDARD}\r\n\r\n`)
      const interim = await client.response()
      assert.deepEqual([interim.status, interim.header('link')], [status, '</style.css>; rel=preload'])
      page.is(await client.response(), 1, 1)
      assert.equal((await page.hits()).header('link'), undefined)
    })

  it('RFC 9111 §5.2: directives of a client pass through to the origin, whatever they mean to the cache', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, 'etag: "a"'] }, { status: 304 })
    const sent = ['max-stale=5, x-ext="a, b"', 'no-cache, x-ext=1', 'max-age=0']
    for (const directives of sent) {
      await page.get({ 'cache-control': directives, pragma: 'x-mine' })
      assert.equal(page.last.fields.get('cache-control'), directives)
      assert.equal(page.last.fields.get('pragma'), 'x-mine')
    }
    assert.equal(page.asked.length, sent.length)
  })

  it('RFC 9111 §5.2: directives of the origin pass through to clients, from the store, too', async () => {
    const directives = 'max-age=3600, x-ext="a, b", no-transform, stale-if-error=60'
    const page = rig().page(STANDARD, { fields: [cc(directives)] })
    assert.equal((await page.gets(1, 1)).header('cache-control'), directives)
    assert.equal((await page.hits()).header('cache-control'), directives)
  })

  it('RFC 9111 §4: other queries are other URIs, and the same query is the same', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH] })
    await page.gets(1, 1, {}, '?test=1')
    await page.gets(2, 2, {}, '?test=2')
    await page.gets(3, 3, {}, '?test=1&')
    await page.hits({}, 1, '?test=1')
  })

  for (const method of ['POST', 'PUT', 'DELETE', 'M-SEARCH'])
    it(`RFC 9111 §4.4: ${method}: a failure leaves what is stored, a success does not`, async () => {
      const page = rig().page(STANDARD, { fields: [FRESH] }, { status: 500 }, {}, { fields: [FRESH] })
      await page.gets(1, 1)
      assert.equal((await page.send({ method, body: 'abc' })).status, 500)
      await page.hits()
      assert.equal((await page.send({ method, body: 'abc' })).status, 200)
      await page.gets(4, 4)
    })

  for (const directive of ['must-revalidate', 'proxy-revalidate', 's-maxage=3600', 'no-cache'])
    it(`RFC 9111 §5.2.2.2, §4.2.4: ${directive} that is stale is an error where the origin cannot be reached`, async () => {
      const fields = [cc(`max-age=3600, stale-if-error=9999, ${directive}`), 'age: 5400', 'etag: "a"']
      let gone = true
      const page = rig().page('stale.test', { fields }, () => (gone ? { raw: '' } : { status: 304 }))
      await page.gets(1, 1)
      const failed = await page.get()
      assert.ok([502, 503, 504].includes(failed.status), shown(failed))
      gone = false
      assert.equal((await page.get()).text, `${page.path} answer 1`)
    })

  for (const [whose, first, again] of [
    ['a response', 'max-age=0, stale-if-error=1', {}],
    ['a request', 'max-age=0', { 'cache-control': 'stale-if-error=1' }],
  ] as const)
    it(`RFC 5861 §4: stale-if-error of ${whose} that is over`, async () => {
      const page = rig().page(STANDARD, { fields: [cc(first), 'age: 9', 'etag: "a"'] }, { status: 500 })
      await page.gets(1, 1)
      assert.equal((await page.get(again)).status, 500)
    })
}
