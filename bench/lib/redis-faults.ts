/**
 * Requests on a limit over all replicas while a real Redis is made to fail: how long they wait, what they get, and how
 * long it takes until Redis is asked again. Everything but HTTP is that of a worker: filter, client, script, circuit.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { TableLimiters } from '../../src/limit/table-limiters.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import { rateLimits } from '../../src/policy/rate-limits/policy.ts'
import { LimitTable } from '../../src/shared-memory/limit-table.ts'
import { RedisAccess } from '../../src/store/redis/redis-access.ts'
import { RedisLimiters } from '../../src/store/redis/redis-limiters.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { PLAIN, TestExchange, testDeps } from '../../test/policy/exchange.ts'

/** As in a worker. */
const BOUNDS = { deadline: 50, inFlight: 1_024 }
/** Far above what is sent: a refusal here is one for want of Redis. */
const RATE = { name: 'a', requests: 1_000_000, per: '1m', by: ['header:x-key'], scope: 'Cluster' } as const

export interface Row {
  readonly fault: string
  readonly requests: number
  readonly allowed: number
  readonly unavailable: number
  /** Milliseconds of a decision. */
  readonly median: number
  readonly longest: number
  /** Milliseconds from the end of the fault until Redis is asked again; -1: it was never left. */
  readonly back: number
}

/** A worker's filter of one limit. */
export class FaultedWorker {
  readonly redis: RedisAccess
  readonly #filter
  #key = 0

  constructor(addresses: readonly string[], onStoreError: 'Allow' | 'Deny', mode: 'Single' | 'Cluster' = 'Single') {
    this.redis = new RedisAccess(BOUNDS, {
      contents: new ContentStore(),
      time: systemTimers,
      random: Math.random,
      report: () => {},
    })
    this.redis.use({ mode, addresses, keyPrefix: 'bench' })
    const table = new LimitTable(LimitTable.allocate(65_536, [1, 2], systemTimers.monotonic()))
    const limiters = new TableLimiters(table, systemTimers)
    const services = { ...testDeps(), limiters, remoteLimiters: new RedisLimiters(this.redis) }
    this.#filter = rateLimits.create(rateLimits.plan([{ ...RATE, onStoreError }], 'shop')!, services, PLAIN)!
  }

  async answers(): Promise<void> {
    while (!this.redis.answers) await pause(1)
  }

  /** @returns the status, and how long the decision took */
  async decide(): Promise<{ readonly status: number; readonly took: number }> {
    const x = new TestExchange({}, { 'x-key': String(this.#key++ % 1_000) })
    const began = performance.now()
    const decision = await this.#filter.onRequest!(x)
    return { status: decision?.response.status ?? 200, took: performance.now() - began }
  }

  /** Sends some requests every millisecond, until told to stop. */
  async load(until: () => boolean): Promise<{ readonly status: number; readonly took: number }[]> {
    const decisions: Promise<{ readonly status: number; readonly took: number }>[] = []
    while (!until()) {
      decisions.push(this.decide())
      await pause(1)
    }
    return Promise.all(decisions)
  }
}

/** @param duration of the fault, milliseconds */
export async function measure(
  fault: string,
  worker: FaultedWorker,
  duration: number,
  begin: () => unknown,
  end: () => unknown,
): Promise<Row> {
  await worker.answers()
  await begin()
  const until = performance.now() + duration
  const decisions = await worker.load(() => performance.now() > until)
  const away = !worker.redis.answers
  await end()
  const ended = performance.now()
  if (away) await worker.answers()
  const times = decisions.map(({ took }) => took).sort((a, b) => a - b)
  return {
    fault,
    requests: decisions.length,
    allowed: decisions.filter(({ status }) => status === 200).length,
    unavailable: decisions.filter(({ status }) => status === 503).length,
    median: times[times.length >> 1] ?? 0,
    longest: times.at(-1) ?? 0,
    back: away ? performance.now() - ended : -1,
  }
}

/** Passes bytes on to Redis, late. */
export class SlowWay {
  delay = 0
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server) {
    this.#server = server
  }

  static async open(port: number): Promise<SlowWay> {
    const server = createServer()
    const way = new SlowWay(server)
    server.on('connection', (client) => {
      const up = connect(port, '127.0.0.1')
      for (const [from, to] of [
        [client, up],
        [up, client],
      ] as const) {
        way.#sockets.add(from)
        from.on('error', () => to.destroy())
        from.on('close', () => to.destroy())
      }
      client.on('data', (chunk) => void up.write(chunk))
      up.on('data', (chunk) => void setTimeout(() => client.destroyed || client.write(chunk), way.delay))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return way
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as { port: number }).port}`
  }

  /** A network that loses everything: neither bytes nor the end of a connection arrive. */
  blackHole(hole: boolean): void {
    for (const socket of this.#sockets) {
      if (hole) socket.pause()
      else socket.resume()
    }
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

export const pause = (time: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, time))
