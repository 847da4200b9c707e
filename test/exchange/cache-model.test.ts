/**
 * The whole `cache` against the model of RFC 9111: any course of requests, answers and time. What is served without the
 * origin has to be what the model would serve, and what the model calls fresh is not asked for. Other courses:
 * `CACHE_SEED=1 CACHE_RUNS=10000 node --test test/exchange/cache-model.test.ts`.
 */
import assert from 'node:assert/strict'
import { env } from 'node:process'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type CacheCase, modelVerdict } from '../fuzz/cache-model.ts'
import { type MemoryGateway, memoryGateway } from '../lib/memory/rig.ts'
import type { ReceivedResponse, ServedRequest } from '../suite/transport-rig.ts'
import { toUp } from '../worker/test-plane.ts'

interface Step {
  readonly path: number
  readonly post: boolean
  readonly control: string
  readonly language: string
  readonly authorization: boolean
  readonly cookie: boolean
  /** Milliseconds before it. */
  readonly wait: number
  readonly answer: Answer
}

/** What the origin does if it is asked. */
interface Answer {
  readonly status: number
  readonly control: string
  readonly etag: boolean
  readonly modified: boolean
  readonly vary: boolean
  readonly age: string
  /** There is another version from now on. */
  readonly changes: boolean
}

type Pairs = CacheCase['response']

/** A response that may be stored, as of its last validation. */
interface Kept {
  readonly fetch: number
  readonly path: string
  readonly body: string
  readonly language: string
  readonly request: Pairs
  readonly status: number
  readonly response: Pairs
  readonly sent: number
  readonly received: number
}

const SECONDS = fc.constantFrom('0', '1', '5', '30')
const timed = (...names: string[]) => fc.tuple(fc.constantFrom(...names), SECONDS).map((pair) => pair.join('='))
const control = fc.oneof(
  { weight: 3, arbitrary: timed('max-age') },
  timed('s-maxage', 'max-age'),
  fc.tuple(timed('max-age'), timed('stale-while-revalidate', 'stale-if-error')).map((pair) => pair.join(', ')),
  fc
    .tuple(timed('max-age'), fc.constantFrom('must-revalidate', 'public', 'immutable', 'no-cache'))
    .map((pair) => pair.join(', ')),
  fc.constantFrom('', '', 'no-store', 'private', 'no-cache', 'public', 'public; max-age=5', 'max-age=x'),
)
const asked = fc.oneof(
  { weight: 6, arbitrary: fc.constant('') },
  timed('max-age', 'min-fresh', 'max-stale', 'stale-if-error'),
  fc.constantFrom('no-cache', 'no-store', 'only-if-cached', 'max-stale', 'only-if-cached, max-stale'),
)
const rarely = fc.integer({ min: 0, max: 9 }).map((n) => n === 0)

const step: fc.Arbitrary<Step> = fc.record(
  {
    path: fc.constantFrom(0, 0, 0, 1),
    post: rarely,
    control: asked,
    language: fc.constantFrom('', '', 'de', 'fr'),
    authorization: rarely,
    cookie: rarely,
    wait: fc.constantFrom(0, 0, 400, 1_000, 4_000, 20_000),
    answer: fc.record(
      {
        status: fc.constantFrom(200, 200, 200, 200, 200, 404, 302, 500, 503),
        control,
        etag: fc.boolean(),
        modified: rarely,
        vary: rarely,
        age: fc.constantFrom('', '', '', '2', '40'),
        changes: rarely,
      },
      { noNullPrototype: true },
    ),
  },
  { noNullPrototype: true },
)

function valueIn({ response }: Kept, name: string): string | undefined {
  return response.find(([other]) => other === name)?.[1]
}

function varies({ response }: Kept): boolean {
  return response.some(([name]) => name === 'vary')
}

class Course {
  readonly #gateway: MemoryGateway
  readonly #name: string
  /** When the first versions were made. */
  readonly #changed: number
  readonly #kept: Kept[] = []
  /** Numbers of the last fetches of each path, and up to which fetch all is invalid. */
  readonly #last = new Map<string, number>()
  readonly #invalid = new Map<string, number>()
  readonly #versions = new Map<string, number>()
  /** How often what happened, in all courses. */
  readonly #counts: Map<string, number>
  /** What the origin was asked in this step, and what it said. */
  asked: { readonly kept: Kept; readonly status: number }[] = []
  #fetches = 0
  #step: Step | undefined

  constructor(gateway: MemoryGateway, name: string, counts: Map<string, number>) {
    this.#counts = counts
    this.#gateway = gateway
    this.#name = name
    this.#changed = this.#now - 100_000
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1)
  }

  get #now(): number {
    return this.#gateway.context.clock.wall()
  }

  /** The origin. */
  answer(request: ServedRequest): void {
    const { answer } = this.#step!
    const path = request.target
    const version = (this.#versions.get(path) ?? 0) + (answer.changes ? 1 : 0)
    this.#versions.set(path, version)
    const fetch = ++this.#fetches
    const language = answer.vary ? String(request.fields['accept-language'] ?? '') : ''
    const body = `${path} version ${version} for ${answer.vary ? language : 'all'}`
    // A tag is of one fetch, so that a condition names what is stored.
    const named = request.fields['if-none-match'] ?? 'none'
    const known = this.#kept.findLast((one) => one.body === body && valueIn(one, 'etag') === named)
    const validated = request.method === 'GET' && answer.status === 200 && known !== undefined
    const status = validated ? 304 : answer.status
    const fields: Record<string, string> = { 'x-fetch': String(fetch) }
    if (answer.control !== '') fields['cache-control'] = answer.control
    if (answer.etag) fields.etag = validated ? named : `"${fetch}"`
    if (answer.modified) fields['last-modified'] = new Date(this.#changed + version * 1_000).toUTCString()
    if (answer.vary) fields.vary = 'accept-language'
    if (answer.age !== '') fields.age = answer.age
    const response: Pairs = Object.entries(fields)
    const kept: Kept = {
      ...{ fetch, path, body, language: String(request.fields['accept-language'] ?? '') },
      request: this.#requestPairs(),
      status: validated ? known.status : status,
      // RFC 9111 §3.2; an Age belongs to one message.
      response: [
        ...(validated ? known.response : []).filter(([name]) => !(name in fields) && name !== 'age'),
        ...response,
      ],
      ...{ sent: this.#now, received: this.#now },
    }
    this.asked.push({ kept, status })
    if (request.method === 'GET') {
      this.#kept.push(kept)
      this.#last.set(path, fetch)
    }
    request.respond(status, validated ? '' : body, fields)
  }

  #requestPairs(): Pairs {
    const { control, authorization, cookie } = this.#step!
    return [
      ...(control === '' ? [] : [['cache-control', control] as const]),
      ...(authorization ? [['authorization', 'Basic eDp5'] as const] : []),
      ...(cookie ? [['cookie', 'a=b'] as const] : []),
    ]
  }

  async take(step: Step): Promise<void> {
    this.#step = step
    this.asked = []
    const path = `/${this.#name}/${step.path}`
    await this.#gateway.pass(step.wait)
    const expected = this.#expectedFresh(path, step)
    const fields = Object.fromEntries(this.#requestPairs())
    if (step.language !== '') fields['accept-language'] = step.language
    const before = this.#now
    const request = this.#gateway.ask({ path, fields, ...(step.post ? { method: 'POST', body: 'x' } : {}) })
    const response = await request.response()
    if (step.post) this.#posted(path, response)
    else this.#check(path, step, response, before, expected)
    // What goes on in the background is over before the next step.
    await this.#gateway.pass(1)
  }

  #posted(path: string, response: ReceivedResponse): void {
    assert.equal(this.asked.length, 1)
    assert.equal(response.fields['x-fetch'], String(this.asked[0]!.kept.fetch))
    if (response.status < 400) this.#invalid.set(path, this.#fetches)
  }

  /** Which fetch the model would serve, where nothing has been fetched for the path since. */
  #expectedFresh(path: string, step: Step): Kept | undefined {
    if (step.post) return undefined
    const last = this.#kept.findLast((one) => one.path === path)
    // Where an origin varies at times only, the most recent Vary may count for all (§4.1).
    if (new Set(this.#kept.filter((one) => one.path === path).map(varies)).size > 1) return undefined
    if (last === undefined || last.fetch !== this.#last.get(path) || !this.#mayServe(last, step)) return undefined
    // An error may have given way to what was stored before (RFC 5861 §4).
    return last.status < 500 && this.#verdict(last, step, this.#now).outcome === 'Fresh' ? last : undefined
  }

  /** §4.1, §4.4. */
  #mayServe(kept: Kept, { language }: Step): boolean {
    return (!varies(kept) || kept.language === language) && kept.fetch > (this.#invalid.get(kept.path) ?? 0)
  }

  #verdict(kept: Kept, { control }: Step, now: number) {
    const { request, status, response, sent, received } = kept
    return modelVerdict({
      ...{ method: 'GET', credentials: false, identityInKey: false, content: 'None', request, status, response },
      ...{ sent, received, override: false, defaultTtl: undefined, maxTtl: undefined, codeTtl: undefined },
      ...{ whileRevalidate: undefined, ifError: undefined },
      ...{ later: now - received, again: control === '' ? [] : [control] },
    })
  }

  #check(path: string, step: Step, response: ReceivedResponse, now: number, expected: Kept | undefined): void {
    const told = JSON.stringify({ response, asked: this.asked, expected })
    const fetch = Number(response.fields['x-fetch'])
    // Asked by the request itself, not behind it.
    const own = this.asked.find(({ kept }) => kept.fetch === fetch)
    if (expected !== undefined) assert.equal(fetch, expected.fetch, `what is fresh is served: ${told}`)
    if (own !== undefined) {
      assert.equal(response.body, own.kept.body, told)
      assert.notEqual(response.status, 304, told)
      return this.#count(own.status === 304 ? 'validated' : 'fetched')
    }
    if (response.status === 504 && response.fields['x-fetch'] === undefined) {
      assert.ok(step.control.includes('only-if-cached'), told)
      return assert.equal(this.asked.length, 0, told)
    }
    const kept = this.#kept.find((one) => one.fetch === fetch)
    assert.ok(kept !== undefined && kept.path === path, told)
    assert.equal(response.body, kept.body, told)
    assert.ok(this.#mayServe(kept, step), `another variant, or invalid: ${told}`)
    const verdict = this.#verdict(kept, step, now)
    assert.ok(verdict.store, `not to be stored: ${told}`)
    const failed = this.asked.some(({ status }) => status >= 500)
    this.#count(failed ? 'stale on error' : verdict.outcome!)
    const served = ['Fresh', 'Stale', 'StaleWhileRevalidate'].includes(verdict.outcome!)
    assert.ok(served || (failed && verdict.onError), `not to be reused (${verdict.outcome}): ${told}`)
    assert.equal(response.fields.age, String(verdict.age), told)
  }
}

describe('the cache and the model of RFC 9111', () => {
  it('serve the same in any course of requests', async (t) => {
    let course: Course | undefined
    const gateway = memoryGateway(t, {
      upstreams: [(request) => course!.answer(request)],
      rules: toUp({ retry: { attempts: 0 }, cache: {} } as never),
    })
    const counts = new Map<string, number>()
    let courses = 0
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      course = new Course(gateway, String(++courses), counts)
      for (const one of steps) await course.take(one)
    })
    await fc.assert(property, { seed: Number(env.CACHE_SEED ?? 9111), numRuns: Number(env.CACHE_RUNS ?? 300) })
    for (const what of ['fetched', 'validated', 'Fresh', 'Stale', 'StaleWhileRevalidate', 'stale on error'])
      assert.ok((counts.get(what) ?? 0) >= 3, `${what} has happened: ${JSON.stringify([...counts])}`)
    assert.deepEqual(gateway.errors, [])
  })
})
