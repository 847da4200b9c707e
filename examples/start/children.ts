/** The processes that belong to `npm start`: started together, ended together, none left behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

export interface ChildOptions {
  readonly name: string
  /** Arguments for this same Node. */
  readonly arguments: readonly string[]
  /** Called for each line of standard output, and of standard error. */
  readonly onLine: (line: string, from: 'stdout' | 'stderr') => void
}

/** From the first request to end to a second, firmer one; and from there to the end without being asked. */
const PATIENCE_MS = 1_500

export class Children {
  readonly #running = new Map<ChildProcess, string>()
  readonly #onCrash: (name: string, how: string) => void
  #stopping = false

  /** @param onCrash a child ended though nobody asked it to */
  constructor(onCrash: (name: string, how: string) => void) {
    this.#onCrash = onCrash
  }

  /**
   * The child is a process group of its own: a Ctrl-C in the terminal reaches only this process, which ends the others
   * in order. It has a channel to this one, so that it notices when this one dies without a word.
   */
  start(options: ChildOptions): ChildProcess {
    const child = spawn(process.execPath, options.arguments, {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.#running.set(child, options.name)
    createInterface({ input: child.stdout! }).on('line', (line) => options.onLine(line, 'stdout'))
    createInterface({ input: child.stderr! }).on('line', (line) => options.onLine(line, 'stderr'))
    child.on('error', (error) => this.#gone(child, error.message))
    child.on('exit', (code, signal) => this.#gone(child, signal === null ? `exit code ${code}` : signal))
    return child
  }

  /** Resolves when all have gone: asked, asked again, then killed. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const signal of ['SIGTERM', 'SIGTERM', 'SIGKILL'] as const) {
      this.#signal(signal)
      if (await this.#allGone(PATIENCE_MS)) return
    }
  }

  /** At once. */
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
    const name = this.#running.get(child)
    if (name === undefined) return
    this.#running.delete(child)
    if (!this.#stopping) this.#onCrash(name, how)
  }
}
