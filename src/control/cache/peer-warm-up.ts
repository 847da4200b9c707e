/**
 * A list of URLs that another replica works on: it gets some of them at a time, so that it holds little, and ends soon
 * where this replica does not ask any more.
 */
import type { ReplicaWarmUp, WarmUpProblem } from '../../admin/caches.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { countOf, listOf, recordOf, textOf } from './foreign.ts'
import type { ReplicaAnswer } from './replica-questions.ts'
import { PROBLEMS } from './warm-up.ts'
import type { WarmUpWork } from './warm-up-list.ts'

/** At a time. */
const PART = 250
const PART_BYTES = 256 * 1_024
const LOOK_EVERY: Milliseconds = 250
/** A control thread that is restarted answers again after a few seconds. */
const SILENT_FOR: Milliseconds = 10_000
/** Without another answer to a request: it may work on other lists before. */
const STANDS_FOR: Milliseconds = 600_000

/** Some of the list, which the key names: told twice it is worked on once. */
export interface WarmUpPart {
  readonly key: string
  /** None: how far it is is asked. */
  readonly urls: readonly string[]
  /** Requests a second. */
  readonly rate: number
}

/** What has become of it; `busy`: it works on as many lists as it may; `lost`: it does not know the key. */
export type PartState = ReplicaWarmUp | 'busy' | 'lost'

export interface PeerWarmUpEdges {
  readonly time: TimerClock
  /** Nobody else has it. */
  readonly newKey: () => string
  /** Never rejects. */
  readonly ask: (part: WarmUpPart) => Promise<ReplicaAnswer<PartState>>
}

const NOTHING = { requested: 0, hits: 0, stored: 0, others: 0, failed: 0 }
type Counts = Record<keyof typeof NOTHING, number>
const COUNTS = Object.keys(NOTHING) as (keyof Counts)[]

export class PeerWarmUp implements WarmUpWork {
  readonly replica: string
  fault: string | undefined
  readonly #urls: readonly string[]
  readonly #rate: number
  readonly #edges: PeerWarmUpEdges
  /** Of parts that are done. */
  #done: Counts = { ...NOTHING }
  #current: Counts = NOTHING
  readonly #problems: WarmUpProblem[] = []
  #over = false

  constructor(replica: string, urls: readonly string[], rate: number, edges: PeerWarmUpEdges) {
    this.replica = replica
    this.#urls = urls
    this.#rate = rate
    this.#edges = edges
    void this.#run()
  }

  get finished(): boolean {
    return this.#over
  }

  get view(): ReplicaWarmUp {
    const counts = Object.fromEntries(COUNTS.map((name) => [name, this.#done[name] + this.#current[name]])) as Counts
    const state = this.#over ? 'finished' : 'running'
    return { state, urls: this.#urls.length, ...counts, problems: this.#problems }
  }

  stop(): void {
    this.#over = true
  }

  async #run(): Promise<void> {
    for (let from = 0; from < this.#urls.length && !this.#over; ) {
      const urls = this.#partFrom(from)
      if (!(await this.#workOn({ key: this.#edges.newKey(), urls, rate: this.#rate }))) break
      from += urls.length
    }
    this.#over = true
  }

  #partFrom(from: number): readonly string[] {
    let bytes = 0
    const end = this.#urls.findIndex((url, i) => {
      if (i < from) return false
      bytes += Buffer.byteLength(url)
      return i - from === PART || (bytes > PART_BYTES && i > from)
    })
    return this.#urls.slice(from, end === -1 ? undefined : end)
  }

  /** @returns whether it is done */
  async #workOn(part: WarmUpPart): Promise<boolean> {
    const { time, ask } = this.#edges
    let told = false
    let heard = time.monotonic()
    let moved = heard
    while (!this.#over) {
      const said = await ask(told ? { ...part, urls: [] } : part)
      const answer = 'why' in said ? 'lost' : said.answer
      told = typeof answer !== 'string'
      const now = time.monotonic()
      if (answer !== 'lost') heard = now
      const final = 'why' in said && said.final === true
      if (final || now - heard > SILENT_FOR || now - moved > STANDS_FOR) {
        this.fault = 'why' in said ? said.why : 'it does not go on'
        return false
      }
      if (typeof answer !== 'string') {
        if (answer.requested !== this.#current.requested) moved = now
        this.#current = answer
        if (answer.state === 'finished') return this.#finish(answer)
      }
      await new Promise<void>((resolve) => time.after(LOOK_EVERY, resolve))
    }
    return false
  }

  #finish({ problems }: ReplicaWarmUp): true {
    for (const name of COUNTS) this.#done[name] += this.#current[name]
    this.#current = NOTHING
    this.#problems.push(...problems.slice(0, PROBLEMS - this.#problems.length))
    return true
  }
}

const MAX_KEY = 64
const MAX_URL = 8_192
const MAX_RATE = 1_000
const MAX_TEXT = 512

/** @returns undefined: it is none */
export function readPart(body: unknown): WarmUpPart | undefined {
  const value = recordOf(body)
  const key = textOf(value?.key, MAX_KEY)
  const urls = listOf(value?.urls, PART, (url) => textOf(url, MAX_URL))
  const rate = value?.rate
  if (key === undefined || urls === undefined || typeof rate !== 'number' || !(rate > 0 && rate <= MAX_RATE))
    return undefined
  return { key, urls, rate }
}

/** @returns undefined: it is none */
export function readPartState(body: unknown): PartState | undefined {
  if (body === 'busy' || body === 'lost') return body
  const value = recordOf(body)
  const counts = COUNTS.map((name) => [name, countOf(value?.[name])] as const)
  const problems = listOf(value?.problems, PROBLEMS, readProblem)
  const urls = countOf(value?.urls)
  if (problems === undefined || urls === undefined || counts.some(([, count]) => count === undefined)) return undefined
  const state = value?.state === 'finished' ? 'finished' : 'running'
  return { state, urls, ...(Object.fromEntries(counts) as Counts), problems }
}

function readProblem(body: unknown): WarmUpProblem | undefined {
  const value = recordOf(body)
  const url = textOf(value?.url, MAX_URL)
  const problem = textOf(value?.problem, MAX_TEXT)
  return url === undefined || problem === undefined ? undefined : { url, problem }
}
