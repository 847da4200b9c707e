/**
 * A discrete-event simulation of gateways and servers on a virtual clock. The balancers, the counts in flight and the
 * latency in shared memory are those of the product; only servers, clients and time are made up. The same seed gives
 * the same result.
 */
import type { Balancer } from '../../src/balance/balancer.ts'
import { type Algorithm, createBalancer } from '../../src/balance/create-balancer.ts'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import { ALONE } from '../../src/balance/topology.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { SimulatedEjection } from './simulated-ejection.ts'

export interface ServerModel {
  /** Requests worked on at a time; more wait in the order of their arrival. */
  readonly parallel: number
  /** Milliseconds of work for one request. */
  service(random: () => number): number
  /** Share of requests that fail. */
  readonly failures?: number
  /** Milliseconds after which a request fails, instead of the work. */
  readonly failsAfter?: number
}

export interface Scenario {
  readonly algorithm: Algorithm
  readonly servers: readonly ServerModel[]
  /** Requests a millisecond, over all gateways; they arrive as a Poisson process. */
  readonly rate: number
  /** Gateways that know nothing of each other. */
  readonly replicas?: number
  readonly requests: number
  /** How many servers there are before this share of the requests has come; all of them after. */
  readonly growth?: { readonly from: number; readonly after: number }
  /** With the passive health checks of the defaults. */
  readonly ejection?: boolean
  readonly seed?: number
}

export interface SimulationResult {
  readonly mean: number
  readonly p50: number
  readonly p99: number
  /** Most requests that any server had at a time. */
  readonly most: number
  /** Share of failed requests. */
  readonly failed: number
  /** Share of the requests of each server. */
  readonly shares: readonly number[]
}

interface Job {
  readonly gateway: Gateway
  readonly server: number
  readonly began: number
  readonly fails: boolean
  readonly work: number
}

interface Server {
  readonly model: ServerModel
  busy: number
  readonly waiting: Job[]
  served: number
}

/** Ends of jobs, the next first. */
export class EventHeap<T> {
  readonly #times: number[] = []
  readonly #jobs: T[] = []

  get next(): number {
    return this.#times[0] ?? Number.POSITIVE_INFINITY
  }

  push(time: number, job: T): void {
    let at = this.#times.push(time) - 1
    this.#jobs.push(job)
    while (at > 0 && this.#times[(at - 1) >> 1]! > this.#times[at]!) at = this.#swap(at, (at - 1) >> 1)
  }

  pop(): T {
    this.#swap(0, this.#times.length - 1)
    this.#times.pop()
    const job = this.#jobs.pop()!
    for (let at = 0; ; ) {
      let least = at
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < this.#times.length && this.#times[child]! < this.#times[least]!) least = child
      if (least === at) return job
      at = this.#swap(at, least)
    }
  }

  #swap(a: number, b: number): number {
    ;[this.#times[a], this.#times[b]] = [this.#times[b]!, this.#times[a]!]
    ;[this.#jobs[a], this.#jobs[b]] = [this.#jobs[b]!, this.#jobs[a]!]
    return b
  }
}

/** One replica, with one worker. */
class Gateway {
  readonly table: EndpointTable
  readonly balancer: Balancer
  ejection: SimulatedEjection | null = null
  inFlight = 0

  constructor(algorithm: Algorithm, slots: number, random: () => number, now: () => number) {
    this.table = new EndpointTable(EndpointTable.allocate(1, 2 ** Math.ceil(Math.log2(slots + 1))))
    for (let slot = 0; slot < slots; slot++) this.table.enlist(slot)
    this.balancer = createBalancer(algorithm, {
      gauge: this.table,
      random,
      topology: ALONE,
      now,
      requests: () => this.inFlight,
    })
  }
}

export function simulate(scenario: Scenario): SimulationResult {
  const { algorithm, rate, replicas = 1, requests, growth, seed = 1 } = scenario
  const random = mulberry32(seed)
  const servers: Server[] = scenario.servers.map((model) => ({ model, busy: 0, waiting: [], served: 0 }))
  const endpoints = servers.map((_, slot): Endpoint => {
    const address = `10.0.${slot >> 8}.${slot & 255}`
    return { authority: `${address}:80`, address, port: 80, slot, weight: 1, state: 'ready' }
  })
  // The clock of a gateway does not begin at 0, which means unknown.
  let now = 1_000
  const gateways = Array.from({ length: replicas }, () => new Gateway(algorithm, servers.length, random, () => now))
  for (const { balancer } of gateways)
    balancer.update(growth === undefined ? endpoints : endpoints.slice(0, growth.from))
  if (scenario.ejection === true)
    for (const one of gateways) one.ejection = new SimulatedEjection(one.table, one.balancer, endpoints)
  const events = new EventHeap<Job>()
  const latencies: number[] = []
  let failed = 0
  let most = 0

  const begin = (job: Job): void => {
    servers[job.server]!.busy++
    events.push(now + job.work, job)
  }
  const end = ({ gateway, server: index, began, fails }: Job): void => {
    const server = servers[index]!
    server.busy--
    gateway.inFlight--
    gateway.table.release(0, index)
    gateway.table.latency.observe(index, now - began, fails, now)
    gateway.ejection?.ended(endpoints[index]!, began, fails, now)
    if (fails) failed++
    else latencies.push(now - began)
    const next = server.waiting.shift()
    if (next !== undefined) begin(next)
  }
  let arrival = now
  for (let i = 0; i < requests; i++) {
    arrival -= Math.log(1 - random()) / rate
    while (events.next <= arrival) {
      now = events.next
      end(events.pop())
    }
    now = arrival
    if (growth !== undefined && i === Math.floor(growth.after * requests))
      for (const { balancer } of gateways) balancer.update(endpoints)
    const gateway = gateways[Math.floor(random() * replicas)]!
    gateway.inFlight++
    const key = Math.floor(random() * 2 ** 32)
    const { slot } = gateway.ejection?.pick(key, now) ?? gateway.balancer.pick(key, null)!
    gateway.table.acquire(0, slot)
    const server = servers[slot]!
    const { model } = server
    server.served++
    const fails = random() < (model.failures ?? 0)
    const work = fails && model.failsAfter !== undefined ? model.failsAfter : model.service(random)
    const job: Job = { gateway, server: slot, began: now, fails, work }
    if (server.busy < model.parallel) begin(job)
    else server.waiting.push(job)
    most = Math.max(most, server.busy + server.waiting.length)
  }
  latencies.sort((a, b) => a - b)
  return {
    mean: latencies.reduce((sum, latency) => sum + latency, 0) / latencies.length,
    p50: latencies[Math.floor(latencies.length * 0.5)] ?? Number.NaN,
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? Number.NaN,
    most,
    failed: failed / requests,
    shares: servers.map(({ served }) => served / requests),
  }
}

/** Most balls in a bin, when so many are thrown into as many bins and stay there. */
export function ballsInBins(algorithm: Algorithm, bins: number, seed = 1): number {
  const forever: ServerModel = { parallel: Number.POSITIVE_INFINITY, service: () => 1e9 }
  const servers = Array.from({ length: bins }, () => forever)
  return simulate({ algorithm, servers, rate: 1, requests: bins, seed }).most
}

/** Milliseconds, distributed exponentially. */
export function exponential(mean: number): (random: () => number) => number {
  return (random) => -Math.log(1 - random()) * mean
}

export function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}
