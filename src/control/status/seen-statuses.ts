/**
 * The status that every object has now, by watches and by our own writes: a status is compared with it before it is
 * written.
 */
import { CLASS_ANNOTATION } from '../../api/ingress.ts'
import type { SourceEvent } from '../../source/source.ts'
import { isStatusTargetKind, type StatusTarget, type StatusTargetKind, statusTargetId } from './status-target.ts'

export interface SeenCondition {
  readonly type: string
  readonly status: string
  readonly reason: string
  readonly message: string
  readonly observedGeneration: number | undefined
  readonly lastTransitionTime: string
}

export interface Seen {
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number | undefined
  /** Which installation it is for; undefined = the default one. */
  readonly className: string | undefined
  readonly conditions: readonly SeenCondition[]
  /** The rest of the status as JSON, its members in the order of their names. */
  readonly rest: string
}

type JsonObject = Readonly<Record<string, unknown>>

/** An object whose status is not parsed yet. */
interface Unread {
  readonly kind: StatusTargetKind
  readonly uid: string
  readonly resourceVersion: string
  readonly generation: number | undefined
  readonly className: string | undefined
  readonly status: unknown
}

/** Distinct texts are few: 5,000 Routes without a fault have the same. */
const MAX_TEXTS = 4_096

export class SeenStatuses {
  readonly #seen = new Map<string, Seen | Unread>()
  readonly #unread = new Set<string>()
  #texts = new Map<string, string>()

  /** How many there are of which no more than their version has been read. */
  get unread(): number {
    return this.#unread.size
  }

  get(id: string): Seen | undefined {
    const found = this.#seen.get(id)
    return found !== undefined && 'status' in found ? this.#read(id, found) : found
  }

  readSome(count: number): void {
    for (const id of this.#unread) {
      if (count-- === 0) return
      this.get(id)
    }
  }

  /** @returns ids of what is different */
  accept(events: readonly SourceEvent[]): string[] {
    const changed: string[] = []
    for (const event of events) {
      const kind: string = event.kind
      if (!isStatusTargetKind(kind)) continue
      const id = statusTargetId({ kind, key: event.key })
      if (event.type === 'delete') this.forget(id)
      else if (this.put({ kind, key: event.key }, event.raw)) changed.push(id)
    }
    return changed
  }

  /** @param raw as the API server sent it @returns whether it is another version */
  put(target: StatusTarget, raw: unknown): boolean {
    const id = statusTargetId(target)
    const object = fieldsOf(raw)
    const { uid, resourceVersion, generation } = fieldsOf(object.metadata)
    // Without a version nothing can be written: it comes from a file.
    if (typeof uid !== 'string' || typeof resourceVersion !== 'string' || resourceVersion === '') return false
    const before = this.#seen.get(id)
    if (before?.resourceVersion === resourceVersion && before.uid === uid) return false
    this.#seen.set(id, {
      kind: target.kind,
      uid,
      resourceVersion,
      generation: typeof generation === 'number' ? generation : undefined,
      className: classIn(target.kind, object),
      status: object.status,
    })
    this.#unread.add(id)
    return true
  }

  forget(id: string): void {
    this.#seen.delete(id)
    this.#unread.delete(id)
  }

  #read(id: string, { kind, status, ...rest }: Unread): Seen {
    const { conditions, ...others } = fieldsOf(status)
    const seen: Seen = {
      ...rest,
      conditions: Array.isArray(conditions)
        ? (conditions as unknown[]).map((one) => this.#condition(fieldsOf(one)))
        : [],
      // An API server shows a status without address as `loadBalancer: {}`.
      rest: this.#text(restOf(kind === 'Ingress' ? { loadBalancer: {}, ...others } : others)),
    }
    this.#seen.set(id, seen)
    this.#unread.delete(id)
    return seen
  }

  #condition({ type, status, reason, message, observedGeneration, lastTransitionTime }: JsonObject): SeenCondition {
    return {
      type: this.#text(type),
      status: this.#text(status),
      reason: this.#text(reason),
      message: this.#text(message),
      observedGeneration: typeof observedGeneration === 'number' ? observedGeneration : undefined,
      lastTransitionTime: this.#text(lastTransitionTime),
    }
  }

  /** One copy of each. */
  #text(value: unknown): string {
    if (typeof value !== 'string') return ''
    const known = this.#texts.get(value)
    if (known !== undefined) return known
    if (this.#texts.size >= MAX_TEXTS) this.#texts = new Map()
    this.#texts.set(value, value)
    return value
  }
}

function classIn(kind: StatusTargetKind, { spec, metadata }: JsonObject): string | undefined {
  const { ingressClassName } = fieldsOf(spec)
  if (typeof ingressClassName === 'string' && ingressClassName !== '') return ingressClassName
  const annotation = kind === 'Ingress' ? fieldsOf(fieldsOf(metadata).annotations)[CLASS_ANNOTATION] : undefined
  return typeof annotation === 'string' && annotation !== '' ? annotation : undefined
}

/** Equal for equal values, whatever the order of their members. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}

/** What is nested more deeply than the stack does is none of our status. */
function restOf(others: JsonObject): string {
  try {
    return canonical(others)
  } catch {
    return '{}'
  }
}

function fieldsOf(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : {}
}
