/**
 * A source with a checkpoint. While the inner source cannot be read, the checkpoint of an earlier process is replayed
 * instead; then the two are reconciled, and an object that both contain is never deleted in between.
 */
import type { Kind } from '../../api/kinds.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { SlicedWork, type TimeSlice } from '../../lib/time-slice.ts'
import type { Interest, Source, SourceEvent, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import { type Checkpoint, objectId } from './checkpoint.ts'
import { CheckpointReplay } from './checkpoint-replay.ts'
import type { CheckpointLog, CheckpointWriter } from './checkpoint-writer.ts'

/** A source that distinguishes an absent object from one that has not been read. Unwatched objects count as read. */
export type ReadTrackingSource = Source & Required<Pick<Source, 'hasSynced'>>

export interface CheckpointedSourceOptions {
  readonly source: ReadTrackingSource
  /** Records all events for the next start. */
  readonly writer: Pick<CheckpointWriter, 'record' | 'markComplete' | 'current'>
  /** Loads the checkpoint of an earlier process; called at most once, when it is needed. Does not reject. */
  readonly loadCheckpoint: () => Promise<Checkpoint | undefined>
  /** URL of the API server, for messages. */
  readonly server: string
  readonly log: CheckpointLog
  readonly time: TimerClock
  /** Called with an error thrown by the handler. */
  readonly failed: (error: unknown) => void
  readonly syncTimeout?: Milliseconds
  readonly forbiddenGrace?: Milliseconds
}

/**
 * How long to wait for the source before the checkpoint is served. A cluster with 5,000 Routes is read in a second or
 * two, and an unreachable API server is reported sooner: this is for one that responds without progress.
 */
const SYNC_TIMEOUT: Milliseconds = 5_000

/**
 * How long objects that the source is forbidden to read are served from the checkpoint. A starting API server rejects
 * all clients until it has loaded the roles, which takes seconds; after a longer rejection the permission was revoked.
 */
const FORBIDDEN_GRACE: Milliseconds = 60_000
const RECHECK_INTERVAL: Milliseconds = 1_000

const BATCH_SIZE = 20

type Steps = Generator<SourceEvent | undefined>

export class CheckpointedSource implements Source {
  readonly #options: CheckpointedSourceOptions
  #handler: SourceHandler | undefined
  #interest: Interest | undefined
  #referencesChanged = false
  #cancelSync = (): void => {}
  /** Objects reported by the source, until it is known whether the checkpoint is needed. */
  #reported: Set<string> | undefined = new Set()
  #loading = false
  #replay: CheckpointReplay | undefined
  #steps: Steps | undefined
  /**
   * While the unconditional objects are emitted, the references grow with each call of the handler. The source gets
   * them once they are complete: otherwise it would start hundreds of watches, which cannot be replaced by a wider one
   * while the API server is unreachable.
   */
  #emittingUnconditional = false
  readonly #work: SlicedWork
  #cancelRecheck: (() => void) | undefined
  /** The source has reported everything. */
  #sourceSynced = false
  #syncedEmitted = false
  /** Objects that the source has not reported must be checked. */
  #removalDue = false
  #graceEnds: Milliseconds = 0
  #sourceProblems: readonly SourceProblem[] = []
  #replayProblem: SourceProblem | undefined
  #stopped = false

  constructor(options: CheckpointedSourceOptions) {
    this.#options = options
    this.#work = new SlicedWork(options.time, (slice) => this.#run(slice))
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('the source is started already')
    this.#handler = handler
    const { time, syncTimeout = SYNC_TIMEOUT } = this.#options
    this.#cancelSync = time.after(syncTimeout, () => void this.#startReplay())
    this.#options.source.start({
      changed: (events) => this.#changed(events),
      synced: () => this.#synced(),
      problems: (list) => this.#problems(list),
    })
  }

  interest(interest: Interest): void {
    this.#interest = interest
    if (this.#replay === undefined) return this.#options.source.interest?.(interest)
    if (this.#emittingUnconditional) return
    this.#setReferences(this.#replay, interest)
    this.#schedule()
  }

  hasSynced(kind: Kind, key: string, subject: string): boolean {
    return this.#options.source.hasSynced(kind, key, subject)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#cancelSync()
    this.#cancelRecheck?.()
    this.#work.stop()
    await this.#options.source.stop()
  }

  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined {
    return this.#options.source.locate(kind, key, path)
  }

  #changed(events: SourceEvent[]): void {
    const lists = this.#replay === undefined ? [events] : this.#replay.merge(events)
    for (const list of lists) this.#emit((handler) => handler.changed(list))
    if (this.#reported !== undefined) for (const { kind, key } of events) this.#reported.add(objectId(kind, key))
    this.#options.writer.record(events)
  }

  #problems(list: readonly SourceProblem[]): void {
    this.#sourceProblems = list
    const away = list.some(({ reason }) => reason === 'ClusterUnavailable')
    this.#options.writer.current = !away
    this.#emitProblems()
    if (away) void this.#startReplay()
  }

  #synced(): void {
    this.#cancelSync()
    this.#sourceSynced = true
    this.#graceEnds = this.#options.time.monotonic() + (this.#options.forbiddenGrace ?? FORBIDDEN_GRACE)
    if (this.#replay === undefined) return this.#finish()
    this.#removalDue = true
    this.#schedule()
  }

  /** Serves the checkpoint, because the source makes no progress. */
  async #startReplay(): Promise<void> {
    if (this.#loading || this.#sourceSynced || this.#stopped) return
    this.#loading = true
    this.#cancelSync()
    const { loadCheckpoint, server, time } = this.#options
    const checkpoint = await loadCheckpoint()
    const reported = this.#reported ?? new Set()
    this.#reported = undefined
    if (checkpoint === undefined || this.#sourceSynced || this.#stopped) return
    this.#replay = new CheckpointReplay(checkpoint, reported)
    this.#replayProblem = {
      severity: 'warning',
      reason: 'RememberedState',
      message: `Serving the checkpoint of ${describeTime(checkpoint.written, time.wall())}, because the API server at ${server} has not been read completely since the start. Later changes apply as soon as it has.`,
    }
    this.#emitProblems()
    this.#steps = this.#replay.emitUnconditional(this.#isGone)
    this.#emittingUnconditional = true
    this.#schedule()
  }

  #schedule(): void {
    this.#work.schedule()
  }

  /** @returns whether steps are left */
  #run(slice: TimeSlice): boolean {
    while (!this.#stopped && this.#replay !== undefined) {
      const steps = this.#steps
      if (steps === undefined) {
        this.#nextPhase(this.#replay)
        if (this.#steps === undefined) return false
        continue
      }
      const { events, over } = takeBatch(steps, slice)
      if (over && this.#steps === steps) this.#steps = undefined
      if (events.length > 0) this.#emit((handler) => handler.changed(events))
      if (slice.over) return true
    }
    return false
  }

  /** Selects the next work after all steps of the previous one. */
  #nextPhase(replay: CheckpointReplay): void {
    this.#finishUnconditional(replay)
    if (this.#referencesChanged) {
      this.#referencesChanged = false
      this.#steps = replay.applyReferences(this.#isGone)
    } else if (this.#removalDue) {
      this.#removalDue = false
      this.#steps = replay.removeGone(this.#isGone)
    } else if (this.#sourceSynced) this.#finishSync(replay)
    else this.#emitSynced()
  }

  #finishUnconditional(replay: CheckpointReplay): void {
    if (!this.#emittingUnconditional) return
    this.#emittingUnconditional = false
    if (this.#interest !== undefined) this.#setReferences(replay, this.#interest)
  }

  #setReferences(replay: CheckpointReplay, interest: Interest): void {
    this.#referencesChanged = true
    replay.setReferences(interest)
    this.#options.source.interest?.(interest)
  }

  /** Whether the source would have reported an object by now if it existed. */
  readonly #isGone = (kind: Kind, key: string, subject: string): boolean => {
    if (!this.#sourceSynced) return false
    const { source, time } = this.#options
    return time.monotonic() >= this.#graceEnds || source.hasSynced(kind, key, subject)
  }

  /** The source is synced, and objects that it would have reported and did not are removed. */
  #finishSync(replay: CheckpointReplay): void {
    if (this.#replayProblem !== undefined) {
      this.#replayProblem = undefined
      this.#emitProblems()
      const { log, server } = this.#options
      const rest =
        replay.size === 0 ? '' : `; ${replay.size} that cannot be read yet are served from the checkpoint for a while`
      log.info(
        `the API server at ${server} has been read: ${replay.changedCount} objects of the checkpoint have changed and ${replay.removedCount} are gone${rest}`,
      )
    }
    if (replay.size === 0) return this.#finish()
    this.#emitSynced()
    this.#cancelRecheck ??= this.#options.time.after(RECHECK_INTERVAL, () => {
      this.#cancelRecheck = undefined
      this.#removalDue = true
      this.#schedule()
    })
  }

  /** The replay has ended: from now on the source's events pass unchanged. */
  #finish(): void {
    this.#replay = undefined
    this.#reported = undefined
    this.#cancelRecheck?.()
    this.#emitSynced()
    this.#options.writer.markComplete()
  }

  #emitSynced(): void {
    if (this.#syncedEmitted) return
    this.#syncedEmitted = true
    this.#emit((handler) => handler.synced())
  }

  #emitProblems(): void {
    const list =
      this.#replayProblem === undefined ? [...this.#sourceProblems] : [this.#replayProblem, ...this.#sourceProblems]
    this.#emit((handler) => handler.problems(list))
  }

  #emit(call: (handler: SourceHandler) => void): void {
    if (this.#stopped || this.#handler === undefined) return
    try {
      call(this.#handler)
    } catch (error) {
      this.#options.failed(error)
    }
  }
}

/** Takes the events of one call from the steps, which yield each object at most once. */
function takeBatch(steps: Steps, slice: TimeSlice): { readonly events: SourceEvent[]; readonly over: boolean } {
  const events: SourceEvent[] = []
  while (events.length < BATCH_SIZE) {
    const { value, done } = steps.next()
    if (done === true) return { events, over: true }
    if (value !== undefined) events.push(value)
    else if (slice.over) break
  }
  return { events, over: false }
}

/** Formats `2026-03-01T12:00:00Z (3 minutes ago)`; without an age where the clocks disagree. */
function describeTime(written: Milliseconds, now: Milliseconds): string {
  const moment = `${new Date(written).toISOString().slice(0, 19)}Z`
  const age = now - written
  if (age < 0) return `${moment} (by a clock that was ahead of this one)`
  if (age > MAX_AGE) return moment
  const [unit, length] = UNITS.find(([, milliseconds]) => age >= 2 * milliseconds) ?? ['second', 1_000]
  const count = Math.round(age / length)
  return `${moment} (${count} ${unit}${count === 1 ? '' : 's'} ago)`
}

/** A higher age indicates that one of the clocks was never set. */
const MAX_AGE: Milliseconds = 366 * 86_400_000
const UNITS: readonly (readonly [string, Milliseconds])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]
