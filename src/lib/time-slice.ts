/**
 * Divides long work into turns of the event loop, so that other events are handled in between. One length for all work:
 * house rule 6.
 */
import type { Milliseconds, TimerClock } from './clock.ts'

/** Longest turn of an event loop. */
export const TIME_SLICE: Milliseconds = 2

export type SliceClock = Pick<TimerClock, 'monotonic' | 'nextTurn'>

/** The time that work may take in one turn. It is checked between two steps, so the last step ends after it. */
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

  /** A slice with the same start and a part of the length. @param share of the length, above 0 and up to 1 */
  part(share: number): TimeSlice {
    return new TimeSlice(this.#clock, this.#length * share, this.#began)
  }
}

/** Work that runs for one slice per turn until it is done. */
export class SlicedWork {
  readonly #clock: SliceClock
  readonly #work: (slice: TimeSlice) => boolean
  #cancel: (() => void) | undefined
  #stopped = false

  /** @param work performs at least one step and continues until the slice is over; returns whether work is left */
  constructor(clock: SliceClock, work: (slice: TimeSlice) => boolean) {
    this.#clock = clock
    this.#work = work
  }

  /** Whether a slice is scheduled for the next turn. */
  get scheduled(): boolean {
    return this.#cancel !== undefined
  }

  /** Runs one slice now and the rest in later turns. Does nothing when a slice is scheduled. */
  run(): void {
    if (this.scheduled || this.#stopped) return
    if (this.#work(new TimeSlice(this.#clock))) this.schedule()
  }

  /** Schedules the first slice for the next turn. */
  schedule(): void {
    if (this.#stopped) return
    this.#cancel ??= this.#clock.nextTurn(() => {
      this.#cancel = undefined
      this.run()
    })
  }

  /** Cancels all further slices. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
    this.#cancel = undefined
  }
}

/** Pauses an asynchronous function that computes for long without waiting. */
export class SlicePauses {
  readonly #clock: SliceClock
  #slice: TimeSlice

  constructor(clock: SliceClock) {
    this.#clock = clock
    this.#slice = new TimeSlice(clock)
  }

  /** Await between two steps; undefined while the slice lasts. */
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

/** Runs a generator to its end, a slice in each turn of the event loop. */
export async function runInSlices<T>(steps: Generator<void, T>, clock: SliceClock): Promise<T> {
  const pauses = new SlicePauses(clock)
  for (;;) {
    const step = steps.next()
    if (step.done === true) return step.value
    await pauses.next()
  }
}
