/**
 * The gateway while the machine's monotonic clock comes to where words of 32 bits go round, and long before and behind:
 * what is counted, waited for and remembered goes on all the while.
 */
import assert from 'node:assert/strict'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { NO_OTHER_UPTIME } from '../lib/time-namespace.ts'
import { httpBackend } from './backends.ts'
import { backend, eventually, type Gateway, route, startGateway } from './harness.ts'

/** Milliseconds of requests that are answered at once; the machine may be busy. */
const SOON = 10_000
const LIMITED = 5
const PERCENT = 10

/** Seconds when the gateway begins, and a border that it comes to while it serves; 0: none. */
const UPTIMES: readonly (readonly [name: string, uptime: number, border: number])[] = [
  ['two seconds', 2, 0],
  ['11.2 hours', 40_325, 0],
  ['24.9 days', 2 ** 31 / 1_000 - 8, 2 ** 31 / 1_000],
  ['49.7 days', 2 ** 32 / 1_000 - 8, 2 ** 32 / 1_000],
]

interface World {
  readonly gateway: Gateway
  /** The second endpoint of the Backends that have two answers with 500, and its probes fail. */
  broken: boolean
  /** What origins were asked for, by host. */
  readonly asked: Map<string, number>
}

async function world(t: TestContext, uptime: number): Promise<World> {
  const asked = new Map<string, number>()
  const state = { broken: false, asked }
  const count = (host: string): number => {
    asked.set(host, (asked.get(host) ?? 0) + 1)
    return asked.get(host)!
  }
  const serve = (broken: () => boolean) =>
    httpBackend(t, async ({ url = '', headers: { host = '' } }, response) => {
      if (broken() && host !== 'hedged.test') return response.writeHead(500).end(`broken ${count(`${host} broken`)}`)
      const number = count(host)
      if (host === 'hedged.test') await delay(100)
      if (host === 'silent.test') return
      if (host === 'cached.test') response.setHeader('cache-control', 'max-age=1, stale-while-revalidate=2')
      response.end(`${number} ${url}`)
    })
  const [first, second, failing] = await Promise.all([serve(() => false), serve(() => state.broken), serve(() => true)])
  const never = { consecutiveFailures: 0, successRate: { belowMeanPercent: 0 } }
  const both = [first.port, second.port]
  const to = (name: string, policies: object = {}, headers: object = {}) =>
    route(name, [`${name}.test`], [{ name: 'all', backendRefs: [{ name }], policies, ...headers }])
  const gateway = await startGateway(
    t,
    {
      'backends.yaml':
        backend('hedged', both) +
        backend('cached', [first.port]) +
        backend('silent', [first.port]) +
        backend('limited', [first.port], { limits: { adaptive: {} } }) +
        backend('failing', [failing.port], { healthCheck: { passive: never } }) +
        backend('probed', both, {
          healthCheck: {
            active: { interval: '100ms', healthyAfter: 1, unhealthyAfter: 1, codes: ['200'] },
            passive: never,
          },
        }) +
        backend('ejected', both, {
          healthCheck: { passive: { ...never, consecutiveFailures: 3, baseEjection: '500ms' } },
        }),
      'routes.yaml':
        to('hedged', { hedge: { after: '10ms', maxPercent: PERCENT } }) +
        to('cached', { cache: {} }) +
        to('silent', { timeouts: { request: '300ms' } }) +
        to('limited', { rateLimits: [{ name: 'own', quota: LIMITED, per: '1s', by: ['header:x-client'] }] }) +
        to('failing', { retry: { attempts: 1, codes: [500], backoff: '1ms', budgetPercent: 20 } }) +
        to('probed', { retry: { attempts: 0 } }) +
        to('ejected', { retry: { attempts: 0 } }),
    },
    { workers: 2, uptime },
  )
  return Object.assign(state, { gateway })
}

async function ask(
  { gateway }: World,
  host: string,
  path = '/',
  client = '',
): Promise<{ status: number; text: string }> {
  const headers = { connection: 'close', ...(client === '' ? {} : { 'x-client': client }) }
  const { status, text } = await gateway.request({ host: `${host}.test`, path, headers })
  return { status, text }
}

async function askAll(w: World, host: string, count: number, client = ''): Promise<number[]> {
  return await Promise.all(Array.from({ length: count }, async () => (await ask(w, host, '/', client)).status))
}

/** Everything that counts or waits, in some two seconds. @param turn another one each time */
async function everything(w: World, turn: number): Promise<void> {
  await Promise.all([cached(w, turn), limited(w, turn), silent(w), retried(w), hedged(w), ejectedAndBack(w)])
}

async function cached(w: World, turn: number): Promise<void> {
  const path = `/${turn}`
  const versions = async (): Promise<number> => Number((await ask(w, 'cached', path)).text.split(' ')[0])
  const first = await versions()
  const began = performance.now()
  const again = await versions()
  if (performance.now() - began < 500) assert.equal(again, first, 'it is fresh')
  await delay(1_200)
  await eventually(async () => assert.ok((await versions()) > first, 'it is fetched anew'))
}

async function limited(w: World, turn: number): Promise<void> {
  const client = `client ${turn}`
  const passed = async (): Promise<number> => {
    const statuses = await askAll(w, 'limited', 2 * LIMITED, client)
    return statuses.filter((status) => status === 200).length
  }
  const began = performance.now()
  const first = await passed()
  if (performance.now() - began < 900) assert.equal(first, LIMITED)
  await delay(1_100)
  assert.ok((await passed()) >= LIMITED, 'a second later there is room again')
}

async function silent(w: World): Promise<void> {
  const began = performance.now()
  const { status } = await ask(w, 'silent')
  const took = performance.now() - began
  assert.equal(status, 504)
  assert.ok(took > 250 && took < SOON, `${took} ms`)
}

/** What is tried again in ten seconds is a fifth of the requests, or 100 of fewer. */
async function retried(w: World): Promise<void> {
  const attempts = (): number => w.asked.get('failing.test broken') ?? 0
  const before = attempts()
  const began = performance.now()
  for (let i = 0; i < 8; i++) await askAll(w, 'failing', 20)
  const retries = attempts() - before - 160
  assert.ok(retries <= 100 || performance.now() - began > 8_000, `${retries} retries of 160 requests`)
}

async function hedged(w: World): Promise<void> {
  for (let i = 0; i < 5; i++) assert.deepEqual(await askAll(w, 'hedged', 8), new Array(8).fill(200))
}

/** An endpoint that fails gets no requests soon, by probes or since it is ejected, and some when it is well again. */
async function ejectedAndBack(w: World): Promise<void> {
  const share = async (host: string): Promise<number> => {
    const before = w.asked.get(`${host}.test broken`) ?? 0
    await askAll(w, host, 6)
    return (w.asked.get(`${host}.test broken`) ?? 0) - before
  }
  w.broken = true
  // A trial may meet it in between.
  for (const host of ['probed', 'ejected'])
    await eventually(async () => assert.ok((await share(host)) + (await share(host)) <= 1, `${host} is left out`))
  w.broken = false
  await eventually(async () => assert.deepEqual(await askAll(w, 'ejected', 6), new Array(6).fill(200)))
}

/** Sum of a counter in the metrics. */
async function counted({ gateway }: World, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${gateway.signalsPort}/metrics`)
  const values = [...(await response.text()).matchAll(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)$`, 'gm'))]
  assert.ok(values.length > 0, name)
  return values.reduce((sum, [, value]) => sum + Number(value), 0)
}

/** Counts are of ten seconds, and one hedge is granted however few requests there were in them. */
async function keptBudgets(w: World, turns: number, began: number): Promise<void> {
  assert.ok((await counted(w, 'headgate_upstream_retries_total')) > 0)
  const windows = Math.ceil((performance.now() - began) / 9_000) + 1
  const hedges = await counted(w, 'headgate_upstream_hedges_total')
  const most = windows + (40 * turns * PERCENT) / 100
  assert.ok(hedges > 0 && hedges <= most, `${hedges} hedges of ${40 * turns} requests`)
}

describe('a machine that has been up for', { skip: NO_OTHER_UPTIME, concurrency: 2 }, () => {
  for (const [name, uptime, border] of UPTIMES)
    it(name, async (t) => {
      const began = performance.now()
      const w = await world(t, uptime)
      const { gateway } = w
      const now = (): number => uptime + (performance.now() - began) / 1_000
      let turn = 0
      do await everything(w, turn++)
      while (turn < 2 || (border > 0 && now() < border + 3))
      // Tables that change serve at once.
      await gateway.write('more.yaml', route('new', ['new.test'], [{ name: 'all', respond: { statusCode: 204 } }]))
      await eventually(async () => assert.equal((await ask(w, 'new')).status, 204))
      await keptBudgets(w, turn, began)
      for (const line of gateway.accessLog)
        assert.ok(Number(line.duration) >= 0 && Number(line.duration) < 60_000, JSON.stringify(line))
      assert.deepEqual(
        gateway.processLog.filter((line) => /"level":"error"|restart/.test(line)),
        [],
      )
      t.diagnostic(`${turn} turns, to ${now().toFixed(0)} s`)
    })
})
