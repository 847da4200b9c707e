/**
 * The warm-up of one chain, outside of the linking: tried until it succeeds, each try within a bound, with pauses that
 * double. Only requests of its own policy set wait for it.
 */
import type { Milliseconds, Random, TimerClock } from '../lib/clock.ts'
import { guardedAbort } from '../policy/callback-guard.ts'
import { type Chain, warmUpChain } from '../policy/chain.ts'

/** How long the filters of one policy set may take to warm up, all together. */
export const WARM_UP: Milliseconds = 2_000
/** Pauses between two tries, before up to half of each is taken away by chance so that they spread out. */
export const FIRST_PAUSE: Milliseconds = 1_000
export const LONGEST_PAUSE: Milliseconds = 60_000
/** Requests that go on in one turn of the loop; those of other policy sets are served between two turns. */
export const RELEASED: number = 100

export interface WarmUpHost {
  readonly timers: Pick<TimerClock, 'after' | 'nextTurn'>
  readonly random: Random
  /** The first try has failed: once. */
  failed(error: unknown): void
  /** Nothing of it runs any more but the signal, which fires at {@link WarmUp.dispose}. */
  warm(): void
}

export class WarmUp {
  readonly #chain: Chain
  readonly #host: WarmUpHost
  readonly #waiting = new Set<() => void>()
  #failures = 0
  #disposed = false
  #controller: AbortController | null = null
  /** Cancels the bound of the try under way, or the pause before the next one. */
  #cancel: () => void = () => {}

  constructor(chain: Chain, host: WarmUpHost) {
    this.#chain = chain
    this.#host = host
  }

  /** Requests do not wait for another try: they are refused until one succeeds. */
  get failed(): boolean {
    return this.#failures > 0
  }

  /**
   * @param run called once the first try has succeeded or failed; must not throw
   * @returns cancels it
   */
  wait(run: () => void): () => void {
    this.#waiting.add(run)
    return () => void this.#waiting.delete(run)
  }

  /** Once. */
  start(): void {
    if (!this.#disposed) this.#try()
  }

  /** Nothing waits for it any more: the signal fires, and no other try follows. */
  dispose(): void {
    this.#disposed = true
    this.#cancel()
    this.#controller?.abort()
  }

  #try(): void {
    const controller = guardedAbort((error) => this.#chain.report('warm-up', error))
    this.#controller = controller
    this.#cancel = this.#host.timers.after(WARM_UP, () =>
      this.#fail(controller, new Error(`a filter was not ready within ${WARM_UP} ms`)),
    )
    warmUpChain(this.#chain, controller.signal)?.then(
      () => this.#succeed(controller),
      (error: unknown) => this.#fail(controller, error),
    )
  }

  /** The bound may have passed before, or the chain is gone. */
  #isOver(controller: AbortController): boolean {
    return this.#disposed || controller !== this.#controller || controller.signal.aborted
  }

  #succeed(controller: AbortController): void {
    if (this.#isOver(controller)) return
    this.#cancel()
    this.#host.warm()
    this.#release()
  }

  #fail(controller: AbortController, error: unknown): void {
    if (this.#isOver(controller)) return
    this.#cancel()
    this.#failures++
    const pause = Math.min(FIRST_PAUSE * 2 ** (this.#failures - 1), LONGEST_PAUSE)
    this.#cancel = this.#host.timers.after(pause * (1 - this.#host.random() / 2), () => this.#try())
    if (this.#failures === 1) this.#host.failed(error)
    controller.abort()
    this.#release()
  }

  #release(): void {
    for (const run of this.#waiting.values().take(RELEASED)) {
      this.#waiting.delete(run)
      run()
    }
    if (this.#waiting.size > 0) this.#host.timers.nextTurn(() => this.#release())
  }
}
