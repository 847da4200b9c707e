/**
 * Services that something names since a moment ago and that the source has not read yet. What is compiled without them
 * would say, to people and to clients, that they do not exist; so it waits for them, but never for long: one that
 * cannot be read must not hold up everything else.
 */

import type { Milliseconds } from '../../lib/clock.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'

/** A list of one object takes some milliseconds. */
const PATIENCE: Milliseconds = 500
const EVERY: Milliseconds = 4

/**
 * For so long after a wait in vain there is none: for nobody, and much longer for the namespace whose Service it was.
 * Somebody who names ever new ones must not hold up everybody else.
 */
const OPEN: Milliseconds = 100
const OPEN_OF_NAMESPACE: Milliseconds = 10_000

/** In a row: what a source knows it tells in the turn after. */
const LOOKS = 2

export interface UnreadServicesOptions {
  /** Whether a Service and its slices were read. @param service `namespace/name` */
  readonly knows: (service: string) => boolean
  /** All of them were read, or it is not waited for any longer. */
  readonly done: () => void
  readonly now: () => Milliseconds
}

export class UnreadServices {
  readonly #options: UnreadServicesOptions
  /** With the number of looks at which each was known. */
  readonly #waiting = new Map<string, number>()
  #until: Milliseconds = 0
  #open: Milliseconds = 0
  readonly #openOf = new Map<string, Milliseconds>()
  #timer: NodeJS.Timeout | undefined

  constructor(options: UnreadServicesOptions) {
    this.#options = options
  }

  /** Whether something is waited for. */
  get busy(): boolean {
    return this.#waiting.size > 0
  }

  add(services: Iterable<string>): void {
    const idle = !this.busy
    const now = this.#options.now()
    if (idle && now < this.#open) return
    for (const [namespace, until] of this.#openOf) if (until <= now) this.#openOf.delete(namespace)
    for (const service of services)
      if (!this.#waiting.has(service) && !this.#openOf.has(namespaceOf(service))) this.#waiting.set(service, 0)
    if (!idle || !this.busy) return
    // Of a burst that goes on the first one counts.
    this.#until = now + PATIENCE
    this.#timer = setTimeout(() => this.#look(), EVERY)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#waiting.clear()
  }

  #look(): void {
    const { knows, done, now } = this.#options
    const late = now() >= this.#until
    for (const [service, before] of this.#waiting) {
      const looks = knows(service) ? before + 1 : 0
      if (late && looks === 0) this.#openOf.set(namespaceOf(service), now() + OPEN_OF_NAMESPACE)
      if (late || looks >= LOOKS) this.#waiting.delete(service)
      else this.#waiting.set(service, looks)
    }
    if (this.busy) this.#timer = setTimeout(() => this.#look(), EVERY)
    else {
      if (late) this.#open = now() + OPEN
      done()
    }
  }
}
