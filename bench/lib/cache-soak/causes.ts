/** Why requests of the soak fail: what was broken on purpose, where and when. What none of it explains is a fault. */
import type { Thing } from './world.ts'

/** What fails in a replica as a whole, in one of its workers, or in Redis. */
export type Fault = 'replica' | 'worker' | 'redis'

/** A request that has no whole answer, or one that says that it failed. */
export interface Trouble {
  /** What the client saw. */
  readonly what: string
  readonly replica: string
  readonly thing: Thing
  /** By the clock of the soak. */
  readonly asked: number
  readonly ended: number
  /** Whether the answer is the origin's own error. */
  readonly answered: boolean
}

interface Span {
  readonly fault: Fault
  /** The replica; '' of Redis. */
  readonly where: string
  readonly from: number
  to: number
}

/** Milliseconds: connections end, and threads are gone, a while after they were told to. */
const AFTER: Readonly<Record<Fault, number>> = { replica: 500, worker: 3_000, redis: 2_000 }
/** Milliseconds that an origin which was slow, or a client that reads slowly, may lie behind. */
const BEHIND = 15_000
/** Hosts whose bodies may come from Redis, piece by piece. */
const OF_REDIS = /tiered|redis/
const MOST_UNEXPLAINED = 50

export class Causes {
  readonly #clock: () => number
  readonly #spans: Span[] = []
  /** By the thing's URL, when. */
  readonly #cuts = new Map<string, number[]>()
  readonly #troubles: Trouble[] = []
  /** Of all replicas; no more than were told to. */
  threadsEnded = 0

  constructor(clock: () => number) {
    this.#clock = clock
  }

  /** Whatever fails while this runs, and a while after it, may be due to it. */
  async during(fault: Fault, where: string, work: () => Promise<void>): Promise<void> {
    const span: Span = { fault, where, from: this.#clock(), to: Number.POSITIVE_INFINITY }
    this.#spans.push(span)
    try {
      await work()
    } finally {
      span.to = this.#clock() + AFTER[fault]
    }
  }

  /** A replica has said that one of its threads is over, which it may be told of a while after. */
  threadEnded(where: string): void {
    const now = this.#clock()
    this.#spans.push({ fault: 'worker', where, from: now - AFTER.worker, to: now + AFTER.worker })
    this.threadsEnded++
  }

  /** The origin has broken a response off. */
  cut(thing: Thing): void {
    const cuts = this.#cuts.get(urlOf(thing))
    if (cuts === undefined) this.#cuts.set(urlOf(thing), [this.#clock()])
    else cuts.push(this.#clock())
  }

  trouble(trouble: Trouble): void {
    this.#troubles.push(trouble)
  }

  /** How many have which cause, and what has none. Faults that have not ended by now explain all since they began. */
  summary(): { readonly explained: Readonly<Record<string, number>>; readonly unexplained: readonly string[] } {
    const explained: Record<string, number> = {}
    const unexplained: string[] = []
    for (const trouble of this.#troubles) {
      const cause = this.#causeOf(trouble)
      if (cause !== undefined) explained[cause] = (explained[cause] ?? 0) + 1
      else if (unexplained.length < MOST_UNEXPLAINED) {
        const { what, replica, thing, asked, ended } = trouble
        const after = `${Math.round(ended - asked)} ms after it was asked for, ${this.#before(trouble)}`
        unexplained.push(`${replica} ${urlOf(thing)}: ${what}, ${after}`)
      }
    }
    return { explained, unexplained }
  }

  #causeOf({ replica, thing, asked, ended, answered }: Trouble): string | undefined {
    if (answered) return 'the origin said so'
    const of = (fault: Fault, where: string) =>
      this.#spans.some((span) => span.fault === fault && span.where === where && span.from <= ended && asked <= span.to)
    if (of('replica', replica)) return 'a replica was killed'
    if (of('worker', replica)) return 'a worker was ended'
    if (this.#cuts.get(urlOf(thing))?.some((at) => at <= ended && asked - BEHIND <= at)) return 'the origin cut it'
    return OF_REDIS.test(thing.host) && of('redis', '') ? 'Redis failed' : undefined
  }

  /** What was broken last before it, to look into. */
  #before({ ended }: Trouble): string {
    const last = this.#spans.findLast(({ from }) => from <= ended)
    if (last === undefined) return 'nothing was broken before it'
    return `${Math.round(ended - last.from)} ms after ${last.fault} ${last.where}`
  }
}

const urlOf = ({ host, path }: Thing): string => `${host}${path}`
