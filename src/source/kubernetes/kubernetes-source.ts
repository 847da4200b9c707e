/** Resources from an API server: what Headgate's own kinds say, and of the others only what those refer to. */

import { isUrgent, KINDS, type Kind, type KindTable, referredKind } from '../../api/kinds.ts'
import { isLabel, isSubdomain } from '../../api/metadata.ts'
import type { Random, TimerClock } from '../../lib/clock.ts'
import type { ReadTrackingSource } from '../checkpoint/checkpointed-source.ts'
import type { Interest, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import type { Lister } from './client.ts'
import { DeltaQueue } from './delta-queue.ts'
import { Informer, type InformerContext } from './informer.ts'
import { clusterProblems } from './problems.ts'
import { ReferencedInformers } from './referenced-informers.ts'
import type { Pacing } from './reflector-options.ts'

export interface KubernetesOptions {
  /** Not closed by the source: others use it, too. */
  readonly client: Lister
  /** Of the API server, for messages. */
  readonly server: string
  /** Only these; none or empty = all. */
  readonly namespaces?: readonly string[]
  /** Whether Ingresses are read, too. Default no. */
  readonly ingresses?: boolean
  readonly random: Random
  readonly time: TimerClock
  /** A receiver of events has thrown. */
  readonly failed: (error: unknown) => void
  /** Objects of a kind in a namespace from which on one watch for all of them is used. Default 50. */
  readonly singles?: number
  /** Services from which on there is one watch for all of them, and one for their slices. Default 25. */
  readonly services?: number
  readonly pacing?: Partial<Pacing>
  /** See `Reflector`. Default no. */
  readonly watchList?: boolean
  /** Default the table of kinds. */
  readonly table?: KindTable
}

const SINGLES = 50
const SERVICES = 25

export class KubernetesSource implements ReadTrackingSource {
  readonly #options: KubernetesOptions
  readonly #only: ReadonlySet<string>
  readonly #deltaQueue: DeltaQueue
  readonly #context: InformerContext
  readonly #own: Informer[] = []
  /** By kind and namespace. */
  readonly #subjects = new Map<string, ReferencedInformers>()
  readonly #ending = new Set<Promise<void>>()
  /** Of kinds that are read as a whole once something refers to them. */
  readonly #collections = new Map<string, Informer>()
  readonly #table: KindTable
  #interest: Interest | undefined
  /** All own kinds were told for the first time: whatever they refer to is known, and how best to read it. */
  #settled = false
  #handler: SourceHandler | undefined
  #told: readonly SourceProblem[] = []
  #cancelLook: (() => void) | undefined
  #synced = false
  #stopped = false

  constructor(options: KubernetesOptions) {
    this.#options = options
    this.#table = options.table ?? KINDS
    this.#only = new Set(options.namespaces)
    const events = {
      changed: (events: Parameters<SourceHandler['changed']>[0]) => this.#handler?.changed(events),
      empty: () => this.#lookSoon(),
      failed: options.failed,
    }
    this.#deltaQueue = new DeltaQueue(events, options.time, options.table)
    const { client, random, time, pacing = {}, watchList = false, failed } = options
    const moved = (feed: Informer): void => this.#moved(feed)
    const table = this.#table
    this.#context = { client, deltaQueue: this.#deltaQueue, random, time, pacing, watchList, table, moved, failed }
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('a source is started once')
    this.#handler = handler
    const places = this.#only.size === 0 ? [undefined] : [...this.#only].sort()
    for (const [kind, row] of Object.entries(this.#table)) {
      if (row.read !== 'always' || (kind === 'Ingress' && this.#options.ingresses !== true)) continue
      for (const namespace of row.namespaced ? places : [undefined])
        this.#own.push(this.#feed(kind as Kind, namespace === undefined ? {} : { namespace }))
    }
    this.#lookSoon()
  }

  interest(interest: Interest): void {
    this.#interest = interest
    if (this.#settled && !this.#stopped) this.#meet(interest)
  }

  knows(kind: Kind, key: string, subject: string): boolean {
    if (this.#deltaQueue.holds(kind, key)) return false
    const namespace = key.slice(0, key.indexOf('/'))
    const own = this.#own.filter(({ scope }) => scope.kind === kind && (scope.namespace ?? namespace) === namespace)
    if (own.length > 0) return own.every(({ state }) => state === 'synced')
    if (this.#table[kind]?.read === 'collection') return (this.#collections.get(kind)?.state ?? 'synced') === 'synced'
    if (!this.#settled) return false
    const whole = this.#subjects.get(`${kind} `)
    if (whole !== undefined) return whole.knows(`${namespace}/${subject}`)
    return this.#subjects.get(`${kind} ${namespace}`)?.knows(subject) ?? true
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelLook?.()
    this.#deltaQueue.close()
    for (const subjects of this.#subjects.values()) subjects.stop()
    await Promise.all([...this.#feeds()].map((feed) => feed.stop()))
    await Promise.all(this.#ending)
  }

  /** Objects of a cluster stand nowhere that a person could open. */
  locate(): SourceLocation | undefined {
    return undefined
  }

  #feed(kind: Kind, scope: { readonly namespace?: string }): Informer {
    const feed = new Informer({ kind, ...scope }, this.#context)
    feed.start()
    return feed
  }

  *#feeds(): Generator<Informer> {
    yield* this.#own
    yield* this.#collections.values()
    for (const subjects of this.#subjects.values()) yield* subjects.feeds()
  }

  #meet(interest: Interest): void {
    const wanted = new Map<string, Map<string, Set<string>>>()
    for (const [kind, row] of Object.entries(this.#table)) {
      const keys = interest.get(referredKind(kind, row)) ?? []
      if (row.read === 'collection') this.#meetCollection(kind as Kind, interest.get(kind)?.size ?? 0)
      else if (row.read !== 'always') this.#group(kind as Kind, keys, wanted)
    }
    const none: ReadonlySet<string> = new Set()
    for (const [place, subjects] of this.#subjects) {
      const [kind = '', namespace = ''] = place.split(' ')
      if (wanted.get(kind)?.has(namespace) !== true) subjects.want(none)
    }
    for (const [kind, places] of wanted)
      for (const [namespace, names] of places) this.#subjectsOf(kind as Kind, namespace).want(names)
    this.#lookSoon()
  }

  #group(kind: Kind, keys: Iterable<string>, wanted: Map<string, Map<string, Set<string>>>): void {
    const places = new Map<string, Set<string>>()
    wanted.set(kind, places)
    const wide = this.#only.size === 0 && this.#mayBeWide(kind)
    for (const key of keys) {
      const slash = key.indexOf('/')
      const namespace = key.slice(0, slash)
      const name = key.slice(slash + 1)
      // It becomes part of a selector: no object has any other name, and one that cannot be read would hold up the
      // start.
      if (!isLabel(namespace) || !isSubdomain(name)) continue
      if (this.#only.size > 0 && !this.#only.has(namespace)) continue
      const place = wide ? '' : namespace
      const subject = wide ? key : name
      const subjects = places.get(place)
      if (subjects === undefined) places.set(place, new Set([subject]))
      else subjects.add(subject)
    }
  }

  #subjectsOf(kind: Kind, namespace: string): ReferencedInformers {
    const place = `${kind} ${namespace}`
    let subjects = this.#subjects.get(place)
    if (subjects === undefined) {
      const { singles = SINGLES, services = SERVICES } = this.#options
      const limit = this.#mayBeWide(kind) ? services : singles
      const scope = namespace === '' ? { kind, limit } : { kind, namespace, limit }
      subjects = new ReferencedInformers(scope, this.#context, (ended) => this.#remember(ended))
      this.#subjects.set(place, subjects)
    }
    return subjects
  }

  /**
   * Whether a watch of the whole cluster may be used; Secrets of namespaces that nothing refers to are none of our
   * business.
   */
  #mayBeWide(kind: Kind): boolean {
    return isUrgent(kind, this.#table) && this.#table[kind]?.payload === undefined
  }

  /** All, since a namespace is small, and the one that a label admits may not be named anywhere. */
  #meetCollection(kind: Kind, needed: number): void {
    const feed = this.#collections.get(kind)
    if (needed > 0 && feed === undefined) this.#collections.set(kind, this.#feed(kind, {}))
    else if (needed === 0 && feed !== undefined) {
      this.#collections.delete(kind)
      this.#remember(feed.retire())
    }
  }

  #remember(ended: Promise<void>): void {
    this.#ending.add(ended)
    void ended.finally(() => this.#ending.delete(ended))
  }

  #moved(feed: Informer): void {
    const { kind, namespace = '' } = feed.scope
    const subjects = this.#subjects.get(`${kind} ${namespace}`) ?? this.#subjects.get(`${kind} `)
    subjects?.moved(feed)
    // One that got through means that all can; a refusal has got through, too.
    if (feed.trouble === undefined || feed.trouble.error.status !== 0)
      for (const other of this.#feeds()) if (other !== feed) other.hurry()
    this.#lookSoon()
  }

  #lookSoon(): void {
    if (this.#stopped) return
    this.#cancelLook ??= this.#options.time.nextTurn(() => {
      this.#cancelLook = undefined
      this.#settle()
      this.#tellProblems()
      this.#tellSynced()
    })
  }

  /** To begin with what the first of many Routes refer to would be to read it one by one. */
  #settle(): void {
    if (this.#settled || this.#deltaQueue.size > 0) return
    if (this.#own.some((feed) => feed.state === 'starting' && feed.trouble === undefined)) return
    this.#settled = true
    if (this.#interest !== undefined) this.#meet(this.#interest)
  }

  #tellProblems(): void {
    const problems = clusterProblems(this.#feeds(), this.#options.server)
    if (JSON.stringify(problems) === JSON.stringify(this.#told)) return
    this.#told = problems
    this.#tell((handler) => handler.problems(problems))
  }

  /**
   * When all there is was told, but for what we may not read. Without any Route every request would be answered with
   * 404, which would be wrong: then it is not said.
   */
  #tellSynced(): void {
    if (this.#synced || this.#stopped || !this.#settled || this.#deltaQueue.size > 0) return
    if (!this.#own.some((feed) => feed.scope.kind === 'Route' && feed.state === 'synced')) return
    for (const feed of this.#feeds()) if (feed.state === 'starting') return
    this.#synced = true
    this.#tell((handler) => handler.synced())
  }

  #tell(call: (handler: SourceHandler) => void): void {
    if (this.#stopped || this.#handler === undefined) return
    try {
      call(this.#handler)
    } catch (error) {
      this.#options.failed(error)
    }
  }
}
