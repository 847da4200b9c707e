/**
 * The main thread: starts the control thread and the workers, restarts them when they fail, answers liveness and
 * readiness probes, and drains the process at shutdown. It handles no configuration and no request, so that nothing
 * blocks the thread that watches the others.
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { SettingsObject } from '../api/settings.ts'
import type { ControlToMain, SourceChoice } from '../control/thread-messages.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { MemoryBudget } from '../lib/memory-budget.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import type { SettingsOverride } from '../source/settings.ts'
import type { ListenerFailure, ListenerSettings } from '../thread/messages.ts'
import type { ResolvedPorts, ThreadLog, WorkerToMain } from '../thread/thread-data.ts'
import type { ProcessShare } from '../thread/worker-settings.ts'
import { claimConfiguredPorts, signalsAddress } from './configured-ports.ts'
import { type ConnectionCapacity, connectionLimit, connectionLimitWarning } from './connection-limit.ts'
import { type DescriptorBudget, descriptorLimit, divideDescriptors } from './file-descriptors.ts'
import { ListenerPorts } from './listener-ports.ts'
import { type MetricsExposition, MetricsRequests } from './metrics-requests.ts'
import { claimPorts, formatAddress } from './ports.ts'
import { allocateBuffers } from './process-memory.ts'
import { openSignalsServer } from './signals-server.ts'
import { type ThreadEntries, Threads } from './threads.ts'

/** Between two checks of the threads: six checks within the hang timeout. */
const CHECK_INTERVAL: Milliseconds = 100
/** The same until the process is ready, so that the interval does not delay readiness. */
const STARTUP_CHECK_INTERVAL: Milliseconds = 10
/** The control thread flushes its buffers within this time, or they are lost. */
const FLUSH_TIMEOUT: Milliseconds = 1_000

const SERVING_CHECKPOINT =
  'serving the checkpoint of an earlier process, because the API server has not been read completely since the start'
/** Time after the drain deadline for the workers' last messages. */
const DRAIN_SLACK: Milliseconds = 500

/** How long before the drain deadline the remaining connections are counted. */
const COUNT_BEFORE_DEADLINE: Milliseconds = 20

export interface SupervisorOptions {
  readonly source: SourceChoice
  readonly settingsFile: string | undefined
  readonly overrides: readonly SettingsOverride[]
  /** Also determines the number of workers. */
  readonly memory: MemoryBudget
  /** Whether several sockets may bind one port: those of several workers, or an old and a new one. */
  readonly reusePort: boolean
  /** From the signal until the listeners close. */
  readonly drainDelay: Milliseconds
  /** From the listeners' close until the remaining connections are closed. */
  readonly drainTimeout: Milliseconds
  readonly threadLog: ThreadLog
  /** Process-log rings, by row of the process block. */
  readonly processLog: readonly SharedArrayBuffer[]
  readonly version: string
  readonly log: Logger
  readonly time: TimerClock
  readonly entries: ThreadEntries
  /** Rows in shared memory for endpoints and Backends together; a power of two. */
  readonly endpointSlots?: number
  /** The process cannot continue; one line per cause. */
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
  /** The open listeners by worker. */
  readonly #listening = new Map<number, Listening>()
  readonly #drained = new Set<number>()
  readonly #metricsRequests: MetricsRequests
  readonly #startedAt: Milliseconds
  readonly #descriptors: DescriptorBudget
  #settings: SettingsObject | undefined
  #ports: ResolvedPorts | undefined
  #server: Server | undefined
  #listeners: ListenerPorts | undefined
  /** Listeners whose address another process uses. */
  #claimFailures: readonly ListenerFailure[] = []
  #cancelCheck = (): void => {}
  #wasReady = false
  #programmed: Programmed | undefined
  #announced = false
  /** Why the source has not synced; relevant until the first tables exist. */
  #sourceProblems: readonly string[] = []
  #draining = false
  #onDrained: () => void = () => {}

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#startedAt = options.time.monotonic()
    this.#metricsRequests = new MetricsRequests(options.time)
    const { memory, log, source, settingsFile, overrides, threadLog, version } = options
    const { workers } = memory
    this.#descriptors = divideDescriptors(descriptorLimit(), workers)
    this.#threads = new Threads({
      entries: options.entries,
      shared: allocateBuffers(
        {
          memoryLimit: memory.limit,
          cache: memory.cache,
          workers,
          endpointSlots: options.endpointSlots,
          processLog: options.processLog,
        },
        options.time.monotonic(),
      ),
      workers,
      reusePort: options.reusePort,
      sockets: this.#descriptors.sockets,
      control: { source, settingsFile, overrides, log: threadLog, version, memory, share: this.#share() },
      budget: memory,
      log,
      time: options.time,
      interval: CHECK_INTERVAL,
      onControlMessage: (message) => this.#onControlMessage(message),
      onControlExit: () => this.#metricsRequests.fail(),
      onWorkerMessage: (index, message) => this.#onWorkerMessage(index, message),
      onWorkerExit: (index) => {
        this.#listening.delete(index)
        this.#updatePorts()
        this.#drained.delete(index)
        this.#onDrained()
      },
      onStuck: (title) =>
        options.onFatal([`${title} hangs in a system call and cannot be terminated; the process must be restarted`]),
    })
    this.#block = this.#threads.block
  }

  start(): void {
    this.#threads.start()
    this.#scheduleCheck(STARTUP_CHECK_INTERVAL)
  }

  /** Why the process is not ready for traffic; empty when it is ready. */
  unready(): string {
    if (this.#draining) return 'shutting down'
    const { workers } = this.#options.memory
    let serving = 0
    for (let worker = 0; worker < workers; worker++)
      if (this.#hasListeners(worker) && this.#block.applied(worker) > 0) serving++
    // Once ready, the process stays ready while any worker serves: the restart of one worker must not divert all
    // traffic.
    if (serving === workers || (this.#wasReady && serving > 0)) return ''
    const causes = this.#block.synced ? [] : this.#sourceProblems
    return [`${serving} of ${workers} workers serve a routing table`, ...causes, ...this.#listenerProblems()].join('\n')
  }

  /** At startup every listener must be open. Later, a port that cannot be bound does not make the others unready. */
  #hasListeners(worker: number): boolean {
    const listening = this.#listening.get(worker)
    return listening !== undefined && listening.ports.size > 0 && (this.#wasReady || listening.failures.length === 0)
  }

  #listenerProblems(): string[] {
    return (this.#ports?.failures ?? []).map(({ message }) => message)
  }

  /** The notice in the body of `/readyz` that does not change its status. */
  #notice(): string {
    const failure = this.#threads.controlStartFailure
    return [
      ...(failure === '' ? [] : [`${failure}; configuration changes are not applied`]),
      ...(this.#block.servesCheckpoint ? [SERVING_CHECKPOINT] : []),
      ...this.#listenerProblems(),
    ].join('; ')
  }

  /** Undefined while the control thread is busy or does not run. */
  metrics(): Promise<MetricsExposition | undefined> {
    if (!this.#threads.controlRunning) return Promise.resolve(undefined)
    return this.#metricsRequests.request((id) => this.#threads.postToControl({ type: 'metrics', id }))
  }

  /**
   * Drains in order: not ready, delay, close listeners, finish exchanges, close what remains at the deadline. Resolves
   * when every thread has exited.
   */
  async shutdown(cause: string): Promise<void> {
    if (this.#draining) return
    const { drainDelay, drainTimeout, log } = this.#options
    this.#draining = true
    this.#block.setReady(false)
    this.#block.setDraining()
    this.#listeners?.stop()
    log.info(
      `${cause}: no longer ready; listeners close in ${drainDelay} ms, open exchanges have ${drainTimeout} ms to finish`,
    )
    for (let index = 0; index < this.#options.memory.workers; index++)
      this.#threads.postToWorker(index, { type: 'leave' })
    await this.#delay(drainDelay)
    this.#threads.stopRestarting()
    const begun = this.#options.time.monotonic()
    const left = await this.#drain(drainTimeout)
    this.#cancelCheck()
    await this.#threads.terminateWorkers()
    this.#threads.postToControl({ type: 'stop' })
    await Promise.race([this.#threads.whenControlExited(), this.#delay(FLUSH_TIMEOUT)])
    this.#threads.terminateControl()
    this.#server?.close()
    const took = Math.round(this.#options.time.monotonic() - begun)
    if (left > 0) log.warn({ left }, `drain: the deadline closed ${left} connections after ${took} ms`)
    else log.info(`drain: all exchanges finished after ${took} ms`)
  }

  /** @returns how many connections were still open right before the deadline */
  async #drain(grace: Milliseconds): Promise<number> {
    const { workers } = this.#options.memory
    let left = 0
    const cancelCount = this.#options.time.after(grace - COUNT_BEFORE_DEADLINE, () => {
      left = this.#block.openConnections
    })
    const all = new Promise<void>((resolve) => {
      this.#onDrained = () => {
        for (let index = 0; index < workers; index++)
          if (!this.#drained.has(index) && this.#threads.workerRunning(index)) return
        resolve()
      }
    })
    for (let index = 0; index < workers; index++) this.#threads.postToWorker(index, { type: 'drain', grace })
    this.#onDrained()
    await Promise.race([all, this.#delay(grace + DRAIN_SLACK)])
    cancelCount()
    return left
  }

  #scheduleCheck(interval: Milliseconds): void {
    const { time } = this.#options
    this.#cancelCheck = time.after(interval, () => {
      this.#threads.check(time.monotonic())
      this.#updateReadiness()
      this.#scheduleCheck(this.#announced ? CHECK_INTERVAL : STARTUP_CHECK_INTERVAL)
    })
  }

  #delay(duration: Milliseconds): Promise<void> {
    return new Promise((resolve) => this.#options.time.after(duration, resolve))
  }

  #updateReadiness(): void {
    const ready = this.unready() === ''
    if (ready !== this.#block.ready) this.#block.setReady(ready)
    if (!ready || this.#draining) return
    this.#wasReady = true
    if (!this.#announced && this.#programmed !== undefined) this.#announce(this.#programmed)
  }

  #announce(programmed: Programmed): void {
    const settings = this.#settings
    const ports = this.#ports
    if (settings === undefined || ports === undefined) return
    this.#announced = true
    const { memory, log } = this.#options
    const took = Math.round(this.#options.time.monotonic() - this.#startedAt)
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

  #onControlMessage(message: ControlToMain): void {
    switch (message.type) {
      case 'settings':
        this.#warnOfConnectionLimit(message.settings)
        if (this.#settings === undefined) void this.#open(message.settings)
        this.#settings = message.settings
        this.#listeners?.want(message.settings.listeners)
        break
      case 'refused':
        // After a restart of control the workers serve the settings they have.
        if (this.#settings === undefined) this.#options.onFatal(message.lines)
        break
      case 'source':
        this.#sourceProblems = message.reasons
        break
      case 'programmed':
        this.#programmed = message
        this.#updateReadiness()
        break
      case 'metrics':
        this.#metricsRequests.answer(message.id, message.answer)
        break
      case 'replica':
      case 'last-good':
      case 'registrations':
      case 'served':
      case 'cleared':
        break
    }
  }

  /** Before any listener opens: checks that all addresses are free, and serves the probes. */
  async #open(settings: SettingsObject): Promise<void> {
    try {
      const ports = await claimConfiguredPorts(settings)
      this.#server = await openSignalsServer(
        { ...signalsAddress(settings), port: ports.signals },
        {
          unhealthy: () => this.#threads.workerStartFailures,
          unready: () => this.unready(),
          notice: () => this.#notice(),
          metrics: () => this.metrics(),
        },
      )
      this.#ports = ports
      this.#threads.setPorts(ports)
      this.#watchListeners(ports, settings)
    } catch (error) {
      this.#options.onFatal([error instanceof Error ? error.message : String(error)])
    }
  }

  #watchListeners({ everyAddress, sockets }: ResolvedPorts, started: SettingsObject): void {
    const options = {
      everyAddress,
      claim: claimPorts,
      time: this.#options.time,
      changed: (open: readonly ListenerSettings[], failures: readonly ListenerFailure[]) => {
        this.#claimFailures = failures
        this.#updatePorts(open)
      },
    }
    this.#listeners = new ListenerPorts(options, started.listeners, sockets)
    // The settings may have changed while the addresses were checked.
    if (this.#settings !== undefined) this.#listeners.want(this.#settings.listeners)
  }

  /** Publishes the bound sockets and the listeners that cannot be bound, when either has changed. */
  #updatePorts(sockets?: readonly ListenerSettings[]): void {
    if (this.#ports === undefined || this.#draining) return
    const failures = [...this.#claimFailures, ...this.#workerListenerFailures()]
    const ports = { ...this.#ports, sockets: sockets ?? this.#ports.sockets, failures }
    if (isDeepStrictEqual(ports, this.#ports)) return
    this.#ports = ports
    this.#threads.setPorts(ports)
  }

  #workerListenerFailures(): ListenerFailure[] {
    const failures: ListenerFailure[] = []
    for (const [worker, listening] of this.#listening)
      for (const { name, message } of listening.failures)
        failures.push({
          name,
          message: `listener ${name}: worker ${worker} cannot open it (${message}); it tries again.`,
        })
    return failures
  }

  get #capacity(): ConnectionCapacity {
    return { files: this.#descriptors, memory: this.#options.memory }
  }

  #share(): ProcessShare {
    const { upstreams, connections, probes } = this.#descriptors
    return { clients: connectionLimit(this.#capacity), upstreams, connections, probes, seed: randomUUID() }
  }

  #warnOfConnectionLimit({ limits }: SettingsObject): void {
    const warning = connectionLimitWarning(limits.connections, this.#capacity)
    if (warning !== undefined) this.#options.log.warn(warning)
  }

  #onWorkerMessage(index: number, message: WorkerToMain): void {
    if (message.type === 'listening') {
      this.#listening.set(index, message)
      this.#updatePorts()
    } else {
      this.#drained.add(index)
      this.#onDrained()
    }
  }
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
