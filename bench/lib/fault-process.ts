/** One process of endpoints, and what happens to it: told to fail, killed, stopped, and well again. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FaultEndpointOptions, FaultMode } from './fault-endpoint.ts'
import { mortal } from './mortal.ts'

export const FAULTS = ['kill -9', 'SIGSTOP', 'refused', 'resets', '100 % 503', 'slow by 2 s'] as const
export type Fault = (typeof FAULTS)[number]

const PROGRAM = new URL('fault-endpoint.ts', import.meta.url).pathname
const MODES: Readonly<Partial<Record<Fault, FaultMode>>> = {
  refused: 'refuses',
  resets: 'resets',
  '100 % 503': 'fails',
  'slow by 2 s': 'slow',
}

export class FaultProcess {
  readonly #name: string
  #child: ChildProcess
  /** In the order that was asked for; the same after a restart. */
  ports: readonly number[] = []

  private constructor(name: string, child: ChildProcess) {
    this.#name = name
    this.#child = child
  }

  /** Started, and listening on so many ports. */
  static async start(name: string, endpoints: number): Promise<FaultProcess> {
    const options = { name, ports: Array.from({ length: endpoints }, () => 0) }
    const process = new FaultProcess(name, start(options))
    process.ports = await process.#told()
    return process
  }

  /** Resolves when the fault is there. */
  async begin(fault: Fault): Promise<void> {
    const mode = MODES[fault]
    if (mode !== undefined) return await this.#become(mode)
    const gone = fault === 'kill -9' ? once(this.#child, 'exit') : undefined
    this.#child.kill(fault === 'kill -9' ? 'SIGKILL' : 'SIGSTOP')
    await gone
  }

  /** Resolves when nothing is in the way of its next answer. */
  async end(fault: Fault): Promise<void> {
    if (fault === 'SIGSTOP') this.#child.kill('SIGCONT')
    else if (fault === 'kill -9') {
      this.#child = start({ name: this.#name, ports: this.ports })
      await this.#told()
    } else await this.#become('well')
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const gone = once(this.#child, 'exit')
    // Also of one that is stopped.
    this.#child.kill('SIGKILL')
    await gone
  }

  async #become(mode: FaultMode): Promise<void> {
    const done = this.#told()
    this.#child.send(mode)
    await done
  }

  async #told(): Promise<readonly number[]> {
    const child = this.#child
    const ended = once(child, 'exit').then(([code, signal]) => {
      throw new Error(`endpoint ${this.#name} ended with ${code ?? signal}`)
    })
    ended.catch(() => {})
    const [ports] = (await Promise.race([once(child, 'message'), ended])) as [readonly number[]]
    return ports
  }
}

function start(options: FaultEndpointOptions): ChildProcess {
  const stdio = ['ignore' as const, 'inherit' as const, 'inherit' as const, 'ipc' as const]
  return spawn(...mortal(process.execPath, [PROGRAM, JSON.stringify(options)]), { stdio })
}
