/**
 * A gateway before servers that get more than they can work off, on a virtual clock. Balancer, shared memory and
 * adaptive limit are those of the product; servers, clients and time are made up. The same seed gives the same result.
 */
import { createBalancer } from '../../src/balance/create-balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { type AdaptiveLimitConfig, AdaptiveLimits } from '../../src/limit/adaptive-limit.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { EventHeap, mulberry32 } from './simulation.ts'

/** By the seconds that have passed. */
export interface OverloadedServer {
  /** Requests worked on at a time; more wait in the order of their arrival. */
  parallel(time: number): number
  /** Milliseconds of work for one request. */
  service(random: () => number, time: number): number
}

export interface Overload {
  readonly servers: readonly OverloadedServer[]
  /** Requests a second, over all; they arrive as a Poisson process. */
  rate(time: number): number
  readonly seconds: number
  /** Undefined: none. */
  readonly limit: AdaptiveLimitConfig | undefined
  /** Milliseconds after which nobody waits for a response any more. */
  readonly deadline: number
  /** Seconds of which one row tells. */
  readonly period: number
}

export interface OverloadRow {
  /** Its end, seconds. */
  readonly time: number
  readonly asked: number
  readonly refused: number
  /** Answered within the deadline. */
  readonly good: number
  readonly p50: number
  readonly p99: number
  /** Limits of all endpoints together; 0: there is none. */
  readonly limits: number
}

interface Job {
  readonly server: number
  readonly began: number
}

export function overload({ servers, rate, seconds, limit, deadline, period }: Overload): OverloadRow[] {
  const random = mulberry32(1)
  const table = new EndpointTable(EndpointTable.allocate(1, 2 ** Math.ceil(Math.log2(servers.length + 8))))
  const limits = new AdaptiveLimits(table)
  // The clock of a gateway does not begin at 0, which means unknown.
  const start = 1_000
  let now = start
  const time = (): number => (now - start) / 1_000
  const balancer = createBalancer('LeastRequest', {
    gauge: table,
    random,
    topology: ALONE,
    now: () => now,
    requests: () => 0,
  })
  const endpoints = servers.map((_, slot): Endpoint => {
    table.enlist(slot)
    return { authority: `10.0.0.${slot}:80`, address: `10.0.0.${slot}`, port: 80, slot, weight: 1, state: 'ready' }
  })
  balancer.update(endpoints)
  const states = servers.map(() => ({ busy: 0, waiting: [] as Job[] }))
  const events = new EventHeap<Job>()
  const rows: OverloadRow[] = []
  let latencies: number[] = []
  let [asked, refused, good] = [0, 0, 0]

  const begin = (job: Job): void => {
    states[job.server]!.busy++
    events.push(now + servers[job.server]!.service(random, time()), job)
  }
  const end = (job: Job): void => {
    const { server, began } = job
    const state = states[server]!
    state.busy--
    table.release(0, server)
    const latency = now - began
    if (limit !== undefined) {
      limits.observe(server, latency, false, limit, now)
      limits.ended(0, server, limit)
    }
    latencies.push(latency)
    if (latency <= deadline) good++
    while (state.busy < servers[server]!.parallel(time()) && state.waiting.length > 0) begin(state.waiting.shift()!)
  }
  const report = (): void => {
    latencies.sort((a, b) => a - b)
    const at = (share: number): number => latencies[Math.floor(latencies.length * share)] ?? Number.NaN
    const sum = endpoints.reduce((total, { slot }) => total + table.concurrency.limit(slot), 0)
    rows.push({ time: Math.round(time()), asked, refused, good, p50: at(0.5), p99: at(0.99), limits: sum })
    latencies = []
    ;[asked, refused, good] = [0, 0, 0]
  }

  let next = start + period * 1_000
  for (let arrival = now; ; ) {
    arrival -= (Math.log(1 - random()) / rate(time())) * 1_000
    while (events.next <= arrival) {
      now = events.next
      end(events.pop())
    }
    now = arrival
    if (now >= next) {
      report()
      next += period * 1_000
      if (rows.length * period >= seconds) return rows
    }
    asked++
    const endpoint = balancer.pick(0, null)
    if (endpoint === undefined) {
      refused++
      continue
    }
    const { slot } = endpoint
    table.acquire(0, slot)
    if (limit !== undefined) limits.started(0, slot, limit)
    const job = { server: slot, began: now }
    if (states[slot]!.busy < servers[slot]!.parallel(time())) begin(job)
    else states[slot]!.waiting.push(job)
  }
}
