/**
 * Exchanges that no client waits for: those whose client has left, and those that a filter began. They hold places,
 * connections and memory as any other, so there are few of them, a namespace of Routes has as many as are left for the
 * others, and each is over within a time.
 */

/** An exchange, as far as it matters here. */
export interface Unattended {
  /** `namespace/name` of its Route. */
  readonly route: string
  /** When it is over, monotonic milliseconds. */
  unattendedUntil: number
  fail(error: unknown): void
}

/** Of one worker at a time. */
export const MOST_UNATTENDED = 256
/** Milliseconds that one takes at most, whatever was asked for. */
export const LONGEST_UNATTENDED = 10 * 60_000

export class UnattendedExchanges {
  readonly #all = new Set<Unattended>()
  readonly #byNamespace = new Map<string, number>()
  /** No filter begins one any more. */
  closed = false
  #over = false

  get size(): number {
    return this.#all.size
  }

  hasRoomFor(x: Unattended): boolean {
    return !this.#over && this.#of(x) < MOST_UNATTENDED - this.#all.size
  }

  /** Until it ends. @param time milliseconds @param now monotonic */
  add(x: Unattended, time: number, now: number): void {
    this.#all.add(x)
    this.#byNamespace.set(namespaceOf(x), this.#of(x) + 1)
    x.unattendedUntil = now + Math.min(time, LONGEST_UNATTENDED)
  }

  remove(x: Unattended): void {
    if (!this.#all.delete(x)) return
    const left = this.#of(x) - 1
    if (left === 0) this.#byNamespace.delete(namespaceOf(x))
    else this.#byNamespace.set(namespaceOf(x), left)
  }

  #of(x: Unattended): number {
    return this.#byNamespace.get(namespaceOf(x)) ?? 0
  }

  /** The thread is about to end: so do all of them, and no other follows. @param error how */
  end(error: unknown): void {
    this.closed = true
    this.#over = true
    for (const x of [...this.#all]) x.fail(error)
  }
}

function namespaceOf({ route }: Unattended): string {
  return route.slice(0, route.indexOf('/'))
}
