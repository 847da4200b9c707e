/** The child processes of `npm start`: started and stopped together. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface ChildOptions {
  readonly name: string
  /** Arguments for this same Node. */
  readonly arguments: readonly string[]
  /** Called for each line of standard output, and of standard error. */
  /** Called instead of `onCrash` when this child exits before `stop`: the others go on. */
  readonly onExit?: (how: string) => void
  readonly onLine: (line: string, from: 'stdout' | 'stderr') => void
}

/** Time between the steps of a stop: SIGTERM, SIGTERM, SIGKILL. */
const STOP_TIMEOUT_MS = 1_500

export class ChildProcesses {
  readonly #running = new Map<ChildProcess, ChildOptions>()
  readonly #onCrash: (name: string, how: string) => void
  #stopping = false

  /** @param onCrash called when a child exits before `stop` */
  constructor(onCrash: (name: string, how: string) => void) {
    this.#onCrash = onCrash
  }

  /**
   * Starts a child in a process group of its own: a Ctrl-C in the terminal reaches only this process, which stops the
   * others in order. The child has a channel to this process, so that it detects its death.
   */
  start(options: ChildOptions): ChildProcess {
    const child = spawn(process.execPath, options.arguments, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#running.set(child, options)
    createInterface({ input: child.stdout! }).on('line', (line) => options.onLine(line, 'stdout'))
    createInterface({ input: child.stderr! }).on('line', (line) => options.onLine(line, 'stderr'))
    child.on('error', (error) => this.#gone(child, error.message))
    child.on('exit', (code, signal) => this.#gone(child, signal === null ? `exit code ${code}` : signal))
    return child
  }

  /** Stops all children; resolves when they have exited. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL'] as const) {
      this.#signal(signal)
      if (await this.#allGone(STOP_TIMEOUT_MS)) return
    }
  }

  /** Kills all children immediately. */
  kill(): void {
    this.#stopping = true
    this.#signal('SIGKILL')
  }

  #signal(signal: 'SIGTERM' | 'SIGKILL'): void {
    for (const child of this.#running.keys()) child.kill(signal)
  }

  #allGone(within: number): Promise<boolean> {
    if (this.#running.size === 0) return Promise.resolve(true)
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), within)
      for (const child of this.#running.keys())
        child.once('exit', () => {
          if (this.#running.size > 0) return
          clearTimeout(timer)
          resolve(true)
        })
    })
  }

  #gone(child: ChildProcess, how: string): void {
    const options = this.#running.get(child)
    if (options === undefined) return
    this.#running.delete(child)
    if (this.#stopping) return
    if (options.onExit === undefined) this.#onCrash(options.name, how)
    else options.onExit(how)
  }
}
