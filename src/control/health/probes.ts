/**
 * Probes with what they need of the control thread: connectors, the bytes of Secrets, the dial guard. What they find
 * out is a mark in shared memory.
 */
import { Connectors } from '../../connector/connectors.ts'
import { opaqueConnector } from '../../connector/opaque-connector.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { ContentStore } from '../../policy/contents.ts'
import { Prober } from '../../probe/prober.ts'
import { type EndpointTable, SLOT_STATE } from '../../shared-memory/endpoint-table.ts'
import type { ActiveHealth } from '../../snapshot/health.ts'
import type { BackendConfig } from '../../snapshot/snapshot.ts'
import type { UpstreamTls } from '../../snapshot/upstream-tls.ts'
import type { EndpointRow, ToWorker } from '../../thread/messages.ts'
import type { Connector } from '../../transport/connector.ts'
import { Timers } from '../../transport/timers.ts'

export interface ProbesOptions {
  readonly table: EndpointTable
  readonly time: TimerClock
  readonly random: Random
  /** The most sockets of probes at a time. */
  readonly sockets: number
  /** Why an address may not be dialled. */
  readonly refuses: (address: string, port: number) => string | undefined
  /** An endpoint is marked as unhealthy, or not any more. @param fault why; '' = it is well again */
  readonly turned: (backend: string, slot: number, fault: string) => void
}

/** What probes of an endpoint have found. */
export interface ProbeRecord {
  /** When they found it unhealthy, wall clock; undefined where it is not, or an earlier control thread did. */
  readonly since?: Milliseconds
  /** Why the last one that failed did; '' where none has. */
  readonly failure: string
  /** `at`: wall clock, when it began. `fault`: '' = good. */
  readonly last?: { readonly at: Milliseconds; readonly took: Milliseconds; readonly fault: string }
}

export class Probes {
  readonly #options: ProbesOptions
  readonly #prober: Prober
  readonly #timers: Timers
  readonly #connectors: Connectors
  readonly #contents = new ContentStore((ids) => this.#prober.renewConnections(ids))
  /** Backends as their probes connect to them. */
  readonly #plans = new WeakMap<BackendConfig, BackendConfig>()
  /** Wall clock. */
  readonly #since = new Map<number, Milliseconds>()

  constructor(options: ProbesOptions) {
    const { table, time, random, sockets, refuses } = options
    this.#options = options
    this.#timers = new Timers(time)
    this.#connectors = new Connectors(time)
    this.#prober = new Prober({
      timers: this.#timers,
      random,
      maxSockets: sockets,
      refuses,
      connectorOf: (plan, active) => this.#connectorOf(plan, active),
      isHealthy: (slot) => (table.state(slot) & SLOT_STATE.unhealthy) === 0,
      turned: (backend, slot, fault) => this.#turned(backend, slot, fault),
    })
  }

  /** What workers are sent. */
  accept(message: ToWorker): void {
    if (message.type === 'contents') this.#contents.apply(message.contents)
  }

  /** The endpoints of a Backend, and how they are probed. */
  set(plan: BackendConfig, active: ActiveHealth | undefined, rows: readonly EndpointRow[]): void {
    this.#prober.set(plan, active, rows)
  }

  /** The same where the endpoints alone are others. @param gone slots */
  change(
    plan: BackendConfig,
    active: ActiveHealth | undefined,
    gone: readonly number[],
    fresh: readonly EndpointRow[],
  ): void {
    this.#prober.change(plan, active, gone, fresh)
  }

  remove(backend: string): void {
    this.#prober.remove(backend)
  }

  /** The endpoint has left its set. */
  forget(slot: number): void {
    this.#since.delete(slot)
  }

  /** What they know of an endpoint; undefined where it is not probed. */
  of(slot: number): ProbeRecord | undefined {
    const probe = this.#prober.of(slot)
    if (probe === undefined) return undefined
    const since = this.#since.get(slot)
    const { endedAt, took, fault, lastFault: failure } = probe
    const { time } = this.#options
    const at = time.wall() - (time.monotonic() - endedAt) - took
    return { failure, ...(since !== undefined && { since }), ...(endedAt >= 0 && { last: { at, took, fault } }) }
  }

  /** Why the last probe of an endpoint failed; '' where none did yet, or it did not. */
  faultOf(slot: number): string {
    return this.#prober.of(slot)?.fault ?? ''
  }

  /** Open and connecting. */
  get sockets(): number {
    return this.#prober.sockets
  }

  stop(): void {
    this.#prober.stop()
  }

  #turned(backend: string, slot: number, fault: string): void {
    const { table, time, turned } = this.#options
    // The failures of requests are of before.
    if (fault === '') table.faults.succeeded(slot)
    table.mark(slot, SLOT_STATE.unhealthy, fault !== '')
    if (fault === '') {
      this.#since.delete(slot)
      table.latency.forget(slot)
      // Where shares grow slowly (`slowStart`), they do so for one that is back, too.
      table.latency.began(slot, time.monotonic())
    } else this.#since.set(slot, time.wall())
    turned(backend, slot, fault)
  }

  #connectorOf(plan: BackendConfig, { type, protocol }: ActiveHealth): Connector {
    if (type === 'TCP') return opaqueConnector
    let probed = this.#plans.get(plan)
    if (probed === undefined) this.#plans.set(plan, (probed = { ...plan, protocol, tls: tlsFor(plan, protocol) }))
    return this.#connectors.of(probed, { contents: this.#contents, timers: this.#timers })
  }
}

/** gRPC health over TLS where the Backend itself is HTTPS has its options. */
function tlsFor({ tls }: BackendConfig, protocol: BackendConfig['protocol']): UpstreamTls | undefined {
  return protocol === 'HTTPS' || protocol === 'H2' || protocol === 'GRPCS' ? tls : undefined
}
