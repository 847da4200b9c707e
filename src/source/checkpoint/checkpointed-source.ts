/**
 * A source that remembers. As long as the one inside has not been able to tell what there is, what an earlier process
 * was told stands in for it; then the two are brought in line, and nothing that is in both is ever gone in between.
 */
import type { Kind } from '../../api/kinds.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import type { Interest, Source, SourceEvent, SourceHandler, SourceLocation, SourceProblem } from '../source.ts'
import { type Checkpoint, idOf } from './checkpoint.ts'
import type { CheckpointLog, CheckpointWriter } from './checkpoint-writer.ts'
import { CheckpointReplay } from './replay.ts'

/** A source that can tell absence from not knowing. Where it does not read, it knows. */
export type KnowingSource = Source & Required<Pick<Source, 'knows'>>

export interface CheckpointedSourceOptions {
  readonly source: KnowingSource
  /** Told of everything, so that it is there the next time. */
  readonly writer: Pick<CheckpointWriter, 'note' | 'complete' | 'current'>
  /** What an earlier process has left; asked for when it is needed, at most once. Does not reject. */
  readonly recall: () => Promise<Checkpoint | undefined>
  /** Of the source, for messages. */
  readonly server: string
  readonly log: CheckpointLog
  readonly wall: () => Milliseconds
  /** Monotonic. */
  readonly now: () => Milliseconds
  /** A receiver of events has thrown. */
  readonly failed: (error: unknown) => void
  readonly patience?: Milliseconds
  readonly grace?: Milliseconds
}

/**
 * A cluster with 5,000 Routes is read in a second or two. Whoever cannot be reached says so sooner; this is for those
 * who answer and do not get anywhere.
 */
const PATIENCE: Milliseconds = 5_000

/**
 * What the source may not read. An API server that has just started refuses everybody until it knows the roles, which
 * takes seconds; what it refuses for longer is not served from memory: the right to read it was taken away.
 */
const GRACE: Milliseconds = 60_000
const LOOK_AGAIN: Milliseconds = 1_000

const BATCH = 20
const SLICE: Milliseconds = 2

type Steps = Generator<SourceEvent | undefined>

export class CheckpointedSource implements Source {
  readonly #options: CheckpointedSourceOptions
  #handler: SourceHandler | undefined
  #interest: Interest | undefined
  #interestMoved = false
  #patience: NodeJS.Timeout | undefined
  /** What the source has spoken of, until it is known whether memory has to stand in. */
  #seen: Set<string> | undefined = new Set()
  #recalling = false
  #recall: CheckpointReplay | undefined
  #steps: Steps | undefined
  /**
   * What names others is being told, and with each call more is needed. The source hears of it when it is complete: one
   * by one it would begin hundreds of watches, none of which can give way to a wider one while there is no API server.
   */
  #telling = false
  #turn: NodeJS.Immediate | undefined
  #lookAgain: NodeJS.Timeout | undefined
  /** Of the source: it has told everything. */
  #sourceSynced = false
  #toldSynced = false
  /** What it has not told is to be looked through. */
  #forgetDue = false
  #forgetAll: Milliseconds = 0
  #inner: readonly SourceProblem[] = []
  #own: SourceProblem | undefined
  #stopped = false

  constructor(options: CheckpointedSourceOptions) {
    this.#options = options
  }

  start(handler: SourceHandler): void {
    if (this.#handler !== undefined) throw new TypeError('a source is started once')
    this.#handler = handler
    this.#patience = setTimeout(() => void this.#remember(), this.#options.patience ?? PATIENCE)
    this.#options.source.start({
      changed: (events) => this.#changed(events),
      synced: () => this.#synced(),
      problems: (list) => this.#problems(list),
    })
  }

  interest(interest: Interest): void {
    this.#interest = interest
    if (this.#recall === undefined) return this.#options.source.interest?.(interest)
    if (this.#telling) return
    this.#need(this.#recall, interest)
    this.#goOn()
  }

  knows(kind: Kind, key: string, subject: string): boolean {
    return this.#options.source.knows(kind, key, subject)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#patience)
    clearTimeout(this.#lookAgain)
    clearImmediate(this.#turn)
    await this.#options.source.stop()
  }

  locate(kind: Kind, key: string, path: readonly (string | number)[]): SourceLocation | undefined {
    return this.#options.source.locate(kind, key, path)
  }

  #changed(events: SourceEvent[]): void {
    const lists = this.#recall === undefined ? [events] : this.#recall.accept(events)
    for (const list of lists) this.#tell((handler) => handler.changed(list))
    if (this.#seen !== undefined) for (const { kind, key } of events) this.#seen.add(idOf(kind, key))
    this.#options.writer.note(events)
  }

  #problems(list: readonly SourceProblem[]): void {
    this.#inner = list
    const away = list.some(({ reason }) => reason === 'ClusterUnavailable')
    this.#options.writer.current = !away
    this.#tellProblems()
    if (away) void this.#remember()
  }

  #synced(): void {
    clearTimeout(this.#patience)
    this.#sourceSynced = true
    this.#forgetAll = this.#options.now() + (this.#options.grace ?? GRACE)
    if (this.#recall === undefined) return this.#end()
    this.#forgetDue = true
    this.#goOn()
  }

  /** The source does not get anywhere. */
  async #remember(): Promise<void> {
    if (this.#recalling || this.#sourceSynced || this.#stopped) return
    this.#recalling = true
    clearTimeout(this.#patience)
    const { recall, server, wall } = this.#options
    const checkpoint = await recall()
    const seen = this.#seen ?? new Set()
    this.#seen = undefined
    if (checkpoint === undefined || this.#sourceSynced || this.#stopped) return
    this.#recall = new CheckpointReplay(checkpoint, seen)
    this.#own = {
      severity: 'warning',
      reason: 'RememberedState',
      message: `Serves what was known at ${momentOf(checkpoint.written, wall())}, since the API server at ${server} has not told everything since the start; what has changed since then acts as soon as it does.`,
    }
    this.#tellProblems()
    this.#steps = this.#recall.tell(this.#isGone)
    this.#telling = true
    this.#goOn()
  }

  #goOn(): void {
    if (!this.#stopped) this.#turn ??= setImmediate(() => this.#step())
  }

  #step(): void {
    this.#turn = undefined
    const { now } = this.#options
    const end = now() + SLICE
    while (!this.#stopped && this.#recall !== undefined) {
      const steps = this.#steps
      if (steps === undefined) {
        this.#next(this.#recall)
        if (this.#steps === undefined) return
        continue
      }
      const { events, over } = draw(steps, () => now() >= end)
      if (over && this.#steps === steps) this.#steps = undefined
      if (events.length > 0) this.#tell((handler) => handler.changed(events))
      if (now() >= end) return this.#goOn()
    }
  }

  /** Nothing is left of what was to be told. */
  #next(recall: CheckpointReplay): void {
    this.#endTelling(recall)
    if (this.#interestMoved) {
      this.#interestMoved = false
      this.#steps = recall.meet(this.#isGone)
    } else if (this.#forgetDue) {
      this.#forgetDue = false
      this.#steps = recall.forget(this.#isGone)
    } else if (this.#sourceSynced) this.#settle(recall)
    else this.#tellSynced()
  }

  #endTelling(recall: CheckpointReplay): void {
    if (!this.#telling) return
    this.#telling = false
    if (this.#interest !== undefined) this.#need(recall, this.#interest)
  }

  #need(recall: CheckpointReplay, interest: Interest): void {
    this.#interestMoved = true
    recall.need(interest)
    this.#options.source.interest?.(interest)
  }

  /** Whether the source would have told an object by now if it were there. */
  readonly #isGone = (kind: Kind, key: string, subject: string): boolean => {
    if (!this.#sourceSynced) return false
    const { source, now } = this.#options
    return now() >= this.#forgetAll || source.knows(kind, key, subject)
  }

  /** The source has told everything it can, and what it has not told is taken back, as far as it would have told it. */
  #settle(recall: CheckpointReplay): void {
    if (this.#own !== undefined) {
      this.#own = undefined
      this.#tellProblems()
      const { log, server } = this.#options
      const rest =
        recall.size === 0 ? '' : `; ${recall.size} that cannot be read yet are served from memory for a while`
      log.info(
        `the API server at ${server} has told everything: of what was remembered, ${recall.different} objects were different and ${recall.gone} are gone${rest}`,
      )
    }
    if (recall.size === 0) return this.#end()
    this.#tellSynced()
    this.#lookAgain ??= setTimeout(() => {
      this.#lookAgain = undefined
      this.#forgetDue = true
      this.#goOn()
    }, LOOK_AGAIN).unref()
  }

  /** From now on there is only the source. */
  #end(): void {
    this.#recall = undefined
    this.#seen = undefined
    clearTimeout(this.#lookAgain)
    this.#tellSynced()
    this.#options.writer.complete()
  }

  #tellSynced(): void {
    if (this.#toldSynced) return
    this.#toldSynced = true
    this.#tell((handler) => handler.synced())
  }

  #tellProblems(): void {
    const list = this.#own === undefined ? [...this.#inner] : [this.#own, ...this.#inner]
    this.#tell((handler) => handler.problems(list))
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

/** Some events of a call, at most one an object as long as the steps keep to it. */
function draw(steps: Steps, late: () => boolean): { readonly events: SourceEvent[]; readonly over: boolean } {
  const events: SourceEvent[] = []
  while (events.length < BATCH) {
    const { value, done } = steps.next()
    if (done === true) return { events, over: true }
    if (value !== undefined) events.push(value)
    else if (late()) break
  }
  return { events, over: false }
}

/** `2026-03-01T12:00:00Z (3 minutes ago)`; without an age where clocks do not agree on one. */
function momentOf(written: Milliseconds, now: Milliseconds): string {
  const moment = `${new Date(written).toISOString().slice(0, 19)}Z`
  const age = now - written
  if (age < 0) return `${moment} (by a clock that was ahead of this one)`
  if (age > MOST_AGE) return moment
  const [unit, length] = UNITS.find(([, milliseconds]) => age >= 2 * milliseconds) ?? ['second', 1_000]
  const count = Math.round(age / length)
  return `${moment} (${count} ${unit}${count === 1 ? '' : 's'} ago)`
}

/** Beyond it, it is more likely that one of the clocks has never been set. */
const MOST_AGE: Milliseconds = 366 * 86_400_000
const UNITS: readonly (readonly [string, Milliseconds])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
]
