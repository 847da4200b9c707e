/** What follows from a write that failed: when to try again, this object or all, and what a person has to know. */
import { KINDS, resourceNameOf } from '../../api/kinds.ts'
import type { Milliseconds, Random } from '../../lib/clock.ts'
import type { ApiError } from '../../source/kubernetes/api-error.ts'
import { Backoff, DEFAULT_BACKOFF } from '../../source/kubernetes/backoff.ts'
import { namespaceOfId, type StatusTarget, statusTargetId } from './status-target.ts'

/** An object that the API server finds wrong will not be right soon. */
const REFUSED: Milliseconds = 300_000
/** Roles change by a person's hand. */
const FORBIDDEN: Milliseconds = 60_000
const CONFLICT: Milliseconds = 100
const MAX_CONFLICT: Milliseconds = 30_000
/** What the API server answers with 500 may be the object's own fault: it is too large with a status. */
const UNSTORABLE: Milliseconds = 800
/** So many of them, and none stored in between, are more likely to be the API server's. */
const MANY_UNSTORABLE = 128
const MAX_UNSTORABLE_PAUSE: Milliseconds = 1_000
/** More at once are not reported one by one. */
const MAX_REPORTED_UNSTORABLE = 8
/** Namespaces of which the log reports that writing there is forbidden. */
const MAX_REPORTED_FORBIDDEN = 8

export interface WriteFailure {
  /** Until this object is tried again. */
  readonly retry: Milliseconds
  /** Until any is. */
  readonly pause: Milliseconds
  /** The pause is for this namespace alone. */
  readonly alone: boolean
}

export class WriteFailures {
  readonly #random: Random
  readonly #problem: (message: string) => void
  readonly #outage: Backoff
  #away = false
  readonly #conflicts = new Map<string, number>()
  readonly #unstorable = new Map<string, number>()
  /** Namespaces of what could not be stored, since something was. */
  readonly #unstorableIn = new Set<string>()
  /** Since something was stored. */
  #unstorableInRow = 0
  readonly #refused = new Map<string, string>()
  /**
   * By kind and namespace, since a role may be bound in some namespaces only, and a tenant may take its own binding
   * away.
   */
  readonly #forbidden = new Map<string, Milliseconds>()

  constructor(random: Random, problem: (message: string) => void) {
    this.#random = random
    this.#problem = problem
    this.#outage = new Backoff(DEFAULT_BACKOFF, random)
  }

  succeeded(id: string): void {
    this.forget(id)
    this.#away = false
    this.#outage.reset()
    this.#unstorableInRow = 0
    this.#unstorableIn.clear()
  }

  forget(id: string): void {
    this.#conflicts.delete(id)
    this.#unstorable.delete(id)
    this.#refused.delete(id)
  }

  /** How long nothing of this kind may be written in the namespace of the object. */
  pauseOf(target: StatusTarget, now: Milliseconds): Milliseconds {
    const place = placeOf(target)
    const until = this.#forbidden.get(place)
    if (until === undefined || until > now) return until === undefined ? 0 : until - now
    this.#forbidden.delete(place)
    return 0
  }

  /** Another writer was faster, and the object was read again. @returns how long until it is tried again */
  conflict(id: string): Milliseconds {
    const count = this.#conflicts.get(id) ?? 0
    this.#conflicts.set(id, count + 1)
    return Math.min(CONFLICT * 2 ** count, MAX_CONFLICT) * (0.5 + this.#random())
  }

  failed(target: StatusTarget, error: ApiError, now: Milliseconds): WriteFailure {
    const id = statusTargetId(target)
    const { status, reason, message, retryAfter = 0 } = error
    if (status === 403 && reason === 'Forbidden') {
      const resource = `${resourceNameOf(KINDS[target.kind])}/status`
      const place = placeOf(target)
      if (!this.#forbidden.has(place) && this.#forbidden.size < MAX_REPORTED_FORBIDDEN)
        this.#problem(`may not write statuses: grant "patch" on ${resource} (and "get" on the objects); ${message}`)
      this.#forbidden.set(place, now + FORBIDDEN)
      return { retry: FORBIDDEN, pause: 0, alone: true }
    }
    // 401 is worth another try: credentials change.
    if (status >= 400 && status < 500 && status !== 401 && status !== 408 && status !== 429) {
      if (this.#refused.get(id) !== message) this.#problem(`the status of ${id} is refused: ${message} (${reason})`)
      this.#refused.set(id, message)
      return { retry: REFUSED, pause: 0, alone: true }
    }
    if (status === 500) return this.#cannotBeStored(id, message)
    if (!this.#away) this.#problem(`statuses cannot be written just now: ${message} (${reason})`)
    this.#away = true
    const pause = Math.max(this.#outage.next(), retryAfter)
    return { retry: pause, pause, alone: false }
  }

  /** Each waits longer and longer for itself: objects that cannot be stored must not delay the others. */
  #cannotBeStored(id: string, message: string): WriteFailure {
    const count = this.#unstorable.get(id) ?? 0
    this.#unstorable.set(id, count + 1)
    if (++this.#unstorableInRow <= MAX_REPORTED_UNSTORABLE && this.#refused.get(id) !== message)
      this.#problem(`the status of ${id} cannot be stored: ${message} (500)`)
    this.#refused.set(id, message)
    this.#unstorableIn.add(namespaceOfId(id))
    const retry = Math.min(UNSTORABLE * 2 ** count, REFUSED) * (0.5 + this.#random())
    const pressed = Math.min(this.#unstorableInRow, this.#unstorable.size) >= MANY_UNSTORABLE
    // Failures of one namespace alone are no failure of the API server: that namespace waits, the others go on.
    const alone = this.#unstorableIn.size === 1
    return { retry, pause: pressed ? this.#outage.next(MAX_UNSTORABLE_PAUSE) : 0, alone }
  }
}

function placeOf(target: StatusTarget): string {
  return `${target.kind} ${namespaceOfId(statusTargetId(target))}`
}
