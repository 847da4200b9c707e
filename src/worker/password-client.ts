/**
 * Checks of passwords as a worker has them: the control thread is asked by message. Where that is away, or does not
 * answer in time, nothing passes.
 */
import { hash, randomBytes } from 'node:crypto'
import type { PasswordAnswer, PasswordChecks, PasswordQuestion } from '../auth/password-check.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { FairMap } from '../lib/fair-map.ts'

/** Longer than a question waits for its turn. */
const ANSWER_WITHIN: Milliseconds = 15_000
/** Questions that wait. */
const MAX_QUESTIONS = 1_024
/** Clients that are known to have to wait: who guesses does not cost the control thread a message each time. */
const MAX_LIMITED = 4_096

interface Asked {
  readonly settle: (answer: PasswordAnswer) => void
  readonly cancel: () => void
}

export class PasswordClient implements PasswordChecks {
  readonly #time: Pick<TimerClock, 'after' | 'monotonic'>
  readonly #send: (id: number, question: PasswordQuestion) => void
  readonly #seed = randomBytes(32).toString('base64')
  readonly #asked = new Map<number, Asked>()
  /** Until when, monotonic. */
  readonly #limited = new FairMap<Milliseconds>(MAX_LIMITED)
  #last = 0

  constructor(time: Pick<TimerClock, 'after' | 'monotonic'>, send: (id: number, question: PasswordQuestion) => void) {
    this.#time = time
    this.#send = send
  }

  digest(text: string): string {
    return hash('sha256', this.#seed + text, 'base64url')
  }

  async check(question: PasswordQuestion): Promise<PasswordAnswer> {
    const { owner, scope, client } = question
    const place = `${scope} ${client}`
    const wait = (this.#limited.get(owner, place) ?? 0) - this.#time.monotonic()
    if (wait > 0) return { result: 'limited', retryAfter: wait }
    if (this.#asked.size >= MAX_QUESTIONS) return unavailable('too many passwords wait for their check')
    const answer = await this.#ask(question)
    if (answer.result === 'limited') this.#limited.set(owner, place, this.#time.monotonic() + answer.retryAfter)
    return answer
  }

  #ask(question: PasswordQuestion): Promise<PasswordAnswer> {
    const { promise, resolve } = Promise.withResolvers<PasswordAnswer>()
    const id = ++this.#last
    const cancel = this.#time.after(ANSWER_WITHIN, () =>
      this.answered(id, unavailable('the control thread has not answered in time')),
    )
    this.#asked.set(id, { settle: resolve, cancel })
    this.#send(id, question)
    return promise
  }

  answered(id: number, answer: PasswordAnswer): void {
    const asked = this.#asked.get(id)
    if (asked === undefined) return
    this.#asked.delete(id)
    asked.cancel()
    asked.settle(answer)
  }

  /** Another control thread: what the one before was asked is not answered any more. */
  forget(): void {
    for (const id of [...this.#asked.keys()]) this.answered(id, unavailable('the control thread ended meanwhile'))
  }
}

function unavailable(detail: string): PasswordAnswer {
  return { result: 'unavailable', detail }
}
