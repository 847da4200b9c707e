/**
 * Backends that no tables name any more. Their endpoints stay while requests that were matched before wait in a worker,
 * or are in flight at the Backend and may be tried again; and no longer than {@link LEAVING_TIME}, so that nobody who
 * waits for ever holds rows of the endpoint table. Where their namespace needs the rows they leave at once. One edit
 * may remove thousands: they are looked at in slices.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import { LEAVING_TIME, type ProcessBlock } from '../../shared-memory/process-block.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

export interface LeavingBackendsOptions {
  readonly block: Pick<ProcessBlock, 'oldestWaitedFor' | 'published'>
  /** Whether requests are in flight at it. */
  readonly isBusy: (backend: string) => boolean
  /** Whether a namespace waits for rows of the endpoint table. */
  readonly isShort: (namespace: string) => boolean
  readonly withdraw: (backend: string) => void
  /** Some were withdrawn. */
  readonly withdrawn: () => void
  readonly time: TimerClock
}

const LOOK_EVERY: Milliseconds = 100

interface Leaving {
  readonly namespace: string
  /** The first generation without it that serves everywhere. */
  readonly generation: number
  /** Monotonic. */
  readonly until: Milliseconds
}

export class LeavingBackends {
  readonly #options: LeavingBackendsOptions
  /** Those that leave first come first. */
  readonly #backends = new Map<string, Leaving>()
  readonly #work: SlicedWork
  /** Where the look that is under way has come to. */
  #rest: Iterator<[string, Leaving]> | undefined
  #cancel: (() => void) | undefined

  constructor(options: LeavingBackendsOptions) {
    this.#options = options
    this.#work = new SlicedWork(options.time, (slice) => this.#look(slice))
  }

  /** The tables that were published last serve everywhere, and do not name it. */
  add(backend: string): void {
    const { block, time } = this.#options
    if (this.#backends.has(backend)) return
    const until = time.monotonic() + LEAVING_TIME
    this.#backends.set(backend, { namespace: namespaceOf(backend), generation: block.published, until })
  }

  /** Tables that come will name it. */
  delete(backend: string): void {
    this.#backends.delete(backend)
  }

  /** Withdraws those that nobody waits for: the first of them in this turn. */
  look(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#work.run()
  }

  stop(): void {
    this.#cancel?.()
    this.#work.stop()
    this.#backends.clear()
  }

  /** @returns whether some are left to be looked at */
  #look(slice: TimeSlice): boolean {
    const { block, isBusy, isShort, withdraw, withdrawn, time } = this.#options
    const now = time.monotonic()
    // Of older tables than are served nobody can begin to wait.
    const awaited = block.oldestWaitedFor
    const short = new Map<string, boolean>()
    const isShortOnce = (namespace: string): boolean => {
      const known = short.get(namespace) ?? isShort(namespace)
      short.set(namespace, known)
      return known
    }
    const rest = (this.#rest ??= this.#backends[Symbol.iterator]())
    let some = false
    let next = rest.next()
    for (; next.done !== true; next = rest.next()) {
      const [backend, { namespace, generation, until }] = next.value
      const isAwaited = (awaited !== 0 && awaited < generation) || isBusy(backend)
      if (!isAwaited || now >= until || isShortOnce(namespace)) {
        this.#backends.delete(backend)
        withdraw(backend)
        some = true
      }
      if (slice.over) break
    }
    if (some) withdrawn()
    if (next.done !== true) return true
    this.#rest = undefined
    if (this.#backends.size > 0) this.#cancel = time.after(LOOK_EVERY, () => this.look())
    return false
  }
}
