/**
 * The main thread: starts the control thread and the workers, keeps them running, answers whether the process lives and is ready, and
 * ends it in good order. No configuration and no request passes here, so that nothing holds up the thread that watches all others.
 */
import type { Server } from 'node:http'
import { totalmem } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { SettingsObject } from '../api/settings.ts'
import type { ControlToMain } from '../control/thread-messages.ts'
import type { Milliseconds } from '../lib/clock.ts'
import type { ThreadLog, WorkerToMain } from '../link/thread-data.ts'
import { DEFAULT_ENDPOINT_SLOTS, EndpointTable } from '../shared-memory/endpoint-table.ts'
import { LineRing } from '../shared-memory/line-ring.ts'
import { createMetrics, METRICS_DEFAULTS } from '../shared-memory/metrics.ts'
import { ProcessBlock } from '../shared-memory/process-block.ts'
import { descriptorLimit, divideDescriptors } from './descriptors.ts'
import type { Address } from './ports.ts'
import { openSignals } from './signals-server.ts'
import { type ThreadEntries, Threads } from './threads.ts'

/** How often threads are looked at: six looks within the time after which one counts as hung. */
const INTERVAL: Milliseconds = 100
/** While starting, so that readiness is not held up by our own clock. */
const START_INTERVAL: Milliseconds = 10
const METRICS_WITHIN: Milliseconds = 4_000
/** The control thread writes out its buffers in this time, or they are lost. */
const FLUSH_WITHIN: Milliseconds = 1_000
/** Besides the deadline itself: for a worker to say that it is done. */
const DRAIN_SLACK: Milliseconds = 500

export interface SupervisorOptions {
  /** Validated, defaulted, with real ports. */
  readonly settings: SettingsObject
  readonly folder: string
  readonly workers: number
  readonly signals: Address
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
  /** A thread can neither run nor be ended. */
  readonly onStuck: (title: string) => void
}

interface Programmed {
  readonly generation: number
  readonly routes: number
  readonly rules: number
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #threads: Threads
  readonly #block: ProcessBlock
  readonly #listening = new Set<number>()
  readonly #drained = new Set<number>()
  readonly #questions = new Map<number, (answer: { contentType: string; body: string } | undefined) => void>()
  readonly #startedAt = performance.now()
  #server: Server | undefined
  #timer: NodeJS.Timeout | undefined
  #lastQuestion = 0
  #wasReady = false
  #programmed: Programmed | undefined
  #admin = ''
  #announced = false
  #draining = false
  #onDrained: () => void = () => {}

  constructor(options: SupervisorOptions) {
    this.#options = options
    const { settings, workers, log, folder, threadLog, version } = options
    const budget = divideDescriptors(descriptorLimit(), workers)
    const listeners = Math.max(settings.listeners.length, METRICS_DEFAULTS.listeners)
    this.#threads = new Threads({
      entries: options.entries,
      shared: {
        process: ProcessBlock.allocate(workers),
        endpoints: EndpointTable.allocate(workers, options.endpointSlots ?? DEFAULT_ENDPOINT_SLOTS),
        metrics: createMetrics({ workers, listeners }),
        accessLog: Array.from({ length: workers }, () => LineRing.create()),
        processLog: options.processLog,
      },
      workers,
      reusePort: workers > 1,
      control: { settings, folder, log: threadLog, version, connections: budget.clients },
      heap: heapOf(workers),
      log,
      interval: INTERVAL,
      onControl: (message) => this.#fromControl(message),
      onWorker: (index, message) => this.#fromWorker(index, message),
      onWorkerGone: (index) => {
        this.#listening.delete(index)
        this.#drained.delete(index)
        this.#onDrained()
      },
      onStuck: options.onStuck,
    })
    this.#block = this.#threads.block
    if (settings.limits.connections > budget.clients)
      log.warn(
        `limits.connections is ${settings.limits.connections} per worker, but the process may have ${budget.limit} open files: ` +
          `from about ${budget.clients} on, connections will fail. Raise the hard limit (ulimit -Hn, LimitNOFILE) or lower the setting.`,
      )
  }

  /** @throws when the signals port cannot be opened */
  async start(): Promise<void> {
    this.#threads.start()
    this.#tick(START_INTERVAL)
    this.#server = await openSignals(this.#options.signals, {
      trouble: () => this.#threads.trouble,
      unready: () => this.unready(),
      metrics: () => this.metrics(),
    })
  }

  /** What is missing before traffic may be sent here; empty = nothing. */
  unready(): string {
    if (this.#draining) return 'shutting down'
    const { workers } = this.#options
    let serving = 0
    for (let worker = 0; worker < workers; worker++)
      if (this.#listening.has(worker) && this.#block.applied(worker) > 0) serving++
    // Ready once means ready as long as anybody serves: one worker being replaced is no reason to send all traffic away.
    if (serving === workers || (this.#wasReady && serving > 0)) return ''
    return `${serving} of ${workers} workers serve a routing table`
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
    log.info(
      `${why}: not ready any more; listeners close in ${drainDelay} ms, what runs may finish for ${drainTimeout} ms`,
    )
    await delay(drainDelay)
    this.#threads.retire()
    const begun = performance.now()
    await this.#drain(drainTimeout)
    const left = this.#openConnections()
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

  async #drain(grace: Milliseconds): Promise<void> {
    const { workers } = this.#options
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
  }

  #openConnections(): number {
    let open = 0
    for (let worker = 0; worker < this.#options.workers; worker++) open += this.#block.connections(worker)
    return open
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
    this.#announced = true
    const { settings, workers, signals, log } = this.#options
    const took = Math.round(performance.now() - this.#startedAt)
    const listeners = settings.listeners.map((one) => `${one.name} ${shown(one.address, one.port)}`).join(', ')
    const admin = this.#admin === '' ? '' : `, admin ${this.#admin}`
    log.info(
      `ready after ${took} ms: ${listeners}${admin}, signals ${shown(signals.host, signals.port)}; ` +
        `${counted(programmed.routes, 'route')}, ${counted(programmed.rules, 'rule')}, ${counted(workers, 'worker')}`,
    )
  }

  #fromControl(message: ControlToMain): void {
    switch (message.type) {
      case 'programmed':
        this.#programmed = message
        this.#look()
        return
      case 'admin':
        this.#admin = message.address
        return
      case 'metrics':
        this.#questions.get(message.id)?.({ contentType: message.contentType, body: message.body })
        return
      case 'replica':
        return
    }
  }

  #fromWorker(index: number, message: WorkerToMain): void {
    if (message.type === 'listening') this.#listening.add(index)
    else {
      this.#drained.add(index)
      this.#onDrained()
    }
  }
}

/** Half of the memory there is for the heaps of all threads together, no thread under 256 MiB nor above 4 GiB. */
function heapOf(workers: number): number {
  const constrained = process.constrainedMemory()
  const memory = Math.min(constrained > 0 ? constrained : Number.POSITIVE_INFINITY, totalmem())
  return Math.round(Math.min(Math.max(memory / 2 / (workers + 1) / 2 ** 20, 256), 4_096))
}

function shown(host: string | undefined, port: number): string {
  return host === undefined ? `*:${port}` : host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

function counted(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`
}
