/** An informer: one reflector whose changes go into the delta queue. */
import { isUrgent, KINDS, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ListWatcher, Selection } from './client.ts'
import type { DeltaQueue } from './delta-queue.ts'
import type { Ingested } from './ingest.ts'
import { Reflector } from './reflector.ts'
import type { ReflectorFailure, ReflectorTimings } from './reflector-options.ts'
import { type ApiResource, resourceOf } from './resources.ts'

/** Dependencies that all informers of a source share. */
export interface InformerContext {
  readonly client: ListWatcher
  readonly deltaQueue: DeltaQueue
  readonly random: Random
  readonly time: TimerClock
  readonly pacing: Partial<ReflectorTimings>
  readonly watchList: boolean
  /** Default: the table of kinds. */
  readonly table?: KindTable
  /** The state or failure of an informer has changed. */
  stateChanged(informer: Informer): void
  handlerFailed(error: unknown): void
}

export interface InformerScope {
  readonly kind: Kind
  /** Absent = all namespaces, or a cluster-scoped kind. */
  readonly namespace?: string
  readonly selection?: Selection
}

/**
 * `starting`: it is not known what there is. `refused`: we may not know. `synced`: told, and kept up to date, perhaps
 * not at this moment.
 */
export type InformerState = 'starting' | 'forbidden' | 'synced'

export class Informer {
  readonly scope: InformerScope
  protected readonly context: InformerContext
  readonly resource: ApiResource
  readonly #reflector: Reflector
  #state: InformerState = 'starting'
  #trouble: ReflectorFailure | undefined

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
        failureChanged: (trouble) => this.#failureChanged(trouble),
        handlerFailed: (error) => context.handlerFailed(error),
        backpressure: () => context.deltaQueue.backpressure(),
      },
    })
  }

  get state(): InformerState {
    return this.#state
  }

  get failure(): ReflectorFailure | undefined {
    return this.#trouble
  }

  start(): void {
    this.#reflector.start()
  }

  retryNow(): void {
    this.#reflector.retryNow()
  }

  /** Stops without deleting the objects it delivered. */
  stop(): Promise<void> {
    return this.#reflector.stop()
  }

  /** Stops and deletes the objects that no other informer owns. */
  stopAndDelete(): Promise<void> {
    const ended = this.stop()
    for (const key of this.#reflector.store.keys()) this.context.deltaQueue.delete(this.scope.kind, key, this)
    return ended
  }

  protected upsert(object: Ingested): void {
    this.context.deltaQueue.upsert(this.scope.kind, object, this)
  }

  protected delete(key: string): void {
    this.context.deltaQueue.delete(this.scope.kind, key, this)
  }

  protected synced(): void {
    this.#state = 'synced'
    this.context.stateChanged(this)
  }

  #failureChanged(trouble: ReflectorFailure | undefined): void {
    this.#trouble = trouble
    if (this.#state !== 'synced') this.#state = trouble?.error.status === 403 ? 'forbidden' : 'starting'
    this.context.stateChanged(this)
  }
}

/**
 * Watches all objects of a kind in a namespace and delivers only the selected ones. Delivers nothing before its list is
 * complete, so that it replaces informers of single objects without a gap and without going back in time.
 */
export class ListInformer extends Informer {
  /** The selected subjects, see `subjectOf`. May shrink. */
  readonly subjects: Set<string>
  readonly #subjectOf: (object: Ingested) => string | undefined
  readonly #ready: () => void
  /** Subject of each delivered object, by key. */
  readonly #delivered = new Map<string, string>()
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

  /** Deletes the objects of all other subjects. */
  keepOnly(subjects: ReadonlySet<string>): void {
    for (const subject of this.subjects) if (!subjects.has(subject)) this.subjects.delete(subject)
    for (const [key, subject] of this.#delivered) if (!this.subjects.has(subject)) this.#forget(key)
  }

  protected override upsert(object: Ingested): void {
    const subject = this.#subjectOf(object)
    if (subject === undefined || !this.subjects.has(subject)) this.delete(object.key)
    else if (this.#waiting !== undefined) this.#waiting.set(object.key, object)
    else {
      this.#delivered.set(object.key, subject)
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
    if (this.#delivered.delete(key)) super.delete(key)
  }
}
