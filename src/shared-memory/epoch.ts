/**
 * When a slot may be given to another name. A worker that still has the old endpoint set could count a request on the
 * slot a moment after it was given away, and the new owner would inherit it. So a slot is freed only after every live
 * worker has passed an epoch that began after the slot was withdrawn, and nothing is counted on it any more.
 *
 * A worker passes an epoch by handling a message that control sends behind the new endpoint set on the same port: the
 * order of the port is the proof. A worker that never answers holds slots back until the supervisor has ended it;
 * nothing waits.
 */
import type { EndpointTable } from './endpoint-table.ts'
import type { ProcessBlock } from './process-block.ts'

/**
 * Owned by the control thread; what it knows is rebuilt from the table by the next one ({@link SlotReclaimer.adopt}).
 */
export class SlotReclaimer {
  readonly #table: EndpointTable
  readonly #block: ProcessBlock
  /** Slot → epoch that has to be passed; 0 until {@link seal} gives it one. */
  readonly #retired = new Map<number, number>()

  constructor(table: EndpointTable, block: ProcessBlock) {
    this.#table = table
    this.#block = block
  }

  /** Slots that wait to be freed. */
  get waiting(): number {
    return this.#retired.size
  }

  /**
   * The slot left the endpoint set, or its Backend is gone. Call before the new set is sent, and {@link seal} after.
   */
  retire(slot: number): void {
    this.#table.retire(slot)
    this.#retired.set(slot, 0)
  }

  /** The slot is used, again or for the first time. */
  enlist(slot: number): void {
    this.#retired.delete(slot)
    this.#table.enlist(slot)
  }

  /**
   * Begins an epoch for what was retired since the last call.
   *
   * @returns the epoch to send to every worker behind the new endpoint sets; undefined when nothing was retired
   */
  seal(): number | undefined {
    let epoch: number | undefined
    for (const [slot, of] of this.#retired) {
      if (of !== 0) continue
      epoch ??= this.#block.nextEpoch()
      this.#retired.set(slot, epoch)
    }
    return epoch
  }

  /** Frees what nobody can use any more. @param freedSlot is told of each @returns how many slots */
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
   * Takes over the table from a control thread that died: every name in it that is not in use is withdrawn.
   *
   * @param inUse slots of the endpoint sets and Backends as the new thread knows them
   */
  adopt(inUse: ReadonlySet<number>): void {
    this.#table.identities.recount()
    for (const slot of this.#table.identities.used())
      if (!inUse.has(slot) && !this.#retired.has(slot)) this.retire(slot)
  }
}
