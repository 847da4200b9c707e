/** Owns the threads of the process and the message ports between them, and connects each thread that (re)starts. */
import { randomBytes } from 'node:crypto'
import { MessageChannel, type MessagePort, type ResourceLimits, Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { KeptRegistration } from '../api/registration.ts'
import type { SettingsObject } from '../api/settings.ts'
import { clearWorkerMemory } from '../cache/memory/buffers.ts'
import type { ControlData, ControlToMain, MainToControl, WorkerPort } from '../control/thread-messages.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { HeapLimits, MemoryBudget } from '../lib/memory-budget.ts'
import { EndpointTable } from '../shared-memory/endpoint-table.ts'
import { clearGauges } from '../shared-memory/metrics.ts'
import { NamedPlaces } from '../shared-memory/named-places.ts'
import { CONTROL_THREAD, ProcessBlock, workerThread } from '../shared-memory/process-block.ts'
import type { SharedBuffers } from '../shared-memory/process-buffers.ts'
import { WorkJournal } from '../shared-memory/work-journal.ts'
import type { LastGood, ServedVersion } from '../thread/retained-state.ts'
import { SuspectList } from '../thread/suspect-list.ts'
import type { MainToWorker, ResolvedPorts, WorkerData, WorkerToMain } from '../thread/thread-data.ts'
import { WorkerState } from '../thread/worker-state.ts'
import { HANG_TIMEOUT } from './hang-detector.ts'
import { SupervisedThread } from './supervised-thread.ts'

/**
 * Longer than a worker's: no request waits for control, and its replacement reads all resources again, while a hung
 * worker still receives its share of the connections.
 */
const CONTROL_HANG_TIMEOUT: Milliseconds = 2_000

/** As many as the digest has by which keys are derived of it. */
const TICKET_MASTER_BYTES = 32

/** Of what requests hold: heads that have come in part, heads of open streams of HTTP/2; the rest is for bodies. */
const HEADS_HELD = 0.25
const BODIES_HELD = 0.5

/** Entry files of the threads. */
export interface ThreadEntries {
  readonly control: URL
  readonly worker: URL
}

export interface ThreadsOptions {
  readonly entries: ThreadEntries
  readonly shared: SharedBuffers
  readonly workers: number
  readonly reusePort: boolean
  /** See {@link WorkerData.sockets}. */
  readonly sockets: number
  /** Start data of the control thread besides memory and ports. */
  readonly control: Omit<
    ControlData,
    'role' | 'shared' | 'workers' | 'ports' | 'settings' | 'lastGood' | 'suspects' | 'served' | 'registrations'
  >
  readonly budget: MemoryBudget
  readonly log: Logger
  readonly time: TimerClock
  /** Between two calls of {@link Threads.check}. */
  readonly interval: Milliseconds
  readonly onControlMessage: (message: ControlToMain) => void
  readonly onControlExit: () => void
  readonly onWorkerMessage: (index: number, message: WorkerToMain) => void
  readonly onWorkerExit: (index: number) => void
  /** A thread that cannot be terminated: the process must end. */
  readonly onStuck: (title: string) => void
}

export class Threads {
  readonly block: ProcessBlock
  readonly #options: ThreadsOptions
  readonly #endpoints: EndpointTable
  readonly #places: NamedPlaces
  readonly #control: SupervisedThread
  readonly #workers: readonly SupervisedThread[]
  readonly #workerState = new WorkerState()
  /** Control's ends of the message ports of workers that started while control did not run. */
  readonly #pendingPorts = new Map<number, MessagePort>()
  #ports: ResolvedPorts | undefined
  #settings: SettingsObject | undefined
  readonly #lastGood = new Map<string, LastGood>()
  readonly #registrations = new Map<string, KeptRegistration>()
  /** By kind and key: the versions served while a newer version is being processed or is quarantined. */
  readonly #served = new Map<string, ServedVersion>()
  readonly #suspects = new SuspectList()
  readonly #journal: WorkJournal
  readonly #ticketMaster = randomBytes(TICKET_MASTER_BYTES)
  #stopped = false

  constructor(options: ThreadsOptions) {
    this.#options = options
    this.block = new ProcessBlock(options.shared.process)
    this.#endpoints = new EndpointTable(options.shared.endpoints)
    this.#places = new NamedPlaces(options.shared.places, options.workers)
    this.#journal = new WorkJournal(options.shared.journal)
    this.#control = this.#supervise(
      'control',
      'hg-control',
      CONTROL_THREAD,
      (name) => this.#createControl(name),
      () => this.#controlExited(),
      CONTROL_HANG_TIMEOUT,
    )
    this.#workers = Array.from({ length: options.workers }, (_, index) =>
      this.#supervise(
        `worker ${index}`,
        `hg-worker-${index}`,
        workerThread(index),
        (name) => this.#createWorker(name, index),
        () => this.#workerExited(index),
      ),
    )
  }

  /** Starts all threads at the same time: none waits until another has loaded its code. */
  start(): void {
    for (const worker of this.#workers) worker.start()
    this.#control.start()
  }

  /** Hands the resolved addresses to control, which lets the workers bind them; also on every later change. */
  setPorts(ports: ResolvedPorts): void {
    this.#ports = ports
    this.postToControl({ type: 'go', ports })
  }

  /** Terminates threads that hang. */
  check(now: Milliseconds): void {
    this.#control.check(now)
    for (const worker of this.#workers) worker.check(now)
  }

  /** Workers that repeatedly fail to start; empty when none does. Workers serve without control, so it is excluded. */
  get workerStartFailures(): string {
    return this.#workers
      .map((worker) => worker.startFailure)
      .filter((text) => text !== '')
      .join('\n')
  }

  /** Why control repeatedly fails to start; empty when it does not. */
  get controlStartFailure(): string {
    return this.#control.startFailure
  }

  get controlRunning(): boolean {
    return this.#control.worker !== undefined
  }

  /** Number of running workers. */
  get runningWorkers(): number {
    return this.#workers.filter(({ worker }) => worker !== undefined).length
  }

  postToControl(message: MainToControl, transfer: MessagePort[] = []): void {
    this.#control.worker?.postMessage(message, transfer)
  }

  postToWorker(index: number, message: MainToWorker, transfer: MessagePort[] = []): void {
    this.#workers[index]?.worker?.postMessage(message, transfer)
  }

  /** Threads that exit from now on are not restarted. */
  stopRestarting(): void {
    this.#stopped = true
    this.#control.stopRestarting()
    for (const worker of this.#workers) worker.stopRestarting()
  }

  /** Terminates the workers immediately. */
  async terminateWorkers(): Promise<void> {
    for (const worker of this.#workers) worker.terminate('was terminated')
    await Promise.all(this.#workers.map((worker) => worker.whenExited()))
  }

  workerRunning(index: number): boolean {
    return this.#workers[index]?.worker !== undefined
  }

  whenControlExited(): Promise<void> {
    return this.#control.whenExited()
  }

  terminateControl(): void {
    this.#control.terminate('was terminated')
  }

  #supervise(
    title: string,
    name: string,
    row: number,
    create: (name: string) => Worker,
    onExit: () => void,
    hangTimeout: Milliseconds = HANG_TIMEOUT,
  ): SupervisedThread {
    const { log, time, interval, onStuck } = this.#options
    return new SupervisedThread({
      title,
      name,
      row,
      log,
      time,
      interval,
      create,
      onExit,
      hangTimeout,
      block: this.block,
      onStuck: () => onStuck(title),
    })
  }

  #createWorker(name: string, index: number): Worker {
    const { entries, shared, workers, reusePort, sockets, budget, onWorkerMessage, control } = this.#options
    const { port1, port2 } = new MessageChannel()
    // Queued ahead of control's messages on the same port, so that a worker starts with the tables in force while
    // control is busy or does not run.
    for (const message of this.#workerState.messages()) port2.postMessage(message)
    const data: WorkerData = {
      role: 'worker',
      index,
      workers,
      shared,
      control: port1,
      reusePort,
      sockets,
      patternBytes: budget.patterns,
      connectionBytes: budget.connectionBytes,
      secureContexts: budget.secureContexts,
      trustBytes: budget.trustBytes,
      heldBytes: Math.floor(budget.heads * HEADS_HELD),
      bodyBytes: Math.floor(budget.heads * BODIES_HELD),
      ticketMaster: this.#ticketMaster,
      log: control.log,
    }
    const worker = new Worker(entries.worker, {
      name,
      workerData: data,
      transferList: [port1],
      resourceLimits: resourceLimits(budget.worker),
    })
    worker.on('message', (message: WorkerToMain) => onWorkerMessage(index, message))
    if (this.controlRunning) this.postToControl({ type: 'worker', index, port: port2 }, [port2])
    else this.#pendingPorts.set(index, port2)
    return worker
  }

  #workerExited(index: number): void {
    const { shared, onWorkerExit } = this.#options
    this.#endpoints.clearWorker(index)
    this.#places.clearWorker(index)
    if (shared.cache !== undefined) clearWorkerMemory(shared.cache, this.#options.workers, index)
    this.block.clearWorker(index)
    clearGauges(shared.metrics, index)
    this.#pendingPorts.get(index)?.close()
    this.#pendingPorts.delete(index)
    this.postToControl({ type: 'worker-gone', index })
    onWorkerExit(index)
  }

  /** Quarantines the objects that control was processing, which would end its replacement as well. */
  #controlExited(): void {
    this.block.setLive(CONTROL_THREAD, false)
    this.#options.onControlExit()
    const names = this.#journal.read()
    this.#journal.end()
    if (this.#stopped) return
    for (const { name, deaths, until } of this.#suspects.add(names, Date.now())) {
      const when = new Date(until).toISOString()
      this.#options.log.error(
        { object: name, deaths },
        `control ended while it worked on ${name}: this version is set aside until ${when}, and its last good one serves on; change the object, or delete it`,
      )
    }
  }

  #createControl(name: string): Worker {
    const { entries, shared, budget, onControlMessage } = this.#options
    const ports: WorkerPort[] = []
    for (let index = 0; index < this.#workers.length; index++) {
      if (!this.workerRunning(index)) continue
      const pending = this.#pendingPorts.get(index)
      if (pending !== undefined) {
        ports.push({ index, port: pending })
        continue
      }
      const { port1, port2 } = new MessageChannel()
      this.postToWorker(index, { type: 'control-port', port: port1 }, [port1])
      ports.push({ index, port: port2 })
    }
    this.#pendingPorts.clear()
    this.block.countControlStart()
    const data: ControlData = {
      role: 'control',
      shared,
      workers: ports,
      ports: this.#ports,
      settings: this.#settings,
      lastGood: [...this.#lastGood.values()],
      registrations: [...this.#registrations.values()],
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
      this.#recordState(message)
      onControlMessage(message)
    })
    return control
  }

  /** Records the state that the next control thread, or a worker that starts while there is none, begins with. */
  #recordState(message: ControlToMain): void {
    if (message.type === 'settings') this.#settings = message.settings
    if (message.type === 'replica') this.#workerState.keep(message.message)
    if (message.type === 'cleared') {
      this.#suspects.clear(message.name)
      this.#served.delete(message.name)
    }
    if (message.type === 'served') {
      if (message.version === undefined) this.#served.delete(message.name)
      else this.#served.set(message.name, message.version)
    }
    if (message.type === 'registrations')
      for (const { backend, id, kept } of message.changes) {
        if (kept === undefined) this.#registrations.delete(`${backend} ${id}`)
        else this.#registrations.set(`${backend} ${id}`, kept)
      }
    if (message.type !== 'last-good') return
    for (const { kind, key, object } of message.changes) {
      if (object === undefined) this.#lastGood.delete(`${kind} ${key}`)
      else this.#lastGood.set(`${kind} ${key}`, { kind, key, object })
    }
  }
}

const MIB = 1024 * 1024

/** With limits, a leak ends one thread early instead of the process after seconds of garbage collection. */
function resourceLimits({ old, young }: HeapLimits): ResourceLimits {
  return { maxOldGenerationSizeMb: old / MIB, maxYoungGenerationSizeMb: young / MIB }
}
