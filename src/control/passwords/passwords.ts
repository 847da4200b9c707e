/**
 * The room that checks passwords for all workers: one hash at a time in the whole process, in turns by namespace, and
 * none for a client that had too many wrong. What was checked for one worker is known for the others.
 */
import { createHmac, randomBytes } from 'node:crypto'
import type { PasswordAnswer, PasswordQuestion } from '../../auth/password-check.ts'
import { OwnedLru } from '../../cache/owned-lru.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { FailedAttempts } from './failed-attempts.ts'
import { HashThread } from './hash-thread.ts'

/** A worker waits no longer than this, and what nobody waits for is not computed. */
export const ANSWER_WITHIN: Milliseconds = 10_000
/** Questions that wait, in all and of one client of a namespace: some 500 bytes each. */
const MAX_WAITING = 1_024
const MAX_OF_CLIENT = 8
/** Verdicts that are kept, in fair shares. */
const VERDICT_BYTES = 4 * 1024 * 1024
const VERDICT_ENTRY = 256
const RIGHT_KEPT: Milliseconds = 12 * 3_600_000
const WRONG_KEPT: Milliseconds = 60_000

export interface PasswordsOptions {
  readonly time: Pick<TimerClock, 'monotonic'>
  /** Computes one hash at a time. Default: a thread. */
  readonly thread?: { check(hash: string, password: string): Promise<boolean>; stop(): Promise<void> }
  warn(message: string): void
}

interface Waiting {
  readonly question: PasswordQuestion
  /** Of the verdict. */
  readonly digest: string
  readonly since: Milliseconds
  readonly askers: ((answer: PasswordAnswer) => void)[]
}

export class Passwords {
  readonly #options: PasswordsOptions
  readonly #thread: NonNullable<PasswordsOptions['thread']>
  readonly #attempts: FailedAttempts
  /** Of what is kept: a dump of the memory has no digest that can be guessed by. */
  readonly #seed = randomBytes(32)
  readonly #verdicts: OwnedLru<boolean>
  readonly #waiting = new Map<string, Waiting>()
  readonly #ofClient = new Map<string, number>()
  readonly #queue = new FairQueue()
  #busy = false
  #stopped = false

  constructor(options: PasswordsOptions) {
    const now = (): Milliseconds => options.time.monotonic()
    this.#options = options
    this.#thread = options.thread ?? new HashThread()
    this.#attempts = new FailedAttempts(now)
    this.#verdicts = new OwnedLru(VERDICT_BYTES, { monotonic: now })
  }

  /** A question of a worker. */
  ask(question: PasswordQuestion, answer: (answer: PasswordAnswer) => void): void {
    const { owner } = question
    const digest = this.#digest(question)
    const verdict = this.#verdicts.get(owner, digest)
    if (verdict !== undefined) return answer({ result: verdict ? 'right' : 'wrong' })
    const client = clientOf(question)
    const wait = this.#attempts.wait(owner, client)
    if (wait > 0) return answer({ result: 'limited', retryAfter: wait })
    const key = `${digest} ${client}`
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) return void waiting.askers.push(answer)
    const place = `${owner} ${client}`
    const own = this.#ofClient.get(place) ?? 0
    if (this.#waiting.size >= MAX_WAITING || own >= MAX_OF_CLIENT)
      return answer({ result: 'unavailable', detail: 'too many passwords wait for their check' })
    this.#ofClient.set(place, own + 1)
    const since = this.#options.time.monotonic()
    this.#waiting.set(key, { question, digest, since, askers: [answer] })
    this.#queue.add(owner, key)
    if (!this.#busy) void this.#run()
  }

  stop(): void {
    this.#stopped = true
    void this.#thread.stop()
  }

  async #run(): Promise<void> {
    this.#busy = true
    for (let next = this.#queue.take(); next !== undefined && !this.#stopped; next = this.#queue.take()) {
      const waiting = this.#waiting.get(next.key)!
      const answer = await this.#check(waiting)
      this.#waiting.delete(next.key)
      this.#leave(waiting.question)
      for (const tell of waiting.askers) tell(answer)
    }
    this.#busy = false
  }

  async #check({ question, digest, since }: Waiting): Promise<PasswordAnswer> {
    const { time } = this.#options
    const { owner, hash, password, decoy } = question
    if (time.monotonic() - since > ANSWER_WITHIN)
      return { result: 'unavailable', detail: 'the check of a password has not had its turn in time' }
    const client = clientOf(question)
    // Those before it in the queue may have been wrong.
    const wait = this.#attempts.wait(owner, client)
    if (wait > 0) return { result: 'limited', retryAfter: wait }
    try {
      const isRight = (await this.#thread.check(hash, password)) && !decoy
      if (!isRight) this.#attempts.failed(owner, client)
      this.#verdicts.set(owner, digest, isRight, VERDICT_ENTRY, isRight ? RIGHT_KEPT : WRONG_KEPT)
      return { result: isRight ? 'right' : 'wrong' }
    } catch (error) {
      this.#options.warn(`a password could not be checked: ${error instanceof Error ? error.message : String(error)}`)
      return { result: 'unavailable', detail: 'the thread that checks passwords has ended' }
    }
  }

  #leave(question: PasswordQuestion): void {
    const place = `${question.owner} ${clientOf(question)}`
    const left = this.#ofClient.get(place)! - 1
    if (left === 0) this.#ofClient.delete(place)
    else this.#ofClient.set(place, left)
  }

  /** Of name, hash and password: with another hash it is another verdict. */
  #digest({ scope, name, hash, password, decoy }: PasswordQuestion): string {
    return createHmac('sha256', this.#seed)
      .update(JSON.stringify([scope, name, hash, password, decoy]))
      .digest('base64url')
  }
}

function clientOf({ scope, client }: PasswordQuestion): string {
  return `${scope} ${client}`
}
