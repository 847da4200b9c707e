/**
 * The room of health. In: the Backends in force, their endpoint sets, and the marks that workers and probes leave in
 * shared memory. Out: marks that end ejections and set panic, and for each endpoint why it is taken or not.
 */
import { countEligible, type EligibleCount, updatePanic } from '../../balance/eligibility.ts'
import type { EndpointHealth } from '../../compile/conditions.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { joinHostPort } from '../../pattern/host.ts'
import { type EndpointTable, isEligible, OUT, SLOT_STATE } from '../../shared-memory/endpoint-table.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import type { HealthConfig } from '../../snapshot/health.ts'
import type { BackendConfig } from '../../snapshot/snapshot.ts'
import type { EndpointRow, ToWorker } from '../../thread/messages.ts'
import { Ejections } from './ejections.ts'
import { Probes } from './probes.ts'

/** What is known of one endpoint. */
export interface EndpointVerdict {
  /** Whether requests may be sent to it. */
  readonly usable: boolean
  readonly state: 'eligible' | 'unhealthy' | 'ejected' | 'draining'
  /** Why it is out, or used although it is; '' where there is nothing to say. */
  readonly reason: string
  /** Since when it is out; wall clock. */
  readonly since?: Milliseconds
}

export interface HealthEvents {
  /** Which endpoints of a Backend may be used has changed, or why. */
  changed(backend: string): void
  /** For the log. */
  tell(backend: string, message: string): void
}

export interface HealthOptions {
  readonly table: EndpointTable
  readonly time: TimerClock
  /** Endpoints of a Backend as the workers have them. */
  readonly rows: (backend: string) => readonly EndpointRow[]
  /** Why an address may not be dialled. */
  readonly refuses: (address: string, port: number) => string | undefined
  readonly random: Random
  /** The most sockets of probes at a time. */
  readonly sockets: number
  readonly events: HealthEvents
}

/** More endpoints that are out are not named in a status; the admin API has them all. */
const MAX_REPORTED = 16

/** How often marks that workers leave are looked for. */
const LOOK_EVERY: Milliseconds = 100

export class Health {
  readonly #options: HealthOptions
  readonly #ejections: Ejections
  readonly #stop: () => void
  #plans = new FrozenMap<BackendConfig>()
  readonly #configs = new Map<string, HealthConfig>()
  /** Slots of each Backend, as last looked at. */
  readonly #slots = new Map<string, ReadonlySet<number>>()
  readonly #panicking = new Set<string>()
  readonly #probes: Probes
  #seen = 0

  constructor(options: HealthOptions) {
    this.#options = options
    const { table, time } = options
    this.#ejections = new Ejections(table, {
      ejected: (backend, slot, reason, period) =>
        this.#tell(backend, slot, `is ejected for ${period / 1000} s: ${reason}`),
      restored: (backend, slot) => this.#tell(backend, slot, 'takes requests again: its trial went well'),
    })
    this.#probes = new Probes({ ...options, turned: (backend, slot, fault) => this.#turned(backend, slot, fault) })
    this.#seen = table.faults.changes
    this.#stop = time.every(LOOK_EVERY, () => this.#look())
  }

  stop(): void {
    this.#stop()
    this.#probes.stop()
  }

  /** What workers are sent, of which probes need the bytes of Secrets. */
  accept(message: ToWorker): void {
    this.#probes.accept(message)
  }

  /** The Backends in force. */
  usePlans(plans: ReadonlyMap<string, BackendConfig>): void {
    const next = plans instanceof FrozenMap ? (plans as FrozenMap<BackendConfig>) : FrozenMap.from(plans)
    const changes = [...this.#plans.changesTo(next)]
    this.#plans = next
    for (const { key, after } of changes) {
      const health = after?.health
      if (health === undefined) this.#forget(key)
      else {
        this.#configs.set(key, health)
        this.endpointsChanged(key)
      }
    }
  }

  /** The endpoint set of a Backend is another one. */
  endpointsChanged(backend: string): void {
    const config = this.#configs.get(backend)
    if (config === undefined) return
    const rows = this.#options.rows(backend)
    const slots = new Set(rows.map(({ slot }) => slot))
    for (const slot of this.#slots.get(backend) ?? []) if (!slots.has(slot)) this.#forgetSlot(slot)
    this.#slots.set(backend, slots)
    this.#clearUnwanted(config, rows)
    const plan = this.#plans.get(backend)
    if (plan !== undefined) this.#probes.set(plan, config.active, rows)
    this.#inspect(backend, config, rows)
  }

  /** How many endpoints of a Backend get requests. */
  count(backend: string): EligibleCount {
    return countEligible(this.#options.table, this.#options.rows(backend))
  }

  /** The same for statuses, with the endpoints that are out, each with the reason. */
  report(backend: string): Pick<EndpointHealth, 'eligible' | 'ready' | 'panic' | 'out'> {
    const { ready, eligible, panic } = this.count(backend)
    const out: string[] = []
    for (const row of this.#options.rows(backend)) {
      const state = this.stateOf(row)
      if (state !== 'unhealthy' && state !== 'ejected') continue
      out.push(`${joinHostPort(row.address, row.port)} (${state}: ${this.verdict(row).reason})`)
      if (out.length > MAX_REPORTED) break
    }
    return { ready, eligible, panic, out }
  }

  /** Cheap, for metrics. */
  stateOf(row: EndpointRow): EndpointVerdict['state'] {
    const state = this.#options.table.state(row.slot)
    if ((state & (SLOT_STATE.ejected | SLOT_STATE.trial)) !== 0) return 'ejected'
    if ((state & SLOT_STATE.unhealthy) !== 0) return 'unhealthy'
    return row.state === 'draining' ? 'draining' : 'eligible'
  }

  /** Why an endpoint is taken or not. */
  verdict(row: EndpointRow): EndpointVerdict {
    const state = this.#options.table.state(row.slot)
    const usable = isEligible(state)
    const panic = (state & SLOT_STATE.panic) !== 0 ? '; used all the same, since too few others can be' : ''
    if ((state & (SLOT_STATE.ejected | SLOT_STATE.trial)) !== 0) {
      const ejection = this.#ejections.of(row.slot)
      const reason = ejection?.reason ?? 'requests failed'
      const trial = (state & SLOT_STATE.trial) !== 0 ? '; the next request is its trial' : panic
      return { usable, state: 'ejected', reason: `${reason}${trial}`, ...(ejection && { since: ejection.since }) }
    }
    if ((state & SLOT_STATE.unhealthy) !== 0) {
      const fault = this.#probes.faultOf(row.slot)
      const since = this.#probes.sinceOf(row.slot)
      const reason = `probes fail${fault === '' ? '' : `: ${fault}`}${panic}`
      return { usable, state: 'unhealthy', reason, ...(since !== undefined && { since }) }
    }
    if (row.state === 'ready') return { usable, state: 'eligible', reason: '' }
    return { usable, state: 'draining', reason: 'its pod is terminating: used while no other endpoint is left' }
  }

  /** Marks of checks that the Backend does not have any more. */
  #clearUnwanted({ active, passive }: HealthConfig, rows: readonly EndpointRow[]): void {
    const { table } = this.#options
    for (const { slot } of rows) {
      const state = table.state(slot)
      if (active === undefined && (state & SLOT_STATE.unhealthy) !== 0) table.mark(slot, SLOT_STATE.unhealthy, false)
      if (passive.consecutiveFailures > 0 || (state & (OUT | SLOT_STATE.trial)) === 0) continue
      table.restore(slot)
      this.#ejections.forget(slot)
    }
  }

  /** Looks at the endpoints of a Backend. @returns whether something changed */
  #inspect(backend: string, config: HealthConfig, rows: readonly EndpointRow[]): boolean {
    const { table, time, events } = this.#options
    const now = time.monotonic()
    const wall = time.wall()
    let changed = false
    for (const { slot } of rows) if (this.#ejections.look(backend, slot, config.passive, now, wall)) changed = true
    const panic = updatePanic(table, rows, config.panicPercent)
    if (panic === this.#panicking.has(backend)) return changed
    if (panic) this.#panicking.add(backend)
    else this.#panicking.delete(backend)
    const text = panic
      ? `fewer than ${config.panicPercent} % of its endpoints can be used: every ready one is (panic)`
      : 'enough of its endpoints can be used again'
    events.tell(backend, `Backend ${backend}: ${text}`)
    return true
  }

  #look(): void {
    const { table, time, rows, events } = this.#options
    const { changes } = table.faults
    const due = this.#ejections.any ? this.#ejections.expire(time.monotonic()) : NONE
    if (changes === this.#seen && due.size === 0) return
    const all = changes !== this.#seen
    this.#seen = changes
    for (const [backend, config] of this.#configs) {
      if (!all && !due.has(backend)) continue
      if (this.#inspect(backend, config, rows(backend)) || due.has(backend)) events.changed(backend)
    }
  }

  #forget(backend: string): void {
    this.#configs.delete(backend)
    this.#panicking.delete(backend)
    this.#probes.remove(backend)
    for (const slot of this.#slots.get(backend) ?? []) this.#forgetSlot(slot)
    this.#slots.delete(backend)
  }

  #forgetSlot(slot: number): void {
    this.#ejections.forget(slot)
    this.#probes.forget(slot)
  }

  #turned(backend: string, slot: number, fault: string): void {
    const config = this.#configs.get(backend)
    if (config === undefined) return
    this.#tell(backend, slot, fault === '' ? 'is healthy again by its probes' : `is unhealthy by its probes: ${fault}`)
    this.#inspect(backend, config, this.#options.rows(backend))
    this.#options.events.changed(backend)
  }

  #tell(backend: string, slot: number, what: string): void {
    const row = this.#options.rows(backend).find((one) => one.slot === slot)
    if (row === undefined) return
    this.#options.events.tell(backend, `Backend ${backend}: endpoint ${joinHostPort(row.address, row.port)} ${what}`)
  }
}

const NONE: ReadonlySet<string> = new Set()
