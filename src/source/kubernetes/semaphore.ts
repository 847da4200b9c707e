import { ApiError } from './api-error.ts'

/** Bounds concurrency; waiters acquire in FIFO order. */
export class Semaphore {
  readonly #waiting = new Set<() => void>()
  #free: number

  constructor(places: number) {
    this.#free = places
  }

  /** Every successful call must be followed by `release`. @throws {ApiError} `Aborted`: nothing was acquired */
  async acquire(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new ApiError(0, 'Aborted', 'the request was cancelled')
    if (this.#free > 0) {
      this.#free--
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => {
      // After a successful acquire the abort has no effect: the holder releases.
      if (this.#waiting.delete(resolve)) reject(new ApiError(0, 'Aborted', 'the request was cancelled'))
    }
    signal.addEventListener('abort', abort)
    this.#waiting.add(resolve)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  release(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else {
      this.#waiting.delete(next)
      next()
    }
  }
}
