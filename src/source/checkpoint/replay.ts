/**
 * What is remembered while it stands in for a source: told, confirmed by that source one by one, and what it does not
 * confirm taken back.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Kind } from '../../api/kinds.ts'
import type { Interest, SourceEvent } from '../source.ts'
import { type Checkpoint, type CheckpointObject, idOf } from './checkpoint.ts'

/** Whether whoever knows better would have told an object by now if it were there. */
export type IsGone = (kind: Kind, key: string, subject: string) => boolean

/** Looked at between two moments in which whoever goes through them may stop. */
const LOOKS = 128

export class CheckpointReplay {
  /** Not told: nothing refers to it. */
  readonly #untold: Map<string, CheckpointObject>
  /** Told, and by nobody else. */
  readonly #told = new Map<string, CheckpointObject>()
  #needed: ReadonlySet<string> = new Set()
  /** Objects that the source told otherwise than they were remembered. */
  different = 0
  /** Objects that were taken back. */
  gone = 0

  /** @param seen what the source has spoken of already, by {@link idOf} */
  constructor({ objects }: Checkpoint, seen: ReadonlySet<string>) {
    this.#untold = objects
    for (const id of seen) objects.delete(id)
  }

  /** Objects that are served from memory alone. */
  get size(): number {
    return this.#told.size
  }

  /** What is referred to from now on. */
  need(interest: Interest): void {
    const needed = new Set<string>()
    for (const [kind, keys] of interest) {
      if (keys.size > 0) needed.add(kind)
      for (const key of keys) needed.add(`${kind} ${key}`)
    }
    this.#needed = needed
  }

  /**
   * What the source tells, without what is known already. Each of the lists is for one call: an object that another of
   * the same name has replaced is deleted first, so that nothing of the older one serves on under its name.
   */
  accept(events: readonly SourceEvent[]): SourceEvent[][] {
    const replaced: SourceEvent[] = []
    const news: SourceEvent[] = []
    for (const event of events) {
      const id = idOf(event.kind, event.key)
      this.#untold.delete(id)
      const one = this.#told.get(id)
      this.#told.delete(id)
      if (one === undefined || event.type === 'delete') {
        news.push(event)
        continue
      }
      const text = JSON.stringify(event.raw)
      if (text === one.text) continue
      const before: unknown = JSON.parse(one.text)
      // An item of a list has its fields in another order than an event.
      if (isSame(before, JSON.parse(text))) continue
      this.different++
      if (uidOf(before) !== uidOf(event.raw)) replaced.push({ type: 'delete', kind: event.kind, key: event.key })
      news.push(event)
    }
    return [replaced, news].filter((list) => list.length > 0)
  }

  /** What is told in any case. Yields undefined where one may stop. */
  *tell(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, one] of pausing(this.#untold)) {
      if (id === undefined) yield undefined
      else if (one.need === undefined && !goneBy(isGone, one)) yield this.#tell(id, one)
    }
  }

  /** What is referred to now and was not before, and the other way round. */
  *meet(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, one] of pausing(this.#told)) {
      if (id === undefined) yield undefined
      else if (!this.#isNeeded(one)) {
        this.#told.delete(id)
        this.#untold.set(id, one)
        yield { type: 'delete', kind: one.kind, key: one.key }
      }
    }
    for (const [id, one] of pausing(this.#untold)) {
      if (id === undefined) yield undefined
      else if (one.need !== undefined && this.#isNeeded(one) && !goneBy(isGone, one)) yield this.#tell(id, one)
    }
  }

  /** What is gone, and what nobody refers to. */
  *forget(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, one] of pausing(this.#told)) {
      if (id === undefined) yield undefined
      else if (!this.#isNeeded(one) || goneBy(isGone, one)) {
        this.#told.delete(id)
        this.gone++
        yield { type: 'delete', kind: one.kind, key: one.key }
      }
    }
  }

  #isNeeded({ need }: CheckpointObject): boolean {
    return need === undefined || this.#needed.has(need)
  }

  #tell(id: string, one: CheckpointObject): SourceEvent {
    this.#untold.delete(id)
    this.#told.set(id, one)
    return { type: 'upsert', kind: one.kind, key: one.key, raw: JSON.parse(one.text), origin: { cluster: true } }
  }
}

type Look = readonly [id: undefined, one: undefined] | readonly [id: string, one: CheckpointObject]

/** All of them, with a stop now and then. Deleting while going through them is allowed. */
function* pausing(objects: ReadonlyMap<string, CheckpointObject>): Generator<Look> {
  let looks = 0
  for (const entry of objects) {
    yield entry
    if (++looks % LOOKS === 0) yield [undefined, undefined]
  }
}

function goneBy(isGone: IsGone, one: CheckpointObject): boolean {
  return isGone(one.kind, one.key, subjectOf(one))
}

/** Name of what refers to an object names: of a slice, its Service. */
function subjectOf({ kind, key, need }: CheckpointObject): string {
  const named = kind === 'EndpointSlice' && need !== undefined ? need : key
  return named.slice(named.indexOf('/') + 1)
}

/**
 * Of objects that are nested as deeply as an API server lets pass (10,000) nothing is known: the stack would not do.
 */
function isSame(a: unknown, b: unknown): boolean {
  try {
    return isDeepStrictEqual(a, b)
  } catch {
    return false
  }
}

function uidOf(raw: unknown): unknown {
  return (raw as { readonly metadata?: { readonly uid?: unknown } }).metadata?.uid
}
