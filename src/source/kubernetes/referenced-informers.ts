/**
 * Reads the referenced objects of one kind in one namespace or in all: by one watch each, or by one common watch when
 * they are many. Objects referenced later again get single watches, until they are many and enough time has passed
 * since the last common list. Ever new references therefore neither cause constant lists nor exhaust the watches of
 * other namespaces.
 */

import { KINDS, type Kind, type KindTable } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Selection } from './client.ts'
import { Informer, type InformerContext, ListInformer } from './informer.ts'
import type { Ingested } from './ingest.ts'

export interface ReferencedScope {
  readonly kind: Kind
  /** Absent = all namespaces: subjects are then `namespace/name`, otherwise names. */
  readonly namespace?: string
  /** Number of objects from which one common watch is used. */
  readonly limit: number
}

/** Minimum interval between the end of a common list and the start of the next. */
const MIN_LIST_INTERVAL: Milliseconds = 1_000
/** The interval is also at least this multiple of the list's duration, so lists use a tenth of the time at most. */
const LIST_INTERVAL_FACTOR = 9

export class ReferencedInformers {
  readonly #scope: ReferencedScope
  readonly #context: InformerContext
  readonly #singles = new Map<string, Informer>()
  /** The common watch, for the subjects it was started with. */
  #list: ListInformer | undefined
  /** Replaces `#list` and single watches once it has synced. */
  #nextList: ListInformer | undefined
  /** The role permits single objects only. */
  #listForbidden = false
  #subjects: ReadonlySet<string> = new Set()
  #listStartedAt: Milliseconds = 0
  /** No common list starts before this. */
  #nextListAllowedAt: Milliseconds = Number.NEGATIVE_INFINITY
  #cancelListTimer: (() => void) | undefined
  readonly #stopping: (ended: Promise<void>) => void

  /** @param ending receives the promise of every informer that is being stopped */
  constructor(scope: ReferencedScope, context: InformerContext, ending: (ended: Promise<void>) => void) {
    this.#scope = scope
    this.#context = context
    this.#stopping = ending
  }

  *informers(): Generator<Informer> {
    yield* this.#singles.values()
    if (this.#list !== undefined) yield this.#list
    if (this.#nextList !== undefined) yield this.#nextList
  }

  /** @param subjects the referenced objects, see the scope; for EndpointSlices, their Services */
  setSubjects(subjects: ReadonlySet<string>): void {
    this.#subjects = subjects
    for (const [name, informer] of this.#singles) if (!subjects.has(name)) this.#stopSingle(name, informer)
    this.#list?.keepOnly(subjects)
    this.#nextList?.keepOnly(subjects)
    if (this.#list?.subjects.size === 0) this.#list = this.#stopInformer(this.#list)
    if (this.#nextList?.subjects.size === 0) this.#nextList = this.#stopInformer(this.#nextList)
    const missing = [...subjects].filter((name) => !this.#covers(name))
    const many = this.#singles.size + missing.length >= this.#scope.limit
    if (this.#listForbidden || !many) for (const name of missing) this.#startSingle(name)
    else if (this.#nextList === undefined && this.#mayStartList()) this.#startList(subjects)
    else this.#startSinglesByNamespace(missing)
  }

  /** Starts single watches up to the limit per namespace; the other subjects wait for the next list. */
  #startSinglesByNamespace(missing: readonly string[]): void {
    const counts = new Map<string, number>()
    for (const name of this.#singles.keys()) counts.set(namespaceOf(name), (counts.get(namespaceOf(name)) ?? 0) + 1)
    for (const name of missing) {
      const count = counts.get(namespaceOf(name)) ?? 0
      if (count >= this.#scope.limit) continue
      counts.set(namespaceOf(name), count + 1)
      this.#startSingle(name)
    }
  }

  #mayStartList(): boolean {
    const wait = this.#nextListAllowedAt - this.#context.time.monotonic()
    if (wait <= 0) return true
    this.#cancelListTimer ??= this.#context.time.after(wait, () => {
      this.#cancelListTimer = undefined
      this.setSubjects(this.#subjects)
    })
    return false
  }

  /** No informer is started any more. */
  stop(): void {
    this.#cancelListTimer?.()
  }

  /** Falls back to single watches when listing is forbidden. */
  stateChanged(informer: Informer): void {
    if (informer !== this.#nextList || informer.state !== 'forbidden') return
    this.#listForbidden = true
    this.#nextList = this.#stopInformer(this.#nextList)
    this.setSubjects(this.#subjects)
  }

  /** Whether the objects of a subject have been delivered; true for a subject that is not referenced. */
  hasSynced(name: string): boolean {
    if (!this.#covers(name)) return !this.#subjects.has(name)
    if (this.#singles.get(name)?.state === 'synced') return true
    return this.#list?.subjects.has(name) === true && this.#list.state === 'synced'
  }

  #covers(name: string): boolean {
    return (
      this.#singles.has(name) || this.#list?.subjects.has(name) === true || this.#nextList?.subjects.has(name) === true
    )
  }

  #startSingle(subject: string): void {
    const { kind, namespace } = this.#scope
    const slash = subject.indexOf('/')
    const home = namespace ?? subject.slice(0, slash)
    const label = labelOf(kind, this.#context.table)
    const selection = selectionOf(label, namespace === undefined ? subject.slice(slash + 1) : subject)
    const informer = new Informer({ kind, namespace: home, selection }, this.#context)
    this.#singles.set(subject, informer)
    informer.start()
  }

  #startList(subjects: ReadonlySet<string>): void {
    const { kind, namespace } = this.#scope
    const scope = { kind, ...(namespace !== undefined && { namespace }) }
    const named = subjectOf(labelOf(kind, this.#context.table), namespace)
    const informer = new ListInformer(scope, this.#context, subjects, named, () => this.#switchToList(informer))
    this.#nextList = informer
    this.#listStartedAt = this.#context.time.monotonic()
    informer.start()
  }

  #switchToList(informer: ListInformer): void {
    if (informer !== this.#nextList) return
    this.#nextList = undefined
    const now = this.#context.time.monotonic()
    this.#nextListAllowedAt = now + Math.max(MIN_LIST_INTERVAL, LIST_INTERVAL_FACTOR * (now - this.#listStartedAt))
    if (this.#list !== undefined) this.#stopInformer(this.#list)
    this.#list = informer
    for (const [name, single] of this.#singles) if (informer.subjects.has(name)) this.#stopSingle(name, single)
    // Subjects may have been added meanwhile.
    this.setSubjects(this.#subjects)
  }

  #stopSingle(name: string, informer: Informer): void {
    this.#singles.delete(name)
    this.#stopInformer(informer)
  }

  #stopInformer(informer: Informer): undefined {
    this.#stopping(informer.stopAndDelete())
  }
}

/** The namespace of a subject of the form `namespace/name`. */
function namespaceOf(subject: string): string {
  return subject.slice(0, subject.indexOf('/') + 1)
}

/** The label by which objects are selected; undefined for kinds selected by name. */
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
