/**
 * The embedded store of token issuers as a worker has it: the control thread owns it and is asked by message. Where
 * that thread is away or busy the calls fail, and their requests are answered with 503: whether a step was made is then
 * not known, and it may be asked for again.
 */
import {
  type Grant,
  type GrantAnswer,
  type GrantFamily,
  type GrantOwner,
  type GrantRequest,
  type GrantStore,
  GrantStoreFailure,
  type Rotation,
  type RotationRequest,
} from '../auth/grant-store.ts'
import type { Milliseconds, Random, TimerClock } from '../lib/clock.ts'

/** A request of a client waits no longer. */
export const ANSWER_WITHIN: Milliseconds = 2_000
/** Clients begin at another number each. */
const FIRST_ID = 2 ** 52
/** Calls under way; each is some 300 bytes. */
const MAX_CALLS = 1_024

interface Call {
  readonly done: (answer: GrantAnswer) => void
  readonly cancel: () => void
}

export class GrantClient implements GrantStore {
  readonly #time: Pick<TimerClock, 'after'>
  readonly #send: (id: number, request: GrantRequest) => void
  readonly #calls = new Map<number, Call>()
  #last: number

  /** @param send ids are of this client alone: an answer for a worker that this one replaces is nobody's */
  constructor(time: Pick<TimerClock, 'after'>, random: Random, send: (id: number, request: GrantRequest) => void) {
    this.#time = time
    this.#send = send
    this.#last = Math.floor(random() * FIRST_ID)
  }

  answered(id: number, answer: GrantAnswer): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#calls.delete(id)
    call.cancel()
    call.done(answer)
  }

  /** Another control thread: what the one before was asked is not answered any more. */
  forget(): void {
    for (const id of [...this.#calls.keys()]) this.answered(id, { failure: 'the control thread ended meanwhile' })
  }

  begin(owner: GrantOwner, family: string, grant: Grant, digest: string, life: Milliseconds): Promise<boolean> {
    return this.#ask({ call: 'begin', owner, family, grant, digest, life })
  }

  find(owner: GrantOwner, family: string): Promise<GrantFamily | undefined> {
    return this.#ask({ call: 'find', owner, family })
  }

  rotate(owner: GrantOwner, rotation: RotationRequest): Promise<Rotation> {
    return this.#ask({ call: 'rotate', owner, rotation })
  }

  revoke(owner: GrantOwner, family: string): Promise<void> {
    return this.#ask({ call: 'revoke', owner, family })
  }

  mark(owner: GrantOwner, mark: string, client: string, life: Milliseconds): Promise<'first' | 'again' | 'full'> {
    return this.#ask({ call: 'mark', owner, mark, client, life })
  }

  isMarked(owner: GrantOwner, mark: string): Promise<boolean> {
    return this.#ask({ call: 'isMarked', owner, mark })
  }

  #ask<T>(request: GrantRequest): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    if (this.#calls.size >= MAX_CALLS) {
      reject(new GrantStoreFailure('too many calls of the store are under way'))
      return promise
    }
    const id = ++this.#last
    const cancel = this.#time.after(ANSWER_WITHIN, () =>
      this.answered(id, { failure: 'the control thread has not answered in time' }),
    )
    const done = (answer: GrantAnswer): void => {
      if ('failure' in answer) reject(new GrantStoreFailure(answer.failure))
      else resolve(answer.value as T)
    }
    this.#calls.set(id, { done, cancel })
    this.#send(id, request)
    return promise
  }
}
