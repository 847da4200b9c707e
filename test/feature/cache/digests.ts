/**
 * A digest of the content of a message (RFC 9530 §2, RFC 1864) comes with the bytes that it is of, and with no others:
 * a client that checks it would throw away what is right.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { it } from 'node:test'
import { eventually } from '../harness.ts'
import type { RawResponse } from '../raw-client.ts'
import type { Answer, Asked } from './origin.ts'
import { type CacheRig, FRESH, STANDARD, shown } from './rig.ts'

const BODY = Array.from({ length: 1_000 }, (_, i) => `line ${i.toString().padStart(4, '0')}\n`).join('')

const sha256 = (text: string): string => `sha-256=:${createHash('sha256').update(text, 'latin1').digest('base64')}:`
const md5 = (text: string): string => createHash('md5').update(text, 'latin1').digest('base64')

const digestsOf = (text: string, entity = text): readonly string[] => [
  `content-digest: ${sha256(text)}`,
  `content-md5: ${md5(entity)}`,
  `repr-digest: ${sha256(BODY)}`,
  'etag: "one"',
]

/** Of a message without content: Content-MD5 is that of the 200 all the same (RFC 2616 §14.15). */
const WITHOUT_CONTENT = [FRESH, ...digestsOf('', BODY)]

/** An origin that knows conditions and ranges, and states digests of whatever it sends. */
const answer =
  (freshness: string) =>
  ({ method, fields }: Asked): Answer => {
    if (method === 'HEAD') return { fields: WITHOUT_CONTENT, length: BODY.length, body: '' }
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(fields.get('range') ?? '') ?? []
    if (first === undefined) {
      if (fields.has('if-none-match')) return { status: 304, fields: WITHOUT_CONTENT }
      return { fields: [freshness, ...digestsOf(BODY)], body: BODY }
    }
    const end = last === '' ? BODY.length - 1 : Number(last)
    const body = BODY.slice(Number(first), end + 1)
    const range = `content-range: bytes ${first}-${end}/${BODY.length}`
    return { status: 206, fields: [freshness, range, ...digestsOf(body)], body }
  }

/** @returns whether it states them */
function checked(response: RawResponse, body: string): boolean {
  assert.ok(response.text === body, shown(response))
  assert.equal(response.header('repr-digest'), sha256(BODY), shown(response))
  const digest = response.header('content-digest')
  assert.equal(digest ?? sha256(body), sha256(body), shown(response))
  assert.equal(response.header('content-md5') ?? md5(body), md5(body), shown(response))
  return digest !== undefined
}

export function digests(rig: () => CacheRig): void {
  it('RFC 9530 §2: a Content-Digest of the whole stays with the whole, and with all bytes of it', async () => {
    const page = rig().page(STANDARD, answer(FRESH))
    assert.ok(checked(await page.get(), BODY))
    assert.ok(checked(await page.stored(), BODY))
    assert.ok(checked(await page.stored({ range: 'bytes=0-' }), BODY))
    assert.ok(!checked(await page.stored({ range: 'bytes=10-19' }), BODY.slice(10, 20)))
    const several = await page.stored({ range: 'bytes=0-9,5000-5009' })
    assert.match(several.header('content-type') ?? '', /^multipart\/byteranges/)
    assert.equal(several.header('content-digest') ?? several.header('content-md5'), undefined)
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9530 §2: that of a part with this part, and not with more or less of it', async () => {
    const page = rig().page(STANDARD, answer(FRESH))
    assert.ok(checked(await page.get({ range: 'bytes=0-999' }), BODY.slice(0, 1_000)))
    await eventually(async () => assert.ok(checked(await page.stored({ range: 'bytes=0-999' }), BODY.slice(0, 1_000))))
    assert.ok(!checked(await page.stored({ range: 'bytes=0-99' }), BODY.slice(0, 100)))
    assert.ok(!checked(await page.get({ range: 'bytes=500-1999' }), BODY.slice(500, 2_000)))
    await eventually(async () =>
      assert.ok(!checked(await page.stored({ range: 'bytes=0-1999' }), BODY.slice(0, 2_000))),
    )
    checked(await page.get({ range: 'bytes=2000-' }), BODY.slice(2_000))
    await eventually(async () => assert.ok(!checked(await page.stored(), BODY)))
  })

  it('RFC 9530 §2: that of a 304, or of a HEAD, is of no content, and updates none', async () => {
    for (const method of ['GET', 'HEAD']) {
      const page = rig().page(STANDARD, answer('cache-control: max-age=60\r\nage: 100'))
      assert.ok(checked(await page.get(), BODY))
      await page.send({ method })
      await eventually(async () => assert.ok(checked(await page.stored(), BODY), method))
      assert.equal(page.asked.length, 2, method)
    }
  })
}
