/** The threads of the process and the ports between them: who gets what when one of them begins or ends. */
import { MessageChannel, type MessagePort, type ResourceLimits, Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { SettingsObject } from '../api/settings.ts'
import type { ControlData, ControlToMain, MainToControl, WorkerPort } from '../control/thread-messages.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { HeapLimits, MemoryBudget } from '../lib/memory-budget.ts'
import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { clearGauges } from '../shared-memory/metrics.ts'
import { CONTROL_THREAD, ProcessBlock, workerThread } from '../shared-memory/process-block.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import { WorkJournal } from '../shared-memory/work-journal.ts'
import type { LastGood, ServedVersion } from '../thread/retained-state.ts'
import { SuspectList } from '../thread/suspect-list.ts'
import type { MainToWorker, ResolvedPorts, WorkerData, WorkerToMain } from '../thread/thread-data.ts'
import { WorkerState } from '../thread/worker-state.ts'
import { HANG_AFTER } from './hang-watch.ts'
import { ThreadKeeper } from './thread-keeper.ts'

/**
 * Nobody's request waits for control, and a replacement reads everything anew: it is given more time than a worker,
 * which keeps its share of the connections while it hangs.
 */
const CONTROL_HANGS_AFTER: Milliseconds = 2_000

/** Where the threads begin. */
export interface ThreadEntries {
  readonly control: URL
  readonly worker: URL
}

export interface ThreadsOptions {
  readonly entries: ThreadEntries
  readonly shared: SharedBuffers
  readonly workers: number
  readonly reusePort: boolean
  /** What the control thread is given besides memory and ports. */
  readonly control: Omit<
    ControlData,
    'role' | 'shared' | 'workers' | 'ports' | 'settings' | 'lastGood' | 'suspects' | 'served'
  >
  readonly budget: MemoryBudget
  readonly log: Logger
  /** How often {@link Threads.check} will be called. */
  readonly interval: Milliseconds
  readonly onControl: (message: ControlToMain) => void
  readonly onControlGone: () => void
  readonly onWorker: (index: number, message: WorkerToMain) => void
  readonly onWorkerGone: (index: number) => void
  /** A thread that does not end: the process has to. */
  readonly onStuck: (title: string) => void
}

export class Threads {
  readonly block: ProcessBlock
  readonly #options: ThreadsOptions
  readonly #endpoints: EndpointTable
  readonly #control: ThreadKeeper
  readonly #workers: readonly ThreadKeeper[]
  readonly #bootstrap = new WorkerState()
  /** Control's ends of the ports of workers that were started while control was away. */
  readonly #unclaimed = new Map<number, MessagePort>()
  #ports: ResolvedPorts | undefined
  #settings: SettingsObject | undefined
  readonly #lastGood = new Map<string, LastGood>()
  /** By kind and key: versions that are served while newer ones are worked on, and those of suspects. */
  readonly #served = new Map<string, ServedVersion>()
  readonly #suspects = new SuspectList()
  readonly #journal: WorkJournal
  #retired = false

  constructor(options: ThreadsOptions) {
    this.#options = options
    this.block = new ProcessBlock(options.shared.process)
    this.#endpoints = new EndpointTable(options.shared.endpoints)
    this.#journal = new WorkJournal(options.shared.journal)
    this.#control = this.#keeper(
      'control',
      'hg-control',
      CONTROL_THREAD,
      (name) => this.#createControl(name),
      () => this.#controlGone(),
      CONTROL_HANGS_AFTER,
    )
    this.#workers = Array.from({ length: options.workers }, (_, index) =>
      this.#keeper(
        `worker ${index}`,
        `hg-worker-${index}`,
        workerThread(index),
        (name) => this.#createWorker(name, index),
        () => this.#workerGone(index),
      ),
    )
  }

  /** All at once: none waits for another to have loaded its code. */
  start(): void {
    for (const worker of this.#workers) worker.start()
    this.#control.start()
  }

  /**
   * The addresses are free: workers may open them. Later control threads are told from the start. Again whenever one
   * changes.
   */
  go(ports: ResolvedPorts): void {
    this.#ports = ports
    this.tellControl({ type: 'go', ports })
  }

  /** Ends what hangs. */
  check(now: Milliseconds): void {
    this.#control.check(now)
    for (const worker of this.#workers) worker.check(now)
  }

  /**
   * Workers that keep dying right at their start; empty when all is well. Without control they serve on, so that it
   * does not count.
   */
  get trouble(): string {
    return this.#workers
      .map((keeper) => keeper.trouble)
      .filter((text) => text !== '')
      .join('\n')
  }

  /** Why control does not come up; empty when all is well. */
  get controlTrouble(): string {
    return this.#control.trouble
  }

  get controlRuns(): boolean {
    return this.#control.worker !== undefined
  }

  /** How many workers run. */
  get running(): number {
    return this.#workers.filter((keeper) => keeper.worker !== undefined).length
  }

  tellControl(message: MainToControl, transfer: MessagePort[] = []): void {
    this.#control.worker?.postMessage(message, transfer)
  }

  tellWorker(index: number, message: MainToWorker, transfer: MessagePort[] = []): void {
    this.#workers[index]?.worker?.postMessage(message, transfer)
  }

  /** Nothing that ends is replaced from now on. */
  retire(): void {
    this.#retired = true
    this.#control.stop()
    for (const worker of this.#workers) worker.stop()
  }

  /** Ends the workers at once, whatever they do. */
  async endWorkers(): Promise<void> {
    for (const worker of this.#workers) worker.end('was ended')
    await Promise.all(this.#workers.map((worker) => worker.whenGone()))
  }

  workerIsGone(index: number): boolean {
    return this.#workers[index]?.worker === undefined
  }

  controlGone(): Promise<void> {
    return this.#control.whenGone()
  }

  endControl(): void {
    this.#control.end('was ended')
  }

  #keeper(
    title: string,
    name: string,
    row: number,
    create: (name: string) => Worker,
    gone: () => void,
    hangsAfter: Milliseconds = HANG_AFTER,
  ): ThreadKeeper {
    const { log, interval, onStuck } = this.#options
    return new ThreadKeeper({
      title,
      name,
      row,
      log,
      interval,
      create,
      gone,
      hangsAfter,
      block: this.block,
      stuck: () => onStuck(title),
    })
  }

  #createWorker(name: string, index: number): Worker {
    const { entries, shared, workers, reusePort, budget, onWorker, control } = this.#options
    const { port1, port2 } = new MessageChannel()
    // In the order of the port this comes before anything control says, and does not wait for a control thread that is
    // busy or gone.
    for (const message of this.#bootstrap.messages()) port2.postMessage(message)
    const data: WorkerData = {
      role: 'worker',
      index,
      workers,
      shared,
      control: port1,
      reusePort,
      patternBytes: budget.patterns,
      heldBytes: budget.heads,
      log: control.log,
    }
    const worker = new Worker(entries.worker, {
      name,
      workerData: data,
      transferList: [port1],
      resourceLimits: resourceLimits(budget.worker),
    })
    worker.on('message', (message: WorkerToMain) => onWorker(index, message))
    if (this.controlRuns) this.tellControl({ type: 'worker', index, port: port2 }, [port2])
    else this.#unclaimed.set(index, port2)
    return worker
  }

  #workerGone(index: number): void {
    const { shared, onWorkerGone } = this.#options
    this.#endpoints.clearWorker(index)
    this.block.clearWorker(index)
    clearGauges(shared.metrics, index)
    this.#unclaimed.get(index)?.close()
    this.#unclaimed.delete(index)
    this.tellControl({ type: 'worker-gone', index })
    onWorkerGone(index)
  }

  /** Sets aside what it was working on: the next one would end at the same object. */
  #controlGone(): void {
    this.block.setLive(CONTROL_THREAD, false)
    this.#options.onControlGone()
    const names = this.#journal.read()
    this.#journal.end()
    if (this.#retired) return
    for (const { name, deaths, until } of this.#suspects.add(names, Date.now())) {
      const when = new Date(until).toISOString()
      this.#options.log.error(
        { object: name, deaths },
        `control ended while it worked on ${name}: this version is set aside until ${when}, and its last good one serves on; change the object, or delete it`,
      )
    }
  }

  #createControl(name: string): Worker {
    const { entries, shared, budget, onControl } = this.#options
    const ports: WorkerPort[] = []
    for (let index = 0; index < this.#workers.length; index++) {
      if (this.workerIsGone(index)) continue
      const waiting = this.#unclaimed.get(index)
      if (waiting !== undefined) {
        ports.push({ index, port: waiting })
        continue
      }
      const { port1, port2 } = new MessageChannel()
      this.tellWorker(index, { type: 'control-port', port: port1 }, [port1])
      ports.push({ index, port: port2 })
    }
    this.#unclaimed.clear()
    this.block.countControlStart()
    const data: ControlData = {
      role: 'control',
      shared,
      workers: ports,
      ports: this.#ports,
      settings: this.#settings,
      lastGood: [...this.#lastGood.values()],
      suspects: this.#suspects.all,
      served: this.#suspects.all.flatMap((suspect) => this.#served.get(suspect.name) ?? []),
      ...this.#options.control,
    }
    const control = new Worker(entries.control, {
      name,
      workerData: data,
      transferList: ports.map((entry) => entry.port),
      resourceLimits: resourceLimits(budget.control),
    })
    control.on('message', (message: ControlToMain) => {
      this.#keep(message)
      onControl(message)
    })
    return control
  }

  /** What the next control thread, or a worker that starts while there is none, needs. */
  #keep(message: ControlToMain): void {
    if (message.type === 'settings') this.#settings = message.settings
    if (message.type === 'replica') {
      this.#bootstrap.keep(message.message)
    }
    if (message.type === 'cleared') {
      this.#suspects.clear(message.name)
      this.#served.delete(message.name)
    }
    if (message.type === 'served') {
      if (message.version === undefined) this.#served.delete(message.name)
      else this.#served.set(message.name, message.version)
    }
    if (message.type !== 'last-good') return
    for (const { kind, key, object } of message.changes) {
      if (object === undefined) this.#lastGood.delete(`${kind} ${key}`)
      else this.#lastGood.set(`${kind} ${key}`, { kind, key, object })
    }
  }
}

const MIB = 1024 * 1024

/** A leak ends one thread in time instead of the process after seconds of stall. */
function resourceLimits({ old, young }: HeapLimits): ResourceLimits {
  return { maxOldGenerationSizeMb: old / MIB, maxYoungGenerationSizeMb: young / MIB }
}
