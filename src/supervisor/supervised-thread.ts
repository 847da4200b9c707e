/**
 * Keeps one thread running: starts it, watches its heartbeat, terminates it when it hangs, restarts it when it exits.
 */
import type { Worker } from 'node:worker_threads'
import type { Logger } from 'pino'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import type { ProcessBlock } from '../shared-memory/process-block.ts'
import { CpuWait, type CpuWaitLook } from './cpu-wait.ts'
import { HangDetector } from './hang-detector.ts'
import { HEALTHY_AFTER, RestartBackOff } from './restart-back-off.ts'

/**
 * A thread that does not exit within this time after `terminate` is in a blocking system call: the process must end.
 */
const TERMINATE_TIMEOUT: Milliseconds = 5_000
const TERMINATE_STEP: Milliseconds = TERMINATE_TIMEOUT / 10

export interface SupervisedThreadOptions {
  /** For log messages: `worker 2`, `control`. */
  readonly title: string
  /** Name of the system thread; at most 15 characters. */
  readonly name: string
  /** Row in the process block. */
  readonly row: number
  readonly block: ProcessBlock
  readonly log: Logger
  readonly time: TimerClock
  /** Between two calls of {@link SupervisedThread.check}. */
  readonly interval: Milliseconds
  /** Without a heartbeat for this long the thread counts as hung. */
  readonly hangTimeout: Milliseconds
  readonly create: (name: string) => Worker
  /** The thread has exited; called before its replacement starts. */
  readonly onExit: () => void
  /** The thread cannot be terminated. */
  readonly onStuck: () => void
}

export class SupervisedThread {
  readonly #options: SupervisedThreadOptions
  readonly #hangDetector: HangDetector
  readonly #cpuWait: CpuWait
  readonly #backOff = new RestartBackOff()
  #worker: Worker | undefined
  #startedAt: Milliseconds = 0
  #error: unknown
  #terminationCause = ''
  #stopping = false
  #cancelRestart = (): void => {}
  #cancelStuck = (): void => {}
  #exitListeners: (() => void)[] = []

  constructor(options: SupervisedThreadOptions) {
    this.#options = options
    this.#cpuWait = new CpuWait(options.name, () => options.time.monotonic())
    this.#hangDetector = new HangDetector(
      options.interval,
      () => options.block.beats(options.row),
      () => this.#cpuWait.look(),
      options.hangTimeout,
    )
  }

  /** Undefined while the thread does not run. */
  get worker(): Worker | undefined {
    return this.#worker
  }

  /** Why the thread repeatedly fails to start; empty when it does not. */
  get startFailure(): string {
    const { earlyExits } = this.#backOff
    const isWell = this.#worker !== undefined && this.#options.time.monotonic() - this.#startedAt >= HEALTHY_AFTER
    if (earlyExits < 4 || isWell) return ''
    return `${this.#options.title} ended ${earlyExits} times right after its start: ${describe(this.#error)}`
  }

  start(): void {
    const { block, row, create, name } = this.#options
    this.#error = undefined
    this.#terminationCause = ''
    this.#startedAt = this.#options.time.monotonic()
    block.setLive(row, true)
    const worker = create(name)
    this.#worker = worker
    this.#hangDetector.reset(this.#startedAt)
    worker.on('error', (error) => {
      this.#error = error
    })
    worker.once('exit', (code) => this.#exited(code))
  }

  /** Terminates the thread if it hangs. Call at the interval of the options. */
  check(now: Milliseconds): void {
    if (this.#worker === undefined || this.#terminationCause !== '') return
    if (this.#hangDetector.isHung(now)) this.terminate('stopped responding and was terminated')
  }

  /** Terminates the thread immediately; it is restarted unless {@link stopRestarting} was called. */
  terminate(cause: string): void {
    if (this.#worker === undefined || this.#terminationCause !== '') return
    this.#terminationCause = cause
    this.#endsWithin(TERMINATE_TIMEOUT, this.#cpuWait.look())
    void this.#worker.terminate()
  }

  /**
   * What it lacks a CPU for does not count; nor does what this thread does, or the whole process is suspended for: it
   * looks by steps, and a late one is no longer than the others.
   */
  #endsWithin(left: Milliseconds, before: CpuWaitLook | undefined): void {
    const { time, onStuck } = this.#options
    this.#cancelStuck = time.after(TERMINATE_STEP, () => {
      // If it has exited meanwhile, that is heard in this turn.
      this.#cancelStuck = time.nextTurn(() => {
        const now = this.#cpuWait.look()
        const waited = before === undefined || now === undefined ? 0 : Math.max(0, now.waited - before.waited)
        const rest = left - Math.max(0, TERMINATE_STEP - waited)
        if (rest <= 0) onStuck()
        else this.#endsWithin(rest, now)
      })
    })
  }

  /** The thread is not restarted any more. Does not terminate it. */
  stopRestarting(): void {
    this.#stopping = true
    this.#cancelRestart()
  }

  /** Resolves once the thread has exited; immediately when it does not run. */
  whenExited(): Promise<void> {
    if (this.#worker === undefined) return Promise.resolve()
    return new Promise((resolve) => this.#exitListeners.push(resolve))
  }

  #exited(code: number): void {
    const { title, log, time, onExit } = this.#options
    this.#cancelStuck()
    this.#worker = undefined
    onExit()
    for (const listener of this.#exitListeners.splice(0)) listener()
    if (this.#stopping) return
    const lifetime = time.monotonic() - this.#startedAt
    const delay = this.#backOff.nextDelay(lifetime)
    const restart = delay === 0 ? 'restarting it now' : `restarting it in ${delay} ms`
    log.error({ lifetime: Math.round(lifetime), err: this.#error }, `${title} ${this.#endOf(code)}; ${restart}`)
    if (delay === 0) this.start()
    else this.#cancelRestart = time.after(delay, () => this.start())
  }

  /** One that failed and took so long to exit that it was terminated has ended by its failure. */
  #endOf(code: number): string {
    if (this.#error !== undefined) return `failed: ${describe(this.#error)}`
    return this.#terminationCause || `exited with code ${code}`
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : error === undefined ? 'unknown cause' : String(error)
}
