/**
 * Answers what workers ask the embedded store of token issuers. Namespaces take turns, and what is asked in one turn is
 * one transaction, so that neither a flood of requests nor the disk holds up what else this thread does.
 */
import type { GrantAnswer, GrantRequest } from '../auth/grant-store.ts'
import type { TimerClock } from '../lib/clock.ts'
import { FairQueue } from '../lib/fair-queue.ts'
import { GrantDatabase } from '../store/grant-database.ts'
import { mayWait } from '../store/owner-places.ts'

export interface GrantRequestsOptions {
  readonly time: TimerClock
  readonly answer: (worker: number, id: number, answer: GrantAnswer) => void
  /** The store cannot be used, and why; undefined: it can again. */
  readonly failure: (message: string | undefined) => void
}

/** Calls in one transaction: some 2 ms. */
const BATCH = 64
/** Calls that wait. */
const MAX_WAITING = { namespace: 1_024, all: 4_096 } as const

interface Waiting {
  readonly worker: number
  readonly id: number
  readonly request: GrantRequest
}

export class GrantRequests {
  readonly #options: GrantRequestsOptions
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, Waiting>()
  #database: GrantDatabase | undefined
  #scheduled = false

  constructor(options: GrantRequestsOptions) {
    this.#options = options
  }

  /** The settings are known; the file is opened by the first request. @param stateDirectory undefined: in memory */
  open(stateDirectory: string | undefined): void {
    const { time, failure } = this.#options
    this.#database = new GrantDatabase({ stateDirectory, wall: time.wall, monotonic: time.monotonic, failure })
    this.#schedule()
  }

  accept(worker: number, id: number, request: GrantRequest): void {
    const { namespace } = request.owner
    if (!mayWait(this.#queue.sizeOf(namespace), this.#queue.size, MAX_WAITING)) {
      this.#options.answer(worker, id, { failure: 'too many requests wait for the store of refresh tokens' })
      return
    }
    const key = `${worker} ${id}`
    this.#waiting.set(key, { worker, id, request })
    this.#queue.add(namespace, key)
    this.#schedule()
  }

  stop(): void {
    this.#database?.close()
    this.#database = undefined
  }

  #schedule(): void {
    if (this.#scheduled || this.#database === undefined || this.#queue.size === 0) return
    this.#scheduled = true
    this.#options.time.nextTurn(() => {
      this.#scheduled = false
      this.#serve()
      this.#schedule()
    })
  }

  #serve(): void {
    const batch: Waiting[] = []
    while (batch.length < BATCH) {
      const next = this.#queue.take()
      if (next === undefined) break
      batch.push(this.#waiting.get(next.key)!)
      this.#waiting.delete(next.key)
    }
    const answers = this.#database?.run(batch.map(({ request }) => request)) ?? []
    for (const [i, answer] of answers.entries()) this.#options.answer(batch[i]!.worker, batch[i]!.id, answer)
  }
}
