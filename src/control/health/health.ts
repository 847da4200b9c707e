/**
 * The room of health. In: the Backends in force, their endpoint sets, and the marks that workers and probes leave in
 * shared memory. Out: marks that end ejections and set panic, and for each endpoint why it is taken or not.
 *
 * A change of one endpoint costs a look at that endpoint, and at how many of its Backend are well. The second is
 * bounded: a Backend whose thousands of endpoints all flap is counted as often as {@link COUNT_PRICE} allows.
 */
import { COUNT_PRICE, countEligible, type EligibleCount, updatePanic } from '../../balance/eligibility.ts'
import type { EndpointHealth } from '../../compile/conditions.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { listDifference } from '../../lib/origins.ts'
import { joinHostPort } from '../../pattern/host.ts'
import { type EndpointTable, OUT, SLOT_STATE } from '../../shared-memory/endpoint-table.ts'
import { FrozenMap } from '../../snapshot/frozen-map.ts'
import { type HealthConfig, isPassive } from '../../snapshot/health.ts'
import type { BackendConfig } from '../../snapshot/snapshot.ts'
import type { EndpointRow, ToWorker } from '../../thread/messages.ts'
import { Ejections } from './ejections.ts'
import { Outliers } from './outliers.ts'
import { Probes } from './probes.ts'
import { type EndpointState, type EndpointVerdict, stateOf, verdictOf } from './verdict.ts'

export interface HealthEvents {
  /** Which endpoints of a Backend may be used has changed, or why. */
  changed(backend: string): void
  /** For the log. */
  tell(backend: string, message: string): void
  /** For the log, and for whoever looks at the Backend: an endpoint is out, or in again. */
  turned(backend: string, turn: EndpointTurn): void
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

export interface EndpointTurn {
  readonly reason: 'EndpointUnhealthy' | 'EndpointEjected' | 'EndpointRecovered'
  readonly message: string
}

interface Watched {
  config: HealthConfig
  /** As last looked at. */
  rows: readonly EndpointRow[]
  /** The same by slot. */
  readonly places: Map<number, EndpointRow>
  panic: boolean
  /** Monotonic: not counted again before. */
  countAt: Milliseconds
}

/** More endpoints that are out are not named in a status; the admin API has them all. */
const MAX_REPORTED = 16

const RESTORED = {
  TrialSucceeded: 'its trial went well',
  Untried: 'its ejection is over, and no request has come that could be its trial',
} as const

/** How often marks that workers leave are looked for. */
const LOOK_EVERY: Milliseconds = 100

export class Health {
  readonly #options: HealthOptions
  readonly #ejections: Ejections
  readonly #probes: Probes
  readonly #outliers: Outliers
  readonly #stop: () => void
  #plans = new FrozenMap<BackendConfig>()
  readonly #watched = new Map<string, Watched>()
  readonly #backendOf = new Map<number, string>()
  /** Backends of which an endpoint is in another state, and that are not counted yet. */
  readonly #due = new Set<string>()

  constructor(options: HealthOptions) {
    this.#options = options
    const { table, time } = options
    this.#ejections = new Ejections(table, {
      ejected: (backend, slot, reason, period) =>
        this.#tell(backend, slot, 'EndpointEjected', `is ejected for ${period / 1000} s: ${reason}`),
      restored: (backend, slot, why) =>
        this.#tell(backend, slot, 'EndpointRecovered', `takes requests again: ${RESTORED[why]}`),
    })
    this.#outliers = new Outliers(table, options.random)
    this.#probes = new Probes({ ...options, turned: (backend, slot, fault) => this.#turned(backend, slot, fault) })
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
      const config = after?.health
      if (config === undefined) {
        this.#forget(key)
        continue
      }
      const watched = this.#watched.get(key)
      if (watched === undefined)
        this.#watched.set(key, { config, rows: [], places: new Map(), panic: false, countAt: 0 })
      else watched.config = config
      this.#planChanged(key)
    }
  }

  /** The endpoint set of a Backend is another one: what stays in it is not looked at. */
  endpointsChanged(backend: string): void {
    const watched = this.#watched.get(backend)
    if (watched === undefined) return
    const { config, places } = watched
    const rows = this.#options.rows(backend)
    const { gone, fresh } = listDifference(watched.rows, rows)
    watched.rows = rows
    for (const { slot } of gone) places.delete(slot)
    for (const row of fresh) {
      places.set(row.slot, row)
      this.#backendOf.set(row.slot, backend)
    }
    const left = gone.flatMap(({ slot }) => (places.has(slot) ? [] : [slot]))
    for (const slot of left) this.#forgetSlot(slot)
    this.#clearUnwanted(config, fresh)
    const plan = this.#plans.get(backend)
    if (plan !== undefined) this.#probes.change(plan, config.active, left, fresh)
    this.#inspect(
      backend,
      watched,
      fresh.map(({ slot }) => slot),
    )
    this.#count(backend, watched)
  }

  /** The checks of a Backend may be others. */
  #planChanged(backend: string): void {
    this.endpointsChanged(backend)
    const watched = this.#watched.get(backend)!
    const { config, rows, places } = watched
    this.#clearUnwanted(config, rows)
    const plan = this.#plans.get(backend)
    if (plan !== undefined) this.#probes.set(plan, config.active, rows)
    if (config.passive.successRate.belowMeanPercent > 0) this.#outliers.watch(backend, this.#options.time.monotonic())
    else this.#outliers.forget(backend)
    this.#inspect(backend, watched, places.keys())
    this.#count(backend, watched)
  }

  /** How many endpoints of a Backend get requests. */
  count(backend: string): EligibleCount {
    return countEligible(this.#options.table, this.#options.rows(backend))
  }

  /** The same for statuses, with the endpoints that are out, each with the reason. */
  report(backend: string): Pick<EndpointHealth, 'eligible' | 'ready' | 'panic' | 'out' | 'moreOut'> {
    const { ready, eligible, panic } = this.count(backend)
    const out: string[] = []
    let moreOut = 0
    for (const row of this.#options.rows(backend)) {
      const state = this.stateOf(row)
      if (state !== 'unhealthy' && state !== 'ejected') continue
      if (out.length >= MAX_REPORTED) moreOut++
      else out.push(`${joinHostPort(row.address, row.port)} (${state}: ${this.verdict(row).reason})`)
    }
    return { ready, eligible, panic, out, moreOut }
  }

  /** Cheap, for metrics. */
  stateOf(row: EndpointRow): EndpointState {
    return stateOf(row, this.#options.table.state(row.slot))
  }

  /** Why an endpoint is taken or not. @param backend whose it is: with it, more can be said of one that is taken */
  verdict(row: EndpointRow, backend = ''): EndpointVerdict {
    const { table } = this.#options
    const { slot } = row
    const verdict = verdictOf(row, table.state(slot), this.#ejections.of(slot), this.#probes.of(slot))
    const limit = this.#plans.get(backend)?.health?.passive.consecutiveFailures ?? 0
    const failures = table.faults.inARow(slot)
    if (verdict.reason !== '' || limit === 0 || failures < limit) return verdict
    return { ...verdict, reason: 'its requests fail, but with it too many would be ejected (maxEjectionPercent)' }
  }

  /** Marks of checks that the Backend does not have any more. */
  #clearUnwanted({ active, passive }: HealthConfig, rows: readonly EndpointRow[]): void {
    const { table } = this.#options
    const keeps = isPassive(passive)
    for (const { slot } of rows) {
      const state = table.state(slot)
      if (active === undefined && (state & SLOT_STATE.unhealthy) !== 0) table.mark(slot, SLOT_STATE.unhealthy, false)
      if (keeps || (state & (OUT | SLOT_STATE.trial)) === 0) continue
      table.restore(slot)
      this.#ejections.forget(slot)
    }
  }

  /** Looks at endpoints of a Backend. @returns whether one of them is in another phase of its ejection */
  #inspect(backend: string, { config }: Watched, slots: Iterable<number>): boolean {
    const { time } = this.#options
    const now = time.monotonic()
    const wall = time.wall()
    let changed = false
    for (const slot of slots) if (this.#ejections.look(backend, slot, config.passive, now, wall)) changed = true
    return changed
  }

  /** Which of them are well decides whether it is panic. */
  #count(backend: string, watched: Watched): void {
    const { table, time, events, rows } = this.#options
    const { panicPercent } = watched.config
    const endpoints = rows(backend)
    this.#due.delete(backend)
    watched.countAt = time.monotonic() + endpoints.length * COUNT_PRICE
    const panic = updatePanic(table, endpoints, panicPercent)
    if (panic === watched.panic) return
    watched.panic = panic
    const text = panic
      ? `fewer than ${panicPercent} % of its endpoints can be used: every ready one is (panic)`
      : 'enough of its endpoints can be used again'
    events.tell(backend, `Backend ${backend}: ${text}`)
  }

  /** Counts a Backend of which an endpoint changed, now or when its time has come. */
  #settle(backend: string): void {
    const watched = this.#watched.get(backend)
    if (watched === undefined) this.#due.delete(backend)
    else if (this.#options.time.monotonic() < watched.countAt) this.#due.add(backend)
    else {
      this.#count(backend, watched)
      this.#options.events.changed(backend)
    }
  }

  #look(): void {
    const { table, time, rows } = this.#options
    for (const { backend, last } of this.#outliers.due(time.monotonic())) {
      const watched = this.#watched.get(backend)
      if (watched === undefined || !this.#outliers.eject(rows(backend), watched.config.passive, last)) continue
      this.#inspect(backend, watched, watched.places.keys())
      this.#due.add(backend)
    }
    for (const slot of table.faults.takeMarked()) {
      const backend = this.#backendOf.get(slot)
      const watched = backend === undefined ? undefined : this.#watched.get(backend)
      if (backend === undefined || watched === undefined) continue
      this.#inspect(backend, watched, [slot])
      this.#due.add(backend)
    }
    if (this.#ejections.any) for (const backend of this.#ejections.expire(time.monotonic())) this.#due.add(backend)
    for (const backend of [...this.#due]) this.#settle(backend)
  }

  #forget(backend: string): void {
    this.#probes.remove(backend)
    for (const slot of this.#watched.get(backend)?.places.keys() ?? []) this.#forgetSlot(slot)
    this.#watched.delete(backend)
    this.#outliers.forget(backend)
    this.#due.delete(backend)
  }

  #forgetSlot(slot: number): void {
    this.#ejections.forget(slot)
    this.#probes.forget(slot)
    this.#backendOf.delete(slot)
  }

  #turned(backend: string, slot: number, fault: string): void {
    if (fault === '') this.#tell(backend, slot, 'EndpointRecovered', 'is healthy again by its probes')
    else this.#tell(backend, slot, 'EndpointUnhealthy', `is unhealthy by its probes: ${fault}`)
    this.#settle(backend)
  }

  #tell(backend: string, slot: number, reason: EndpointTurn['reason'], what: string): void {
    const row = this.#watched.get(backend)?.places.get(slot)
    if (row === undefined) return
    this.#options.events.turned(backend, { reason, message: `endpoint ${joinHostPort(row.address, row.port)} ${what}` })
  }
}
