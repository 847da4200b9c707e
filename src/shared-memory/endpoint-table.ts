/**
 * State of each upstream endpoint and each Backend that must be exact and immediately visible in all workers: whether
 * it is eligible, and its requests in flight. A slot belongs to an identity (backend id, address, port), not to a
 * generation of tables, so a rebuild moves nothing and one store withdraws an endpoint in every worker.
 *
 * Bound: `slots` (default 65,536, seven eighths usable: 57,344 endpoints and Backends together). The system allocates
 * the memory as slots are first used. A name beyond the bound gets no slot: control reports the endpoints without one
 * and the remedy, and divides the slots fairly among namespaces.
 */
import { Doorbells } from './doorbells.ts'
import { EndpointConcurrency } from './endpoint-concurrency.ts'
import { EndpointFaults } from './endpoint-faults.ts'
import { EndpointLatency } from './endpoint-latency.ts'
import { IdentityTable } from './identity-table.ts'
import { Ledger } from './ledger.ts'
import { RetryCounts } from './retry-counts.ts'

export const DEFAULT_ENDPOINT_SLOTS = 65_536

/** Bits of a slot's state word, of an endpoint. docs/health-checks.md has the table of what follows from them. */
export const SLOT_STATE = {
  /** The endpoint is in the endpoint set of its Backend. */
  live: 1,
  /** Active probes fail. */
  unhealthy: 2,
  /** Requests failed, and the endpoint is ejected for a time. */
  ejected: 4,
  /** In no endpoint set any more; its exchanges may finish. */
  retired: 8,
  /** Too few of the Backend's endpoints are well: it is used although it is `unhealthy` or `ejected`. */
  panic: 16,
  /** The time of its ejection is over: the next request that picks it is its trial. */
  trial: 32,
  /** The trial request is under way; `ejected` stands beside it until that ends. */
  trying: 64,
  /** It has as many requests to answer as its adaptive limit allows (limit/adaptive-limit.ts), and is well. */
  full: 128,
} as const

const IN_SET = SLOT_STATE.live | SLOT_STATE.retired
/** An endpoint is out for as long as one of these is set. */
export const OUT = SLOT_STATE.unhealthy | SLOT_STATE.ejected
const EJECTION = SLOT_STATE.ejected | SLOT_STATE.trial | SLOT_STATE.trying

/** Whether an endpoint in this state is one to send requests to; it may have no room for one now. */
export function isEligible(state: number): boolean {
  if (state === SLOT_STATE.live) return true
  return (state & IN_SET) === SLOT_STATE.live && ((state & OUT) === 0 || (state & SLOT_STATE.panic) !== 0)
}

/** The buffers with which a thread maps the table; structured-cloneable. */
export interface EndpointBuffers {
  readonly workers: number
  readonly identities: SharedArrayBuffer
  readonly states: SharedArrayBuffer
  readonly inFlight: SharedArrayBuffer
  readonly connections: SharedArrayBuffer
  readonly pending: SharedArrayBuffer
  readonly waitingSince: SharedArrayBuffer
  readonly bells: SharedArrayBuffer
  readonly latency: SharedArrayBuffer
  readonly unanswered: SharedArrayBuffer
  readonly concurrency: SharedArrayBuffer
  readonly faults: SharedArrayBuffer
  readonly retries: SharedArrayBuffer
}

export class EndpointTable {
  readonly identities: IdentityTable
  /** Requests of an endpoint or Backend, from the pick to the end of the response. */
  readonly requests: Ledger
  /** Upstream connections, connecting or open. */
  readonly connections: Ledger
  /** Requests waiting for a connection. */
  readonly pending: Ledger
  /**
   * When the request that waits longest in a worker began to, in monotonic milliseconds that wrap; without meaning
   * where none waits.
   */
  readonly waitingSince: Ledger
  /** A worker rings for a slot where another waits for a connection that it has, or for a place that it gave back. */
  readonly bells: Doorbells
  /** Of endpoints with an adaptive limit: requests without the head of a response. */
  readonly unanswered: Ledger
  /** How many of them such an endpoint bears. */
  readonly concurrency: EndpointConcurrency
  /** What is learned of endpoints from the requests of all workers. */
  readonly latency: EndpointLatency
  /** What requests say about endpoints. */
  readonly faults: EndpointFaults
  /** Of Backends. */
  readonly retries: RetryCounts
  /** By slot, and in the last cell how often any has changed. */
  readonly #states: Int32Array<SharedArrayBuffer>
  readonly #changes: number

  constructor(buffers: EndpointBuffers) {
    this.identities = new IdentityTable(buffers.identities)
    this.requests = new Ledger(buffers.inFlight, buffers.workers)
    this.connections = new Ledger(buffers.connections, buffers.workers)
    this.pending = new Ledger(buffers.pending, buffers.workers)
    this.waitingSince = new Ledger(buffers.waitingSince, buffers.workers)
    this.bells = new Doorbells(buffers.bells, buffers.workers, this.pending.slots)
    this.latency = new EndpointLatency(buffers.latency)
    this.unanswered = new Ledger(buffers.unanswered, buffers.workers)
    this.concurrency = new EndpointConcurrency(buffers.concurrency)
    this.faults = new EndpointFaults(buffers.faults)
    this.retries = new RetryCounts(buffers.retries)
    this.#states = new Int32Array(buffers.states)
    this.#changes = this.#states.length - 1
  }

  /** @param slots a power of two */
  static allocate(workers: number, slots: number = DEFAULT_ENDPOINT_SLOTS): EndpointBuffers {
    return {
      workers,
      identities: IdentityTable.allocate(slots),
      states: new SharedArrayBuffer((slots + 1) * Int32Array.BYTES_PER_ELEMENT),
      inFlight: Ledger.allocate(workers, slots),
      connections: Ledger.allocate(workers, slots),
      pending: Ledger.allocate(workers, slots),
      waitingSince: Ledger.allocate(workers, slots),
      bells: Doorbells.allocate(workers, slots),
      latency: EndpointLatency.allocate(slots),
      unanswered: Ledger.allocate(workers, slots),
      concurrency: EndpointConcurrency.allocate(slots),
      faults: EndpointFaults.allocate(slots),
      retries: RetryCounts.allocate(slots),
    }
  }

  /** Requests in flight of all workers. */
  inFlight(slot: number): number {
    return this.requests.sum(slot)
  }

  /** Expected milliseconds of a request to the endpoint; 0 = nothing is known. */
  cost(slot: number, now: number): number {
    return this.latency.cost(slot, now)
  }

  /** Milliseconds since the endpoint was put into use; infinite where that is unknown. */
  age(slot: number, now: number): number {
    return this.latency.age(slot, now)
  }

  /** Whether a request may be sent to the endpoint now. */
  eligible(slot: number): boolean {
    const state = Atomics.load(this.#states, slot)
    return state === SLOT_STATE.live || ((state & SLOT_STATE.full) === 0 && isEligible(state))
  }

  /**
   * Counts one request. Only for a slot of the worker's current endpoint set, in the turn of the event loop that picked
   * it: the reuse of slots relies on this (slot-reclaimer.ts).
   */
  acquire(worker: number, slot: number): void {
    this.requests.add(worker, slot, 1)
  }

  /** Like {@link acquire}, within a limit over all workers that is never exceeded. @param limit 0 means unlimited */
  tryAcquire(worker: number, slot: number, limit: number): boolean {
    return this.requests.reserve(worker, slot, limit)
  }

  /** Call exactly once per acquired request. */
  release(worker: number, slot: number): void {
    this.requests.add(worker, slot, -1)
  }

  state(slot: number): number {
    return Atomics.load(this.#states, slot)
  }

  /** A number that differs after each change of any state, see also {@link changed}; it wraps around. */
  get changes(): number {
    return Atomics.load(this.#states, this.#changes)
  }

  /** A request has taken the last room of the endpoint, or given room back: that is no change of its health. */
  setFull(slot: number, full: boolean): void {
    if (full) Atomics.or(this.#states, slot, SLOT_STATE.full)
    else Atomics.and(this.#states, slot, ~SLOT_STATE.full)
  }

  /** It has no such limit any more. */
  makeRoom(slot: number): void {
    if ((this.state(slot) & SLOT_STATE.full) !== 0) this.setFull(slot, false)
  }

  /** What counts like a state has changed. */
  changed(): void {
    Atomics.add(this.#states, this.#changes, 1)
  }

  #exchange(slot: number, state: number, next: number): boolean {
    if (Atomics.compareExchange(this.#states, slot, state, next) !== state) return false
    this.changed()
    return true
  }

  /** Sets or clears one bit of {@link SLOT_STATE}, visible in every thread immediately. */
  mark(slot: number, bit: number, on: boolean): void {
    if (on) Atomics.or(this.#states, slot, bit)
    else Atomics.and(this.#states, slot, ~bit)
    this.changed()
  }

  /** Ejects an endpoint that is not. @returns false when it is ejected or on trial already, or in no set */
  eject(slot: number): boolean {
    for (;;) {
      const state = this.state(slot)
      if ((state & EJECTION) !== 0 || (state & IN_SET) !== SLOT_STATE.live) return false
      if (this.#exchange(slot, state, state | SLOT_STATE.ejected)) return true
    }
  }

  /** Ends an ejection, or the trial behind it. */
  restore(slot: number): void {
    Atomics.and(this.#states, slot, ~EJECTION)
    this.changed()
  }

  /** The time of an ejection is over, or its trial brought no answer: the next request is the trial. */
  offerTrial(slot: number): void {
    for (let state = this.state(slot); (state & SLOT_STATE.ejected) !== 0; state = this.state(slot)) {
      const next = (state & ~EJECTION) | SLOT_STATE.trial
      if (this.#exchange(slot, state, next)) return
    }
  }

  /** Ends an ejection whose trial no request has taken. @returns false when there is no such trial */
  waiveTrial(slot: number): boolean {
    for (let state = this.state(slot); (state & SLOT_STATE.trial) !== 0; state = this.state(slot))
      if (this.#exchange(slot, state, state & ~EJECTION)) return true
    return false
  }

  /** Takes the one trial of an endpoint. @returns false when there is none, or another request has it */
  takeTrial(slot: number): boolean {
    for (let state = this.state(slot); (state & SLOT_STATE.trial) !== 0; state = this.state(slot)) {
      const next = (state & ~SLOT_STATE.trial) | SLOT_STATE.ejected | SLOT_STATE.trying
      if (this.#exchange(slot, state, next)) return true
    }
    return false
  }

  /**
   * Puts a slot into use, for the first time or again. What probes know of the identity stays; an ejection ends with
   * the readiness that brings it back. Control only.
   *
   * @param now monotonic milliseconds: the age of an endpoint that was not in use begins
   */
  enlist(slot: number, now = 0): void {
    if ((this.state(slot) & (SLOT_STATE.live | SLOT_STATE.retired)) !== SLOT_STATE.live) this.latency.began(slot, now)
    if ((this.state(slot) & SLOT_STATE.retired) !== 0) {
      this.restore(slot)
      this.faults.clear(slot)
    }
    Atomics.or(this.#states, slot, SLOT_STATE.live)
    Atomics.and(this.#states, slot, ~SLOT_STATE.retired)
    this.changed()
  }

  /** Withdraws an endpoint that left its set; the {@link SlotReclaimer} frees the slot later. Control only. */
  retire(slot: number): void {
    Atomics.or(this.#states, slot, SLOT_STATE.retired)
    this.changed()
  }

  /** Releases the slot. Control only, through the {@link SlotReclaimer}. */
  free(slot: number): void {
    Atomics.store(this.#states, slot, 0)
    this.latency.clear(slot)
    this.concurrency.clear(slot)
    this.faults.clear(slot)
    this.retries.clear(slot)
    this.identities.remove(slot)
  }

  /** Whether all counts of the slot are zero in every worker. */
  idle(slot: number): boolean {
    return this.requests.sum(slot) === 0 && this.connections.sum(slot) === 0 && this.pending.sum(slot) === 0
  }

  /**
   * Clears all counts of a worker that has exited. Supervisor only, before the replacement starts.
   */
  clearWorker(worker: number): void {
    this.requests.clearRow(worker)
    this.connections.clearRow(worker)
    this.pending.clearRow(worker)
    this.unanswered.clearRow(worker)
    // Where nothing else is in flight nobody would look again.
    for (let slot = 0; slot < this.#changes; slot++) this.makeRoom(slot)
    this.waitingSince.clearRow(worker)
    this.bells.clear(worker)
  }
}
