/**
 * Backends none of whose addresses can be used, for reasons that last until a user corrects something: none of their
 * names can be resolved, or the dial guard refuses every address. What refers to them cannot serve. Pods that come and
 * go are no such reason.
 */
import type { Unreachable } from '../../compile/resource-set.ts'
import { type EndpointFacts, unreachableReason } from '../../compile/unreachable.ts'
import type { TimerClock } from '../../lib/clock.ts'
import { type FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'

export interface UnreachableBackendsOptions {
  readonly factsOf: (backend: string) => EndpointFacts
  /** All there are now: once for a burst, and only when it is another map. */
  readonly changed: (all: FrozenMap<Unreachable>) => void
  readonly time: Pick<TimerClock, 'nextTurn'>
}

export class UnreachableBackends {
  readonly #options: UnreachableBackendsOptions
  readonly #backends = new FrozenMapBuilder<Unreachable>()
  #reported = this.#backends.freeze()
  #cancel: (() => void) | undefined

  constructor(options: UnreachableBackendsOptions) {
    this.#options = options
  }

  /** Something about the endpoints of these may be different. */
  look(backends: Iterable<string>): void {
    for (const backend of backends) this.#note(backend, this.#options.factsOf(backend))
    this.#cancel ??= this.#options.time.nextTurn(() => {
      this.#cancel = undefined
      const all = this.#backends.freeze()
      if (all === this.#reported) return
      this.#reported = all
      this.#options.changed(all)
    })
  }

  stop(): void {
    this.#cancel?.()
  }

  #note(backend: string, facts: EndpointFacts): void {
    const now = unreachableReason(facts)
    const before = this.#backends.get(backend)
    if (now === undefined) this.forget(backend)
    else if (before?.reason !== now.reason || before.message !== now.message) this.#backends.set(backend, now)
  }

  forget(backend: string): void {
    if (this.#backends.has(backend)) this.#backends.delete(backend)
  }
}
