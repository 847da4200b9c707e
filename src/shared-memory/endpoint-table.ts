/**
 * What all workers must know exactly, and at once, about each upstream endpoint and each Backend: whether it may be
 * used, and how much is in flight on it. A slot belongs to an identity (backend id + address + port), not to a
 * generation of tables, so a rebuild moves nothing and an endpoint that fails a probe is out in every worker with one
 * store.
 *
 * Bound: `slots` (default 65,536, seven eighths usable: 57,344 endpoints and Backends together). Memory is taken from
 * the system as slots are first used. A name beyond the bound gets no slot: control says which endpoint is left out and
 * what to do. Control also shares the room by namespaces (control/endpoints/place-shares.ts).
 */
import { IdentityTable } from './identity-table.ts'
import { Ledger } from './ledger.ts'

export const DEFAULT_ENDPOINT_SLOTS = 65_536

/** Bits of a slot's state word. An endpoint is eligible when `LIVE` is set and nothing else. */
export const SLOT_STATE = {
  /** It is in the endpoint set of its Backend. */
  live: 1,
  /** Active probes have failed it. */
  unhealthy: 2,
  /** An outlier detector has ejected it. */
  ejected: 4,
  /** No longer in any endpoint set; what runs on it may finish. */
  retired: 8,
} as const

/** Everything a thread needs to map the table; structured-cloneable. */
export interface EndpointBuffers {
  readonly workers: number
  readonly identities: SharedArrayBuffer
  readonly states: SharedArrayBuffer
  readonly inFlight: SharedArrayBuffer
  readonly connections: SharedArrayBuffer
  readonly pending: SharedArrayBuffer
}

export class EndpointTable {
  readonly identities: IdentityTable
  /** Requests on an endpoint or Backend, from the pick to the end of the response. */
  readonly requests: Ledger
  /** Upstream connections, being opened or open. */
  readonly connections: Ledger
  /** Requests that wait for a connection. */
  readonly pending: Ledger
  readonly #states: Int32Array<SharedArrayBuffer>

  constructor(buffers: EndpointBuffers) {
    this.identities = new IdentityTable(buffers.identities)
    this.requests = new Ledger(buffers.inFlight, buffers.workers)
    this.connections = new Ledger(buffers.connections, buffers.workers)
    this.pending = new Ledger(buffers.pending, buffers.workers)
    this.#states = new Int32Array(buffers.states)
  }

  /** @param slots a power of two */
  static allocate(workers: number, slots: number = DEFAULT_ENDPOINT_SLOTS): EndpointBuffers {
    return {
      workers,
      identities: IdentityTable.allocate(slots),
      states: new SharedArrayBuffer(slots * Int32Array.BYTES_PER_ELEMENT),
      inFlight: Ledger.allocate(workers, slots),
      connections: Ledger.allocate(workers, slots),
      pending: Ledger.allocate(workers, slots),
    }
  }

  /** Requests in flight over all workers. */
  inFlight(slot: number): number {
    return this.requests.sum(slot)
  }

  /** Whether new requests may be sent there. */
  eligible(slot: number): boolean {
    return Atomics.load(this.#states, slot) === SLOT_STATE.live
  }

  /**
   * Counts one request in. Only on a slot of the endpoint set now in force in this worker, in the turn of the loop that
   * picked it: on this the reuse of slots rests (epoch.ts).
   */
  acquire(worker: number, slot: number): void {
    this.requests.add(worker, slot, 1)
  }

  /** As {@link acquire}, within a limit over all workers, which is never exceeded. @param limit 0 = unlimited */
  tryAcquire(worker: number, slot: number, limit: number): boolean {
    return this.requests.reserve(worker, slot, limit)
  }

  /** Exactly once for each acquire. */
  release(worker: number, slot: number): void {
    this.requests.add(worker, slot, -1)
  }

  state(slot: number): number {
    return Atomics.load(this.#states, slot)
  }

  /** Sets or clears one bit of {@link SLOT_STATE}, at once in every thread. */
  mark(slot: number, bit: number, on: boolean): void {
    if (on) Atomics.or(this.#states, slot, bit)
    else Atomics.and(this.#states, slot, ~bit)
  }

  /**
   * A slot begins, or begins again, to be used: health that was learnt of the same identity before stays. Control only.
   */
  enlist(slot: number): void {
    Atomics.or(this.#states, slot, SLOT_STATE.live)
    Atomics.and(this.#states, slot, ~SLOT_STATE.retired)
  }

  /** It left its endpoint set: no new request; the slot is given back by the {@link SlotReclaimer}. Control only. */
  retire(slot: number): void {
    Atomics.or(this.#states, slot, SLOT_STATE.retired)
  }

  /** The slot is nobody's any more. Control only, through the {@link SlotReclaimer}. */
  free(slot: number): void {
    Atomics.store(this.#states, slot, 0)
    this.identities.remove(slot)
  }

  /** Nothing is counted on the slot in any worker. */
  idle(slot: number): boolean {
    return this.requests.sum(slot) === 0 && this.connections.sum(slot) === 0 && this.pending.sum(slot) === 0
  }

  /**
   * Takes back everything a worker that is gone for certain had counted. Supervisor only, before the replacement
   * starts.
   */
  clearWorker(worker: number): void {
    this.requests.clearRow(worker)
    this.connections.clearRow(worker)
    this.pending.clearRow(worker)
  }
}
