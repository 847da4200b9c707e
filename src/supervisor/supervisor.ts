/**
 * The main thread: starts the control thread and the workers, keeps them running, answers whether the process lives and
 * is ready, and ends it in good order. No configuration and no request passes here, so that nothing holds up the thread
 * that watches all others.
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { SettingsObject } from '../api/settings.ts'
import type { ControlToMain, SourceChoice } from '../control/thread-messages.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import { DEFAULT_ENDPOINT_SLOTS, EndpointTable } from '../shared-memory/endpoint-table.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { createMetrics } from '../shared-memory/metrics.ts'
import { ProcessBlock } from '../shared-memory/process-block.ts'
import { WorkJournal } from '../shared-memory/work-journal.ts'
import type { SettingsOverride } from '../source/settings.ts'
import type { ListenerFailure, ListenerSettings } from '../thread/messages.ts'
import type { ResolvedPorts, ThreadLog, WorkerToMain } from '../thread/thread-data.ts'
import type { ProcessShare } from '../thread/worker-settings.ts'
import { type ConnectionRoom, connectionsOf, connectionsWarning } from './connection-limit.ts'
import { type DescriptorBudget, descriptorLimit, divideDescriptors } from './descriptors.ts'
import { ListenerPorts } from './listener-ports.ts'
import { claimPorts, formatAddress } from './ports.ts'
import { portsOf, signalsAddress } from './ports-of-settings.ts'
import { openSignals } from './signals-server.ts'
import { type ThreadEntries, Threads } from './threads.ts'

/** How often threads are looked at: six looks within the time after which one counts as hung. */
const INTERVAL: Milliseconds = 100
/** While starting, so that readiness is not held up by our own clock. */
const START_INTERVAL: Milliseconds = 10
const METRICS_WITHIN: Milliseconds = 4_000
/** The control thread writes out its buffers in this time, or they are lost. */
const FLUSH_WITHIN: Milliseconds = 1_000

const REMEMBERED = 'serves what an earlier process knew, since the API server has not told everything since the start'
/** Rows of the metrics: twice as many names as settings may hold at one time, and one for all that come after them. */
const LISTENERS = 33
/** Besides the deadline itself: for a worker to say that it is done. */
const DRAIN_SLACK: Milliseconds = 500

/** When what will be cut is counted. */
const BEFORE_DEADLINE: Milliseconds = 20

export interface SupervisorOptions {
  readonly source: SourceChoice
  readonly settingsFile: string | undefined
  readonly overrides: readonly SettingsOverride[]
  /** Its number of workers is that of the threads. */
  readonly memory: MemoryBudget
  /** Whether a port may be opened several times, by several workers or by an old and a new socket. */
  readonly reusePort: boolean
  /** From the signal until listeners are closed. */
  readonly drainDelay: Milliseconds
  /** From then until what still runs is cut. */
  readonly drainTimeout: Milliseconds
  readonly threadLog: ThreadLog
  /** Process-log rings, by row of the process block. */
  readonly processLog: readonly SharedArrayBuffer[]
  readonly version: string
  readonly log: Logger
  readonly entries: ThreadEntries
  /** Endpoints and Backends together that have a row in shared memory; a power of two. */
  readonly endpointSlots?: number
  /** It makes no sense to go on: one line for each reason. */
  readonly onFatal: (lines: readonly string[]) => void
}

type Listening = Extract<WorkerToMain, { type: 'listening' }>

interface Programmed {
  readonly generation: number
  readonly routes: number
  readonly rules: number
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #threads: Threads
  readonly #block: ProcessBlock
  /** What each worker has open. */
  readonly #listening = new Map<number, Listening>()
  readonly #drained = new Set<number>()
  readonly #questions = new Map<number, (answer: { contentType: string; body: string } | undefined) => void>()
  readonly #startedAt = performance.now()
  readonly #budget: DescriptorBudget
  #settings: SettingsObject | undefined
  #ports: ResolvedPorts | undefined
  #server: Server | undefined
  #listeners: ListenerPorts | undefined
  /** Listeners whose socket is somebody else's. */
  #unclaimed: readonly ListenerFailure[] = []
  #timer: NodeJS.Timeout | undefined
  #lastQuestion = 0
  #wasReady = false
  #programmed: Programmed | undefined
  #announced = false
  /** As long as there are no tables, this is why. */
  #sourceTrouble: readonly string[] = []
  #draining = false
  #onDrained: () => void = () => {}

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { memory, log, source, settingsFile, overrides, threadLog, version } = options
    const { workers } = memory
    this.#budget = divideDescriptors(descriptorLimit(), workers)
    this.#threads = new Threads({
      entries: options.entries,
      shared: {
        process: ProcessBlock.allocate(workers),
        endpoints: EndpointTable.allocate(workers, options.endpointSlots ?? DEFAULT_ENDPOINT_SLOTS),
        journal: WorkJournal.allocate(),
        metrics: createMetrics({ workers, listeners: LISTENERS }),
        accessLog: Array.from({ length: workers }, () => LineRing.create()),
        processLog: options.processLog,
      },
      workers,
      reusePort: options.reusePort,
      control: { source, settingsFile, overrides, log: threadLog, version, memory, share: this.#share() },
      budget: memory,
      log,
      interval: INTERVAL,
      onControl: (message) => this.#fromControl(message),
      onControlGone: () => {
        for (const answer of [...this.#questions.values()]) answer(undefined)
      },
      onWorker: (index, message) => this.#fromWorker(index, message),
      onWorkerGone: (index) => {
        this.#listening.delete(index)
        this.#tellPorts()
        this.#drained.delete(index)
        this.#onDrained()
      },
      onStuck: (title) =>
        options.onFatal([`${title} hangs in a system call and cannot be ended; the process has to be started again`]),
    })
    this.#block = this.#threads.block
  }

  start(): void {
    this.#threads.start()
    this.#tick(START_INTERVAL)
  }

  /** What is missing before traffic may be sent here; empty = nothing. */
  unready(): string {
    if (this.#draining) return 'shutting down'
    const { workers } = this.#options.memory
    let serving = 0
    for (let worker = 0; worker < workers; worker++)
      if (this.#listens(worker) && this.#block.applied(worker) > 0) serving++
    // Ready once means ready as long as anybody serves: one worker being replaced is no reason to send all traffic
    // away.
    if (serving === workers || (this.#wasReady && serving > 0)) return ''
    const why = this.#block.synced ? [] : this.#sourceTrouble
    return [`${serving} of ${workers} workers serve a routing table`, ...why, ...this.#notOpen()].join('\n')
  }

  /**
   * At the start everything has to be open. Later a port that cannot be had is no reason to take all others out of
   * service.
   */
  #listens(worker: number): boolean {
    const listening = this.#listening.get(worker)
    return listening !== undefined && listening.ports.size > 0 && (this.#wasReady || listening.failures.length === 0)
  }

  #notOpen(): string[] {
    return (this.#ports?.failures ?? []).map(({ message }) => message)
  }

  /** What is said beside the readiness. */
  #remark(): string {
    const control = this.#threads.controlTrouble
    const remembered = this.#block.remembered ? [REMEMBERED] : []
    return [...(control === '' ? [] : [`${control}; no change acts`]), ...remembered, ...this.#notOpen()].join('; ')
  }

  /** Undefined while the control thread is away or busy. */
  metrics(): Promise<{ contentType: string; body: string } | undefined> {
    if (!this.#threads.controlRuns) return Promise.resolve(undefined)
    const id = ++this.#lastQuestion
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#questions.get(id)?.(undefined), METRICS_WITHIN)
      this.#questions.set(id, (answer) => {
        clearTimeout(timer)
        this.#questions.delete(id)
        resolve(answer)
      })
      this.#threads.tellControl({ type: 'metrics', id })
    })
  }

  /** Readiness off, wait, stop accepting, finish what runs, deadline. Resolves when every thread is gone. */
  async shutdown(why: string): Promise<void> {
    if (this.#draining) return
    const { drainDelay, drainTimeout, log } = this.#options
    this.#draining = true
    this.#block.setReady(false)
    this.#block.setDraining()
    this.#listeners?.stop()
    log.info(
      `${why}: not ready any more; listeners close in ${drainDelay} ms, what runs may finish for ${drainTimeout} ms`,
    )
    for (let index = 0; index < this.#options.memory.workers; index++)
      this.#threads.tellWorker(index, { type: 'leave' })
    await delay(drainDelay)
    this.#threads.retire()
    const begun = performance.now()
    const left = await this.#drain(drainTimeout)
    clearTimeout(this.#timer)
    await this.#threads.endWorkers()
    this.#threads.tellControl({ type: 'stop' })
    await Promise.race([this.#threads.controlGone(), delay(FLUSH_WITHIN, undefined, { ref: false })])
    this.#threads.endControl()
    this.#server?.close()
    const took = Math.round(performance.now() - begun)
    if (left > 0) log.warn({ left }, `drain: the deadline cut ${left} connections after ${took} ms`)
    else log.info(`drain: everything had finished after ${took} ms`)
  }

  /** @returns how many connections were still open right before the deadline */
  async #drain(grace: Milliseconds): Promise<number> {
    const { workers } = this.#options.memory
    let left = 0
    const look = setTimeout(() => {
      left = this.#block.openConnections
    }, grace - BEFORE_DEADLINE)
    const all = new Promise<void>((resolve) => {
      this.#onDrained = () => {
        for (let index = 0; index < workers; index++)
          if (!this.#drained.has(index) && !this.#threads.workerIsGone(index)) return
        resolve()
      }
    })
    for (let index = 0; index < workers; index++) this.#threads.tellWorker(index, { type: 'drain', grace })
    this.#onDrained()
    await Promise.race([all, delay(grace + DRAIN_SLACK, undefined, { ref: false })])
    clearTimeout(look)
    return left
  }

  #tick(interval: Milliseconds): void {
    this.#timer = setTimeout(() => {
      this.#threads.check(performance.now())
      this.#look()
      this.#tick(this.#announced ? INTERVAL : START_INTERVAL)
    }, interval)
  }

  #look(): void {
    const ready = this.unready() === ''
    if (ready !== this.#block.ready) this.#block.setReady(ready)
    if (!ready || this.#draining) return
    this.#wasReady = true
    if (!this.#announced && this.#programmed !== undefined) this.#announce(this.#programmed)
  }

  #announce(programmed: Programmed): void {
    const { settings, ports } = { settings: this.#settings, ports: this.#ports }
    if (settings === undefined || ports === undefined) return
    this.#announced = true
    const { memory, log } = this.#options
    const took = Math.round(performance.now() - this.#startedAt)
    const addresses = new Map(settings.listeners.map(({ name, address }) => [name, address]))
    const listeners = ports.sockets.map(
      ({ name, port }) => `${name} ${formatAddress({ host: addresses.get(name), port })}`,
    )
    const admin = settings.admin.address.replace(/\d+$/, String(ports.admin))
    const signals = formatAddress({ ...signalsAddress(settings), port: ports.signals })
    log.info(
      `ready after ${took} ms: ${listeners.join(', ')}, admin ${admin}, signals ${signals}; ` +
        `${counted(programmed.routes, 'route')}, ${counted(programmed.rules, 'rule')}, ${counted(memory.workers, 'worker')}`,
    )
  }

  #fromControl(message: ControlToMain): void {
    switch (message.type) {
      case 'settings':
        this.#checkLimit(message.settings)
        if (this.#settings === undefined) void this.#open(message.settings)
        this.#settings = message.settings
        this.#listeners?.want(message.settings.listeners)
        break
      case 'refused':
        // A control thread that comes later finds the workers serving the settings they have.
        if (this.#settings === undefined) this.#options.onFatal(message.lines)
        break
      case 'source':
        this.#sourceTrouble = message.reasons
        break
      case 'programmed':
        this.#programmed = message
        this.#look()
        break
      case 'metrics':
        this.#questions.get(message.id)?.(message.answer)
        break
      case 'replica':
      case 'last-good':
      case 'served':
      case 'cleared':
        break
    }
  }

  /** Before anything listens: everything is free, and the signs of life are there. */
  async #open(settings: SettingsObject): Promise<void> {
    try {
      const ports = await portsOf(settings)
      this.#server = await openSignals(
        { ...signalsAddress(settings), port: ports.signals },
        {
          trouble: () => this.#threads.trouble,
          unready: () => this.unready(),
          remark: () => this.#remark(),
          metrics: () => this.metrics(),
        },
      )
      this.#ports = ports
      this.#threads.go(ports)
      this.#watchListeners(ports, settings)
    } catch (error) {
      this.#options.onFatal([error instanceof Error ? error.message : String(error)])
    }
  }

  #watchListeners({ everyAddress, sockets }: ResolvedPorts, started: SettingsObject): void {
    const options = {
      everyAddress,
      claim: claimPorts,
      now: () => performance.now(),
      changed: (open: readonly ListenerSettings[], failures: readonly ListenerFailure[]) => {
        this.#unclaimed = failures
        this.#tellPorts(open)
      },
    }
    this.#listeners = new ListenerPorts(options, started.listeners, sockets)
    // They may have changed while it was looked whether the addresses are free.
    if (this.#settings !== undefined) this.#listeners.want(this.#settings.listeners)
  }

  /** What listeners are bound to, and which of them cannot be, by all that is known now. */
  #tellPorts(sockets?: readonly ListenerSettings[]): void {
    if (this.#ports === undefined || this.#draining) return
    const failures = [...this.#unclaimed, ...this.#failuresOfWorkers()]
    const ports = { ...this.#ports, sockets: sockets ?? this.#ports.sockets, failures }
    if (isDeepStrictEqual(ports, this.#ports)) return
    this.#ports = ports
    this.#threads.go(ports)
  }

  #failuresOfWorkers(): ListenerFailure[] {
    const failures: ListenerFailure[] = []
    for (const [worker, listening] of this.#listening)
      for (const { name, message } of listening.failures)
        failures.push({
          name,
          message: `listener ${name}: worker ${worker} cannot open it (${message}); it tries again.`,
        })
    return failures
  }

  get #room(): ConnectionRoom {
    return { files: this.#budget, memory: this.#options.memory }
  }

  #share(): ProcessShare {
    return { clients: connectionsOf(this.#room), upstreams: this.#budget.upstreams, seed: randomUUID() }
  }

  #checkLimit({ limits }: SettingsObject): void {
    const warning = connectionsWarning(limits.connections, this.#room)
    if (warning !== undefined) this.#options.log.warn(warning)
  }

  #fromWorker(index: number, message: WorkerToMain): void {
    if (message.type === 'listening') {
      this.#listening.set(index, message)
      this.#tellPorts()
    } else {
      this.#drained.add(index)
      this.#onDrained()
    }
  }
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
