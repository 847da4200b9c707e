/**
 * Two gateways of which one alone gives hits again without reading the request, and any one course of requests, time,
 * purges, evictions, reloads and settings: clients get the same bytes from both, and log and metrics say the same.
 * Other courses: `REPEAT_SEED=1 REPEAT_RUNS=100 node --test test/worker/repeated-hits-course.test.ts`.
 */
import assert from 'node:assert/strict'
import { env } from 'node:process'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { allocateCache } from '../../src/cache/memory/buffers.ts'
import { WorkerResponseMemory } from '../../src/cache/memory/worker-response-memory.ts'
import { namespaceLabel } from '../../src/cache/purge-labels.ts'
import { PLAIN } from '../../src/cache/purge-record.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import type { Rules } from '../compile/world.ts'
import { httpBackend } from '../feature/backends.ts'
import { RawClient } from '../feature/raw-client.ts'
import { type InProcess, inProcess } from './in-process.ts'
import { settingsWith, toUp } from './test-plane.ts'

const SEED = Number(env.REPEAT_SEED ?? 20_261_129)
const RUNS = Number(env.REPEAT_RUNS ?? 3)
const STEPS = 40
/** Of the memory: some twenty of the bodies that push others out. */
const MEMORY = 2 * 1024 * 1024
const FILLER = 90_000

/** Mulberry32 (public domain). */
function chance(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

const get = (path: string, fields = '', version = '1.1', host = 'page.test') =>
  `GET ${path} HTTP/${version}\r\nHost: ${host}\r\n${fields}\r\n`

/** A value that is another one each time, of few. */
const ANY = '{n}'
/**
 * Bytes of a client, and the methods of the responses to them; the first ones are asked for most. Those with
 * {@link ANY} are asked with other values each time.
 */
const ASKED: readonly (readonly [bytes: string, ...methods: string[]])[] = [
  [get('/a'), 'GET'],
  [get('/b', `X-Number: ${ANY}\r\nCookie: b=${ANY}\r\n`), 'GET'],
  [get('/a', `User-Agent: ${ANY}\r\nAccept: */*\r\nAccept-Language: ${ANY}\r\n`), 'GET'],
  [get('/a', `X-One: ${ANY}\r\nX-Forwarded-For: 9.9.9.${ANY}\r\n`), 'GET'],
  [get('/b'), 'GET'],
  [get('/a', `Cookie: a=${ANY}; preview${ANY}=1\r\n`), 'GET'],
  [get('/a', `Cache-Control: max-age=${ANY}\r\n`), 'GET'],
  [get('/a', `X-One: ${ANY}\r\nRange: bytes=0-${ANY}\r\n`), 'GET'],
  [get('/a', `If-None-Match: "${ANY}"\r\n`), 'GET'],
  [get('/a', `TE: trailers, a${ANY}\r\nUpgrade: ${ANY}\r\n`), 'GET'],
  [get('/a', `Connection: x-${ANY}\r\nX-1: 1\r\nX-One: 1\r\n`), 'GET'],
  [get('/a', `Content-Length: 0\r\nX-Request-Id: ${ANY}\r\n`), 'GET'],
  [get('/a', `Authorization: Basic ${ANY}\r\n`), 'GET'],
  [get('/a', 'User-Agent: one\r\nAccept: */*\r\n'), 'GET'],
  [get('/a', 'X-Forwarded-For: 9.9.9.9\r\n'), 'GET'],
  [get('/a', '', '1.1', 'PAGE.test:80'), 'GET'],
  [get('/a?q=1'), 'GET'],
  [get('//a/../a'), 'GET'],
  [get('/a', '', '1.0'), 'GET'],
  [get('/a', 'Connection: keep-alive\r\n', '1.0'), 'GET'],
  [get('/a', 'Connection: close\r\n'), 'GET'],
  [get('/a', 'Connection: x-one\r\nX-One: 1\r\n'), 'GET'],
  [get('/a').replace('GET', 'HEAD'), 'HEAD'],
  [get('/a', 'Range: bytes=0-4\r\n'), 'GET'],
  [get('/a', 'If-None-Match: "0"\r\n'), 'GET'],
  [get('/a', 'Cache-Control: no-cache\r\n'), 'GET'],
  [get('/a', 'Cache-Control: max-age=1\r\n'), 'GET'],
  [get('/a', 'Cookie: preview=1\r\n'), 'GET'],
  [get('/a', 'Accept-Language: de\r\n'), 'GET'],
  [`${get('/a', 'Content-Length: 1\r\n')}x`, 'GET'],
  [get('/a') + get('/b') + get('/a'), 'GET', 'GET', 'GET'],
  [`\r\n${get('/a')}`, 'GET'],
  [`POST /a HTTP/1.1\r\nHost: page.test\r\nContent-Length: 0\r\n\r\n`, 'POST'],
  [get('http://page.test/a'), 'GET'],
  [get('/gone'), 'GET'],
  [get('/c'), 'GET'],
  [get('/c', `If-None-Match: W/"${ANY}", "9"\r\nUser-Agent: ${ANY}\r\n`), 'GET'],
  [get('/d', `If-None-Match: "${ANY}"\r\nIf-Modified-Since: ${ANY}\r\n`), 'GET'],
  [get('/a', `If-Modified-Since: Fri, 15 Jan 2027 08:0${ANY}:00 GMT\r\n`), 'GET'],
  [get('/a', `If-Modified-Since: Friday, 15-Jan-27 08:0${ANY}:00 GMT\r\n`), 'GET'],
  [get('/b', `If-Modified-Since: Fri Jan 15 08:0${ANY}:00 2027\r\n`), 'GET'],
  [get('/a', `If-Modified-Since: Fri, 15 Jan 2027 08:0${ANY}:00 ${ANY}MT\r\n`), 'GET'],
  [get('/a', `If-None-Match: *\r\nX-One: ${ANY}\r\n`), 'GET'],
  [get('/a', `If-None-Match: "0"\r\nIf-None-Match: "${ANY}"\r\n`), 'GET'],
  [get('/a', `If-Match: "${ANY}"\r\n`), 'GET'],
  [get('/a', `X-Forwarded-For: 9.9.9.${ANY}\r\nX-Request-Id: some-id-${ANY}\r\n`), 'GET'],
  [get('/a', `X-Forwarded-For: 8.8.8.8, 9.9.9.${ANY}\r\nX-Forwarded-Proto: http${ANY}, https, http\r\n`), 'GET'],
  [get('/b', `X-Forwarded-For: ${ANY}.9.9.9, 9.9.9.${ANY}\r\nX-Forwarded-Host: h${ANY}.test, page.test\r\n`), 'GET'],
  [get('/a', `X-Forwarded-For: 9.9.9.${ANY}\r\nX-Forwarded-For: 9.9.9.${ANY}\r\n`), 'GET'],
  [get('/a', `Connection: x-forwarded-for, x-${ANY}\r\nX-Forwarded-For: 9.9.9.${ANY}\r\n`), 'GET'],
  [get('/a', `X_Forwarded_For: 9.9.9.${ANY}\r\nX-Request-Id: ${ANY}\r\nX-Request-Id: ${ANY}\r\n`), 'GET'],
  [get('/a', `Forwarded: for=9.9.9.${ANY}\r\nX-Real-Ip: 9.9.9.${ANY}\r\n`), 'GET'],
  [get('/b', `Range: bytes=0-${ANY}\r\nIf-None-Match: "${ANY}"\r\n`), 'GET'],
]

/** Bytes of bodies, some of which are given again as text, some as bytes, and some not at all. */
const LENGTHS: Readonly<Record<string, number>> = { '/b': 9_000, '/c': 60_000, '/d': 70_000 }
/** Most of what is asked again and again is of these. */
const HOT = [0, 1, 2, 3, 8, 35, 36, 37, 38, 45, 46, 47, 48, 51]

const CONTROLS = ['max-age=60', 'max-age=2', 'max-age=2, stale-while-revalidate=30', 'no-store', 's-maxage=5', '']
/** Of the second client alone. */
const BY_NETWORK: Rules = {
  ...toUp({ cache: {} } as never),
  inner: { ...toUp({ cache: {} } as never).all, matches: [{ sourceCIDRs: ['127.0.0.2/32'] }] },
}
/** One field of the client chooses. */
const BY_FIELD: Rules = {
  ...toUp({ cache: {} } as never),
  inner: {
    ...toUp({ cache: { version: 'inner' } } as never).all,
    matches: [{ headers: [{ type: 'Exact', name: 'x-one', value: '1' }] }],
  },
}
const RULES = [
  toUp({ cache: {} } as never),
  toUp({ cache: { bypass: ['cookie:preview'], key: { by: ['header:user-agent'] } } } as never),
  toUp({ cache: { key: { by: ['client.ip'] } } } as never),
  toUp({ cache: { version: '2' }, responseHeaders: { set: [{ name: 'x-page', value: '%{path}' }] } } as never),
  toUp({ cache: {}, access: { deny: ['127.0.0.0/8'] } } as never),
  toUp({ cache: {}, requestHeaders: { set: [{ name: 'x-one', value: '1' }] } } as never),
  BY_NETWORK,
  BY_FIELD,
  toUp({}),
  {},
] as const

const PROXIES = '127.0.0.0/8'

/** What the origin says of a path: both gateways ask one origin. */
interface Origin {
  readonly port: number
  version: number
  control: string
  vary: string
  wall: number
}

async function startOrigin(t: TestContext): Promise<Origin> {
  const { port } = await httpBackend(t, (request, response) => {
    const { control, vary, version, wall } = origin
    const fill = request.url!.startsWith('/fill/')
    response.writeHead(200, {
      date: new Date(wall).toUTCString(),
      etag: `"${version}"`,
      ...(control === '' ? {} : { 'cache-control': fill ? 'max-age=600' : control }),
      ...(vary === '' ? {} : { vary }),
    })
    response.end(
      `${request.method} ${request.url} ${version} ${'U'.repeat(fill ? FILLER : (LENGTHS[request.url!] ?? 900))}`,
    )
  })
  const origin: Origin = { port, version: 0, control: CONTROLS[0]!, vary: '', wall: 1_800_000_000_000 }
  return origin
}

/** One of the two, with its clients. */
class Side {
  readonly gateway: InProcess
  readonly #clients: (RawClient | undefined)[] = []

  constructor(gateway: InProcess) {
    this.gateway = gateway
  }

  async ask(
    client: number,
    listener: string,
    bytes: string,
    methods: readonly string[],
    cut: number,
  ): Promise<unknown> {
    const port = this.gateway.listeners.ports.get(listener)
    if (port === undefined) return 'not open'
    const at = client * 2 + (listener === 'http' ? 0 : 1)
    const own = (this.#clients[at] ??= await RawClient.connect(port, '127.0.0.1', `127.0.0.${client + 1}`))
    if (cut > 0) {
      own.send(bytes.slice(0, cut))
      await delay(5)
    }
    own.send(bytes.slice(cut))
    const got: unknown[] = []
    for (const method of methods) {
      const { status, fields, text, framing, header } = await own.response(method)
      // Ids are of chance.
      got.push({ status, fields, text: text.replaceAll(/[0-9a-hjkmnp-tv-z]{20}/g, 'ID'), framing })
      if (header('connection') === 'close') {
        await own.closed()
        this.#clients[at] = undefined
      }
    }
    await this.settled()
    return got
  }

  /** What is done in the background, too. */
  async settled(): Promise<void> {
    for (let i = 0; this.gateway.plane.context.active > 0; i++) {
      assert.ok(i < 5_000, 'an exchange goes on')
      await delay(1)
    }
  }

  reset(): void {
    for (const client of this.#clients) client?.reset()
    this.#clients.length = 0
  }

  log(): unknown[] {
    return this.gateway.log().map((line) => ({ ...line, time: 0, id: 0, duration: 0, upstreamDuration: 0 }))
  }
}

async function course(t: TestContext, seed: number): Promise<number> {
  const below = chance(seed)
  const origin = await startOrigin(t)
  const side = async (repeats: boolean): Promise<Side> => {
    const buffers = allocateCache(MEMORY, 1, [1, 2])!
    const responses = new WorkerResponseMemory(buffers, 1, 0, (run) => void setImmediate(run))
    const clock = { ...systemTimers, wall: () => origin.wall }
    return new Side(await inProcess(t, { upstreams: [origin.port], rules: RULES[0], clock, responses, repeats }))
  }
  const sides = [await side(true), await side(false)] as const
  t.after(() => sides.forEach((one) => void one.reset()))
  const [trying] = sides
  const listeners = ['http', 'other'].map((name) => ({ name, address: '127.0.0.1', port: 0 }))
  const settings = settingsWith(listeners)
  for (const { gateway } of sides) await gateway.use(settings)
  const both = async (what: string, run: (one: Side) => Promise<unknown>): Promise<void> => {
    const [one, other] = [await run(sides[0]), await run(sides[1])]
    assert.deepEqual(one, other, `seed ${seed}: ${what}`)
  }
  const ask = async (what: string, chosen: number, times: number): Promise<void> => {
    const [asked, ...methods] = ASKED[chosen]!
    const cut = below(12) === 0 ? below(asked.length - ANY.length) : 0
    const [client, listener] = [below(2), below(5) === 0 ? 'other' : 'http']
    for (let i = 0; i < times; i++) {
      const bytes = asked.replaceAll(ANY, () => String(below(3)))
      await both(`${what}: ${JSON.stringify(bytes)}`, (one) =>
        one.ask(client, listener, bytes, methods, i === 1 ? cut : 0),
      )
    }
  }
  const use = async (changed: object): Promise<void> => {
    for (const { gateway } of sides) await gateway.use({ ...settings, ...changed })
  }
  const link = async (rules: (typeof RULES)[number]): Promise<void> => {
    for (const { gateway } of sides) await gateway.link({ upstreams: [origin.port], rules })
  }
  const happen = async (event: number): Promise<void> => {
    switch (event) {
      case 0:
      case 1:
      case 2:
        origin.wall += [-20, 900, 2_500, 2_500, 61_000][below(5)]!
        break
      case 3:
        origin.version++
        break
      case 4:
        origin.control = CONTROLS[below(CONTROLS.length)]!
        break
      case 5:
        origin.vary = ['accept-language', 'x-one'][below(2)]!
        origin.wall += below(2) * 61_000
        break
      case 6: {
        const record = { ...PLAIN, kind: 'all' as const, soft: below(2) === 0 }
        const namespace = namespaceLabel(below(3) === 0 ? 'other' : 'default')
        for (const { gateway } of sides) gateway.purges.append({ ...record, namespace })
        break
      }
      case 7:
        for (let i = below(80); i > 0; i--) {
          const path = `/fill/${below(1_000)}`
          await both(path, (one) => one.ask(0, 'http', get(path), ['GET'], 0))
        }
        break
      case 8:
        await link(RULES[below(RULES.length)]!)
        break
      case 9: {
        const clientAddress = {
          header: ['x-forwarded-for', 'x-forwarded-for', 'forwarded', 'x-real-ip'][below(4)]!,
          trustedCIDRs: [[PROXIES], [PROXIES, '9.9.9.1/32'], ['127.0.0.2/32', '9.9.9.0/24']][below(3)]!,
          trustedHops: [0, 0, 1, 2][below(4)]!,
        }
        const cache = { ...settings.cache, debugCIDRs: ['127.0.0.0/8'] }
        const accessLog = { enabled: below(3) > 0, sample: 100, fields: { site: 'x' } }
        const fewer = { listeners: listeners.slice(0, 1).map((one) => ({ ...settings.listeners[0]!, ...one })) }
        await use([{ clientAddress }, { cache }, { accessLog }, fewer][below(4)]!)
        break
      }
      default:
        for (const one of sides) one.reset()
    }
  }
  for (let step = 0; step < STEPS; step++) {
    const hot = HOT[below(HOT.length)]!
    await ask(`step ${step}, before`, hot, 4)
    const event = below(11)
    await happen(event)
    await ask(`step ${step}, after ${event}`, hot, 2)
    await ask(`step ${step}, behind ${event}`, below(ASKED.length), 2)
    await ask(`step ${step}, again behind ${event}`, hot, 2)
    if (event < 4 || below(4) === 0) continue
    origin.control = CONTROLS[below(3)]!
    origin.vary = ''
    if (event === 8) await link(RULES[0])
    if (event === 9) await use({})
  }
  for (const one of sides) await one.settled()
  const [log, other] = [sides[0].log(), sides[1].log()]
  assert.equal(log.length, other.length, `seed ${seed}`)
  for (const [i, line] of log.entries()) assert.deepEqual(line, other[i], `seed ${seed}`)
  assert.deepEqual(sides[0].gateway.counted, sides[1].gateway.counted, `seed ${seed}`)
  assert.deepEqual(sides[0].gateway.errors, [])
  return trying.gateway.repeats
}

describe('hits that are given again', () => {
  it('make no difference to any course of requests, but that requests are not read', async (t) => {
    let repeats = 0
    for (let run = 0; run < RUNS; run++)
      await t.test(`seed ${SEED + run}`, async (one) => {
        repeats += await course(one, SEED + run)
      })
    assert.ok(repeats > RUNS * 5, `${repeats} hits were given again`)
    t.diagnostic(`${repeats} hits were given again`)
  })
})
