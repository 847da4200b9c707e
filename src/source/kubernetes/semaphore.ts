import { ApiError } from './api-error.ts'

/** Lets so many in at a time, the others in the order of their coming. */
export class Semaphore {
  readonly #waiting = new Set<() => void>()
  #free: number

  constructor(places: number) {
    this.#free = places
  }

  /** Whoever was let in must `leave`. @throws {ApiError} `Aborted`, and then must not */
  async enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw new ApiError(0, 'Aborted', 'not wanted any more')
    if (this.#free > 0) {
      this.#free--
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const abort = (): void => {
      // Once let in, that stands: whoever is in will leave.
      if (this.#waiting.delete(resolve)) reject(new ApiError(0, 'Aborted', 'not wanted any more'))
    }
    signal.addEventListener('abort', abort)
    this.#waiting.add(resolve)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', abort)
    }
  }

  leave(): void {
    const [next] = this.#waiting
    if (next === undefined) this.#free++
    else {
      this.#waiting.delete(next)
      next()
    }
  }
}
