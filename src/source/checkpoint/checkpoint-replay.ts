/**
 * The objects of a checkpoint while they are served instead of a source: emits them, drops each one once the source
 * reports it, and removes those that the source does not report.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Kind } from '../../api/kinds.ts'
import type { Interest, SourceEvent } from '../source.ts'
import { type Checkpoint, type CheckpointObject, objectId } from './checkpoint.ts'

/** Whether the source would have reported an object by now if it existed. */
export type IsGone = (kind: Kind, key: string, subject: string) => boolean

/** Objects visited between two yields. */
const YIELD_INTERVAL = 128

export class CheckpointReplay {
  /** Not emitted: nothing refers to them. */
  readonly #pending: Map<string, CheckpointObject>
  /** Emitted, and not reported by the source yet. */
  readonly #emitted = new Map<string, CheckpointObject>()
  #references: ReadonlySet<string> = new Set()
  /** Objects that the source reported with a different content. */
  changedCount = 0
  /** Objects that were removed because the source does not have them. */
  removedCount = 0

  /** @param reported objects that the source has reported already, by {@link objectId} */
  constructor({ objects }: Checkpoint, reported: ReadonlySet<string>) {
    this.#pending = objects
    for (const id of reported) objects.delete(id)
  }

  /** Number of objects served from the checkpoint only. */
  get size(): number {
    return this.#emitted.size
  }

  /** Sets the objects that are referred to; {@link applyReferences} emits the difference. */
  setReferences(interest: Interest): void {
    const references = new Set<string>()
    for (const [kind, keys] of interest) {
      if (keys.size > 0) references.add(kind)
      for (const key of keys) references.add(`${kind} ${key}`)
    }
    this.#references = references
  }

  /**
   * Filters the source's events: drops those that equal the emitted objects. Each list is for one call of the handler.
   * An object that was replaced by another one of the same name is deleted first, so that no state of the old one
   * applies to the new one.
   */
  merge(events: readonly SourceEvent[]): SourceEvent[][] {
    const deletions: SourceEvent[] = []
    const changes: SourceEvent[] = []
    for (const event of events) {
      const id = objectId(event.kind, event.key)
      this.#pending.delete(id)
      const object = this.#emitted.get(id)
      this.#emitted.delete(id)
      if (object === undefined || event.type === 'delete') {
        changes.push(event)
        continue
      }
      const text = JSON.stringify(event.raw)
      if (text === object.text) continue
      const before: unknown = JSON.parse(object.text)
      // The items of a list have their fields in a different order than events of a watch.
      if (isSame(before, JSON.parse(text))) continue
      this.changedCount++
      if (uidOf(before) !== uidOf(event.raw)) deletions.push({ type: 'delete', kind: event.kind, key: event.key })
      changes.push(event)
    }
    return [deletions, changes].filter((list) => list.length > 0)
  }

  /** Emits the objects that need no reference. Yields undefined where the caller may pause. */
  *emitUnconditional(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, object] of withPauses(this.#pending)) {
      if (id === undefined) yield undefined
      else if (object.reference === undefined && !isObjectGone(isGone, object)) yield this.#emit(id, object)
    }
  }

  /** Deletes the objects that are not referred to any more, and emits those that are referred to now. */
  *applyReferences(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, object] of withPauses(this.#emitted)) {
      if (id === undefined) yield undefined
      else if (!this.#isReferenced(object)) {
        this.#emitted.delete(id)
        this.#pending.set(id, object)
        yield { type: 'delete', kind: object.kind, key: object.key }
      }
    }
    for (const [id, object] of withPauses(this.#pending)) {
      if (id === undefined) yield undefined
      else if (object.reference !== undefined && this.#isReferenced(object) && !isObjectGone(isGone, object))
        yield this.#emit(id, object)
    }
  }

  /** Deletes the emitted objects that are gone or not referred to. */
  *removeGone(isGone: IsGone): Generator<SourceEvent | undefined> {
    for (const [id, object] of withPauses(this.#emitted)) {
      if (id === undefined) yield undefined
      else if (!this.#isReferenced(object) || isObjectGone(isGone, object)) {
        this.#emitted.delete(id)
        this.removedCount++
        yield { type: 'delete', kind: object.kind, key: object.key }
      }
    }
  }

  #isReferenced({ reference }: CheckpointObject): boolean {
    return reference === undefined || this.#references.has(reference)
  }

  #emit(id: string, object: CheckpointObject): SourceEvent {
    this.#pending.delete(id)
    this.#emitted.set(id, object)
    const { kind, key, text } = object
    return { type: 'upsert', kind, key, raw: JSON.parse(text), origin: { cluster: true } }
  }
}

type Step = readonly [id: undefined, object: undefined] | readonly [id: string, object: CheckpointObject]

/** Iterates over the objects with periodic pauses. Entries may be deleted during the iteration. */
function* withPauses(objects: ReadonlyMap<string, CheckpointObject>): Generator<Step> {
  let visited = 0
  for (const entry of objects) {
    yield entry
    if (++visited % YIELD_INTERVAL === 0) yield [undefined, undefined]
  }
}

function isObjectGone(isGone: IsGone, object: CheckpointObject): boolean {
  return isGone(object.kind, object.key, subjectOf(object))
}

/** The name by which the source reads an object: the Service's name for an EndpointSlice. */
function subjectOf({ kind, key, reference }: CheckpointObject): string {
  const subject = kind === 'EndpointSlice' && reference !== undefined ? reference : key
  return subject.slice(subject.indexOf('/') + 1)
}

/**
 * False also where the comparison exceeds the stack: objects may be nested as deeply as the API server permits
 * (10,000).
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
