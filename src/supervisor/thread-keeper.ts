/** Keeps one thread running: starts it, watches its beats, ends it when it hangs, starts it again when it is gone. */
import type { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { Milliseconds } from '../lib/clock.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import { BackOff } from './back-off.ts'
import { HangWatch } from './hang-watch.ts'
import { waitedForProcessor } from './processor-time.ts'

/**
 * A thread that was told to end and did not within this time sits in a system call: only the end of the process ends
 * it.
 */
const STUCK_AFTER: Milliseconds = 5_000

export interface KeeperOptions {
  /** What a person reads: `worker 2`, `control`. */
  readonly title: string
  /** Of the thread, as the system shows it; at most 15 characters. */
  readonly name: string
  /** Row in the process block. */
  readonly row: number
  readonly block: ProcessBlock
  readonly log: Logger
  /** How often {@link ThreadKeeper.check} will be called. */
  readonly interval: Milliseconds
  /** Without a beat for this long it hangs. */
  readonly hangsAfter: Milliseconds
  readonly create: (name: string) => Worker
  /** The thread is gone for certain; called before its replacement starts. */
  readonly gone: () => void
  /** The thread cannot be ended. */
  readonly stuck: () => void
}

export class ThreadKeeper {
  readonly #options: KeeperOptions
  readonly #watch: HangWatch
  readonly #backOff = new BackOff()
  #worker: Worker | undefined
  #startedAt: Milliseconds = 0
  #error: unknown
  #ending = ''
  #stopping = false
  #restart: NodeJS.Timeout | undefined
  #stuckTimer: NodeJS.Timeout | undefined
  #goneListeners: (() => void)[] = []

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#watch = new HangWatch(
      options.interval,
      () => options.block.beats(options.row),
      () => waitedForProcessor(options.name),
      options.hangsAfter,
    )
  }

  /** Undefined while none runs. */
  get worker(): Worker | undefined {
    return this.#worker
  }

  /** Why it does not come up; empty when all is well. */
  get trouble(): string {
    if (this.#backOff.early < 4) return ''
    return `${this.#options.title} ended ${this.#backOff.early} times right after its start: ${describe(this.#error)}`
  }

  start(): void {
    const { block, row, create, name } = this.#options
    this.#restart = undefined
    this.#error = undefined
    this.#ending = ''
    this.#startedAt = performance.now()
    block.setLive(row, true)
    const worker = create(name)
    this.#worker = worker
    this.#watch.begin(this.#startedAt)
    worker.on('error', (error) => {
      this.#error = error
    })
    worker.once('exit', (code) => this.#exited(code))
  }

  /** Ends the thread if it hangs. Call at the interval of the options. */
  check(now: Milliseconds): void {
    if (this.#worker === undefined || this.#ending !== '') return
    if (this.#watch.hung(now)) this.end('gave no sign of life and was ended')
  }

  /** Ends the thread at once, whatever it is doing; it will be replaced unless {@link stop} was called. */
  end(why: string): void {
    if (this.#worker === undefined || this.#ending !== '') return
    this.#ending = why
    this.#stuckTimer = setTimeout(this.#options.stuck, STUCK_AFTER)
    void this.#worker.terminate()
  }

  /** No replacement from now on. Does not end the thread. */
  stop(): void {
    this.#stopping = true
    clearTimeout(this.#restart)
  }

  /** Resolves once the thread is gone; at once when none runs. */
  whenGone(): Promise<void> {
    if (this.#worker === undefined) return Promise.resolve()
    return new Promise((resolve) => this.#goneListeners.push(resolve))
  }

  #exited(code: number): void {
    const { title, log, gone } = this.#options
    clearTimeout(this.#stuckTimer)
    this.#worker = undefined
    gone()
    for (const listener of this.#goneListeners.splice(0)) listener()
    if (this.#stopping) return
    const lifetime = performance.now() - this.#startedAt
    const wait = this.#backOff.next(lifetime)
    const what =
      this.#ending || (this.#error === undefined ? `left with code ${code}` : `failed: ${describe(this.#error)}`)
    const then = wait === 0 ? 'it is replaced now' : `it is tried again in ${wait} ms`
    log.error({ lifetime: Math.round(lifetime), err: this.#error }, `${title} ${what}; ${then}`)
    if (wait === 0) this.start()
    else this.#restart = setTimeout(() => this.start(), wait)
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : error === undefined ? 'no reason given' : String(error)
}
