/**
 * Of one kind, in one namespace or in all, those objects that something refers to: one by one, or by one watch where
 * they are many. Beside such a watch, new ones are again read one by one until there are many and enough time has
 * passed since the last list of all of them: whoever names ever new ones must neither have everything read all the
 * time, nor take the watches of others.
 */

import { KINDS, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Selection } from './client.ts'
import { Informer, type InformerContext, ListInformer } from './informer.ts'
import type { Ingested } from './ingest.ts'

export interface ReferencedScope {
  readonly kind: Kind
  /** None = all of them: subjects are then `namespace/name`, else names. */
  readonly namespace?: string
  /** So many are too many to be watched one by one. */
  readonly limit: number
}

/** Between the end of a list of all of them and the next: at least … */
const LEAST_PAUSE: Milliseconds = 1_000
/** … and so many times as long as it took, so that lists take a tenth of the time at most. */
const PAUSE_FACTOR = 9

export class ReferencedInformers {
  readonly #scope: ReferencedScope
  readonly #context: InformerContext
  readonly #singles = new Map<string, Informer>()
  /** For all subjects it was begun with. */
  #wide: ListInformer | undefined
  /** Will take over when it knows everything. */
  #next: ListInformer | undefined
  /** We may read single objects only: a choice of whoever wrote our role. */
  #refused = false
  #wanted: ReadonlySet<string> = new Set()
  #widenedAt: Milliseconds = 0
  /** No list of all of them before. */
  #notBefore: Milliseconds = Number.NEGATIVE_INFINITY
  #cancelWiden: (() => void) | undefined
  readonly #ending: (ended: Promise<void>) => void

  /** @param ending is told of every feed that comes to an end */
  constructor(scope: ReferencedScope, context: InformerContext, ending: (ended: Promise<void>) => void) {
    this.#scope = scope
    this.#context = context
    this.#ending = ending
  }

  *feeds(): Generator<Informer> {
    yield* this.#singles.values()
    if (this.#wide !== undefined) yield this.#wide
    if (this.#next !== undefined) yield this.#next
  }

  /** @param subjects see the scope; of a Service for EndpointSlices */
  want(subjects: ReadonlySet<string>): void {
    this.#wanted = subjects
    for (const [name, feed] of this.#singles) if (!subjects.has(name)) this.#endSingle(name, feed)
    this.#wide?.keepOnly(subjects)
    this.#next?.keepOnly(subjects)
    if (this.#wide?.subjects.size === 0) this.#wide = this.#end(this.#wide)
    if (this.#next?.subjects.size === 0) this.#next = this.#end(this.#next)
    const missing = [...subjects].filter((name) => !this.#covers(name))
    const many = this.#singles.size + missing.length >= this.#scope.limit
    if (this.#refused || !many) for (const name of missing) this.#single(name)
    else if (this.#next === undefined && this.#mayWiden()) this.#widen(subjects)
    else this.#singlesOfEach(missing)
  }

  /** Of each namespace some; the others wait for the next list. */
  #singlesOfEach(missing: readonly string[]): void {
    const counts = new Map<string, number>()
    for (const name of this.#singles.keys()) counts.set(placeIn(name), (counts.get(placeIn(name)) ?? 0) + 1)
    for (const name of missing) {
      const count = counts.get(placeIn(name)) ?? 0
      if (count >= this.#scope.limit) continue
      counts.set(placeIn(name), count + 1)
      this.#single(name)
    }
  }

  #mayWiden(): boolean {
    const wait = this.#notBefore - this.#context.time.monotonic()
    if (wait <= 0) return true
    this.#cancelWiden ??= this.#context.time.after(wait, () => {
      this.#cancelWiden = undefined
      this.want(this.#wanted)
    })
    return false
  }

  /** Begins no feed any more. */
  stop(): void {
    this.#cancelWiden?.()
  }

  /** A feed of these has moved. */
  moved(feed: Informer): void {
    if (feed !== this.#next || feed.state !== 'refused') return
    this.#refused = true
    this.#next = this.#end(this.#next)
    this.want(this.#wanted)
  }

  /** Whether all there is of a subject was told; of one that nobody asks for, nothing is. */
  knows(name: string): boolean {
    if (!this.#covers(name)) return !this.#wanted.has(name)
    if (this.#singles.get(name)?.state === 'synced') return true
    return this.#wide?.subjects.has(name) === true && this.#wide.state === 'synced'
  }

  #covers(name: string): boolean {
    return this.#singles.has(name) || this.#wide?.subjects.has(name) === true || this.#next?.subjects.has(name) === true
  }

  #single(subject: string): void {
    const { kind, namespace } = this.#scope
    const slash = subject.indexOf('/')
    const place = namespace ?? subject.slice(0, slash)
    const label = labelOf(kind, this.#context.table)
    const selection = selectionOf(label, namespace === undefined ? subject.slice(slash + 1) : subject)
    const feed = new Informer({ kind, namespace: place, selection }, this.#context)
    this.#singles.set(subject, feed)
    feed.start()
  }

  #widen(subjects: ReadonlySet<string>): void {
    const { kind, namespace } = this.#scope
    const scope = { kind, ...(namespace !== undefined && { namespace }) }
    const named = subjectOf(labelOf(kind, this.#context.table), namespace)
    const feed = new ListInformer(scope, this.#context, subjects, named, () => this.#takeOver(feed))
    this.#next = feed
    this.#widenedAt = this.#context.time.monotonic()
    feed.start()
  }

  #takeOver(feed: ListInformer): void {
    if (feed !== this.#next) return
    this.#next = undefined
    const now = this.#context.time.monotonic()
    this.#notBefore = now + Math.max(LEAST_PAUSE, PAUSE_FACTOR * (now - this.#widenedAt))
    if (this.#wide !== undefined) this.#end(this.#wide)
    this.#wide = feed
    for (const [name, single] of this.#singles) if (feed.subjects.has(name)) this.#endSingle(name, single)
    // Others may have come meanwhile.
    this.want(this.#wanted)
  }

  #endSingle(name: string, feed: Informer): void {
    this.#singles.delete(name)
    this.#end(feed)
  }

  #end(feed: Informer): undefined {
    this.#ending(feed.retire())
  }
}

/** The namespace of a subject that says it. */
function placeIn(subject: string): string {
  return subject.slice(0, subject.indexOf('/') + 1)
}

/** The label by which objects are selected; undefined where they are by name. */
function labelOf(kind: Kind, table: KindTable = KINDS): string | undefined {
  const read = table[kind]?.read
  return typeof read === 'object' ? read.label : undefined
}

function selectionOf(label: string | undefined, name: string): Selection {
  return label === undefined ? { fieldSelector: `metadata.name=${name}` } : { labelSelector: `${label}=${name}` }
}

function subjectOf(label: string | undefined, namespace: string | undefined): (object: Ingested) => string | undefined {
  const inPlace = ({ raw }: Ingested, name: string) =>
    namespace === undefined ? `${raw.metadata.namespace}/${name}` : name
  if (label === undefined) return (object) => inPlace(object, object.raw.metadata.name)
  return (object) => {
    const service = object.raw.metadata.labels?.[label]
    return typeof service === 'string' ? inPlace(object, service) : undefined
  }
}
