/** Requests for the metrics that the control thread has not answered yet. */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'

export interface MetricsExposition {
  readonly contentType: string
  readonly body: string
}

const TIMEOUT: Milliseconds = 4_000

export class MetricsRequests {
  readonly #time: TimerClock
  readonly #open = new Map<number, (exposition: MetricsExposition | undefined) => void>()
  #lastId = 0

  constructor(time: TimerClock) {
    this.#time = time
  }

  /** @param send to the control thread @returns undefined when it does not answer in time, or exits */
  request(send: (id: number) => void): Promise<MetricsExposition | undefined> {
    const id = ++this.#lastId
    return new Promise((resolve) => {
      const cancel = this.#time.after(TIMEOUT, () => this.answer(id, undefined))
      this.#open.set(id, (exposition) => {
        cancel()
        this.#open.delete(id)
        resolve(exposition)
      })
      send(id)
    })
  }

  answer(id: number, exposition: MetricsExposition | undefined): void {
    this.#open.get(id)?.(exposition)
  }

  /** The control thread has exited and answers nothing any more. */
  fail(): void {
    for (const id of [...this.#open.keys()]) this.answer(id, undefined)
  }
}
