/**
 * Sends every worker what it serves, in an order that never names what the worker does not have yet, no further ahead
 * than it follows, and knows what serves where.
 */
import type { MessagePort } from 'node:worker_threads'
import type { GrantAnswer, GrantRequest } from '../../auth/grant-store.ts'
import type { PasswordAnswer, PasswordQuestion } from '../../auth/password-check.ts'
import type { CachedObject } from '../../cache/cached-object.ts'
import type { ExplainAnswer } from '../../exchange/explain.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { TablesUpdate } from '../../link/tables-update.ts'
import type { SignInAnswer, SignInQuestion } from '../../policy/sign-ins.ts'
import type { ProcessBlock } from '../../shared-memory/process-block.ts'
import type { PackResult } from '../../snapshot/pack.ts'
import type { FromWorker, ToWorker } from '../../thread/messages.ts'
import { WorkerState } from '../../thread/worker-state.ts'
import { LatencyProbe } from './latency-probe.ts'
import { WorkerFeed } from './worker-feed.ts'

export interface PublisherEvents {
  /** Everything that is sent to all workers, for the supervisor to keep. */
  replica(message: ToWorker): void
  /** A generation, and with it all before it, serves in every worker. @param took from the first change in it */
  served(generation: number, took: readonly Milliseconds[]): void
  /** Endpoints act in every worker. @param took since their change was seen */
  endpoints(took: Milliseconds): void
  /** A worker asks for something that only this thread does. */
  ask(question: SignInQuestion): Promise<SignInAnswer>
  /** A worker asks the store of token issuers. */
  asked(worker: number, id: number, request: GrantRequest): void
  /**
   * A worker has met a key that is not in a set.
   * @param known digest of that set
   * @param answer to be called once what was fetched has been sent
   */
  keySetAsked(
    url: string,
    known: string,
    answer: (given: { readonly again: Milliseconds; readonly current: boolean }) => void,
  ): void
  /** A worker asks for the files of the cache. @param answer with a port to be transferred, null: there are none */
  archiveAsked(answer: (port: MessagePort | null) => void): void
  /** A worker asks whether a password is right. */
  passwordAsked(question: PasswordQuestion, answer: (answer: PasswordAnswer) => void): void
  /** A worker says what is stored. */
  cachedFound(id: number, objects: readonly CachedObject[], complete: boolean): void
  /** A worker says what it would do with a request; null: it has no tables yet. */
  explained(id: number, answer: ExplainAnswer | null): void
  /** A worker has something for the log. */
  problem(worker: number, message: string): void
  /** Something that was a problem is none any more. */
  recovered(worker: number, message: string): void
}

export class Publisher {
  readonly #block: ProcessBlock
  readonly #events: PublisherEvents
  readonly #now: () => Milliseconds
  readonly #nextTurn: (run: () => void) => void
  readonly #feeds = new Map<number, WorkerFeed>()
  readonly #state = new WorkerState()
  /** Generations that do not serve everywhere yet, and when the first change in each was seen. */
  readonly #pending = new Map<number, Milliseconds>()
  readonly #probe = new LatencyProbe()
  #generation: number

  constructor(block: ProcessBlock, events: PublisherEvents, time: Pick<TimerClock, 'monotonic' | 'nextTurn'>) {
    this.#block = block
    this.#events = events
    this.#now = () => time.monotonic()
    this.#nextTurn = (run) => void time.nextTurn(run)
    this.#generation = block.published
  }

  get generation(): number {
    return this.#generation
  }

  /** A worker gets everything there is, and from then on what changes. */
  addWorker(index: number, port: MessagePort): void {
    this.#feeds.get(index)?.port.close()
    this.#probe.gone(index)
    const feed = new WorkerFeed(port, this.#state)
    this.#feeds.set(index, feed)
    port.on('message', (message: FromWorker) => this.#receive(index, message))
    // Its row holds no epoch yet, which would hold back every slot: everything of now is behind it.
    feed.start([...this.#state.messages(), { type: 'epoch', epoch: this.#block.epoch }])
  }

  removeWorker(index: number): void {
    this.#feeds.get(index)?.port.close()
    this.#feeds.delete(index)
    this.#probe.gone(index)
    // The one that died may have been all that was waited for.
    this.#settle()
  }

  /** To every worker, and kept for those to come. */
  send(message: ToWorker): void {
    this.#state.keep(message)
    for (const feed of this.#feeds.values()) feed.send(message)
    this.#events.replica(message)
  }

  /** To one worker, whose question it answers. */
  answer(worker: number, id: number, answer: GrantAnswer): void {
    this.#feeds.get(worker)?.reply({ type: 'grants', id, answer })
  }

  /** To any worker. @returns false: there is none */
  ask(message: ToWorker): boolean {
    for (const feed of this.#feeds.values()) {
      feed.reply(message)
      return true
    }
    return false
  }

  /** Behind endpoint sets: see {@link PublisherEvents.endpoints}. @param since when their change was seen */
  timeEndpoints(since: Milliseconds): void {
    if (this.#feeds.size === 0) return
    const message = this.#probe.start(this.#feeds.keys(), since)
    for (const feed of this.#feeds.values()) feed.follow(message)
  }

  /**
   * @param since when the first change in it was seen
   * @param slotOf row of a Backend in the endpoint table
   * @returns the generation's number: higher than any before in this process, also those of control threads that died
   */
  publish(packed: PackResult, since: Milliseconds, slotOf: (backend: string) => number | undefined): number {
    const full = !this.#state.complete
    const generation = this.#begin(since)
    const backends = withSlots(packed.backends, slotOf)
    const { tables, policies, hostTls } = packed
    this.send({ type: 'tables', generation, tables, full, policies, backends, hostTls })
    return generation
  }

  /** Publishes the same tables with other rows of these Backends; nothing where they name none of them. */
  renew(backends: readonly string[], slotOf: (backend: string) => number | undefined): void {
    const update = this.#state.updateOf(new Set(backends))
    if (update === undefined) return
    this.send({ ...update, generation: this.#begin(this.#now()), backends: withSlots(update.backends, slotOf) })
  }

  /** @returns the next generation's number */
  #begin(since: Milliseconds): number {
    const generation = Math.max(this.#generation, this.#block.published) + 1
    this.#generation = generation
    this.#block.setPublished(generation)
    this.#pending.set(generation, since)
    return generation
  }

  #receive(index: number, message: FromWorker): void {
    if (message.type === 'problem') this.#events.problem(index, message.message)
    else if (message.type === 'recovered') this.#events.recovered(index, message.message)
    else if (message.type === 'grants') this.#events.asked(index, message.id, message.request)
    else if (message.type === 'ask-archive') this.#askArchive(this.#feeds.get(index))
    else if (message.type === 'ask-key-set') this.#askKeySet(this.#feeds.get(index), message.url, message.known)
    else if (message.type === 'check-password') this.#askPassword(this.#feeds.get(index), message)
    else if (message.type === 'latency-probe') this.#probed(index, message.id)
    else if (message.type === 'explained') this.#events.explained(message.id, message.answer)
    else if (message.type === 'cached') this.#events.cachedFound(message.id, message.objects, message.complete)
    else if (message.type === 'sign-in') this.#answer(index, message.id, message.question)
    else if (message.type === 'mark') this.#feeds.get(index)?.marked(message.id)
    else if (message.type === 'not-linked') this.#feeds.get(index)?.notLinked(message.generation, message.skipped)
    else {
      this.#feeds.get(index)?.applied(message.generation)
      this.#settle()
    }
  }

  #answer(index: number, id: number, question: SignInQuestion): void {
    const feed = this.#feeds.get(index)
    const reply = (answer: SignInAnswer): void => {
      // Another worker may have its place by now.
      if (this.#feeds.get(index) === feed) feed?.reply({ type: 'sign-in-answer', id, answer })
    }
    this.#events.ask(question).then(reply, (error: unknown) => {
      this.#events.problem(index, `a question about a sign-in failed: ${String(error)}`)
      reply({ fault: 'unavailable', detail: 'a fault of the gateway' })
    })
  }

  #askKeySet(feed: WorkerFeed | undefined, url: string, known: string): void {
    this.#events.keySetAsked(url, known, ({ again, current }) =>
      // Contents are sent at the end of the turn that brings them.
      this.#nextTurn(() => feed?.follow({ type: 'key-set-asked', url, known, again, current })),
    )
  }

  #askArchive(feed: WorkerFeed | undefined): void {
    this.#events.archiveAsked((port) => feed?.reply({ type: 'archive', port }, port === null ? [] : [port]))
  }

  #askPassword(feed: WorkerFeed | undefined, { id, question }: Extract<FromWorker, { type: 'check-password' }>): void {
    this.#events.passwordAsked(question, (answer) => feed?.reply({ type: 'password-checked', id, answer }))
  }

  #probed(worker: number, id: number): void {
    const since = this.#probe.answered(worker, id)
    if (since !== undefined) this.#events.endpoints(this.#now() - since)
  }

  #settle(): void {
    const served = this.#block.appliedEverywhere()
    const took: Milliseconds[] = []
    let newest = 0
    for (const [generation, since] of this.#pending) {
      if (generation > served) continue
      took.push(this.#now() - since)
      newest = Math.max(newest, generation)
      this.#pending.delete(generation)
    }
    if (newest > 0) this.#events.served(newest, took)
  }
}

function withSlots(
  entries: TablesUpdate['backends'],
  slotOf: (backend: string) => number | undefined,
): TablesUpdate['backends'] {
  return entries.map((entry) => {
    const slot = entry.backend === null ? undefined : slotOf(entry.backend.id)
    return slot === undefined ? entry : { ...entry, slot }
  })
}
