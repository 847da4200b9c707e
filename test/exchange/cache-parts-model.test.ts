/**
 * Ranges in any course of requests, against any origin: what clients get is always bytes of one version, at the place
 * where they say to be, of a version that may still be served. Other courses:
 * `CACHE_SEED=1 CACHE_RUNS=10000 node --test test/exchange/cache-parts-model.test.ts`.
 */
import assert from 'node:assert/strict'
import { env } from 'node:process'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import { namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import { cachingGateway } from '../lib/memory/caching-gateway.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { settle } from '../lib/virtual-time.ts'
import type { ReceivedResponse, ServedRequest } from '../suite/transport-rig.ts'

/** What an origin may do instead of what it is asked. Its bytes are marked then. */
const LIES = [
  ...['wrong start', 'longer', 'star', 'no range', 'multipart', 'short body', 'long body', 'unasked', 'cut', 'reset'],
  ...['weak', 'no tag', 'not found', 'failed', 'unsatisfied'],
] as const
type Lie = (typeof LIES)[number]

interface Client {
  readonly method: 'GET' | 'HEAD'
  readonly range: string
  readonly condition: '' | 'if-range' | 'old if-range' | 'if-none-match'
  readonly control: string
}

interface Step {
  readonly clients: readonly Client[]
  readonly wait: number
  readonly change: '' | 'version' | 'length' | 'purge' | 'soft purge'
  readonly lie: Lie | ''
  /** An origin may send less of a range, or the whole. */
  readonly manner: '' | 'less' | 'whole' | 'chunked' | 'ignores if-range' | 'weak tag' | 'untagged'
  readonly delay: number
}

/** Milliseconds. */
const LIFETIME = 5_000
const MAX_LENGTH = 2_000
const MARK = '!'

const edge = fc.constantFrom(0, 1, 7, 100, 399, 400, 401, 800, 999, 1_000, 1_500, 1_999, 2_500)
const range = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(edge, edge).map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`) },
  { weight: 2, arbitrary: edge.map((from) => `${from}-`) },
  edge.map((suffix) => `-${suffix}`),
  fc.constantFrom('', '', '0-', '0-0,500-600', '10-5', 'x'),
)
const client: fc.Arbitrary<Client> = fc.record(
  {
    method: fc.constantFrom('GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'GET', 'HEAD'),
    range,
    condition: fc.constantFrom('', '', '', '', 'if-range', 'old if-range', 'if-none-match'),
    control: fc.constantFrom('', '', '', '', 'max-age=0', 'no-cache', 'only-if-cached', 'no-store'),
  },
  { noNullPrototype: true },
)
const step: fc.Arbitrary<Step> = fc.record(
  {
    clients: fc.oneof(
      { weight: 4, arbitrary: fc.tuple(client) },
      client.map((one) => [one, one, one]),
      fc.array(client, { minLength: 2, maxLength: 4 }),
    ),
    wait: fc.constantFrom(0, 0, 0, 1, 1_000, 4_000, 20_000),
    change: fc.constantFrom('', '', '', '', '', 'version', 'length', 'purge', 'soft purge'),
    lie: fc.oneof({ weight: 5, arbitrary: fc.constant('' as const) }, fc.constantFrom(...LIES)),
    manner: fc.constantFrom('', '', '', '', '', 'less', 'whole', 'chunked', 'ignores if-range', 'weak tag', 'untagged'),
    delay: fc.constantFrom(0, 0, 30),
  },
  { noNullPrototype: true },
)

interface Version {
  readonly tag: string
  readonly body: string
  /** When another one took its place; infinite: it is the current one. */
  ended: number
}

const bodyOf = (path: string, version: number, length: number): string =>
  Array.from(
    { length: length / 8 },
    (_, i) =>
      `${version.toString(36).padStart(3, '0')}${path.slice(-1)}`.padEnd(5, '.') + i.toString(36).padStart(3, '0'),
  ).join('')

class Course {
  readonly #gateway: MemoryGateway
  readonly #path: string
  readonly #versions: Version[] = []
  readonly #counts: Map<string, number>
  #purged = Number.NEGATIVE_INFINITY
  #step: Step | undefined
  /** ETag of the version before. */
  #old = ''
  #asked = 0
  #due: { readonly at: number; readonly answer: () => void }[] = []

  constructor(gateway: MemoryGateway, name: string, counts: Map<string, number>) {
    this.#gateway = gateway
    this.#path = `/${name}`
    this.#counts = counts
    this.#begin('"0"', MAX_LENGTH)
  }

  get #now(): number {
    return this.#gateway.context.clock.wall()
  }

  get #current(): Version {
    return this.#versions.at(-1)!
  }

  #begin(tag: string, length: number): void {
    const last = this.#versions.at(-1)
    if (last !== undefined) last.ended = this.#now
    this.#versions.push({
      tag,
      body: bodyOf(this.#path, this.#versions.length, length),
      ended: Number.POSITIVE_INFINITY,
    })
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  /** The origin. */
  answer(request: ServedRequest): void {
    const { delay } = this.#step!
    this.#asked++
    if (delay === 0) this.#answerNow(request)
    else this.#due.push({ at: this.#now + delay, answer: () => this.#answerNow(request) })
  }

  #answerNow(request: ServedRequest): void {
    const { lie, manner } = this.#step!
    const { tag, body } = this.#current
    const fields: Record<string, string> = { 'cache-control': `max-age=${LIFETIME / 1_000}` }
    if (manner !== 'untagged') fields.etag = manner === 'weak tag' ? `W/${tag}` : tag
    if (request.method === 'HEAD') {
      // What it says of the version is true.
      const head = { ...fields, etag: fields.etag ?? tag, 'content-length': String(body.length) }
      return lie === '' ? request.respond(200, '', head) : request.respond(500, '', {})
    }
    if (request.fields['if-none-match'] === tag && lie === '') return request.respond(304, '', fields)
    const match = /^bytes=(\d*)-(\d*)$/.exec(request.fields.range ?? '')
    const ifRange = request.fields['if-range']
    const isCurrent = ifRange === undefined || ifRange === tag || manner === 'ignores if-range'
    if (lie !== '') return this.#lie(request, lie, match)
    if (match === null || match[0] === 'bytes=-' || !isCurrent || manner === 'whole')
      return request.respond(200, body, fields)
    const [first, end] = this.#resolve(match)
    if (first >= body.length || first > end)
      return request.respond(416, '', { 'content-range': `bytes */${body.length}` })
    const last = manner === 'less' ? Math.max(first, end - 150) : end
    const more = { ...fields, 'content-range': `bytes ${first}-${last}/${body.length}` }
    if (manner !== 'chunked') return request.respond(206, body.slice(first, last + 1), more)
    request.head(206, { ...more, 'transfer-encoding': 'chunked' })
    request.write(body.slice(first, last + 1))
    request.end()
  }

  #resolve([, from = '', to = '']: RegExpExecArray): readonly [first: number, last: number] {
    const { length } = this.#current.body
    if (from === '') return [Math.max(0, length - Number(to)), Number(to) === 0 ? -1 : length - 1]
    return [Number(from), to === '' ? length - 1 : Math.min(Number(to), length - 1)]
  }

  /** Whatever is stored of it, somebody gets marked bytes for it later. */
  #lie(request: ServedRequest, lie: Lie, match: RegExpExecArray | null): void {
    const { tag, body } = this.#current
    const fields: Record<string, string> = { 'cache-control': 'max-age=60', etag: tag }
    const [first, last] = match === null ? [0, 99] : this.#resolve(match)
    const count = Math.max(1, last - first + 1)
    const ranged = (a: number, b: number, of: number | string = body.length): Record<string, string> => ({
      ...fields,
      'content-range': `bytes ${a}-${b}/${of}`,
    })
    const marked = (bytes: number): string => MARK.repeat(bytes)
    switch (lie) {
      case 'wrong start':
        return request.respond(206, marked(count), ranged(first + 1, first + count))
      case 'longer':
        return request.respond(206, marked(count + 5), ranged(first, first + count + 4))
      case 'star':
        return request.respond(206, marked(count), ranged(first, first + count - 1, '*'))
      case 'no range':
        return request.respond(206, marked(count), fields)
      case 'multipart':
        return request.respond(206, marked(count), {
          ...ranged(first, first + count - 1),
          'content-type': 'multipart/byteranges; boundary=x',
        })
      case 'short body':
      case 'long body':
        request.head(206, { ...ranged(first, first + count - 1), 'transfer-encoding': 'chunked' })
        if (lie === 'long body') request.write(marked(count + 1))
        else if (count > 1) request.write(marked(count - 1))
        return request.end()
      case 'unasked':
        return match === null ? request.respond(206, marked(100), ranged(0, 99)) : request.respond(503, marked(1), {})
      case 'cut':
        request.head(206, { ...ranged(first, first + count - 1), 'content-length': String(count) })
        if (count > 1) request.write(marked(1))
        return request.reset()
      case 'reset':
        return request.reset()
      // A part without a strong validator is of no other version than its own.
      case 'weak':
        return request.respond(206, marked(count), {
          ...ranged(first, first + count - 1),
          etag: `W/${tag}`,
          'cache-control': 'no-store',
        })
      case 'no tag':
        return request.respond(206, marked(count), {
          'content-range': `bytes ${first}-${first + count - 1}/${body.length}`,
        })
      case 'not found':
        return request.respond(404, marked(1), { 'cache-control': 'no-store' })
      case 'failed':
        return request.respond(500, marked(1), {})
      case 'unsatisfied':
        return request.respond(416, '', { 'content-range': 'bytes */3' })
    }
  }

  async take(step: Step): Promise<void> {
    this.#step = step
    await this.#gateway.pass(step.wait)
    this.#change(step)
    this.#old = this.#versions.at(-2)?.tag ?? '"none"'
    let waiting = step.clients.length
    const asked = this.#asked
    const answers = Promise.all(
      step.clients.map(async (client) => {
        const before = this.#now
        const response = await this.#gateway
          .ask({ method: client.method, path: this.#path, fields: this.#fieldsOf(client) })
          .response()
        waiting--
        return { client, response, before }
      }),
    )
    while (waiting > 0 && (await settle()) === undefined) this.#answerDue()
    for (const one of await answers) this.#check(step, one.client, one.response, one.before)
    await this.#gateway.pass(1)
    while (this.#due.length > 0 || this.#gateway.context.unattended.size > 0) {
      await this.#gateway.pass(10)
      this.#answerDue()
    }
    if (this.#asked === asked) this.#count('not asked')
  }

  #change({ change }: Step): void {
    const next = String(this.#versions.length)
    if (change === 'version') this.#begin(`"${next}"`, MAX_LENGTH)
    // Only the length tells it from those before.
    if (change === 'length' && this.#current.body.length > 800)
      this.#begin(this.#current.tag, this.#current.body.length - 200)
    if (change === 'purge' || change === 'soft purge') {
      const soft = change === 'soft purge'
      this.#gateway.purges.append({
        ...PLAIN,
        id: 1 + this.#asked,
        kind: 'all',
        namespace: namespaceLabel('default'),
        soft,
      })
      this.#purged = this.#now
    }
  }

  #fieldsOf({ range, condition, control }: Client): Record<string, string> {
    return {
      ...(range === '' ? {} : { range: `bytes=${range}` }),
      ...(condition === 'if-range' ? { 'if-range': this.#current.tag } : {}),
      ...(condition === 'old if-range' ? { 'if-range': this.#old } : {}),
      ...(condition === 'if-none-match' ? { 'if-none-match': this.#current.tag } : {}),
      ...(control === '' ? {} : { 'cache-control': control }),
    }
  }

  #answerDue(): void {
    const due = this.#due.filter(({ at }) => at <= this.#now)
    this.#due = this.#due.filter(({ at }) => at > this.#now)
    for (const { answer } of due) answer()
  }

  #check({ lie }: Step, client: Client, response: ReceivedResponse, before: number): void {
    const { status, body, fields } = response
    const told = JSON.stringify({ client, response, step: this.#step, versions: this.#versions.map(({ tag }) => tag) })
    const said = fields['cache-status'] ?? ''
    // What an origin lies goes to who has asked for it.
    if (lie !== '' && (body.includes(MARK) || (lie === 'short body' && status === 206 && body === ''))) {
      assert.ok(!said.includes(';hit'), `a lie is stored: ${told}`)
      // Nothing of it stands beside what is true.
      assert.ok(/^[!]*$/.test(body) || said.includes('collapsed') === false, told)
      return this.#count('lied to')
    }
    assert.ok(!body.includes(MARK), `a lie was stored: ${told}`)
    if (client.method === 'HEAD') {
      assert.equal(body, '', told)
      return this.#count('head')
    }
    if (status === 200 || status === 206) this.#checkBytes(client, response, before, told)
    if (status === 206 && said.includes('fwd=partial;ttl')) this.#count('joined')
    if (status === 206 && said.includes(';hit')) this.#count('hit')
    if (status === 200 && said.includes(';hit')) this.#count('whole hit')
  }

  #checkBytes({ range, condition }: Client, response: ReceivedResponse, before: number, told: string): void {
    const { status, body, fields, complete } = response
    if (!complete) return this.#count('cut')
    if ((fields['content-type'] ?? '').startsWith('multipart/')) return this.#count('multipart')
    const place = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(fields['content-range'] ?? '')
    assert.equal(place === null, status === 200, told)
    const of = this.#versions.filter((version) => {
      if (fields.etag !== undefined && version.tag !== fields.etag.replace('W/', '')) return false
      if (place === null) return version.body === body
      const [first, last, length] = place.slice(1).map(Number)
      return version.body.length === length && version.body.slice(first!, last! + 1) === body
    })
    assert.ok(of.length > 0, `bytes of no version: ${told}`)
    const latest = of.at(-1)!
    // One that has the tag of a later one is confirmed by a 304 for as long as the origin likes.
    if (this.#versions.filter(({ tag }) => tag === latest.tag).length === 1) {
      // A version may be stored up to its end.
      assert.ok(latest.ended + LIFETIME + 1_000 > before, `too old: ${told}`)
      assert.ok(latest.ended > this.#purged, `purged: ${told}`)
    }
    if (place === null) return
    // RFC 9110 §13.1.5, which the origin itself may not know.
    if (condition.endsWith('if-range') && fields.etag?.startsWith('"') && this.#step!.manner !== 'ignores if-range')
      assert.equal(fields.etag, condition === 'if-range' ? this.#current.tag : this.#old, `of another version: ${told}`)
    const match = /^(\d*)-(\d*)$/.exec(range)
    assert.ok(match !== null, told)
    const [, from = '', to = ''] = match
    const [first, last, length] = place.slice(1).map(Number)
    assert.equal(first, from === '' ? Math.max(0, length! - Number(to)) : Number(from), told)
    const end = from === '' || to === '' ? length! - 1 : Math.min(Number(to), length! - 1)
    assert.ok(last === end || (this.#step!.manner === 'less' && last! < end), `less than asked for: ${told}`)
  }
}

describe('ranges and the cache', () => {
  for (const shared of [false, true])
    it(`are bytes of one version that may be served, in any course${shared ? ', in little memory' : ''}`, async (t) => {
      let course: Course | undefined
      const more = shared ? { responses: littleMemory() } : {}
      const gateway = cachingGateway(t, (request) => course!.answer(request), more)
      const counts = new Map<string, number>()
      let courses = 0
      const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 14 }), async (steps) => {
        course = new Course(gateway, String(++courses), counts)
        for (const one of steps) await course.take(one)
      })
      await fc.assert(property, { seed: Number(env.CACHE_SEED ?? 9111), numRuns: Number(env.CACHE_RUNS ?? 300) })
      for (const what of ['joined', 'hit', 'whole hit', 'lied to', 'multipart', 'not asked', 'head'])
        assert.ok((counts.get(what) ?? 0) >= 3, `${what} has happened: ${JSON.stringify([...counts])}`)
      assert.deepEqual(gateway.errors, [])
    })
})

/** The memory of a worker, which has room for the last courses alone. */
function littleMemory(): WorkerResponseMemory {
  const buffers = allocateCache(1024 * 1024, 1, [1, 2])!
  return new WorkerResponseMemory(buffers, 1, 0, (run) => void setImmediate(run))
}
