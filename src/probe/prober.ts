/**
 * Probes every endpoint of every Backend that asks for it, from one place of the process. Bounded in all it takes:
 * sockets, kept ones included; probes at a time, of which a namespace takes at most what it leaves to others; and
 * probes in a second, of which one with a TLS handshake counts as many. What is over a bound waits its turn, fairly by
 * namespace, so that probes come later and never more.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { Milliseconds, Random } from '../lib/clock.ts'
import { FairQueue } from '../lib/fair-queue.ts'
import type { HeadLimits } from '../message/head.ts'
import { joinHostPort } from '../pattern/host.ts'
import { namespaceOf } from '../snapshot/backend-id.ts'
import { connectionKey } from '../snapshot/connection-key.ts'
import type { ActiveHealth } from '../snapshot/health.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import { usesContents } from '../snapshot/upstream-tls.ts'
import type { Connector } from '../transport/connector.ts'
import { TimerEntry, type Timers } from '../transport/timers.ts'
import { Probe, type ProbeHost } from './probe.ts'

/** An endpoint as it is known here. */
export interface ProbedEndpoint {
  readonly address: string
  readonly port: number
  readonly slot: number
  readonly hostname?: string
}

export interface ProberOptions {
  readonly timers: Timers
  readonly random: Random
  /** The most sockets at a time, connecting and idle ones included. */
  readonly maxSockets: number
  /** Why an address may not be dialled. */
  readonly refuses: (address: string, port: number) => string | undefined
  readonly connectorOf: (plan: BackendConfig, active: ActiveHealth) => Connector
  /** Whether probes let the endpoint have requests now. */
  readonly isHealthy: (slot: number) => boolean
  /** So many in a row that it changes. @param fault '' = it is well again */
  readonly turned: (backend: string, slot: number, fault: string) => void
}

/** Probes that begin in a second, over all Backends. */
export const MAX_PER_SECOND = 4_000
/** A probe that begins with a TLS handshake, which takes a millisecond, counts as so many: at most 250 in a second. */
const HANDSHAKE = 16
/** Between two looks at what waits. */
const LOOK: Milliseconds = 20
/** While a change is in the air: this part of the interval. */
const QUICK = 1 / 5
const MAX_PER_LOOK = (MAX_PER_SECOND * LOOK) / 1_000
const LIMITS: HeadLimits = { head: 65_536, headers: 100, uri: 16_384 }

export class Prober implements ProbeHost {
  readonly limits = LIMITS
  readonly timers: Timers
  readonly #options: ProberOptions
  readonly #probes = new Map<string, Map<number, Probe>>()
  readonly #bySlot = new Map<number, Probe>()
  readonly #waiting = new FairQueue()
  readonly #pump: Pump
  /** Connections that lie idle, the oldest first. */
  readonly #idle = new Set<Probe>()
  /** Probes under way, by namespace. */
  readonly #running = new Map<string, number>()
  #runningAll = 0
  #sockets = 0
  /** Probes that may begin now, by the rate. */
  #credit = MAX_PER_LOOK
  #creditAt: Milliseconds = 0
  #scheduled = false
  readonly #continue = (): void => {
    this.#scheduled = false
    this.#beginWaiting()
  }

  constructor(options: ProberOptions) {
    this.#options = options
    this.timers = options.timers
    this.#pump = new Pump(() => this.#beginWaiting())
  }

  /** Open and connecting. */
  get sockets(): number {
    return this.#sockets
  }

  /** Endpoints that are probed. */
  get size(): number {
    return this.#bySlot.size
  }

  /** Of an endpoint that is probed. */
  of(slot: number): Probe | undefined {
    return this.#bySlot.get(slot)
  }

  /** The endpoints of a Backend, and how they are probed: what is known of those that stay is kept. */
  set(plan: BackendConfig, active: ActiveHealth | undefined, endpoints: readonly ProbedEndpoint[]): void {
    if (active === undefined || endpoints.length === 0) return this.remove(plan.id)
    const before = this.#probes.get(plan.id) ?? new Map<number, Probe>()
    const now = new Map<number, Probe>()
    this.#probes.set(plan.id, now)
    const [first] = before.values()
    // All of a Backend have the same options.
    const differs = first !== undefined && (first.plan !== plan || first.active !== active)
    const renews = differs && !connectsAlike(first, plan, active)
    for (const endpoint of endpoints) {
      const known = before.get(endpoint.slot)
      before.delete(endpoint.slot)
      if (known !== undefined && differs) this.#revise(known, plan, active, endpoint, renews)
      now.set(endpoint.slot, known ?? this.#add(plan, active, endpoint))
    }
    for (const probe of before.values()) this.#drop(probe)
  }

  /** Some endpoints of a Backend are gone, by slot, and some are new or others. */
  change(
    plan: BackendConfig,
    active: ActiveHealth | undefined,
    gone: readonly number[],
    fresh: readonly ProbedEndpoint[],
  ): void {
    if (active === undefined) return this.remove(plan.id)
    let probes = this.#probes.get(plan.id)
    if (probes === undefined) this.#probes.set(plan.id, (probes = new Map()))
    for (const slot of gone) {
      const probe = probes.get(slot)
      if (probe !== undefined) this.#drop(probe)
      probes.delete(slot)
    }
    for (const endpoint of fresh)
      if (!probes.has(endpoint.slot)) probes.set(endpoint.slot, this.#add(plan, active, endpoint))
    if (probes.size === 0) this.#probes.delete(plan.id)
  }

  remove(backend: string): void {
    for (const probe of this.#probes.get(backend)?.values() ?? []) this.#drop(probe)
    this.#probes.delete(backend)
  }

  /** The bytes of these contents are other ones: connections that were made with the former carry no more probes. */
  renewConnections(contents: readonly string[]): void {
    const changed = new Set(contents)
    for (const probes of this.#probes.values()) {
      const [first] = probes.values()
      if (first === undefined || !usesContents(first.plan.tls, changed)) continue
      for (const probe of probes.values()) probe.renewConnection()
    }
  }

  stop(): void {
    for (const backend of [...this.#probes.keys()]) this.remove(backend)
    this.timers.disarm(this.#pump)
  }

  #add(plan: BackendConfig, active: ActiveHealth, endpoint: ProbedEndpoint): Probe {
    const probe = new Probe(this, plan, active, targetOf(active, endpoint))
    this.#bySlot.set(endpoint.slot, probe)
    // Spread over the interval: the endpoints of a Backend come together.
    this.timers.arm(probe, this.timers.touch() + 1 + this.#options.random() * active.interval)
    return probe
  }

  #revise(probe: Probe, plan: BackendConfig, active: ActiveHealth, endpoint: ProbedEndpoint, renews: boolean): void {
    probe.use(plan, active, targetOf(active, endpoint), renews)
    const now = this.timers.touch()
    // It waits for a time that a longer interval has set.
    if (!probe.running && probe.due > now + active.interval)
      this.timers.arm(probe, now + 1 + this.#options.random() * active.interval)
  }

  #drop(probe: Probe): void {
    this.#bySlot.delete(probe.place)
    this.#waiting.delete(namespaceOf(probe.backend), String(probe.place))
    if (probe.running) this.#ended(namespaceOf(probe.backend))
    probe.end()
  }

  /** Begins what waits, as far as the bounds allow. */
  #beginWaiting(): void {
    const now = this.timers.touch()
    const earned = ((now - this.#creditAt) * MAX_PER_SECOND) / 1_000
    this.#credit = Math.min(MAX_PER_LOOK, this.#credit + earned)
    this.#creditAt = now
    // A namespace takes no more than it leaves to the others.
    const full = (group: string): boolean =>
      (this.#running.get(group) ?? 0) >= this.#options.maxSockets - this.#runningAll
    while (this.#credit >= 1 && this.#runningAll < this.#options.maxSockets) {
      const next = this.#waiting.take(1, full)
      if (next === undefined) break
      this.#credit--
      const probe = this.#bySlot.get(Number(next.key))
      if (probe === undefined) continue
      this.#runningAll++
      this.#running.set(next.group, (this.#running.get(next.group) ?? 0) + 1)
      probe.start()
    }
    // At the next step of the wheel: one that is due a whole step later comes, mostly, after two.
    if (this.#waiting.size > 0 && this.#pump.due === 0) this.timers.arm(this.#pump, now + 1)
  }

  #ended(namespace: string): void {
    this.#runningAll--
    const left = this.#running.get(namespace)! - 1
    if (left === 0) this.#running.delete(namespace)
    else this.#running.set(namespace, left)
  }

  // ---- what probes ask ----

  queue(probe: Probe): void {
    this.#waiting.add(namespaceOf(probe.backend), String(probe.place))
    if (this.#pump.due === 0) this.timers.arm(this.#pump, this.timers.now + 1)
  }

  refuses(address: string, port: number): string | undefined {
    return this.#options.refuses(address, port)
  }

  connectorOf(plan: BackendConfig, active: ActiveHealth): Connector {
    return this.#options.connectorOf(plan, active)
  }

  opening(probe: Probe): boolean {
    if (this.#sockets >= this.#options.maxSockets)
      for (const oldest of this.#idle) {
        oldest.dropIdle()
        break
      }
    if (this.#sockets >= this.#options.maxSockets) return false
    this.#sockets++
    if (isSecure(probe.active)) {
      this.#credit -= HANDSHAKE - 1
      // In turns by namespace, too: servers that close each connection must not make the probes of others late.
      this.#waiting.charge(namespaceOf(probe.backend), HANDSHAKE - 1)
    }
    return true
  }

  closed(): void {
    this.#sockets--
  }

  idle(probe: Probe, idle: boolean): void {
    if (idle) this.#idle.add(probe)
    else this.#idle.delete(probe)
  }

  done(probe: Probe, fault: string): void {
    this.#ended(namespaceOf(probe.backend))
    const { active, place } = probe
    probe.fault = fault
    probe.endedAt = this.timers.touch()
    probe.took = probe.endedAt - probe.startedAt
    if (fault === '') {
      probe.goodInARow++
      probe.badInARow = 0
    } else {
      probe.lastFault = fault
      probe.badInARow++
      probe.goodInARow = 0
    }
    const healthy = this.#options.isHealthy(place)
    const inARow = healthy ? probe.badInARow : probe.goodInARow
    const turns = inARow >= (healthy ? active.unhealthyAfter : active.healthyAfter)
    // A change in the air is looked into sooner; an endpoint that flaps is not probed at that pace for ever.
    const quick = inARow > 0 && !turns ? QUICK : 1
    const jitter = 1 - (active.jitterPercent / 100) * this.#options.random()
    const rest = active.interval * quick * jitter
    const { timers } = this
    timers.arm(probe, Math.max(timers.now + 1, quick === 1 ? probe.startedAt + rest : timers.now + rest))
    if (turns) this.#options.turned(probe.backend, place, fault)
    // Its place is taken at once: with few sockets, waiting for the next look would leave most of them unused.
    if (this.#waiting.size > 0 && !this.#scheduled) {
      this.#scheduled = true
      // Not within the call of a session, which may be closed to make room.
      queueMicrotask(this.#continue)
    }
  }
}

/** Whether connections of a probe can carry those by other options. */
function connectsAlike({ plan: before, active: was }: Probe, plan: BackendConfig, active: ActiveHealth): boolean {
  if (was.type !== active.type || was.protocol !== active.protocol || was.port !== active.port) return false
  return connectionKey(before) === connectionKey(plan)
}

function isSecure({ type, protocol }: ActiveHealth): boolean {
  return type !== 'TCP' && (protocol === 'HTTPS' || protocol === 'H2' || protocol === 'GRPCS')
}

/** Where probes of an endpoint go. */
function targetOf(active: ActiveHealth, { address, port: own, slot, hostname }: ProbedEndpoint): Endpoint {
  const port = active.port ?? own
  const authority = joinHostPort(address, port)
  return { authority, address, port, slot, weight: 1, state: 'ready', ...(hostname !== undefined && { hostname }) }
}

class Pump extends TimerEntry {
  readonly #run: () => void

  constructor(run: () => void) {
    super()
    this.#run = run
  }

  expired(): void {
    this.#run()
  }
}
