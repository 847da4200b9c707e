/**
 * The contract of filters (src/policy/filter.ts) on a real flow: a small filter for each ability, run on every
 * transport.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GatewayError } from '../../src/lib/error.ts'
import type { BodyControl, BodySink, BodySource, BodyStepFactory } from '../../src/message/body.ts'
import { Fields } from '../../src/message/fields.ts'
import { attribute } from '../../src/policy/attribute.ts'
import type { ExchangeSummary } from '../../src/policy/exchange.ts'
import type { Filter } from '../../src/policy/filter.ts'
import type { Phase } from '../../src/policy/registry.ts'
import type { FilterServices } from '../../src/policy/services.ts'
import type {
  GatewayOptions,
  Scope,
  ServedRequest,
  TransportGateway,
  TransportRig,
  UpstreamScript,
} from './transport-rig.ts'

/** What came to the upstream. */
interface Served {
  readonly method: string
  readonly target: string
  readonly fields: Readonly<Record<string, string>>
  readonly body: string
}

export function filterSuite(name: string, rig: TransportRig): void {
  describe(`the contract of filters: ${name}`, () => {
    const start = (t: Scope, options: Omit<GatewayOptions, 'upstreams'>, upstream?: UpstreamScript) =>
      begin(rig, t, options, upstream)
    bodiesOfResponses(start, rig)
    bodiesOfRequests(start)
    servicesOfFilters(rig)
    livesOfExchanges(start)
    livesOfChains(start)
    upgrades(start)
  })
}

type Start = (
  scope: Scope,
  options: Omit<GatewayOptions, 'upstreams'>,
  upstream?: UpstreamScript,
) => Promise<{ gateway: TransportGateway; served: Served[] }>

async function begin(
  rig: TransportRig,
  scope: Scope,
  options: Omit<GatewayOptions, 'upstreams'>,
  upstream: UpstreamScript = (request) => request.respond(200, 'from the upstream'),
): Promise<{ gateway: TransportGateway; served: Served[] }> {
  const served: Served[] = []
  const script = async (request: ServedRequest): Promise<void> => {
    const { method, target, fields } = request
    const body = await request.body().catch(() => '(cut)')
    served.push({ method, target, fields, body })
    if (typeof upstream === 'function') upstream(request)
  }
  const upstreams = [typeof upstream === 'function' ? (request: ServedRequest) => void script(request) : upstream]
  return { gateway: await rig.gateway(scope, { ...options, upstreams }), served }
}

const one = (phase: Phase, filter: Omit<Filter, 'name'>, name = 'small') => [{ phase, filter: { name, ...filter } }]

// ---- a response whose body is a stream ----

/** Gives its chunks one by one, and never more than one that was not asked for. */
class Chunks implements BodySource, BodyControl {
  readonly length: number | undefined
  readonly #chunks: Buffer[]
  #sink: BodySink | null = null
  /** Bytes handed over. */
  given = 0
  aborted = 0
  /** Chunks that were given although the sink had asked to wait. */
  pushed = 0
  #open = true

  constructor(chunks: Buffer[], length?: number) {
    this.#chunks = chunks
    this.length = length
  }

  start(sink: BodySink): BodyControl {
    this.#sink = sink
    queueMicrotask(() => this.#give())
    return this
  }

  resume(): void {
    this.#open = true
    queueMicrotask(() => this.#give())
  }

  abort(): void {
    this.aborted++
    this.#chunks.length = 0
  }

  #give(): void {
    while (this.#open && this.aborted === 0) {
      const chunk = this.#chunks.shift()
      if (chunk === undefined) {
        this.#open = false
        return this.#sink!.end(null)
      }
      this.given += chunk.length
      this.#open = this.#sink!.write(chunk)
    }
  }
}

const streaming = (source: BodySource, status = 200): Filter => ({
  name: 'small',
  onRequest: () => ({ type: 'respond', response: { status, fields: new Fields(), body: source } }),
})

function bodiesOfResponses(start: Start, rig: TransportRig): void {
  describe('a response of a filter', () => {
    for (const length of [11, undefined])
      it(`is a stream ${length === undefined ? 'of unknown length' : 'that says its length'}`, async (t) => {
        const source = new Chunks([Buffer.from('hello '), Buffer.from('world')], length)
        const { gateway, served } = await start(t, { filters: [{ phase: 'plugin', filter: streaming(source) }] })
        const response = await gateway.ask().response()
        assert.deepEqual([response.status, response.body, response.complete], [200, 'hello world', true])
        assert.equal(response.fields['content-length'], length === undefined ? undefined : '11')
        assert.equal(served.length, 0)
        await gateway.nothingLeft()
      })

    it('is a stream that waits for a slow client', async (t) => {
      const chunks = Array.from({ length: 400 }, () => Buffer.alloc(64 * 1024, 'x'))
      const total = 400 * 64 * 1024
      const source = new Chunks(chunks, total)
      const { gateway } = await start(t, { filters: [{ phase: 'plugin', filter: streaming(source) }] })
      const request = gateway.ask()
      request.pause()
      await request.head()
      let before = -1
      // Until it stands still: what buffers hold is full.
      while (before !== source.given) {
        before = source.given
        await gateway.pass(100)
      }
      assert.ok(source.given < total, `${source.given} bytes were given to a client that reads none`)
      request.resume()
      const response = await request.response()
      assert.deepEqual([response.body.length, response.complete, source.given], [total, true, total])
      await gateway.nothingLeft()
    })

    it('stops its stream when the client goes, when it is HEAD, and when another response takes its place', async (t) => {
      const vanishing = new Chunks(Array.from({ length: 400 }, () => Buffer.alloc(64 * 1024)))
      const gone = await start(t, { filters: [{ phase: 'plugin', filter: streaming(vanishing) }] })
      const request = gone.gateway.ask()
      request.pause()
      await request.head()
      request.vanish()
      await gone.gateway.until(() => vanishing.aborted === 1)
      await gone.gateway.nothingLeft()

      const unread = new Chunks([Buffer.from('hello')], 5)
      const head = await start(t, { filters: [{ phase: 'plugin', filter: streaming(unread) }] })
      const response = await head.gateway.ask({ method: 'HEAD' }).response()
      assert.deepEqual([response.fields['content-length'], response.body, unread.aborted], ['5', '', 1])

      const dropped = new Chunks([Buffer.from('hello')])
      const page: Filter = {
        name: 'page',
        onResponse: () => ({
          type: 'replace',
          response: { status: 418, fields: new Fields(), body: Buffer.from('tea') },
        }),
      }
      const filters = [
        { phase: 'error-pages' as const, filter: page },
        { phase: 'plugin' as const, filter: streaming(dropped) },
      ]
      const replaced = await (await start(t, { filters })).gateway.ask().response()
      assert.deepEqual([replaced.status, replaced.body, dropped.aborted], [418, 'tea', 1])
    })

    it('of the upstream is seen once it is known that it is not tried again', async (t) => {
      const seen: number[] = []
      const summaries: ExchangeSummary[] = []
      const filters = one('plugin', {
        onRequest: () => undefined,
        onResponse: (_x, head) => void seen.push(head.status) as undefined,
        onEnd: (_x, summary) => void summaries.push(summary),
      })
      let asked = 0
      const upstream = (request: ServedRequest): void => request.respond(++asked === 1 ? 503 : 200)
      const retry = { attempts: 1, codes: [503], backoff: '1ms', budgetPercent: 100 }
      const rules = { all: { backendRefs: [{ name: 'up', weight: 1, priority: 0 }], policies: { retry } } }
      const gateway = await rig.gateway(t, { upstreams: [upstream, upstream], filters, rules })
      assert.equal((await gateway.ask().response()).status, 200)
      await gateway.nothingLeft()
      assert.deepEqual([seen, summaries[0]?.attempts], [[200], 2])
    })

    describe('in place of one of the upstream', () => {
      const page = (status: number): Omit<Filter, 'name'> => ({
        onResponse(_x, head, local) {
          if (head.status !== 503 || local !== null) return undefined
          return { type: 'replace', response: { status, fields: new Fields(), body: Buffer.from('page') } }
        },
      })
      const late = ({ onResponse }: Omit<Filter, 'name'>): Omit<Filter, 'name'> => ({
        async onResponse(...args) {
          await new Promise((resolve) => setImmediate(resolve))
          return onResponse!(...args)
        },
      })
      const throwing: Omit<Filter, 'name'> = {
        onResponse(_x, head) {
          if (head.status === 503) throw new GatewayError('Overloaded')
          return undefined
        },
      }
      const error = (request: ServedRequest): void => {
        if (request.target === '/') request.respond(503, 'the own page of the upstream'.repeat(1_000))
        else request.respond(200, 'fine')
      }
      for (const [what, filter] of [
        ['at once', page(503)],
        ['after a while', late(page(502))],
        ['because it fails', throwing],
      ] as const)
        it(`${what} keeps the connection: what nobody wants is read and dropped`, async (t) => {
          const { gateway } = await start(t, { filters: one('error-pages', filter) }, error)
          for (let i = 0; i < 5; i++) {
            assert.ok((await gateway.ask().response()).status > 500)
            await gateway.nothingLeft()
            assert.equal((await gateway.ask({ method: 'POST', path: '/fine', body: 'x' }).response()).body, 'fine')
            await gateway.nothingLeft()
          }
          assert.equal(gateway.connections, 1)
        })

      it('does not wait for the end of what nobody wants', async (t) => {
        let asked: ServedRequest | undefined
        const { gateway } = await start(t, { filters: one('error-pages', page(503)) }, (request) => {
          if (request.target !== '/') return request.respond(200, 'fine')
          asked = request
          request.head(503, { 'content-length': '10' })
          request.write('12345')
        })
        assert.equal((await gateway.ask().response()).body, 'page')
        asked!.write('67890')
        asked!.end()
        await gateway.nothingLeft()
        assert.equal((await gateway.ask({ path: '/fine' }).response()).body, 'fine')
        assert.deepEqual([gateway.connections, asked!.gone], [1, false])
      })

      for (const [what, length] of [
        ['does not come to an end', undefined],
        ['is announced to be long', 1_000_000],
      ] as const)
        it(`gives up the request whose response ${what}`, async (t) => {
          let asked: ServedRequest | undefined
          const { gateway } = await start(t, { filters: one('error-pages', page(503)) }, (request) => {
            asked = request
            request.head(503, length === undefined ? {} : { 'content-length': String(length) })
            request.write('12345')
          })
          assert.equal((await gateway.ask().response()).body, 'page')
          await gateway.until(() => asked!.gone)
          await gateway.nothingLeft()
        })

      it('gives up the request of which not all has come', async (t) => {
        let asked: ServedRequest | undefined
        const early = (request: ServedRequest): void => {
          asked = request
          request.respond(503, 'too early')
        }
        const gateway = await rig.gateway(t, { upstreams: [early], filters: one('error-pages', page(503)) })
        const request = gateway.ask({ method: 'POST', length: 10 })
        request.write('12345')
        assert.equal((await request.response()).body, 'page')
        await gateway.until(() => asked!.gone)
        await gateway.nothingLeft()
      })
    })

    it('is told from one of the upstream', async (t) => {
      const seen: unknown[] = []
      const watch: Filter = {
        name: 'watch',
        onResponse(_x, head, local) {
          seen.push([head.status, local?.reason ?? local])
          return undefined
        },
      }
      const refuse: Filter = {
        name: 'refuse',
        onRequest(x) {
          if (x.path === '/refused') throw new GatewayError('Overloaded')
          return undefined
        },
      }
      const filters = [
        { phase: 'error-pages' as const, filter: watch },
        { phase: 'plugin' as const, filter: refuse },
      ]
      const { gateway } = await start(t, { filters })
      await gateway.ask().response()
      assert.equal((await gateway.ask({ path: '/refused' }).response()).status, 503)
      assert.deepEqual(seen, [
        [200, null],
        [503, 'Overloaded'],
      ])
    })
  })
}

// ---- the body of the request ----

/** Lets every byte through `times` times. */
const repeating =
  (times: number): BodyStepFactory =>
  (sink, resume) => ({
    data(chunk) {
      let room = true
      for (let i = 0; i < times; i++) room = sink.write(chunk)
      return room
    },
    end: (trailers) => sink.end(trailers),
    drained: resume,
    abort() {},
  })

function bodiesOfRequests(start: Start): void {
  describe('a step of the request body', () => {
    for (const [what, times, length, announced] of [
      ['keeps the length', 1, 'kept', '5'],
      ['makes one that is not known in advance', 2, 'unknown', undefined],
      ['makes another one', 2, 10, '10'],
    ] as const)
      it(`${what}: the request is framed anew`, async (t) => {
        const filters = one('plugin', { requestBody: () => ({ step: repeating(times), length }) })
        const { gateway, served } = await start(t, { filters })
        const response = await gateway.ask({ method: 'POST', body: 'hello' }).response()
        assert.equal(response.status, 200)
        assert.equal(served[0]!.body, 'hello'.repeat(times))
        assert.equal(served[0]!.fields['content-length'], announced)
        await gateway.nothingLeft()
      })

    for (const [what, times, length] of [
      ['a byte more', 2, 9],
      ['a byte less', 1, 6],
      ['more though it keeps the length', 2, 'kept'],
    ] as const)
      it(`that gives ${what} than it announces ends the request as failed, and is never read as another`, async (t) => {
        const filters = one('plugin', { requestBody: () => ({ step: repeating(times), length }) })
        const { gateway, served } = await start(t, { filters })
        const response = await gateway.ask({ method: 'POST', body: 'hello' }).response()
        assert.equal(response.status, 500)
        await gateway.nothingLeft()
        assert.ok(served.every(({ body }) => body === '(cut)'))
        assert.equal((await gateway.ask({ method: 'GET', path: '/next' }).response()).status, 200)
        assert.deepEqual(
          served.filter(({ body }) => body !== '(cut)').map(({ target }) => target),
          ['/next'],
        )
      })
  })

  describe('a filter that decides by the body', () => {
    const filters = one('plugin', {
      async onRequest(x) {
        const body = Buffer.from(await x.readBody(10)).toString()
        if (body !== 'bad') return undefined
        return { type: 'respond', response: { status: 403, fields: new Fields(), body: null } }
      },
    })
    for (const length of ['known', 'unknown'] as const) {
      const ask = (gateway: TransportGateway, body: string) => {
        if (length === 'known') return gateway.ask({ method: 'POST', body }).response()
        const request = gateway.ask({ method: 'POST', length: 'unknown' })
        for (const part of body.match(/.{1,3}/g) ?? []) request.write(part)
        request.end()
        return request.response()
      }
      it(`reads it before its decision, and the upstream gets it all the same: length ${length}`, async (t) => {
        const { gateway, served } = await start(t, { filters })
        assert.equal((await ask(gateway, 'good body')).status, 200)
        assert.equal((await ask(gateway, 'bad')).status, 403)
        assert.deepEqual(
          served.map(({ body }) => body),
          ['good body'],
        )
        await gateway.nothingLeft()
      })

      it(`reads no more than its bound: length ${length}`, async (t) => {
        const { gateway, served } = await start(t, { filters })
        const response = await ask(gateway, 'far too long a body')
        assert.deepEqual([response.status, JSON.parse(response.body).reason], [413, 'BodyTooLarge'])
        assert.equal(served.length, 0)
        await gateway.nothingLeft()
      })
    }

    it('finds no body where there is none', async (t) => {
      const { gateway } = await start(t, { filters })
      assert.equal((await gateway.ask().response()).status, 200)
    })
  })
}

// ---- services ----

const CACHE_KEY = attribute<string>('cache key')

/** Answers from a store, and keeps there what the upstream answers. */
function caching({ stores }: FilterServices): Omit<Filter, 'name'> {
  const store = stores.open({ owner: 'default', name: 'small' })
  return {
    async onRequest(x) {
      const body = await store.get(x.path, x.signal)
      if (body === undefined) return void x.set(CACHE_KEY, x.path) as undefined
      return { type: 'respond', response: { status: 200, fields: Fields.from({ 'x-cache': 'hit' }), body } }
    },
    onResponse: (_x, head) => void head.fields.set('x-cache', 'miss') as undefined,
    responseBody(x, head) {
      const key = x.get(CACHE_KEY)
      if (key === undefined || head.status !== 200 || (head.bodyLength ?? 0) > store.maxValueBytes) return undefined
      return keeping(store.maxValueBytes, (body) => void store.set(key, body, key === '/short' ? 10 : 60_000))
    },
  }
}

/** Lets everything through, and gives all of it away at its end where it is not too long. */
const keeping =
  (most: number, keep: (body: Uint8Array) => void): BodyStepFactory =>
  (sink, resume) => {
    let chunks: Uint8Array[] | null = []
    let length = 0
    return {
      data(chunk) {
        length += chunk.length
        if (length > most) chunks = null
        chunks?.push(chunk)
        return sink.write(chunk)
      },
      end(trailers) {
        if (chunks !== null) keep(Buffer.concat(chunks))
        sink.end(trailers)
      },
      drained: resume,
      abort() {
        chunks = null
      },
    }
  }

/** Two requests of a client, and then one in two minutes. */
function limiting({ limiters }: FilterServices): Omit<Filter, 'name'> {
  const limiter = limiters.open({ owner: 'default', name: 'small' }, { requests: 1, per: 120_000, burst: 2 })
  return {
    onRequest(x) {
      const { allowed, retryAfter } = limiter.take(x.request.get('x-client') ?? x.clientAddress)
      if (allowed) return undefined
      const fields = Fields.from({ 'retry-after': String(Math.ceil(retryAfter / 1_000)) })
      return { type: 'respond', response: { status: 429, fields, body: null } }
    },
  }
}

function servicesOfFilters(rig: TransportRig): void {
  describe('the services of a filter', () => {
    const withServices = async (t: Scope, create: (services: FilterServices) => Omit<Filter, 'name'>) => {
      const definition = {
        name: 'small',
        phase: 'plugin' as const,
        create: (_policy: unknown, services: FilterServices) => ({ name: 'small', ...create(services) }),
      }
      return begin(rig, t, { definitions: [definition] }, (request) =>
        request.respond(request.target === '/missing' ? 404 : 200, `answer to ${request.target}`, { 'x-up': '1' }),
      )
    }

    it('ask another question before the decision', async (t) => {
      const { gateway, served } = await withServices(t, ({ client }) => ({
        async onRequest(x) {
          const fields = Fields.from({ 'x-asked': x.path })
          const { status, body } = await client.request({
            backend: 'default/up',
            method: 'GET',
            path: x.path === '/bad' ? '/missing' : '/check',
            fields,
            timeout: 1_000,
            signal: x.signal,
          })
          body.start({ write: () => true, end() {}, fail() {} })
          return status === 200
            ? undefined
            : { type: 'respond', response: { status: 401, fields: new Fields(), body: null } }
        },
      }))
      const response = await gateway.ask({ path: '/good' }).response()
      assert.deepEqual([response.status, response.body], [200, 'answer to /good'])
      assert.equal((await gateway.ask({ path: '/bad' }).response()).status, 401)
      assert.deepEqual(
        served.map(({ target, fields }) => [target, fields['x-asked']]),
        [
          ['/check', '/good'],
          ['/good', undefined],
          ['/missing', '/bad'],
        ],
      )
      await gateway.nothingLeft()
    })

    it('stream a response that is still being fetched', async (t) => {
      const { gateway } = await withServices(t, ({ client }) => ({
        async onRequest() {
          const { status, fields, body } = await client.request({
            backend: 'default/up',
            method: 'GET',
            path: '/other',
            fields: new Fields(),
            timeout: 1_000,
          })
          const own = Fields.from({ 'x-from': fields.get('x-up') ?? 'nobody' })
          return { type: 'respond', response: { status, fields: own, body } }
        },
      }))
      const response = await gateway.ask({ path: '/own' }).response()
      assert.deepEqual([response.status, response.body, response.fields['x-from']], [200, 'answer to /other', '1'])
      await gateway.nothingLeft()
    })

    it('send a copy besides the request of the client', async (t) => {
      const copies: number[] = []
      const { gateway, served } = await withServices(t, ({ client }) => ({
        onRequest(x) {
          const call = { backend: 'default/up', method: 'POST', path: `/copy${x.path}`, timeout: 1_000 }
          void client
            .request({ ...call, fields: new Fields(), body: Buffer.from('copied') })
            .then(({ status, body }) => {
              copies.push(status)
              body.start({ write: () => true, end() {}, fail() {} }).abort()
            })
          return undefined
        },
      }))
      assert.equal((await gateway.ask({ path: '/a' }).response()).body, 'answer to /a')
      await gateway.until(() => copies.length === 1)
      assert.deepEqual(served.map(({ target, body }) => `${target} ${body}`.trim()).sort(), ['/a', '/copy/a copied'])
      await gateway.nothingLeft()
    })

    it('answer from a store what a step of the body has put there', async (t) => {
      const { gateway, served } = await withServices(t, caching)
      const ask = async (path: string) => {
        const { status, body, fields } = await gateway.ask({ path }).response()
        await gateway.nothingLeft()
        return [status, body, fields['x-cache']]
      }
      assert.deepEqual(await ask('/long'), [200, 'answer to /long', 'miss'])
      assert.deepEqual(await ask('/long'), [200, 'answer to /long', 'hit'])
      assert.deepEqual(await ask('/other'), [200, 'answer to /other', 'miss'])
      assert.deepEqual(await ask('/missing'), [404, 'answer to /missing', 'miss'])
      assert.deepEqual(await ask('/missing'), [404, 'answer to /missing', 'miss'])
      assert.deepEqual(await ask('/short'), [200, 'answer to /short', 'miss'])
      await gateway.pass(20)
      assert.deepEqual(await ask('/short'), [200, 'answer to /short', 'miss'])
      assert.deepEqual(
        served.map(({ target }) => target),
        ['/long', '/other', '/missing', '/missing', '/short', '/short'],
      )
    })

    it('refuse by a limiter what comes too often, and say when to come again', async (t) => {
      const { gateway, served } = await withServices(t, limiting)
      const ask = async (client: string) => gateway.ask({ fields: { 'x-client': client } }).response()
      assert.deepEqual([(await ask('a')).status, (await ask('a')).status], [200, 200])
      const refused = await ask('a')
      assert.deepEqual([refused.status, served.length], [429, 2])
      const seconds = Number(refused.fields['retry-after'])
      assert.ok(seconds > 60 && seconds <= 120, `${seconds}`)
      assert.equal((await ask('b')).status, 200)
      await gateway.nothingLeft()
    })

    it('give up a call when the exchange ends', async (t) => {
      const ends: unknown[] = []
      const definition = {
        name: 'small',
        phase: 'plugin' as const,
        create: (_policy: unknown, { client }: FilterServices): Filter => ({
          name: 'small',
          async onRequest(x) {
            const call = { backend: 'default/up', method: 'GET', path: '/slow', fields: new Fields(), timeout: 60_000 }
            await client.request({ ...call, signal: x.signal }).catch((error: unknown) => {
              ends.push(error instanceof GatewayError)
              throw error
            })
            return undefined
          },
        }),
      }
      let asked = 0
      const silent = { upstreams: [() => void asked++], definitions: [definition] }
      const gateway = await rig.gateway(t, silent)
      const request = gateway.ask()
      await gateway.until(() => asked === 1)
      request.vanish()
      await gateway.until(() => ends.length === 1)
      assert.deepEqual(ends, [true])
      await gateway.nothingLeft()
    })
  })
}

// ---- the life of an exchange ----

function livesOfExchanges(start: Start): void {
  describe('an exchange', () => {
    it('carries what one filter leaves for the next, by keys that know their types', async (t) => {
      const USER = attribute<{ readonly name: string }>('user')
      const OTHER = attribute<{ readonly name: string }>('user')
      const filters = [
        ...one('auth', { onRequest: (x) => void x.set(USER, { name: x.path.slice(1) }) as undefined }, 'sets'),
        ...one(
          'request-headers',
          { onRequest: (x) => void x.request.set('x-user', `${x.get(USER)?.name} ${x.get(OTHER)?.name}`) as undefined },
          'gets',
        ),
      ]
      const { gateway, served } = await start(t, { filters })
      await Promise.all([gateway.ask({ path: '/jane' }).response(), gateway.ask({ path: '/joe' }).response()])
      assert.deepEqual(served.map(({ fields }) => fields['x-user']).sort(), ['jane undefined', 'joe undefined'])
    })

    it('says at its end what became of it, once', async (t) => {
      const summaries: ExchangeSummary[] = []
      const filters = one('plugin', {
        onRequest(x) {
          if (x.path === '/refused') throw new GatewayError('Overloaded')
          return undefined
        },
        onEnd: (_x, summary) => void summaries.push(summary),
      })
      const { gateway } = await start(t, { filters })
      await gateway.ask({ method: 'POST', body: 'hello' }).response()
      await gateway.ask({ path: '/refused' }).response()
      await gateway.nothingLeft()
      const [passed, refused] = summaries
      assert.equal(summaries.length, 2)
      assert.deepEqual(
        [passed!.status, passed!.bytesIn, passed!.bytesOut, passed!.attempts, passed!.reason],
        [200, 5, 'from the upstream'.length, 1, null],
      )
      assert.ok(passed!.duration >= 0 && passed!.upstreamDuration >= 0)
      assert.deepEqual(
        [refused!.status, refused!.attempts, refused!.reason, refused!.upstreamDuration],
        [503, 0, 'Overloaded', -1],
      )
    })

    it('fires its signal when it ends, and not before', async (t) => {
      const seen: boolean[] = []
      const signals: AbortSignal[] = []
      const filters = one('plugin', {
        onRequest(x) {
          signals.push(x.signal)
          return undefined
        },
        onResponse(x) {
          seen.push(x.signal.aborted)
          return undefined
        },
      })
      const { gateway } = await start(t, { filters })
      await gateway.ask().response()
      await gateway.until(() => signals[0]!.aborted)
      assert.deepEqual(seen, [false])
    })

    it('fires its signal when the client goes while a filter decides', async (t) => {
      const fired = Promise.withResolvers<void>()
      const entered = Promise.withResolvers<void>()
      const summaries: ExchangeSummary[] = []
      const filters = one('plugin', {
        onRequest(x) {
          entered.resolve()
          return new Promise((_, reject) => {
            x.signal.addEventListener('abort', () => {
              fired.resolve()
              reject(x.signal.reason)
            })
          })
        },
        onEnd: (_x, summary) => void summaries.push(summary),
      })
      const { gateway } = await start(t, { filters })
      const request = gateway.ask()
      await entered.promise
      request.vanish()
      await fired.promise
      await gateway.nothingLeft()
      assert.deepEqual(
        summaries.map(({ reason, status }) => [reason, status]),
        [['ClientGone', 0]],
      )
      assert.deepEqual(gateway.errors, [])
    })
  })
}

// ---- the life of a chain ----

function livesOfChains(start: Start): void {
  describe('a chain', () => {
    it('is warm before a request meets it', async (t) => {
      let warm = false
      const filters = one('plugin', {
        async warmUp() {
          await new Promise((resolve) => setImmediate(resolve))
          warm = true
        },
        onRequest(x) {
          x.request.set('x-warm', String(warm))
          return undefined
        },
      })
      const { gateway, served } = await start(t, { filters })
      await eventuallyServed(gateway)
      assert.ok(served.every(({ fields }) => fields['x-warm'] === 'true'))
    })

    it('that cannot be warmed up answers 500 by itself', async (t) => {
      const filters = one('plugin', {
        warmUp: () => Promise.reject(new Error('no key set')),
        onRequest: () => undefined,
      })
      const { gateway, served } = await start(t, { filters })
      const statuses = await eventuallyServed(gateway)
      assert.equal(statuses.at(-1), 500)
      assert.deepEqual(served, [])
      assert.match(String(gateway.errors[0]), /small: no key set/)
    })
  })
}

/** Asks until tables are in force. */
async function eventuallyServed(gateway: TransportGateway): Promise<number[]> {
  const statuses: number[] = []
  for (let i = 0; i < 200; i++) {
    const { status, body } = await gateway.ask().response()
    statuses.push(status)
    if (!body.includes('NotReady')) return statuses
    await gateway.pass(5)
  }
  throw new Error('no tables came into force')
}

// ---- upgrades ----

function upgrades(start: Start): void {
  describe('an upgrade', () => {
    const agreeing: UpstreamScript = (request) => {
      const tunnel = request.upgrade('websocket')
      tunnel.write('from the upstream')
    }
    it('is seen by onResponse, which may change the fields', async (t) => {
      const seen: number[] = []
      const filters = one('plugin', {
        onResponse(_x, head) {
          seen.push(head.status)
          head.fields.set('x-seen', 'yes')
          return undefined
        },
      })
      const { gateway } = await start(t, { filters }, agreeing)
      const request = gateway.ask({ upgrade: 'websocket' })
      const tunnel = await request.upgraded()
      const { status, fields } = await request.head()
      assert.deepEqual([status, fields['x-seen'], seen], [101, 'yes', [101]])
      await gateway.until(() => tunnel.received === 'from the upstream')
      tunnel.destroy()
      await gateway.nothingLeft()
    })

    it('is refused by a replacement, before it happens', async (t) => {
      const filters = one('plugin', {
        onResponse: () => ({
          type: 'replace',
          response: { status: 403, fields: new Fields(), body: Buffer.from('no tunnel') },
        }),
      })
      const { gateway } = await start(t, { filters }, agreeing)
      const response = await gateway.ask({ upgrade: 'websocket' }).response()
      assert.deepEqual([response.status, response.body], [403, 'no tunnel'])
      await gateway.nothingLeft()
    })
  })
}
