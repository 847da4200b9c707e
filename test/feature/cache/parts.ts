/** Parts that are stored (RFC 9111 §3.3, §3.4), by two workers over real sockets, of origins that lie and change. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { eventually } from '../harness.ts'
import type { RawResponse } from '../raw-client.ts'
import type { Answer, Asked } from './origin.ts'
import { type CacheRig, cacheStatus, FRESH, type Page, STANDARD, shown } from './rig.ts'

/** Every eight bytes say the version and where they are. */
const versionOf = (version: string, length: number): string =>
  Array.from({ length: length / 8 }, (_, i) => version + i.toString(36).padStart(8 - version.length, '.')).join('')

const LENGTH = 400_000
const OLD = versionOf('a', LENGTH)
const NEW = versionOf('b', LENGTH)

/** An origin that knows ranges and If-Range. */
const serving =
  (body: string, tag: string, more: readonly string[] = [FRESH]) =>
  ({ fields }: Asked): Answer => {
    const lines = [...more, `etag: ${tag}`]
    if (fields.get('if-none-match') === tag) return { status: 304, fields: lines }
    const match = /^bytes=(\d*)-(\d*)$/.exec(fields.get('range') ?? '')
    const ifRange = fields.get('if-range')
    if (match === null || (ifRange !== undefined && ifRange !== tag)) return { fields: lines, body }
    const [, from = '', to = ''] = match
    const first = from === '' ? body.length - Number(to) : Number(from)
    const last = from === '' || to === '' ? body.length - 1 : Math.min(Number(to), body.length - 1)
    if (first >= body.length) return { status: 416, fields: [`content-range: bytes */${body.length}`], body: '' }
    return part(body, tag, first, last, more)
  }

function part(body: string, tag: string, first: number, last: number, more: readonly string[] = [FRESH]): Answer {
  const range = `content-range: bytes ${first}-${last}/${body.length}`
  return { status: 206, fields: [...more, `etag: ${tag}`, range], body: body.slice(first, last + 1) }
}

/** A client may have the last byte a moment before the part is stored. */
const kept = (page: Page, range: string): Promise<void> =>
  eventually(async () => assert.equal((await page.stored({ range })).status, 206))

function is(answer: RawResponse, body: string, first: number, last: number): void {
  assert.equal(answer.status, 206, shown(answer))
  assert.equal(answer.header('content-range'), `bytes ${first}-${last}/${body.length}`)
  assert.ok(answer.text === body.slice(first, last + 1), `bytes of something else: ${answer.text.slice(0, 80)}`)
}

/** The first answer, to a request for `bytes=1000-1999`, and whether its client gets anything of it. */
const LIES: Readonly<Record<string, Answer>> = {
  'begins elsewhere': part(NEW, '"one"', 1_001, 2_000),
  'begins before': part(NEW, '"one"', 0, 1_999),
  'has more': part(NEW, '"one"', 1_000, 2_999),
  'is shorter than it says': { ...part(NEW, '"one"', 1_000, 1_999), body: NEW.slice(1_000, 1_500) },
  'is longer than it says': { ...part(NEW, '"one"', 1_000, 1_999), body: NEW.slice(1_000, 3_000) },
  'is cut': { ...part(NEW, '"one"', 1_000, 1_999), cut: 500 },
  'is in chunks, and shorter than it says': {
    ...part(NEW, '"one"', 1_000, 1_999),
    body: NEW.slice(1_000, 1_500),
    framing: 'chunked',
  },
  'is in chunks, and longer than it says': {
    ...part(NEW, '"one"', 1_000, 1_999),
    body: NEW.slice(1_000, 3_000),
    framing: 'chunked',
  },
  'ends with its connection, too early': {
    ...part(NEW, '"one"', 1_000, 1_999),
    body: NEW.slice(1_000, 1_500),
    framing: 'close',
  },
  'does not say how long the whole is': {
    status: 206,
    fields: [FRESH, 'etag: "one"', 'content-range: bytes 1000-1999/*'],
    body: NEW.slice(1_000, 2_000),
  },
  'has two ranges': {
    status: 206,
    fields: [FRESH, 'etag: "one"', 'content-range: bytes 1000-1999/400000', 'content-range: bytes 0-999/400000'],
    body: NEW.slice(1_000, 2_000),
  },
  'has several parts': {
    status: 206,
    fields: [FRESH, 'etag: "one"', 'content-type: multipart/byteranges; boundary=x'],
    body: `--x\r\ncontent-range: bytes 1000-1999/400000\r\n\r\n${NEW.slice(1_000, 2_000)}\r\n--x--\r\n`,
  },
}

export function parts(rig: () => CacheRig): void {
  for (const [what, lie] of Object.entries(LIES))
    it(`a part that ${what} is nobody else's, and nothing is made of it`, async () => {
      const page = rig().page(STANDARD, lie, serving(OLD, '"one"'))
      // Some of these responses are cut.
      await page.get({ range: 'bytes=1000-1999' }).catch(() => undefined)
      is(await page.get({ range: 'bytes=1000-1999' }), OLD, 1_000, 1_999)
      is(await page.get({ range: 'bytes=1500-2499' }), OLD, 1_500, 2_499)
      is(await page.get({ range: 'bytes=0-2999' }), OLD, 0, 2_999)
      assert.ok((await page.get()).text === OLD)
    })

  it('a player that begins at once, and goes on, has the whole stored for all', async () => {
    const page = rig().page(STANDARD, serving(OLD, '"one"'))
    for (let first = 0; first < LENGTH; first += 50_000)
      is(await page.get({ range: `bytes=${first}-${first + 49_999}` }), OLD, first, first + 49_999)
    const asked = page.asked.length
    assert.equal(asked, 8)
    await kept(page, 'bytes=0-')
    for (const range of ['0-', '123-456', '-1000', '49999-50000']) {
      const answer = await page.get({ range: `bytes=${range}` })
      assert.equal(cacheStatus(answer).hit, true, shown(answer))
    }
    assert.ok((await page.get()).text === OLD)
    assert.equal(page.asked.length, asked)
  })

  it('a download that goes on is one request for what is missing, in whatever worker', async () => {
    const page = rig().page(STANDARD, serving(OLD, '"one"'))
    is(await page.get({ range: 'bytes=0-199999' }), OLD, 0, 199_999)
    await kept(page, 'bytes=0-199999')
    const all = await Promise.all(Array.from({ length: 8 }, () => page.get({ range: 'bytes=100000-' })))
    for (const answer of all) is(answer, OLD, 100_000, LENGTH - 1)
    assert.equal(page.asked.length, 2)
    assert.equal(page.last.fields.get('range'), 'bytes=200000-399999')
    assert.equal(page.last.fields.get('if-range'), '"one"')
  })

  it('what is missing of another version is not put to what is stored', async () => {
    const others: readonly ((asked: Asked) => Answer)[] = [
      serving(NEW, '"two"'),
      // Without regard to If-Range.
      ({ fields, ...asked }) => serving(NEW, '"two"')({ ...asked, fields: without(fields, 'if-range') }),
      ({ fields, ...asked }) => serving(NEW.slice(8), '"one"')({ ...asked, fields: without(fields, 'if-range') }),
    ]
    for (const [i, other] of others.entries()) {
      const body = i === 2 ? NEW.slice(8) : NEW
      const page = rig().page(STANDARD, serving(OLD, '"one"'), other)
      await page.get({ range: 'bytes=0-199999' })
      await kept(page, 'bytes=0-199999')
      const answer = await page.get({ range: 'bytes=100000-299999' })
      if (answer.status === 200) assert.ok(answer.text === body)
      else is(answer, body, 100_000, 299_999)
      is(await page.get({ range: 'bytes=0-199999' }), body, 0, 199_999)
    }
  })

  it('what is missing and ends early cuts the response, and is asked for again', async () => {
    const page = rig().page(
      STANDARD,
      serving(OLD, '"one"'),
      (asked) => ({ ...serving(OLD, '"one"')(asked), cut: 5_000 }),
      serving(OLD, '"one"'),
    )
    await page.get({ range: 'bytes=0-199999' })
    const cut = await page.get({ range: 'bytes=100000-299999' }).catch(() => undefined)
    // Where the fetch had failed before the response began, the rest was asked for again.
    if (cut !== undefined) is(cut, OLD, 100_000, 299_999)
    is(await page.get({ range: 'bytes=100000-299999' }), OLD, 100_000, 299_999)
  })

  it('an unsafe request ends parts as it ends the whole', async () => {
    const page = rig().page(STANDARD, serving(OLD, '"one"'), { status: 204 }, serving(NEW, '"two"'))
    is(await page.get({ range: 'bytes=0-99' }), OLD, 0, 99)
    await page.send({ method: 'POST', body: 'x' })
    is(await page.get({ range: 'bytes=0-99' }), NEW, 0, 99)
  })

  it('any ranges of what changes are bytes of one version, which is not over for longer than it is fresh', async () => {
    const things = Array.from({ length: 10 }, (_, i) => new Changing(rig(), i))
    const random = randomly(11)
    const seen: Record<string, number> = {}
    for (let round = 0; round < 60; round++) {
      const asks = Array.from({ length: 12 }, () => things[random(things.length)]!.ask(random))
      for (const what of await Promise.all(asks)) seen[what] = (seen[what] ?? 0) + 1
      if (round % 4 === 0) things[random(things.length)]!.change()
    }
    assert.ok((seen.hit ?? 0) > 50 && (seen.partial ?? 0) > 20, JSON.stringify(seen))
  })
}

function randomly(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

/** A page whose versions have other bytes, and some another length. */
class Changing {
  readonly #page: Page
  readonly #name: number
  readonly #versions: string[] = []
  readonly #ended: number[] = []

  constructor(rig: CacheRig, name: number) {
    this.#name = name
    this.change()
    const fields = ['cache-control: max-age=1']
    this.#page = rig.page(STANDARD, (asked) => serving(this.#versions.at(-1)!, this.#tag(), fields)(asked))
  }

  #tag(): string {
    return `"v${this.#versions.length - 1}"`
  }

  change(): void {
    const version = this.#versions.length
    if (version > 0) this.#ended[version - 1] = Date.now()
    const letters = `${(this.#name + 10).toString(36)}${(version % 36).toString(36)}`
    this.#versions.push(versionOf(letters, LENGTH - (version % 3) * 40_000))
  }

  async ask(random: (below: number) => number): Promise<string> {
    const first = random(20) * 16_000 + random(3)
    const last = first + [1, 10_000, 16_000, 40_000, 100_000][random(5)]!
    const ranges = [`${first}-`, `-${random(9_000) + 1}`, ...Array<string>(10).fill(`${first}-${last}`)]
    const range = ranges[random(ranges.length)]!
    const before = Date.now()
    const answer = await this.#page.get(random(60) === 0 ? {} : { range: `bytes=${range}` })
    if (answer.status === 416) return 'unsatisfied'
    const version = Number(/^"v(\d+)"$/.exec(answer.header('etag') ?? '')?.[1])
    const body = this.#versions[version]!
    const place = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(answer.header('content-range') ?? '')
    const [from, to, length] = place === null ? [0, body.length - 1, body.length] : place.slice(1).map(Number)
    assert.equal(answer.status, place === null ? 200 : 206, shown(answer))
    assert.equal(length, body.length)
    assert.ok(answer.text === body.slice(from, to! + 1), `${range}: bytes of something else: ${shown(answer)}`)
    assert.ok((this.#ended[version] ?? Number.POSITIVE_INFINITY) + 3_000 > before, `${range}: an old version`)
    const status = cacheStatus(answer)
    return status.hit === true ? 'hit' : String(status.fwd)
  }
}

function without(fields: ReadonlyMap<string, string>, name: string): ReadonlyMap<string, string> {
  return new Map([...fields].filter(([own]) => own !== name))
}
