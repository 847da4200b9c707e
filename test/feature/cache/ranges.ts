/** RFC 9110 §14 and RFC 9111 §3.3, §3.4: parts of what is stored, and parts that are stored. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import type { RawResponse } from '../raw-client.ts'
import type { Answer, Asked } from './origin.ts'
import { type CacheRig, date, type Fields, FRESH, type Page, STANDARD, shown } from './rig.ts'

const WHOLE = '0123456789abcdefghijklmnopqrstuvwxyz'
const LARGE = WHOLE.repeat(500)
const TAG = 'etag: "one"'
const THEN = 'Sun, 06 Nov 1994 08:49:37 GMT'

const SINGLE: readonly (readonly [range: string, status: number, bytes: string, content?: string])[] = [
  ['bytes=0-4', 206, '01234', 'bytes 0-4/36'],
  ['bytes=10-10', 206, 'a', 'bytes 10-10/36'],
  ['bytes=30-', 206, 'uvwxyz', 'bytes 30-35/36'],
  ['bytes=-3', 206, 'xyz', 'bytes 33-35/36'],
  ['bytes=-100', 206, WHOLE, 'bytes 0-35/36'],
  ['bytes=30-100', 206, 'uvwxyz', 'bytes 30-35/36'],
  ['bytes=0-99999999999999999999', 206, WHOLE, 'bytes 0-35/36'],
  ['BYTES=0-4', 206, '01234', 'bytes 0-4/36'],
  ['bytes=36-', 416, '', 'bytes */36'],
  ['bytes=99999999999999999999-', 416, '', 'bytes */36'],
  ['bytes=-0', 416, '', 'bytes */36'],
  ['bytes=4-0', 200, WHOLE],
  ['bytes=a-b', 200, WHOLE],
  ['bytes=', 200, WHOLE],
  ['bytes=-', 200, WHOLE],
  ['bytes=0x1-5', 200, WHOLE],
  ['bytes 0-4', 200, WHOLE],
  ['items=0-4', 200, WHOLE],
]

const IF_RANGE: readonly (readonly [value: string, status: number])[] = [
  ['"one"', 206],
  ['"two"', 200],
  ['W/"one"', 200],
  [THEN, 206],
  [date(-60), 200],
  ['one', 200],
]

/** An origin that knows ranges, one or all from a position, and If-Range by tag. */
const ranged =
  (more: readonly string[] = [FRESH, TAG], body = WHOLE) =>
  ({ fields }: Asked): Answer => {
    const match = /^bytes=(\d+)-(\d*)$/.exec(fields.get('range') ?? '')
    if (match === null) return { fields: more, body }
    const from = Number(match[1])
    const to = match[2] === '' ? body.length - 1 : Math.min(Number(match[2]), body.length - 1)
    const content = `content-range: bytes ${from}-${to}/${body.length}`
    return { status: 206, fields: [...more, content], body: body.slice(from, to + 1) }
  }

export function ranges(rig: () => CacheRig): void {
  ofWhole(rig)
  ofParts(rig)
}

const fetched = async (rig: CacheRig, answer: Answer = {}): Promise<Page> => {
  const fields = [FRESH, TAG, `last-modified: ${THEN}`, 'content-type: text/x-mine', 'accept-ranges: bytes']
  const page = rig.page(STANDARD, { fields, body: WHOLE, ...answer })
  await page.get()
  return page
}

function ofWhole(rig: () => CacheRig): void {
  it('RFC 9110 §14.2: one range of what is stored', async () => {
    const page = await fetched(rig())
    for (const [range, status, bytes, content] of SINGLE) {
      const answer = await page.get({ range })
      assert.equal(answer.status, status, `${range}: ${shown(answer)}`)
      assert.equal(answer.header('content-range'), content, range)
      if (status !== 416) assert.equal(answer.text, bytes, range)
      if (status === 206) {
        assert.equal(answer.header('etag'), '"one"')
        assert.equal(answer.header('content-type'), 'text/x-mine')
        assert.match(answer.header('age') ?? 'none', /^\d+$/)
      }
    }
    assert.equal(page.asked.length, 1)
    await page.get()
    assert.equal(page.asked.length, 1, 'a range leaves the whole where it is')
  })

  it('RFC 9110 §14.2: Range is defined for GET alone', async () => {
    const page = await fetched(rig())
    const head = await page.send({ method: 'HEAD', headers: { range: 'bytes=0-4' } })
    assert.equal(head.status, 200)
    assert.equal(head.header('content-length'), '36')
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9110 §14.6: several ranges that are far apart are parts of one body', async () => {
    const page = await fetched(rig(), { body: LARGE })
    const answer = await page.get({ range: 'bytes=0-1, 10000-10002, -2' })
    assert.equal(page.asked.length, 1)
    assert.deepEqual(parts(answer), [
      [`bytes 0-1/${LARGE.length}`, LARGE.slice(0, 2)],
      [`bytes 10000-10002/${LARGE.length}`, LARGE.slice(10_000, 10_003)],
      [`bytes ${LARGE.length - 2}-${LARGE.length - 1}/${LARGE.length}`, LARGE.slice(-2)],
    ])
  })

  it('RFC 9110 §14.2: ranges that are near each other may become one, with the bytes between them', async () => {
    const page = await fetched(rig())
    const answer = await page.get({ range: 'bytes=0-1, 10-12, -2' })
    assert.equal(answer.status, 206, shown(answer))
    if (answer.header('content-range') === 'bytes 0-35/36') assert.equal(answer.text, WHOLE)
    else assert.equal(parts(answer).length, 3)
  })

  it('RFC 9110 §14.2: many ranges, and such as overlap, cost no more than the whole', async () => {
    const page = await fetched(rig())
    for (const range of [Array(200).fill('0-35').join(','), Array(2_000).fill('0-').join(','), '0-,0-,0-,0-,0-']) {
      const answer = await page.get({ range: `bytes=${range}` })
      assert.ok([200, 206, 416, 431].includes(answer.status), shown(answer))
      assert.ok(answer.body.length <= 3 * WHOLE.length + 600, `${answer.body.length} bytes`)
    }
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9110 §14.6: a boundary that stood in a body that a client got is none of another body', async () => {
    const page = await fetched(rig(), { body: LARGE })
    const first = await page.get({ range: 'bytes=0-1, 10000-10001' })
    const mark = /boundary="?([^";]+)/.exec(first.header('content-type') ?? '')?.[1] ?? 'none'
    const trap = await fetched(rig(), { body: `--${mark}\r\n\r\n--${mark}--\r\n${LARGE}` })
    const answer = await trap.get({ range: `bytes=0-${mark.length * 2 + 12}, 10000-10003` })
    assert.equal(parts(answer).length, 2)
  })

  it('RFC 9110 §13.1.5: If-Range: by strong comparison, else the whole', async () => {
    const page = await fetched(rig())
    for (const [value, status] of IF_RANGE) {
      const answer = await page.get({ range: 'bytes=0-4', 'if-range': value })
      assert.equal(answer.status, status, `${value}: ${shown(answer)}`)
      assert.equal(answer.text, status === 206 ? '01234' : WHOLE)
    }
    assert.equal(page.asked.length, 1)
  })

  it('RFC 9110 §13.2.2: If-None-Match before Range', async () => {
    const page = await fetched(rig())
    assert.equal((await page.get({ range: 'bytes=0-4', 'if-none-match': '"one"' })).status, 304)
    assert.equal((await page.get({ range: 'bytes=0-4', 'if-none-match': '"two"' })).status, 206)
  })

  it('RFC 9110 §14.2: a range of an error that is stored is the error', async () => {
    const page = await fetched(rig(), { status: 404 })
    const answer = await page.get({ range: 'bytes=0-4' })
    assert.equal(answer.status, 404, shown(answer))
    assert.equal(answer.text, WHOLE)
  })

  it('RFC 9110 §14.2: a range of an empty body', async () => {
    const page = await fetched(rig(), { body: '' })
    assert.ok([200, 416].includes((await page.get({ range: 'bytes=0-4' })).status))
    assert.ok([200, 416].includes((await page.get({ range: 'bytes=-4' })).status))
  })

  it('RFC 9111 §4: a range of what is stale, which the origin says is still true', async () => {
    const page = rig().page(STANDARD, { fields: ['cache-control: max-age=0', TAG], body: WHOLE }, ({ fields }) =>
      fields.has('if-none-match') ? { status: 304, fields: [FRESH, TAG] } : ranged()({ fields } as Asked),
    )
    await page.get()
    const answer = await page.get({ range: 'bytes=0-4' })
    assert.equal(answer.status, 206, shown(answer))
    assert.equal(answer.text, '01234')
    assert.equal(answer.header('content-range'), 'bytes 0-4/36')
  })
}

function ofParts(rig: () => CacheRig): void {
  it('RFC 9111 §3.3: a part is no answer to a request for the whole', async () => {
    const page = rig().page(STANDARD, ranged())
    assert.equal((await page.get({ range: 'bytes=0-4' })).text, '01234')
    const whole = await page.get()
    assert.equal(whole.status, 200, shown(whole))
    assert.equal(whole.text, WHOLE)
  })

  it('RFC 9111 §3.3: a part is no answer to a request for another one', async () => {
    const page = rig().page(STANDARD, ranged())
    assert.equal((await page.get({ range: 'bytes=0-4' })).text, '01234')
    const other = await page.get({ range: 'bytes=2-9' })
    assert.equal(other.text, '23456789')
    assert.equal(other.header('content-range'), 'bytes 2-9/36')
  })

  it('RFC 9111 §3.4: parts with another validator are not put together', async () => {
    const page = rig().page(
      STANDARD,
      ranged(),
      ranged([FRESH, 'etag: "two"'], WHOLE.toUpperCase()),
      ranged([FRESH, 'etag: "two"'], WHOLE.toUpperCase()),
    )
    await page.get({ range: 'bytes=0-17' })
    await page.get({ range: 'bytes=18-' })
    const whole = await page.get()
    assert.ok([WHOLE, WHOLE.toUpperCase()].includes(whole.text), whole.text)
  })

  it('RFC 9111 §3.4: parts with a weak validator, or none, are not put together', async () => {
    for (const lines of [[FRESH, 'etag: W/"one"'], [FRESH]]) {
      const page = rig().page(STANDARD, ranged(lines), ranged(lines, WHOLE.toUpperCase()), ranged(lines))
      await page.get({ range: 'bytes=0-17' })
      await page.get({ range: 'bytes=18-' })
      assert.equal((await page.get()).text, WHOLE)
    }
  })

  it('RFC 9111 §3.3, §3.4: a part that lies about where it belongs is nobody else’s', async () => {
    const lies = ['bytes 0-4/3', 'bytes 4-0/36', 'bytes 0-9/36', 'bytes */36', 'bytes 0-4', 'chars 0-4/36', '']
    for (const lie of lies) {
      const page = rig().page(
        STANDARD,
        { status: 206, fields: [FRESH, TAG, ...(lie === '' ? [] : [`content-range: ${lie}`])], body: '01234' },
        { fields: [FRESH, TAG], body: WHOLE },
      )
      await page.get({ range: 'bytes=0-4' })
      const whole = await page.get()
      assert.equal(whole.status, 200, `${lie}: ${shown(whole)}`)
      assert.equal(whole.text, WHOLE, lie)
      assert.equal((await page.get({ range: 'bytes=30-' })).text, 'uvwxyz', lie)
    }
  })

  it('RFC 9110 §15.3.7: a 206 for a client that asked for the whole is not kept as the whole', async () => {
    const part: Answer = { status: 206, fields: [FRESH, TAG, 'content-range: bytes 0-4/36'], body: '01234' }
    const page = rig().page(STANDARD, part, { fields: [FRESH, TAG], body: WHOLE })
    await page.get()
    const whole = await page.get()
    assert.equal(whole.text, WHOLE, shown(whole))
  })

  it('RFC 9110 §14.2: a first request with Range, of an origin that ignores it: the whole may be stored', async () => {
    const page = rig().page(STANDARD, { fields: [FRESH, TAG], body: WHOLE })
    const first = await page.get({ range: 'bytes=0-4' })
    assert.ok(first.status === 200 ? first.text === WHOLE : first.text === '01234', shown(first))
    assert.equal((await page.get()).text, WHOLE)
  })

  it('a 416 of the origin is not stored for those who ask for the whole', async () => {
    const unsatisfied: Answer = { status: 416, fields: [FRESH, 'content-range: bytes */36'], body: '' }
    const page = rig().page(STANDARD, unsatisfied, { fields: [FRESH, TAG], body: WHOLE })
    assert.equal((await page.get({ range: 'bytes=99-' })).status, 416)
    assert.equal((await page.get()).text, WHOLE)
  })
}

/** Content-Range and bytes of each part of a multipart/byteranges body, read strictly (RFC 2046 §5.1.1). */
function parts(answer: RawResponse): readonly (readonly [string, string])[] {
  assert.equal(answer.status, 206, shown(answer))
  assert.equal(answer.header('content-range'), undefined, '§15.3.7.2')
  const boundary = /^multipart\/byteranges; ?boundary="?([0-9A-Za-z'()+_,./:=? -]{1,70})"?$/.exec(
    answer.header('content-type') ?? 'none',
  )?.[1]
  assert.ok(boundary !== undefined, shown(answer))
  const text = answer.body.toString('latin1').replace(/^\r\n/, '')
  const pieces = `\r\n${text}`.split(`\r\n--${boundary}`)
  assert.match(pieces.at(-1)!, /^--\s*$/)
  return pieces.slice(1, -1).map((piece) => {
    const [, head = '', bytes = ''] = /^\r\n([\s\S]*?)\r\n\r\n([\s\S]*)$/.exec(piece) ?? []
    const fields: Fields = Object.fromEntries(head.split('\r\n').map((line) => line.toLowerCase().split(': ', 2)))
    assert.equal(fields['content-type'], 'text/x-mine')
    return [fields['content-range']!, bytes] as const
  })
}
