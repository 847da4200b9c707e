/** Reads resources from an API server: all objects of Headgate's kinds, and the objects they refer to. */

import { isUrgent, KINDS, type Kind, type KindTable, referredKind } from '../../api/kinds.ts'
import { isLabel, isSubdomain } from '../../api/metadata.ts'
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ReadTrackingSource } from '../checkpoint/checkpointed-source.ts'
import type { Interest, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import type { ListWatcher } from './client.ts'
import { DeltaQueue } from './delta-queue.ts'
import { Informer, type InformerContext } from './informer.ts'
import { clusterProblems } from './problems.ts'
import { ReferencedInformers } from './referenced-informers.ts'
import type { ReflectorTimings } from './reflector-options.ts'

export interface KubernetesOptions {
  /** Shared, and therefore not closed by the source. */
  readonly client: ListWatcher
  /** Address of the API server, for messages. */
  readonly server: string
  /** Namespaces to read; absent or empty = all. */
  readonly namespaces?: readonly string[]
  /** Whether a referenced object is read in a namespace that is not among these: one that the operator names. */
  readonly beyond?: (kind: Kind, key: string) => boolean
  /** Whether Ingresses are read. Default: no. */
  readonly ingresses?: boolean
  readonly random: Random
  readonly time: TimerClock
  /** The handler has thrown. */
  readonly handlerFailed: (error: unknown) => void
  /** Referenced objects per kind and namespace from which one common watch is used. Default: 50. */
  readonly maxSingleWatches?: number
  /** Referenced Services from which one common watch is used for them, and one for their slices. Default: 25. */
  readonly maxServiceWatches?: number
  readonly pacing?: Partial<ReflectorTimings>
  /** See `ReflectorOptions`. Default: no. */
  readonly watchList?: boolean
  /** Default: the table of kinds. */
  readonly table?: KindTable
}

const MAX_SINGLE_WATCHES = 50
const MAX_SERVICE_WATCHES = 25

export class KubernetesSource implements ReadTrackingSource {
  readonly #options: KubernetesOptions
  readonly #namespaces: ReadonlySet<string>
  readonly #deltaQueue: DeltaQueue
  readonly #context: InformerContext
  readonly #alwaysRead: Informer[] = []
  /** By kind and namespace. */
  readonly #referenced = new Map<string, ReferencedInformers>()
  readonly #stopping = new Set<Promise<void>>()
  /** Informers of kinds that are read completely once an object of them is referenced. */
  readonly #collections = new Map<string, Informer>()
  readonly #table: KindTable
  #interest: Interest | undefined
  /** All kinds that are always read have been delivered, so the references are complete. */
  #alwaysReadSynced = false
  #handler: SourceHandler | undefined
  #reportedProblems: readonly SourceProblem[] = []
  #cancelReview: (() => void) | undefined
  #synced = false
  #stopped = false

  constructor(options: KubernetesOptions) {
    this.#options = options
    this.#table = options.table ?? KINDS
    this.#namespaces = new Set(options.namespaces)
    const events = {
      changed: (events: Parameters<SourceHandler['changed']>[0]) => this.#handler?.changed(events),
      drained: () => this.#scheduleReview(),
      handlerFailed: options.handlerFailed,
    }
    this.#deltaQueue = new DeltaQueue(events, options.time, options.table)
    const { client, random, time, pacing = {}, watchList = false, handlerFailed } = options
    const stateChanged = (informer: Informer): void => this.#informerChanged(informer)
    const table = this.#table
    this.#context = {
      client,
      deltaQueue: this.#deltaQueue,
      random,
      time,
      pacing,
      watchList,
      table,
      stateChanged,
      handlerFailed,
    }
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('a source is started once')
    this.#handler = handler
    const places = this.#namespaces.size === 0 ? [undefined] : [...this.#namespaces].sort()
    for (const [kind, row] of Object.entries(this.#table)) {
      if (row.read !== 'always' || (kind === 'Ingress' && this.#options.ingresses !== true)) continue
      for (const namespace of row.namespaced ? places : [undefined])
        this.#alwaysRead.push(this.#startInformer(kind as Kind, namespace === undefined ? {} : { namespace }))
    }
    this.#scheduleReview()
  }

  interest(interest: Interest): void {
    this.#interest = interest
    if (this.#alwaysReadSynced && !this.#stopped) this.#applyInterest(interest)
  }

  hasSynced(kind: Kind, key: string, subject: string): boolean {
    if (this.#deltaQueue.has(kind, key)) return false
    const namespace = key.slice(0, key.indexOf('/'))
    const own = this.#alwaysRead.filter(
      ({ scope }) => scope.kind === kind && (scope.namespace ?? namespace) === namespace,
    )
    if (own.length > 0) return own.every(({ state }) => state === 'synced')
    if (this.#table[kind]?.read === 'collection') return (this.#collections.get(kind)?.state ?? 'synced') === 'synced'
    if (!this.#alwaysReadSynced) return false
    const whole = this.#referenced.get(`${kind} `)
    if (whole !== undefined) return whole.hasSynced(`${namespace}/${subject}`)
    return this.#referenced.get(`${kind} ${namespace}`)?.hasSynced(subject) ?? true
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelReview?.()
    this.#deltaQueue.close()
    for (const subjects of this.#referenced.values()) subjects.stop()
    await Promise.all([...this.#informers()].map((informer) => informer.stop()))
    await Promise.all(this.#stopping)
  }

  /** Objects of a cluster have no file location. */
  locate(): SourceLocation | undefined {
    return undefined
  }

  #startInformer(kind: Kind, scope: { readonly namespace?: string }): Informer {
    const informer = new Informer({ kind, ...scope }, this.#context)
    informer.start()
    return informer
  }

  *#informers(): Generator<Informer> {
    yield* this.#alwaysRead
    yield* this.#collections.values()
    for (const subjects of this.#referenced.values()) yield* subjects.informers()
  }

  #applyInterest(interest: Interest): void {
    const wanted = new Map<string, Map<string, Set<string>>>()
    for (const [kind, row] of Object.entries(this.#table)) {
      const keys = interest.get(referredKind(kind, row)) ?? []
      if (row.read === 'collection') this.#applyCollectionInterest(kind as Kind, interest.get(kind)?.size ?? 0)
      else if (row.read !== 'always') this.#groupByNamespace(kind as Kind, keys, wanted)
    }
    const none: ReadonlySet<string> = new Set()
    for (const [place, subjects] of this.#referenced) {
      const [kind = '', namespace = ''] = place.split(' ')
      if (wanted.get(kind)?.has(namespace) !== true) subjects.setSubjects(none)
    }
    for (const [kind, places] of wanted)
      for (const [namespace, names] of places) this.#referencedIn(kind as Kind, namespace).setSubjects(names)
    this.#scheduleReview()
  }

  #groupByNamespace(kind: Kind, keys: Iterable<string>, wanted: Map<string, Map<string, Set<string>>>): void {
    const places = new Map<string, Set<string>>()
    wanted.set(kind, places)
    const wide = this.#namespaces.size === 0 && this.#canWatchCluster(kind)
    for (const key of keys) {
      const slash = key.indexOf('/')
      const namespace = key.slice(0, slash)
      const name = key.slice(slash + 1)
      // The name becomes part of a selector. An invalid name matches no object, and waiting for it would block the
      // start.
      if (!isLabel(namespace) || !isSubdomain(name)) continue
      if (this.#namespaces.size > 0 && !this.#namespaces.has(namespace) && !this.#options.beyond?.(kind, key)) continue
      const place = wide ? '' : namespace
      const subject = wide ? key : name
      const subjects = places.get(place)
      if (subjects === undefined) places.set(place, new Set([subject]))
      else subjects.add(subject)
    }
  }

  #referencedIn(kind: Kind, namespace: string): ReferencedInformers {
    const place = `${kind} ${namespace}`
    let subjects = this.#referenced.get(place)
    if (subjects === undefined) {
      const { maxSingleWatches: singles = MAX_SINGLE_WATCHES, maxServiceWatches: services = MAX_SERVICE_WATCHES } =
        this.#options
      const limit = this.#canWatchCluster(kind) ? services : singles
      const scope = namespace === '' ? { kind, limit } : { kind, namespace, limit }
      subjects = new ReferencedInformers(scope, this.#context, (ended) => this.#awaitStop(ended))
      this.#referenced.set(place, subjects)
    }
    return subjects
  }

  /**
   * Whether a cluster-wide watch may be used. Kinds with contents (Secrets) are read in referenced namespaces only.
   */
  #canWatchCluster(kind: Kind): boolean {
    return isUrgent(kind, this.#table) && this.#table[kind]?.payload === undefined
  }

  /** Reads all objects: they are small, and an object admitted by its labels need not be named anywhere. */
  #applyCollectionInterest(kind: Kind, needed: number): void {
    const informer = this.#collections.get(kind)
    if (needed > 0 && informer === undefined) this.#collections.set(kind, this.#startInformer(kind, {}))
    else if (needed === 0 && informer !== undefined) {
      this.#collections.delete(kind)
      this.#awaitStop(informer.stopAndDelete())
    }
  }

  #awaitStop(ended: Promise<void>): void {
    this.#stopping.add(ended)
    void ended.finally(() => this.#stopping.delete(ended))
  }

  #informerChanged(informer: Informer): void {
    const { kind, namespace = '' } = informer.scope
    const subjects = this.#referenced.get(`${kind} ${namespace}`) ?? this.#referenced.get(`${kind} `)
    subjects?.stateChanged(informer)
    // One response, even an error, shows that the server is available again for all informers.
    if (informer.failure === undefined || informer.failure.error.status !== 0)
      for (const other of this.#informers()) if (other !== informer) other.retryNow()
    this.#scheduleReview()
  }

  #scheduleReview(): void {
    if (this.#stopped) return
    this.#cancelReview ??= this.#options.time.nextTurn(() => {
      this.#cancelReview = undefined
      this.#startReferenced()
      this.#reportProblems()
      this.#reportSynced()
    })
  }

  /** Waits for all Routes before it reads references: otherwise the first ones would be read by single watches. */
  #startReferenced(): void {
    if (this.#alwaysReadSynced || this.#deltaQueue.size > 0) return
    if (this.#alwaysRead.some((informer) => informer.state === 'starting' && informer.failure === undefined)) return
    this.#alwaysReadSynced = true
    if (this.#interest !== undefined) this.#applyInterest(this.#interest)
  }

  #reportProblems(): void {
    const problems = clusterProblems(this.#informers(), this.#options.server)
    if (JSON.stringify(problems) === JSON.stringify(this.#reportedProblems)) return
    this.#reportedProblems = problems
    this.#notify((handler) => handler.problems(problems))
  }

  /**
   * Reports the sync once all readable objects have been delivered. While Routes cannot be read it is withheld, since
   * every request would be answered with 404.
   */
  #reportSynced(): void {
    if (this.#synced || this.#stopped || !this.#alwaysReadSynced || this.#deltaQueue.size > 0) return
    if (!this.#alwaysRead.some((informer) => informer.scope.kind === 'Route' && informer.state === 'synced')) return
    for (const informer of this.#informers()) if (informer.state === 'starting') return
    this.#synced = true
    this.#notify((handler) => handler.synced())
  }

  #notify(call: (handler: SourceHandler) => void): void {
    if (this.#stopped || this.#handler === undefined) return
    try {
      call(this.#handler)
    } catch (error) {
      this.#options.handlerFailed(error)
    }
  }
}
