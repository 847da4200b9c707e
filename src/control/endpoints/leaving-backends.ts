/**
 * Backends that no tables name any more. Their endpoints stay while requests that were matched before wait in a worker,
 * or are in flight at the Backend and may be tried again; and no longer than {@link LEAVING_TIME}, so that nobody who
 * waits for ever holds rows of the endpoint table. Where their namespace needs the rows they leave at once.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { LEAVING_TIME, type ProcessBlock } from '../../shared-memory/process-block.ts'

export interface LeavingBackendsOptions {
  readonly block: Pick<ProcessBlock, 'isWaitedForBefore' | 'published'>
  /** Whether requests are in flight at it. */
  readonly isBusy: (backend: string) => boolean
  /** Whether its namespace waits for rows of the endpoint table. */
  readonly isShort: (backend: string) => boolean
  readonly withdraw: (backend: string) => void
  /** Some were withdrawn. */
  readonly withdrawn: () => void
  readonly time: TimerClock
}

const LOOK_EVERY: Milliseconds = 100

interface Leaving {
  /** The first generation without it that serves everywhere. */
  readonly generation: number
  /** Monotonic. */
  readonly until: Milliseconds
}

export class LeavingBackends {
  readonly #options: LeavingBackendsOptions
  /** Those that leave first come first. */
  readonly #backends = new Map<string, Leaving>()
  #cancel: (() => void) | undefined

  constructor(options: LeavingBackendsOptions) {
    this.#options = options
  }

  /** The tables that were published last serve everywhere, and do not name it. */
  add(backend: string): void {
    const { block, time } = this.#options
    if (this.#backends.has(backend)) return
    this.#backends.set(backend, { generation: block.published, until: time.monotonic() + LEAVING_TIME })
  }

  /** Tables that come will name it. */
  delete(backend: string): void {
    this.#backends.delete(backend)
  }

  /** Withdraws those that nobody waits for. @returns whether there were any */
  look(): boolean {
    const { block, isBusy, isShort, withdraw, time } = this.#options
    const now = time.monotonic()
    let some = false
    for (const [backend, { generation, until }] of this.#backends) {
      const isAwaited = block.isWaitedForBefore(generation) || isBusy(backend)
      if (isAwaited && now < until && !isShort(backend)) continue
      this.#backends.delete(backend)
      withdraw(backend)
      some = true
    }
    if (this.#backends.size > 0) this.#cancel ??= time.after(LOOK_EVERY, () => this.#lookAgain())
    return some
  }

  stop(): void {
    this.#cancel?.()
    this.#backends.clear()
  }

  #lookAgain(): void {
    this.#cancel = undefined
    if (this.look()) this.#options.withdrawn()
  }
}
