/** A list of URLs in several replicas: each requests all of them, and this one drives those that work for it. */
import type { MissingReplica, ReplicaWarmUp, WarmUpView } from '../../admin/caches.ts'
import { reachOf } from './replica-questions.ts'
import { PROBLEMS } from './warm-up.ts'

/** What one replica makes of the list. */
export interface WarmUpWork {
  readonly replica: string
  /** Nothing more comes of it. */
  readonly finished: boolean
  readonly view: ReplicaWarmUp
  /** It does not go on, and why, as a clause; undefined: it does, or is done. */
  readonly fault: string | undefined
  stop(): void
}

export interface WarmUpListOptions {
  readonly id: string
  readonly works: readonly WarmUpWork[]
  /** Of the list. */
  readonly urls: number
  /** Replicas that cannot be asked. */
  readonly missing: readonly MissingReplica[]
  /** See `Addressees.complete`. */
  readonly complete: true | string
}

export class WarmUpList {
  readonly #options: WarmUpListOptions

  constructor(options: WarmUpListOptions) {
    this.#options = options
  }

  get finished(): boolean {
    return this.#options.works.every(({ finished }) => finished)
  }

  get view(): WarmUpView {
    const { id, works, urls, complete } = this.#options
    const views = works.map(({ replica, view: { problems, ...numbers } }) => ({ name: replica, ...numbers }))
    const sum = (name: 'requested' | 'hits' | 'stored' | 'others' | 'failed'): number =>
      views.reduce((total, view) => total + view[name], 0)
    const failed = works.flatMap(({ replica, fault }) => (fault === undefined ? [] : [{ name: replica, why: fault }]))
    const problems = works.flatMap(({ replica, view }) => view.problems.map((problem) => ({ replica, ...problem })))
    return {
      id,
      state: this.finished ? 'finished' : 'running',
      urls,
      requested: sum('requested'),
      hits: sum('hits'),
      stored: sum('stored'),
      others: sum('others'),
      failed: sum('failed'),
      problems: problems.slice(0, PROBLEMS),
      replicas: views,
      ...reachOf(works.length, [...this.#options.missing, ...failed], complete),
    }
  }

  stop(): void {
    for (const work of this.#options.works) work.stop()
  }
}
