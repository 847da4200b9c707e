/**
 * Objects that something names since a moment ago and that the source has not read yet. What is compiled without them
 * would say, to people and to clients, that they do not exist; so it waits for them, but never for long: one that
 * cannot be read must not hold up everything else.
 */

import { keyOfNode } from '../../compile/reference-graph.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

/** A list of one object takes some milliseconds. */
const PATIENCE: Milliseconds = 500
const EVERY: Milliseconds = 4

/**
 * For so long after a wait in vain there is none: for nobody, and much longer for the namespace whose object it was.
 * Somebody who names ever new ones must not hold up everybody else.
 */
const COOLDOWN: Milliseconds = 100
const OPEN_OF_NAMESPACE: Milliseconds = 10_000

/** Objects of a namespace that are waited for at a time; of one that names more, none. */
const MAX_OF_NAMESPACE = 1_024

/** Consecutive checks: a source delivers in the turn after it has read. */
const MAX_CHECKS = 2

export interface UnreadReferencesOptions {
  /** Whether an object, and what belongs to it, was read. @param object its `nodeId` */
  readonly hasRead: (object: string) => boolean
  /** All of them were read, or the wait timed out. */
  readonly done: () => void
  readonly time: TimerClock
}

export class UnreadReferences {
  readonly #options: UnreadReferencesOptions
  /** Awaited objects, with the number of checks that found them read. */
  readonly #waiting = new Map<string, number>()
  readonly #waitingOf = new Map<string, number>()
  #until: Milliseconds = 0
  #open: Milliseconds = 0
  readonly #openOf = new Map<string, Milliseconds>()
  #cancel: (() => void) | undefined

  constructor(options: UnreadReferencesOptions) {
    this.#options = options
  }

  /** Whether an object is awaited. */
  get busy(): boolean {
    return this.#waiting.size > 0
  }

  add(objects: Iterable<string>): void {
    const idle = !this.busy
    const now = this.#options.time.monotonic()
    if (idle && now < this.#open) return
    for (const [namespace, until] of this.#openOf) if (until <= now) this.#openOf.delete(namespace)
    for (const object of objects) this.#wait(object, now)
    if (!idle || !this.busy) return
    // In a continuing burst the first reference sets the deadline.
    this.#until = now + PATIENCE
    this.#cancel = this.#options.time.after(EVERY, () => this.#look())
  }

  stop(): void {
    this.#cancel?.()
    this.#waiting.clear()
    this.#waitingOf.clear()
  }

  #wait(object: string, now: Milliseconds): void {
    const namespace = namespaceOf(keyOfNode(object))
    if (this.#waiting.has(object) || this.#openOf.has(namespace)) return
    const count = (this.#waitingOf.get(namespace) ?? 0) + 1
    this.#waitingOf.set(namespace, count)
    this.#waiting.set(object, 0)
    if (count <= MAX_OF_NAMESPACE) return
    this.#openOf.set(namespace, now + OPEN_OF_NAMESPACE)
    for (const other of this.#waiting.keys())
      if (namespaceOf(keyOfNode(other)) === namespace) this.#waiting.delete(other)
    this.#waitingOf.delete(namespace)
  }

  #forget(object: string): void {
    const namespace = namespaceOf(keyOfNode(object))
    const count = (this.#waitingOf.get(namespace) ?? 0) - 1
    if (count > 0) this.#waitingOf.set(namespace, count)
    else this.#waitingOf.delete(namespace)
    this.#waiting.delete(object)
  }

  #look(): void {
    const { hasRead: knows, done, time } = this.#options
    const now = time.monotonic()
    const late = now >= this.#until
    for (const [object, before] of this.#waiting) {
      const looks = knows(object) ? before + 1 : 0
      if (late && looks === 0) this.#openOf.set(namespaceOf(keyOfNode(object)), now + OPEN_OF_NAMESPACE)
      if (late || looks >= MAX_CHECKS) this.#forget(object)
      else this.#waiting.set(object, looks)
    }
    if (this.busy) this.#cancel = this.#options.time.after(EVERY, () => this.#look())
    else {
      if (late) this.#open = now + COOLDOWN
      done()
    }
  }
}
