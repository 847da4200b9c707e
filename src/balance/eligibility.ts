/**
 * Which endpoints of a Backend may be used, where that depends on the others: panic, and the cap of ejections. Whoever
 * changes the state of one endpoint, a worker or control, calls this behind it. All of it is in shared memory, so it
 * acts in every worker with the store; two threads that do it at once differ for as long as control takes to look again
 * (100 ms).
 */
import { type EndpointTable, isEligible, OUT, SLOT_STATE } from '../shared-memory/endpoint-table.ts'

/**
 * Milliseconds for each endpoint of a Backend until all are counted again, some hundred times what that takes: a
 * Backend whose thousands of endpoints all fail, or flap, must not keep a thread busy.
 */
export const COUNT_PRICE = 0.01

export interface Candidate {
  readonly slot: number
  readonly state: 'ready' | 'draining'
}

export interface EligibleCount {
  readonly total: number
  /** Those whose pods are ready. */
  readonly ready: number
  /** Those that get requests now. */
  readonly eligible: number
  /** Requests go to terminating ones, since no ready one can be used. */
  readonly draining: boolean
  readonly panic: boolean
}

/** Ejected endpoints, with those on trial, which have not shown yet that they are well. */
const EJECTED = SLOT_STATE.ejected | SLOT_STATE.trial

/** Neither out nor on trial. */
function isWell(state: number): boolean {
  return (state & (OUT | SLOT_STATE.trial)) === 0
}

/** As it is now. */
export function countEligible(table: EndpointTable, endpoints: readonly Candidate[]): EligibleCount {
  const eligible = { ready: 0, draining: 0 }
  let ready = 0
  let panic = false
  for (const { slot, state } of endpoints) {
    const word = table.state(slot)
    if (state === 'ready') ready++
    if (isEligible(word)) eligible[state]++
    if ((word & SLOT_STATE.panic) !== 0) panic = true
  }
  // Terminating ones get none while a ready one does.
  const draining = eligible.ready === 0
  return { total: endpoints.length, ready, eligible: eligible[draining ? 'draining' : 'ready'], draining, panic }
}

/**
 * Sets panic where too few endpoints can be used, and ends it where enough can. Ready ones count; terminating ones that
 * are well count while no ready one is.
 *
 * - Some ready endpoints are well: panic below `panicPercent` of the ready ones, and every ready one is used.
 * - None is: terminating ones that are well are used, unless they are fewer than that.
 * - Nothing is ready: the same among the terminating ones.
 *
 * @returns whether it is panic
 */
export function updatePanic(table: EndpointTable, endpoints: readonly Candidate[], panicPercent: number): boolean {
  let ready = 0
  let wellReady = 0
  let wellDraining = 0
  for (const { slot, state } of endpoints) {
    const well = isWell(table.state(slot))
    if (state === 'ready') {
      ready++
      if (well) wellReady++
    } else if (well) wellDraining++
  }
  const needed = ready > 0 ? ready : endpoints.length
  const usable = wellReady > 0 ? wellReady : wellDraining
  const panic = usable * 100 < panicPercent * needed
  setPanic(table, endpoints, panic, ready > 0)
  return panic
}

function setPanic(table: EndpointTable, endpoints: readonly Candidate[], panic: boolean, onlyReady: boolean): void {
  for (const { slot, state } of endpoints) {
    const wanted = panic && (state === 'ready' || !onlyReady) && !isWell(table.state(slot))
    if (wanted !== ((table.state(slot) & SLOT_STATE.panic) !== 0)) table.mark(slot, SLOT_STATE.panic, wanted)
  }
}

/**
 * Ejects an endpoint, unless more than the share would be out. Like a ledger (shared-memory/ledger.ts): first done,
 * then counted, then taken back, so that workers that race exceed the share together for no longer than that takes.
 *
 * @param cause see fault.ts
 * @returns whether it is ejected now, and was not before
 */
export function ejectWithin(
  table: EndpointTable,
  endpoints: readonly Candidate[],
  slot: number,
  maxPercent: number,
  cause: number,
): boolean {
  if (!table.eject(slot)) return false
  if (countEjected(table, endpoints) * 100 > maxPercent * endpoints.length) {
    table.restore(slot)
    return false
  }
  table.faults.ejected(slot, cause)
  return true
}

/**
 * The same for several at a time, of which the first are the worst: all endpoints are counted twice, not once for each.
 *
 * @param causes by slot
 * @returns those that are ejected now, and were not before
 */
export function ejectAllWithin(
  table: EndpointTable,
  endpoints: readonly Candidate[],
  causes: ReadonlyMap<number, number>,
  maxPercent: number,
): readonly number[] {
  const most = Math.floor((maxPercent * endpoints.length) / 100)
  const taken: number[] = []
  let room = most - countEjected(table, endpoints)
  for (const slot of causes.keys()) {
    if (room <= 0) break
    if (!table.eject(slot)) continue
    taken.push(slot)
    room--
  }
  // Workers may have ejected others meanwhile.
  for (let over = countEjected(table, endpoints) - most; over > 0 && taken.length > 0; over--)
    table.restore(taken.pop()!)
  for (const slot of taken) table.faults.ejected(slot, causes.get(slot)!)
  return taken
}

function countEjected(table: EndpointTable, endpoints: readonly Candidate[]): number {
  let ejected = 0
  for (const { slot } of endpoints) if ((table.state(slot) & EJECTED) !== 0) ejected++
  return ejected
}
