/** A gateway of the soak: killed and started again on its port, with its state; its worker threads can be ended. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { endThread } from '../end-thread.ts'
import { freePort } from '../free-port.ts'
import { mortal } from '../mortal.ts'
import { until } from '../servers.ts'
import type { Replica } from './clients.ts'
import type { Thing } from './world.ts'

const MAIN = new URL('../../../src/main.ts', import.meta.url).pathname
const LAST_LINES = 40
const WORKER_ENDED = /worker \d+ (failed|exited|stopped|hangs|did not)/
/** One that gets a hundredth of a CPU, as beside twenty busy processes, takes more than a minute. */
const START_MS = 300_000

export interface SoakGatewayOptions {
  readonly name: string
  readonly folder: string
  /** YAML of all manifests. */
  readonly manifests: string
  readonly settings: Readonly<Record<string, unknown>>
  readonly workers: number
  /** Of the admin API. */
  readonly tokenFile: string
  /** The process log says that a worker is over. */
  workerEnded(line: string): void
}

export class SoakGateway implements Replica {
  readonly name: string
  readonly port: number
  readonly adminPort: number
  readonly floors = new Map<Thing, { readonly version: number; readonly since: number }[]>()
  /** Of the process log. */
  readonly lines: string[] = []
  readonly #options: SoakGatewayOptions
  readonly #signalsPort: number
  #child: ChildProcess | null = null
  #ready = false
  #debugger = ''

  private constructor(options: SoakGatewayOptions, ports: readonly [number, number, number]) {
    this.name = options.name
    this.#options = options
    ;[this.port, this.adminPort, this.#signalsPort] = ports
  }

  /** Not running yet. */
  static async on(options: SoakGatewayOptions): Promise<SoakGateway> {
    return new SoakGateway(options, [await freePort(), await freePort(), await freePort()])
  }

  get pid(): number {
    return this.#child!.pid!
  }

  async run(): Promise<void> {
    const { folder, manifests, settings, workers, tokenFile } = this.#options
    mkdirSync(join(folder, 'manifests'), { recursive: true })
    mkdirSync(join(folder, 'state'), { recursive: true })
    writeFileSync(join(folder, 'manifests/all.yaml'), manifests)
    const all = {
      listeners: [{ name: 'http', address: '127.0.0.1', port: this.port }],
      admin: { address: `127.0.0.1:${this.adminPort}`, tokenFile },
      signals: { address: `127.0.0.1:${this.#signalsPort}` },
      ...settings,
    }
    writeFileSync(join(folder, 'settings.json'), JSON.stringify(all))
    const paths = ['--config', join(folder, 'manifests'), '--settings', join(folder, 'settings.json')]
    const flags = ['--state', join(folder, 'state'), '--workers', String(workers), '--drain-delay', '0']
    const child = spawn(...mortal(process.execPath, ['--inspect-port=0', MAIN, 'run', ...paths, ...flags]), {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child = child
    this.#ready = false
    this.#debugger = ''
    createInterface({ input: child.stderr! }).on('line', (line) => {
      const address = /^Debugger listening on (ws:\S+)/.exec(line)?.[1]
      if (address !== undefined) this.#debugger = address
      if (WORKER_ENDED.test(line)) this.#options.workerEnded(line)
      this.lines.push(line)
      if (this.lines.length > LAST_LINES) this.lines.shift()
    })
    const ready = async (): Promise<boolean> => {
      const answer = await fetch(`http://127.0.0.1:${this.#signalsPort}/readyz`).catch(() => undefined)
      await answer?.arrayBuffer()
      return answer?.ok === true
    }
    await until(child, this.name, ready, START_MS)
    this.#ready = true
  }

  /** Ends one worker thread, as a bug in it would. */
  async endWorker(): Promise<void> {
    if (this.#debugger === '') {
      this.#child!.kill('SIGUSR1')
      await until(this.#child!, 'the debugger', () => Promise.resolve(this.#debugger !== ''))
    }
    await endThread(this.#debugger, 'worker/main')
  }

  async kill(): Promise<void> {
    const child = this.#child
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  get alive(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Whether it has said so since it was started last. */
  get ready(): boolean {
    return this.alive && this.#ready
  }
}
