/**
 * Objects at which a control thread ended. The version that did it is not worked on again at once, or the next thread
 * would end the same way, and the one after it: its last good version serves meanwhile. It is tried again when it is
 * another, and by itself after a while, since what happens to be at hand when a thread is killed for other reasons is
 * innocent.
 */
import { createHash } from 'node:crypto'
import { objectCost } from '../../api/cost.ts'
import type { FieldProblem } from '../../api/object.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { WorkJournal } from '../../shared-memory/work-journal.ts'
import type { SourceEvent } from '../../source/source.ts'
import type { ServedVersion } from '../../thread/retained-state.ts'
import { MAX_AT_HAND, retryAfter, type Suspect } from '../../thread/suspect-list.ts'

interface QuarantinedObject extends Suspect {
  /** Of the version that is set aside: the first one seen. */
  version: string | undefined
  event: SourceEvent | undefined
  /** Its time is up, also where the wall clock was set back: timers are monotonic. */
  due: boolean
}

export interface QuarantineEvents {
  /** To be taken in as if it had just changed. */
  retry(event: SourceEvent): void
  /** It was worked on to the end. */
  cleared(name: string): void
  /** To be kept for the next control thread. */
  keep(served: ServedVersion): void
  /** Not needed any more. */
  drop(name: string): void
}

/**
 * Units of {@link objectCost} from which on what is served is kept while its successor is worked on: what is smaller
 * cannot take long.
 */
const COSTLY = 500

export class Quarantine {
  readonly #events: QuarantineEvents
  readonly #time: TimerClock
  readonly #journal: WorkJournal
  readonly #held = new Map<string, QuarantinedObject>()
  /** Tried again, and not served everywhere yet. */
  readonly #tried = new Set<string>()
  /** Names of objects whose served version the supervisor keeps. */
  readonly #kept = new Set<string>()
  /** By name: what will be served once what is being compiled is in force, of objects that have changed again. */
  readonly #next = new Map<string, ServedVersion>()
  /**
   * Names of objects that have changed since the last compile began, and of those that it, or one that was given up,
   * knows of.
   */
  readonly #changed = new Set<string>()
  readonly #compiled = new Set<string>()
  readonly #alarms = new Set<() => void>()

  constructor(suspects: readonly Suspect[], journal: WorkJournal, time: TimerClock, events: QuarantineEvents) {
    this.#events = events
    this.#time = time
    this.#journal = journal
    for (const suspect of suspects)
      this.#held.set(suspect.name, { ...suspect, version: undefined, event: undefined, due: false })
  }

  /** @returns why this version is not worked on; undefined when it is */
  problem(name: string, event: SourceEvent & { type: 'upsert' }): FieldProblem | undefined {
    const held = this.#held.get(name)
    if (held === undefined) return undefined
    const version = digest(event.raw)
    // The wall clock may have been set back since it was set aside.
    const wait = Math.min(held.until - this.#time.wall(), retryAfter(held.deaths))
    if ((held.version !== undefined && held.version !== version) || held.due || wait <= 0) {
      this.#held.delete(name)
      this.#tried.add(name)
      return undefined
    }
    if (held.version === undefined) this.#tryLater(held, wait)
    held.version = version
    held.event = event
    const when = new Date(this.#time.wall() + wait).toISOString()
    const often = held.deaths === 1 ? '' : ` (${held.deaths} times)`
    const message = `the control thread ended while it worked on this version${often}, so it is set aside until ${when}; change it, and report this with the object if nothing else ended the thread`
    return { path: [], reason: 'Quarantined', message }
  }

  /** The object was deleted. */
  forget(name: string): void {
    if (this.#held.delete(name) || this.#tried.delete(name)) this.#events.cleared(name)
    if (this.#kept.delete(name)) this.#events.drop(name)
  }

  /** A newer version of what is served is about to be worked on. @param raw the newer one */
  replacing(name: string, served: ServedVersion, raw: unknown): void {
    if (this.#kept.has(name)) {
      // The version in the current compile is the one that will be served.
      if (this.#compiled.has(name) && !this.#changed.has(name)) this.#next.set(name, served)
      return
    }
    if (objectCost(served.kind, raw).units < COSTLY) return
    this.#kept.add(name)
    this.#events.keep(served)
  }

  /** Work on one object begins, or goes on; undefined = on all that the compile under way has to bring into force. */
  working(name?: string): void {
    if (name !== undefined) this.#journal.begin(name)
    else if (this.#compiled.size <= MAX_AT_HAND) this.#journal.begin(...this.#compiled)
    else this.#journal.end()
  }

  /**
   * Runs the steps of one piece of work; should the thread end in one of them, it is known what was at hand.
   *
   * @param name of the object that they are about; undefined, see {@link working}
   */
  *watch<T>(steps: Generator<void, T>, name?: string): Generator<void, T> {
    for (;;) {
      this.working(name)
      const step = steps.next()
      this.idle()
      if (step.done === true) return step.value
      yield
    }
  }

  /** No work is in progress. */
  idle(): void {
    this.#journal.end()
  }

  /** An object was taken in. @param compile whether it is still to be compiled: then that may end the thread, too */
  taken(name: string, compile: boolean): void {
    if (compile) this.#changed.add(name)
    else if (!this.#changed.has(name) && !this.#compiled.has(name)) this.#settle(name)
  }

  /** A compile begins, of everything that was taken in until now. */
  compiling(): void {
    for (const name of this.#changed) this.#compiled.add(name)
    this.#changed.clear()
  }

  /** The compile's input is compiled and packed. */
  published(): void {
    for (const name of this.#compiled) {
      const next = this.#next.get(name)
      if (!this.#changed.has(name)) this.#settle(name)
      else if (next !== undefined) this.#events.keep(next)
    }
    this.#next.clear()
    this.#compiled.clear()
  }

  /** The object was processed completely: a retry of it succeeded. */
  #settle(name: string): void {
    if (this.#tried.delete(name)) this.#events.cleared(name)
    if (this.#kept.delete(name)) this.#events.drop(name)
  }

  stop(): void {
    for (const cancel of this.#alarms) cancel()
  }

  #tryLater(held: QuarantinedObject, wait: Milliseconds): void {
    const cancel = this.#time.after(wait, () => {
      this.#alarms.delete(cancel)
      held.due = true
      if (this.#held.get(held.name) === held && held.event !== undefined) this.#events.retry(held.event)
    })
    this.#alarms.add(cancel)
  }
}

/**
 * Digest of the parts that users write. A status is excluded, since it reports the quarantine itself; a new annotation
 * suffices for a retry.
 */
function digest(raw: unknown): string {
  const { status: _, metadata, ...rest } = raw as { readonly status?: unknown; readonly metadata?: object }
  const { name, uid, generation, labels, annotations } = (metadata ?? {}) as Readonly<Record<string, unknown>>
  const text = JSON.stringify([rest, name, uid, generation, labels, annotations])
  return createHash('sha256').update(text).digest('base64')
}
