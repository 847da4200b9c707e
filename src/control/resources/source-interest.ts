/**
 * What a source that reads no more than it must is to read: what the newest objects name, whatever else may be wrong
 * with them, and what those name that are served, since the last good version of a broken one may name another. And
 * what of that it has not read yet.
 */
import { KINDS, type Kind, type KindTable, referencesOf, referredKind } from '../../api/kinds.ts'
import type { Reference } from '../../api/references.ts'
import { keyOfNode, kindOfNode, nodeId, type ReferenceGraph } from '../../compile/reference-graph.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import type { Source, SourceEvent } from '../../source/source.ts'
import { UnreadReferences } from './unread-references.ts'

export interface SourceInterestOptions {
  readonly source: Pick<Source, 'interest' | 'hasSynced'>
  /** Shared with ServedReferences. */
  readonly graph: ReferenceGraph
  /** Services needed in addition to those that objects refer to: `namespace/name`. */
  readonly guarded: () => Iterable<string>
  /** The awaited objects were read, or the wait timed out. */
  readonly done: () => void
  readonly time: TimerClock
  /** Default the table of kinds. */
  readonly table?: KindTable
}

/** Who refers to {@link SourceInterestOptions.guarded}. */
const INSTALLATION = 'Installation'

/**
 * Pause after a call of `source.interest`, as a multiple of what it took: at most a tenth of the time is spent there.
 * Bounded, since builds wait for it, and a thread that the machine did not run for seconds measures seconds.
 */
const PAUSE_FACTOR = 9
const MAX_PAUSE: Milliseconds = 250

export class SourceInterest {
  readonly #options: SourceInterestOptions
  readonly #table: KindTable
  readonly #unread: UnreadReferences
  #synced = false
  #notBefore: Milliseconds = 0
  #cancel: (() => void) | undefined

  constructor(options: SourceInterestOptions) {
    this.#options = options
    this.#table = options.table ?? KINDS
    const { done, time } = options
    this.#unread = new UnreadReferences({ hasRead: (object) => this.#hasRead(object), done, time })
  }

  /** Whether a recent reference is awaited. */
  get busy(): boolean {
    return this.#unread.busy || this.#cancel !== undefined
  }

  /**
   * In the turn that brings the events, before they are validated in slices: else the source would say that it has read
   * everything.
   */
  addEvents(events: readonly SourceEvent[]): void {
    const { graph } = this.#options
    for (const event of events) {
      const { kind, key } = event
      if (this.#table[kind]?.references === undefined) continue
      const references = event.type === 'delete' ? [] : referencesOf(kind, namespaceOf(key), event.raw, this.#table)
      graph.set(nodeId(kind, key), references, 'newest')
    }
    this.update()
  }

  /** What is served, or guarded, may be something else. */
  update(): void {
    const { source, graph, guarded, time } = this.#options
    if (source.interest === undefined) return
    graph.set(INSTALLATION, [...guarded()].map(serviceNamed), 'newest')
    if (!graph.interestChanged) return
    // Ever new references must not keep the source from reading.
    const start = time.monotonic()
    if (this.#synced && start < this.#notBefore) return this.#updateLater(this.#notBefore - start)
    this.#cancel?.()
    this.#cancel = undefined
    const added = graph.takeInterest() ?? []
    // At the start it is synced only when it has read them.
    if (this.#synced && source.hasSynced !== undefined) this.#unread.add(added)
    source.interest(graph.interest)
    const end = time.monotonic()
    this.#notBefore = end + Math.min(PAUSE_FACTOR * (end - start), MAX_PAUSE)
  }

  /** The source has synced. */
  synced(): void {
    this.#synced = true
  }

  stop(): void {
    this.#cancel?.()
    this.#unread.stop()
  }

  #updateLater(delay: Milliseconds): void {
    const { time, done } = this.#options
    this.#cancel ??= time.after(delay, () => {
      this.#cancel = undefined
      this.update()
      if (!this.busy) done()
    })
  }

  /** Whether the object and those that belong to it were read. */
  #hasRead(object: string): boolean {
    const key = keyOfNode(object)
    const kind = kindOfNode(object)
    const name = key.slice(key.indexOf('/') + 1)
    const { hasSynced } = this.#options.source
    for (const [one, row] of Object.entries(this.#table))
      if (referredKind(one, row) === kind && hasSynced?.call(this.#options.source, one as Kind, key, name) === false)
        return false
    return true
  }
}

function serviceNamed(key: string): Reference {
  const slash = key.indexOf('/')
  const [namespace, name] = [key.slice(0, slash), key.slice(slash + 1)]
  return { path: [], kind: 'Service', namespace, name, purpose: 'Guard' }
}
