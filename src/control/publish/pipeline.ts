/**
 * The room that builds and publishes. In: resources, again each time something changes. Out: tables for every worker,
 * and on the way the endpoint sets and statuses of the same compile.
 */
import type { MessagePort } from 'node:worker_threads'
import type { GrantAnswer } from '../../auth/grant-store.ts'
import { type Compiled, compile } from '../../compile/compile.ts'
import { CompileState } from '../../compile/compile-state.ts'
import type { Handovers } from '../../compile/handover.ts'
import type { ResourceSet } from '../../compile/resource-set.ts'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import type { ProcessBlock } from '../../shared-memory/process-block.ts'
import type { RowDirectory } from '../../shared-memory/row-directory.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import { type EndedCache, endedCaches } from '../../snapshot/ended-caches.ts'
import { Packer, type PackResult } from '../../snapshot/pack.ts'
import type { Snapshot } from '../../snapshot/snapshot.ts'
import type { ToWorker } from '../../thread/messages.ts'
import { BuildScheduler } from './build-scheduler.ts'
import { Publisher, type PublisherEvents } from './publisher.ts'

/** The stages of a build, in the order in which they are called. */
export interface BuildStages {
  /** Whether everything that was announced is known. {@link Pipeline.resume} follows when it is not. */
  mayBegin(): boolean
  /** A compile begins. @returns what it compiles */
  begin(): ResourceSet
  /** Part of the compile works on one object; undefined = on several. For the journal of work. */
  working(object?: string): void
  /** Runs the steps of the build; for the journal of work. */
  watch<T>(steps: Generator<void, T>): Generator<void, T>
  /** Endpoint sets come before the tables that need them. */
  prepareEndpoints(compiled: Compiled): Generator<void>
  prepareStatuses(statuses: Compiled['statuses']): Generator<void>
  /** The build is complete, and its tables are about to be sent. */
  compiled(build: Build): void
  /** They are sent. @param first of this control thread, which cannot know what the one before it had sent */
  published(generation: number, first: boolean): void
  failed(error: unknown): void
}

export interface Build {
  readonly compiled: Compiled
  /** What was compiled. */
  readonly resources: ResourceSet
  readonly handovers: ReturnType<Handovers['take']>
}

export interface PipelineEvents extends PublisherEvents {
  /** The tables in force serve everywhere, and nothing older does anywhere. */
  settled(compiled: Compiled): void
  /** They have served with a cache before the tables that are settled. */
  cachesEnded(rules: readonly EndedCache[]): void
}

export interface PipelineOptions {
  readonly block: ProcessBlock
  readonly rows: RowDirectory
  readonly time: TimerClock
  readonly random: Random
  /** Row of a Backend in the endpoint table. */
  readonly slotOf: (backend: string) => number | undefined
  readonly events: PipelineEvents
}

interface Packed {
  readonly compiled: Compiled
  readonly resources: ResourceSet
  /** Undefined when the snapshot is the one that is published. */
  readonly packed: PackResult | undefined
  readonly ended: readonly EndedCache[]
}

export class Pipeline {
  readonly #options: PipelineOptions
  readonly #state: CompileState
  readonly #packer: Packer
  readonly #scheduler: BuildScheduler<Packed>
  readonly #publisher: Publisher
  #stages: BuildStages | undefined
  #compiled: Compiled | undefined
  #published: Snapshot | undefined
  /** Since tables were settled. */
  #ended: readonly EndedCache[] = []

  constructor(options: PipelineOptions) {
    this.#options = options
    const { block, time, random, events } = options
    this.#state = new CompileState((object) => this.#stages?.working(object))
    this.#packer = new Packer(random)
    this.#scheduler = new BuildScheduler<Packed>({
      steps: () => this.#started.watch(this.#build(this.#started)),
      done: (packed, since) => this.#publish(this.#started, packed, since),
      failed: (error) => this.#started.failed(error),
      mayBegin: () => this.#started.mayBegin(),
      time,
    })
    this.#publisher = new Publisher(
      block,
      { ...events, served: (generation, took) => this.#served(generation, took) },
      time,
    )
  }

  /** As last compiled. */
  get snapshot(): Snapshot | undefined {
    return this.#compiled?.snapshot
  }

  get generation(): number {
    return this.#publisher.generation
  }

  /** Bytes of the packed tables. */
  get bytes(): number {
    return this.#packer.bytes
  }

  /** Before the first request. */
  start(stages: BuildStages): void {
    this.#stages = stages
  }

  addWorker(index: number, port: MessagePort): void {
    this.#publisher.addWorker(index, port)
  }

  removeWorker(index: number): void {
    this.#publisher.removeWorker(index)
  }

  /** To every worker, and kept for those to come. */
  send(message: ToWorker): void {
    this.#publisher.send(message)
  }

  /** What a worker has asked is answered. */
  answer(worker: number, id: number, answer: GrantAnswer): void {
    this.#publisher.answer(worker, id, answer)
  }

  /** To any worker. @returns false: there is none */
  ask(message: ToWorker): boolean {
    return this.#publisher.ask(message)
  }

  /** Backends of the published tables have rows of their own from now on. */
  ownRows(backends: readonly string[]): void {
    this.#publisher.renew(backends, this.#options.slotOf)
  }

  /** Endpoint sets were sent: measures until they act. @param since when their change was seen */
  timeEndpoints(since: Milliseconds): void {
    this.#publisher.timeEndpoints(since)
  }

  /** See {@link BuildScheduler.request}. */
  request(urgent = false, since?: Milliseconds): void {
    this.#scheduler.request(urgent, since)
  }

  /** Begins a build that had to wait for {@link BuildStages.mayBegin}. */
  resume(): void {
    this.#scheduler.resume()
  }

  stop(): void {
    this.#scheduler.stop()
  }

  get #started(): BuildStages {
    if (this.#stages === undefined) throw new TypeError('a build is requested before the pipeline is started')
    return this.#stages
  }

  *#build(stages: BuildStages): Generator<void, Packed> {
    const resources = stages.begin()
    const compiled = yield* compile(resources, this.#state)
    yield* stages.prepareEndpoints(compiled)
    const { snapshot } = compiled
    const packed = snapshot === this.#published ? undefined : yield* this.#packer.packSteps(snapshot)
    const before = this.#published
    const ended = before === undefined ? [] : yield* endedCaches(before, snapshot)
    yield* stages.prepareStatuses(compiled.statuses)
    return { compiled, resources, packed, ended }
  }

  #publish(stages: BuildStages, { compiled, resources, packed, ended }: Packed, since: Milliseconds): void {
    const { rows, slotOf, time } = this.#options
    const first = this.#compiled === undefined
    this.#compiled = compiled
    stages.compiled({ compiled, resources, handovers: this.#state.handovers.take() })
    if (packed !== undefined) {
      const { backends } = compiled.snapshot
      if (backends !== this.#published?.backends) rows.sync(backends.keys(), time.monotonic(), namespaceOf)
      this.#published = compiled.snapshot
      if (ended.length > 0) this.#ended = [...this.#ended, ...ended]
      this.#publisher.publish(packed, since, slotOf)
    }
    // Behind the tables: those of an earlier control thread are in force until these are.
    if (first) this.#publisher.send({ type: 'backends', ids: [...compiled.endpoints.keys()] })
    stages.published(this.#publisher.generation, first)
  }

  #served(generation: number, took: readonly Milliseconds[]): void {
    const { events } = this.#options
    events.served(generation, took)
    if (generation < this.#publisher.generation || this.#compiled === undefined) return
    events.settled(this.#compiled)
    // Not before: a worker with older tables might store something behind the purge.
    const ended = this.#ended
    this.#ended = []
    if (ended.length > 0) events.cachesEnded(ended)
  }
}
