/**
 * Decides when a retired slot may be reused. A worker that still has the old endpoint set could count a request on the
 * slot after its reuse, and the count would apply to the new owner. So a slot is freed only after every live worker has
 * passed an epoch that began after the slot was retired, and after all its counts are zero.
 *
 * A worker passes an epoch by handling a message that control sends after the new endpoint set on the same port, which
 * preserves order. A worker that does not respond delays the reuse of slots until the supervisor has terminated it;
 * nothing blocks on it.
 */
import type { EndpointTable } from './endpoint-table.ts'
import type { ProcessBlock } from './process-block.ts'

/**
 * Owned by the control thread; its replacement rebuilds the state from the table ({@link SlotReclaimer.adopt}).
 */
export class SlotReclaimer {
  readonly #table: EndpointTable
  readonly #block: ProcessBlock
  readonly #now: () => number
  /** Slot → epoch that every worker must pass; 0 until {@link seal} assigns one. */
  readonly #retired = new Map<number, number>()

  /** @param now monotonic milliseconds, of a clock that all threads share */
  constructor(table: EndpointTable, block: ProcessBlock, now: () => number = () => 0) {
    this.#table = table
    this.#now = now
    this.#block = block
  }

  /** Number of slots retired and not freed. */
  get pending(): number {
    return this.#retired.size
  }

  /**
   * The slot left its endpoint set, or its Backend was removed. Call before the new set is sent, and {@link seal}
   * after.
   */
  retire(slot: number): void {
    this.#table.retire(slot)
    this.#retired.set(slot, 0)
  }

  /** The slot is in use, for the first time or again. */
  enlist(slot: number): void {
    this.#retired.delete(slot)
    this.#table.enlist(slot, this.#now())
  }

  /**
   * Begins an epoch for the slots retired since the last call.
   *
   * @returns the epoch to send to every worker after the new endpoint sets; undefined when nothing was retired
   */
  seal(): number | undefined {
    let epoch: number | undefined
    for (const [slot, assigned] of this.#retired) {
      if (assigned !== 0) continue
      epoch ??= this.#block.nextEpoch()
      this.#retired.set(slot, epoch)
    }
    return epoch
  }

  /** Frees slots that no worker can use any more. @param freedSlot called for each @returns number of freed slots */
  sweep(freedSlot: (slot: number) => void = () => {}): number {
    if (this.#retired.size === 0) return 0
    const passed = this.#block.passedEverywhere()
    let freed = 0
    for (const [slot, epoch] of this.#retired) {
      if (epoch === 0 || epoch > passed || !this.#table.idle(slot)) continue
      this.#table.free(slot)
      this.#retired.delete(slot)
      freedSlot(slot)
      freed++
    }
    return freed
  }

  /**
   * Adopts the table of a control thread that died: retires every name that is not in use.
   *
   * @param inUse slots of the endpoint sets and Backends of the new thread
   */
  adopt(inUse: ReadonlySet<number>): void {
    this.#table.identities.recount()
    for (const slot of this.#table.identities.used())
      if (!inUse.has(slot) && !this.#retired.has(slot)) this.retire(slot)
  }
}
