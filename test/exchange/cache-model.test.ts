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
import { cachingGateway } from '../lib/memory/caching-gateway.ts'
import type { MemoryGateway } from '../lib/memory/rig.ts'
import { settle } from '../lib/virtual-time.ts'
import type { ReceivedResponse, ServedRequest } from '../suite/transport-rig.ts'

interface Client {
  readonly control: string
  readonly language: string
  readonly authorization: boolean
  readonly cookie: boolean
}

interface Step {
  readonly path: number
  /** The first client alone, by POST. */
  readonly post: boolean
  /** They ask at the same time. */
  readonly clients: readonly Client[]
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
  /** Milliseconds until it answers. */
  readonly delay: number
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
  /** No other client asked at the same time, and it is no second fetch of one, nor a 304 about something else. */
  readonly alone: boolean
}

interface Answered {
  readonly client: Client
  /** Fresh for this client when it asked. */
  readonly expected: Kept | undefined
  readonly response: ReceivedResponse
  readonly before: number
  readonly after: number
}

/** Fields of requests that come from clients. */
const OF_CLIENTS = ['cache-control', 'accept-language', 'authorization', 'cookie']
const SERVED = ['Fresh', 'Stale', 'StaleWhileRevalidate']

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

const client: fc.Arbitrary<Client> = fc.record(
  { control: asked, language: fc.constantFrom('', '', 'de', 'fr'), authorization: rarely, cookie: rarely },
  { noNullPrototype: true },
)

const step: fc.Arbitrary<Step> = fc.record(
  {
    path: fc.constantFrom(0, 0, 0, 1),
    post: rarely,
    clients: fc.oneof(
      { weight: 3, arbitrary: fc.tuple(client) },
      client.map((one) => [one, one, one]),
      fc.array(client, { minLength: 2, maxLength: 4 }),
    ),
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
        delay: fc.constantFrom(0, 0, 30),
      },
      { noNullPrototype: true },
    ),
  },
  { noNullPrototype: true },
)

function valueIn({ response }: Kept, name: string): string | undefined {
  return response.find(([other]) => other === name)?.[1]
}

function fieldsOf({ control, language, authorization, cookie }: Client): Record<string, string> {
  return {
    ...(control === '' ? {} : { 'cache-control': control }),
    ...(language === '' ? {} : { 'accept-language': language }),
    ...(authorization ? { authorization: 'Basic eDp5' } : {}),
    ...(cookie ? { cookie: 'a=b' } : {}),
  }
}

/** Whether this client's request may have been the one that was sent. */
function isOf({ request }: Kept, client: Client): boolean {
  const fields = fieldsOf(client)
  return request.length === Object.keys(fields).length && request.every(([name, value]) => fields[name] === value)
}

/** RFC 9111 §4.3.4: a 304 with a date of the last change that is not the stored one is about something else. */
function isOther(known: Kept, fields: Record<string, string>): boolean {
  const changed = fields['last-modified']
  return changed !== undefined && changed !== valueIn(known, 'last-modified')
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
  /** Answers of the origin that are to come. */
  #due: { readonly at: number; readonly answer: () => void }[] = []
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
    const sent = this.#now
    if (answer.delay === 0) this.#answerNow(request, answer, sent)
    else this.#due.push({ at: sent + answer.delay, answer: () => this.#answerNow(request, answer, sent) })
  }

  #answerNow(request: ServedRequest, answer: Answer, sent: number): void {
    const path = request.target
    const version = (this.#versions.get(path) ?? 0) + (answer.changes ? 1 : 0)
    this.#versions.set(path, version)
    const fetch = ++this.#fetches
    const language = request.fields['accept-language'] ?? ''
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
    const kept: Kept = {
      ...{ fetch, path, body, language },
      request: Object.entries(request.fields).filter(([name]) => OF_CLIENTS.includes(name)),
      status: validated ? known.status : status,
      // RFC 9111 §3.2; an Age belongs to one message.
      response: [
        ...(validated ? known.response : []).filter(([name]) => !(name in fields) && name !== 'age'),
        ...Object.entries(fields),
      ],
      ...{ sent, received: this.#now },
      alone: this.#step!.clients.length === 1 && this.asked.length === 0 && !(validated && isOther(known, fields)),
    }
    this.asked.push({ kept, status })
    if (request.method === 'GET') {
      this.#kept.push(kept)
      this.#last.set(path, fetch)
    }
    request.respond(status, validated ? '' : body, fields)
  }

  async take(step: Step): Promise<void> {
    this.#step = step
    this.asked = []
    const path = `/${this.#name}/${step.path}`
    await this.#gateway.pass(step.wait)
    const before = this.#now
    const clients = step.post ? step.clients.slice(0, 1) : step.clients
    let waiting = clients.length
    const answers = Promise.all(
      clients.map(async (client) => {
        const expected = step.post ? undefined : this.#expectedFresh(path, client)
        const more = step.post ? { method: 'POST', body: 'x' } : {}
        const response = await this.#gateway.ask({ path, fields: fieldsOf(client), ...more }).response()
        waiting--
        return { client, expected, response, before, after: this.#now }
      }),
    )
    // Time passes for those who wait.
    while (waiting > 0 && (await settle()) === undefined) this.#answerDue()
    const answered = await answers
    if (step.post) this.#posted(path, answered[0]!.response)
    else this.#checkAll(path, answered)
    // What goes on in the background is over before the next step.
    await this.#gateway.pass(1)
    while (this.#due.length > 0 || this.#gateway.context.unattended.size > 0) {
      await this.#gateway.pass(10)
      this.#answerDue()
    }
  }

  #answerDue(): void {
    const due = this.#due.filter(({ at }) => at <= this.#now)
    this.#due = this.#due.filter(({ at }) => at > this.#now)
    for (const { answer } of due) answer()
  }

  #posted(path: string, response: ReceivedResponse): void {
    assert.equal(this.asked.length, 1)
    assert.equal(response.fields['x-fetch'], String(this.asked[0]!.kept.fetch))
    if (response.status < 400) this.#invalid.set(path, this.#fetches)
  }

  /** Which fetch the model would serve, where nothing has been fetched for the path since. */
  #expectedFresh(path: string, client: Client): Kept | undefined {
    const last = this.#kept.findLast((one) => one.path === path)
    // Where an origin varies at times only, the most recent Vary may count for all (§4.1).
    if (new Set(this.#kept.filter((one) => one.path === path).map(varies)).size > 1) return undefined
    if (last === undefined || last.fetch !== this.#last.get(path) || !this.#mayServe(last, client)) return undefined
    // Of several fetches at a time one alone is stored; an error may have given way to what was (RFC 5861 §4).
    return last.alone && last.status < 500 && this.#verdict(last, client, this.#now).outcome === 'Fresh'
      ? last
      : undefined
  }

  /** §4.1, §4.4. */
  #mayServe(kept: Kept, { language }: Client): boolean {
    return (!varies(kept) || kept.language === language) && kept.fetch > (this.#invalid.get(kept.path) ?? 0)
  }

  #verdict(kept: Kept, { control }: Client, now: number) {
    const { request, status, response, sent, received } = kept
    return modelVerdict({
      ...{ method: 'GET', credentials: false, identityInKey: false, content: 'None', request, status, response },
      ...{ sent, received, override: false, defaultTtl: undefined, maxTtl: undefined, codeTtl: undefined },
      ...{ whileRevalidate: undefined, ifError: undefined },
      ...{ later: now - received, again: control === '' ? [] : [control] },
    })
  }

  #checkAll(path: string, answered: readonly Answered[]): void {
    // Each fetch is of one client, who gets what it has brought; of others it has to be as if it had been stored.
    const owned = new Set<number>()
    for (const one of answered) {
      const { response, client, expected } = one
      const told = JSON.stringify({ one, asked: this.asked })
      assert.notEqual(response.status, 304, told)
      const fetch = Number(response.fields['x-fetch'])
      if (expected !== undefined) assert.equal(fetch, expected.fetch, `what is fresh is served: ${told}`)
      const own = this.asked.find(({ kept }) => kept.fetch === fetch && isOf(kept, client))
      if (own === undefined || owned.has(fetch)) this.#check(path, one, told)
      else {
        owned.add(fetch)
        assert.equal(response.body, own.kept.body, told)
        this.#count(own.status === 304 ? 'validated' : 'fetched')
      }
    }
  }

  /** What was served without a fetch of its own. */
  #check(path: string, { client, response, before, after }: Answered, told: string): void {
    if (response.status === 504 && response.fields['x-fetch'] === undefined)
      return assert.ok(client.control.includes('only-if-cached'), told)
    const fetch = Number(response.fields['x-fetch'])
    const kept = this.#kept.find((one) => one.fetch === fetch)
    assert.ok(kept !== undefined && kept.path === path, told)
    assert.equal(response.body, kept.body, told)
    assert.ok(this.#mayServe(kept, client), `another variant, or invalid: ${told}`)
    const [first, last] = [this.#verdict(kept, client, before), this.#verdict(kept, client, after)]
    assert.ok(first.store, `not to be stored: ${told}`)
    const age = Number(response.fields.age)
    assert.ok(age >= first.age! && age <= last.age!, `age: ${told}`)
    const served = [first, last].find(({ outcome }) => SERVED.includes(outcome!))
    const failed = this.asked.some(({ status }) => status >= 500)
    assert.ok(served || (failed && first.onError), `not to be reused (${first.outcome}): ${told}`)
    const followed = this.asked.some(({ kept }) => kept.fetch === fetch)
    this.#count(followed ? 'followed' : (served?.outcome ?? 'stale on error'))
  }
}

describe('the cache and the model of RFC 9111', () => {
  it('serve the same in any course of requests', async (t) => {
    let course: Course | undefined
    const gateway = cachingGateway(t, (request) => course!.answer(request))
    const counts = new Map<string, number>()
    let courses = 0
    const property = fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      course = new Course(gateway, String(++courses), counts)
      for (const one of steps) await course.take(one)
    })
    await fc.assert(property, { seed: Number(env.CACHE_SEED ?? 9111), numRuns: Number(env.CACHE_RUNS ?? 300) })
    for (const what of ['fetched', 'validated', 'Fresh', 'Stale', 'StaleWhileRevalidate', 'stale on error', 'followed'])
      assert.ok((counts.get(what) ?? 0) >= 3, `${what} has happened: ${JSON.stringify([...counts])}`)
    assert.deepEqual(gateway.errors, [])
  })
})
