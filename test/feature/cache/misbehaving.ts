/** Origins that contradict themselves, lie, or change what they say in the middle: never a crash, never a wrong body. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { Answer } from './origin.ts'
import { type CacheRig, date, FRESH, STANDARD, shown } from './rig.ts'

const head = (...fields: string[]): string =>
  `HTTP/1.1 200 OK\r\n${[FRESH, ...fields].map((line) => `${line}\r\n`).join('')}\r\n`

/** What cannot be understood, or ends before its end: whatever the client gets, the next one gets the good answer. */
const BROKEN: Readonly<Record<string, Answer>> = {
  'a Content-Length that is greater than the body': { fields: [FRESH], length: 500, framing: 'length', cut: 20 },
  'a chunked body without its last chunk': { raw: `${head('transfer-encoding: chunked')}5\r\nhello\r\n` },
  'a chunk that is shorter than its size': { raw: `${head('transfer-encoding: chunked')}ff\r\nhello\r\n0\r\n\r\n` },
  'a chunk size that is none': { raw: `${head('transfer-encoding: chunked')}zz\r\nhello\r\n0\r\n\r\n` },
  'two lengths that differ': { raw: `${head('content-length: 5', 'content-length: 7')}hello` },
  'a negative length': { raw: `${head('content-length: -5')}hello` },
  'a length and chunks': { raw: `${head('content-length: 5', 'transfer-encoding: chunked')}0\r\n\r\n` },
  'a null byte in a field': { raw: `${head('x-a: a\0b', 'content-length: 5')}hello` },
  'a field that is folded': { raw: `HTTP/1.1 200 OK\r\n${FRESH},\r\n public\r\ncontent-length: 5\r\n\r\nhello` },
  'a status of two digits': { raw: `HTTP/1.1 20 OK\r\n${FRESH}\r\ncontent-length: 5\r\n\r\nhello` },
  'no head at all': { raw: 'hello' },
}

export function misbehaving(rig: () => CacheRig): void {
  for (const [what, answer] of Object.entries(BROKEN))
    it(`never stored: ${what}`, async () => {
      const page = rig().page(STANDARD, answer, { fields: [FRESH] })
      await page.get().catch(() => undefined)
      assert.equal((await page.stored()).status, 504)
      await page.gets(2, 2)
      await page.hits({}, 2)
    })

  it('bytes behind a body are not the body, and not the answer of another page', async () => {
    const body = 'HTTP/1.1 200 OK\r\ncache-control: max-age=3600\r\ncontent-length: 4\r\n\r\nevil'
    const page = rig().page(STANDARD, { raw: `${head('content-length: 5')}hello${body}` })
    const others = Array.from({ length: 8 }, () => rig().page(STANDARD, { fields: [FRESH] }))
    assert.equal((await page.get()).text, 'hello')
    await Promise.all(others.map((other) => other.gets(1, 1)))
    await Promise.all(others.map((other) => other.hits()))
    assert.equal((await page.get()).text, 'hello')
  })

  it('contradictions: the strictest of what is said holds', async () => {
    const lines: readonly (readonly string[])[] = [
      ['cache-control: max-age=3600, no-store'],
      ['cache-control: public, no-store, s-maxage=3600'],
      ['cache-control: max-age=3600', 'cache-control: private'],
      ['cache-control: immutable, max-age=3600, no-cache'],
      ['cache-control: max-age=3600, max-age=0'],
      ['cache-control: max-age=0, max-age=3600'],
      [`expires: ${date(3_600)}`, 'cache-control: no-cache'],
      ['vary: *', FRESH],
      ['vary: accept', 'vary: *', FRESH],
      [FRESH, 'age: 1099511627776'],
      [FRESH, 'date: Thu, 01 Jan 1903 00:00:00 GMT'],
    ]
    for (const fields of lines) {
      const page = rig().page(STANDARD, { fields }, { fields: ['cache-control: no-store'] })
      await page.get()
      await page.gets(2, 2)
    }
  })

  it('an origin that changes its validators: each client gets a body and a tag that belong together', async () => {
    let version = 0
    const page = rig().page(STANDARD, () => {
      version++
      return { fields: ['cache-control: max-age=0', `etag: "v${version}"`], body: `body of v${version}` }
    })
    for (let times = 0; times < 20; times++) {
      const answer = await page.get(times % 3 === 0 ? { 'if-none-match': `"v${version}"` } : {})
      if (answer.status === 200) assert.equal(`"${/v\d+$/.exec(answer.text)?.[0]}"`, answer.header('etag'))
      else assert.equal(answer.status, 304)
    }
  })

  it('an origin that says 304 to everybody: nobody gets an empty page', async () => {
    const page = rig().page(STANDARD, { fields: ['cache-control: max-age=0', 'etag: "a"'] }, { status: 304 })
    await page.gets(1, 1)
    for (let times = 0; times < 3; times++) assert.equal((await page.get()).text, `${page.path} answer 1`)
  })

  it('an origin that closes kept connections: the fetch is not stored as empty', async () => {
    const page = rig().page(STANDARD, { raw: '' }, { fields: [FRESH] })
    const first = await page.get()
    assert.ok([200, 502, 503].includes(first.status), shown(first))
    const second = await page.get()
    assert.equal(second.text, `${page.path} answer 2`)
  })

  it('a head of 60 KiB and one of 100 fields are stored whole or not at all', async () => {
    const large = Array.from({ length: 20 }, (_, at) => `x-large-${at}: ${'v'.repeat(1_000)}`)
    const many = Array.from({ length: 60 }, (_, at) => `x-many-${at}: ${at}`)
    for (const fields of [large, many]) {
      const page = rig().page(STANDARD, { fields: [FRESH, ...fields] })
      const first = await page.get()
      if (first.status !== 200) continue
      const second = await page.get()
      const own = ({ fields: all }: typeof first) =>
        all.filter(([name]) => name.startsWith('x-')).filter(([name]) => /-\d+$/.test(name))
      assert.deepEqual(own(second), own(first))
      assert.equal(own(second).length, fields.length)
    }
  })

  it('a body that says where its head ends does not get out of its place in the store', async () => {
    const bytes = Buffer.from(Array.from({ length: 4_096 }, (_, at) => (at * 167) & 0xff))
    const page = rig().page(STANDARD, { fields: [FRESH], body: bytes })
    assert.ok((await page.get()).body.equals(bytes))
    assert.ok((await page.get()).body.equals(bytes))
    assert.equal(page.asked.length, 1)
  })

  it('an object larger than maxObjectBytes goes by whole and is not kept, told its length or not', async () => {
    for (const framing of ['length', 'chunked', 'close'] as const) {
      const body = Buffer.alloc(200_000, 'larger than 64 KiB ')
      const page = rig().page('small.test', { fields: [FRESH], body, framing })
      const beside = rig().page('small.test', { fields: [FRESH] })
      await beside.gets(1, 1)
      assert.ok((await page.get()).body.equals(body))
      assert.ok((await page.get()).body.equals(body))
      assert.equal(page.asked.length, 2)
      await beside.hits()
    }
  })
}
