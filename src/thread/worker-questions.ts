/** What control asks of any worker, for people: its answer is waited for a little, as the worker may end before it. */
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { ToWorker } from './messages.ts'

export interface WorkerQuestionsEdges {
  readonly time: Pick<TimerClock, 'after'>
  /** Asks any worker. @returns false: there is none */
  readonly ask: (message: ToWorker) => boolean
}

const ANSWER_WITHIN: Milliseconds = 4_000

export class WorkerQuestions<Answer> {
  readonly #edges: WorkerQuestionsEdges
  readonly #asked = new Map<number, (answer: Answer | null) => void>()
  #last = 0

  constructor(edges: WorkerQuestionsEdges) {
    this.#edges = edges
  }

  /** @returns null: no worker answers */
  async ask(messageOf: (id: number) => ToWorker): Promise<Answer | null> {
    const { time, ask } = this.#edges
    const id = ++this.#last
    const { promise, resolve } = Promise.withResolvers<Answer | null>()
    this.#asked.set(id, resolve)
    const stop = time.after(ANSWER_WITHIN, () => resolve(null))
    if (!ask(messageOf(id))) resolve(null)
    const answer = await promise
    stop()
    this.#asked.delete(id)
    return answer
  }

  /** What a worker says; null: it cannot answer. One that comes too late is passed over. */
  answered(id: number, answer: Answer | null): void {
    this.#asked.get(id)?.(answer)
  }
}
