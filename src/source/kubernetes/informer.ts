/** One reflector and what is made of what it tells. */
import { isUrgent, KINDS, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { Lister, Selection } from './client.ts'
import type { DeltaQueue } from './delta-queue.ts'
import type { Ingested } from './ingest.ts'
import { Reflector } from './reflector.ts'
import type { Pacing, Trouble } from './reflector-options.ts'
import { type Resource, resourceOf } from './resources.ts'

/** What every feed of a source shares. */
export interface InformerContext {
  readonly client: Lister
  readonly deltaQueue: DeltaQueue
  readonly random: Random
  readonly time: TimerClock
  readonly pacing: Partial<Pacing>
  readonly watchList: boolean
  /** Default the table of kinds. */
  readonly table?: KindTable
  /** Something about the state of a feed is different. */
  moved(feed: Informer): void
  failed(error: unknown): void
}

export interface InformerScope {
  readonly kind: Kind
  /** None = all of them, or a kind that is in none. */
  readonly namespace?: string
  readonly selection?: Selection
}

/**
 * `starting`: it is not known what there is. `refused`: we may not know. `synced`: told, and kept up to date, perhaps
 * not at this moment.
 */
export type InformerState = 'starting' | 'refused' | 'synced'

export class Informer {
  readonly scope: InformerScope
  protected readonly context: InformerContext
  readonly resource: Resource
  readonly #reflector: Reflector
  #state: InformerState = 'starting'
  #trouble: Trouble | undefined

  constructor(scope: InformerScope, context: InformerContext, consistent = false) {
    this.scope = scope
    this.context = context
    this.resource = resourceOf(scope.kind, context.table ?? KINDS)
    this.#reflector = new Reflector({
      ...scope,
      resource: this.resource,
      client: context.client,
      random: context.random,
      time: context.time,
      pacing: context.pacing,
      watchList: context.watchList,
      urgent: isUrgent(scope.kind, context.table),
      consistent,
      handler: {
        upsert: (object) => this.upsert(object),
        delete: (key) => this.delete(key),
        synced: () => this.synced(),
        trouble: (trouble) => this.#troubled(trouble),
        failed: (error) => context.failed(error),
        pause: () => context.deltaQueue.pause(),
      },
    })
  }

  get state(): InformerState {
    return this.#state
  }

  get trouble(): Trouble | undefined {
    return this.#trouble
  }

  start(): void {
    this.#reflector.start()
  }

  hurry(): void {
    this.#reflector.hurry()
  }

  /** Tells nothing any more, and leaves what it told as it is. */
  stop(): Promise<void> {
    return this.#reflector.stop()
  }

  /** Ends because nobody needs it: what nobody else speaks for is gone. */
  retire(): Promise<void> {
    const ended = this.stop()
    for (const key of this.#reflector.known.keys()) this.context.deltaQueue.drop(this.scope.kind, key, this)
    return ended
  }

  protected upsert(object: Ingested): void {
    this.context.deltaQueue.put(this.scope.kind, object, this)
  }

  protected delete(key: string): void {
    this.context.deltaQueue.drop(this.scope.kind, key, this)
  }

  protected synced(): void {
    this.#state = 'synced'
    this.context.moved(this)
  }

  #troubled(trouble: Trouble | undefined): void {
    this.#trouble = trouble
    if (this.#state !== 'synced') this.#state = trouble?.error.status === 403 ? 'refused' : 'starting'
    this.context.moved(this)
  }
}

/**
 * All objects of a kind in a namespace, of which only some are wanted. Silent until it knows them all, so that it can
 * take over from feeds of single ones without a gap and without going back in time.
 */
export class ListInformer extends Informer {
  /** Those who are wanted; see {@link subjectOf}. May shrink. */
  readonly subjects: Set<string>
  readonly #subjectOf: (object: Ingested) => string | undefined
  readonly #ready: () => void
  /** Subject of each object that was told, by key. */
  readonly #told = new Map<string, string>()
  #waiting: Map<string, Ingested> | undefined = new Map()

  constructor(
    scope: InformerScope,
    context: InformerContext,
    subjects: Iterable<string>,
    subjectOf: (object: Ingested) => string | undefined,
    ready: () => void,
  ) {
    super(scope, context, true)
    this.subjects = new Set(subjects)
    this.#subjectOf = subjectOf
    this.#ready = ready
  }

  /** Those who are not wanted any more are gone. */
  keepOnly(subjects: ReadonlySet<string>): void {
    for (const subject of this.subjects) if (!subjects.has(subject)) this.subjects.delete(subject)
    for (const [key, subject] of this.#told) if (!this.subjects.has(subject)) this.#forget(key)
  }

  protected override upsert(object: Ingested): void {
    const subject = this.#subjectOf(object)
    if (subject === undefined || !this.subjects.has(subject)) this.delete(object.key)
    else if (this.#waiting !== undefined) this.#waiting.set(object.key, object)
    else {
      this.#told.set(object.key, subject)
      super.upsert(object)
    }
  }

  protected override delete(key: string): void {
    this.#waiting?.delete(key)
    this.#forget(key)
  }

  protected override synced(): void {
    const waiting = this.#waiting
    this.#waiting = undefined
    for (const object of waiting?.values() ?? []) this.upsert(object)
    this.#ready()
    super.synced()
  }

  #forget(key: string): void {
    if (this.#told.delete(key)) super.delete(key)
  }
}
