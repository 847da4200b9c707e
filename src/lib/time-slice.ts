/**
 * Work that is cut into turns of the event loop, so that whatever else is ready runs in between. One length for all of
 * it: house rule 6.
 */
import type { Milliseconds, TimerClock } from './clock.ts'

/** Longest turn of an event loop. */
export const TIME_SLICE: Milliseconds = 2

export type SliceClock = Pick<TimerClock, 'monotonic' | 'nextTurn'>

/** The time that work may take in one turn. It is asked between two steps, so the last step ends after it. */
export class TimeSlice {
  readonly #clock: Pick<TimerClock, 'monotonic'>
  readonly #began: Milliseconds
  readonly #length: Milliseconds

  constructor(clock: Pick<TimerClock, 'monotonic'>, length: Milliseconds = TIME_SLICE, began = clock.monotonic()) {
    this.#clock = clock
    this.#began = began
    this.#length = length
  }

  get over(): boolean {
    return this.#clock.monotonic() - this.#began >= this.#length
  }

  /** The beginning of the same slice. @param share of its length, above 0 and up to 1 */
  part(share: number): TimeSlice {
    return new TimeSlice(this.#clock, this.#length * share, this.#began)
  }
}

/** Work that runs for one slice a turn until nothing is left. */
export class SlicedWork {
  readonly #clock: SliceClock
  readonly #work: (slice: TimeSlice) => boolean
  #cancel: (() => void) | undefined
  #stopped = false

  /** @param work does at least one step and goes on until the slice is over; returns whether anything is left to do */
  constructor(clock: SliceClock, work: (slice: TimeSlice) => boolean) {
    this.#clock = clock
    this.#work = work
  }

  /** Whether a slice is due in the next turn. */
  get scheduled(): boolean {
    return this.#cancel !== undefined
  }

  /** One slice now, the rest in the turns that follow. Nothing when one is due already. */
  run(): void {
    if (this.scheduled || this.#stopped) return
    if (this.#work(new TimeSlice(this.#clock))) this.schedule()
  }

  /** The first slice in the next turn. */
  schedule(): void {
    if (this.#stopped) return
    this.#cancel ??= this.#clock.nextTurn(() => {
      this.#cancel = undefined
      this.run()
    })
  }

  /** No slice from now on. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#cancel = undefined
  }
}

/** Pauses of an asynchronous function that does much without waiting for anything. */
export class SlicePauses {
  readonly #clock: SliceClock
  #slice: TimeSlice

  constructor(clock: SliceClock) {
    this.#clock = clock
    this.#slice = new TimeSlice(clock)
  }

  /** To be awaited between two steps; undefined while the slice lasts. */
  next(): Promise<void> | undefined {
    if (!this.#slice.over) return undefined
    return new Promise((resolve) => {
      this.#clock.nextTurn(() => {
        this.#slice = new TimeSlice(this.#clock)
        resolve()
      })
    })
  }
}
