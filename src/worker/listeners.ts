/** The listeners of this worker: opened, closed and revised as the settings say; drained at the end. */
import type { ListenerSettings, WorkerSettings } from '../link/messages.ts'
import type { Gate } from '../proxy/downstream.ts'
import { Listener, type ListenerContext } from '../proxy/listener.ts'
import type { OpenConnection } from '../proxy/server-context.ts'
import type { Timers } from '../proxy/timers.ts'

export interface ListenersHost {
  readonly gate: Gate
  readonly timers: Timers
  readonly wall: () => number
  readonly reusePort: boolean
  /** See `ServerContext.heldLimit`. */
  readonly heldLimit: number
  countConnection(delta: number): void
  refusedConnection(listener: number): void
}

/** Milliseconds between two looks at what is still running in a drain. */
const DRAIN_STEP = 20

export class Listeners {
  #open: Listener[] = []
  readonly #context: ListenerContext

  constructor(host: ListenersHost) {
    const gate: Gate = {
      begin: (downstream, request) => host.gate.begin(downstream, request),
      refused: (peer, error, method, target) => host.gate.refused(peer, error, method, target),
      connectionOpened(listener) {
        host.countConnection(1)
        host.gate.connectionOpened(listener)
      },
      connectionClosed(listener) {
        host.countConnection(-1)
        host.gate.connectionClosed(listener)
      },
    }
    this.#context = {
      gate,
      timers: host.timers,
      wall: host.wall,
      heldLimit: host.heldLimit,
      options: { limits: { head: 65_536, headers: 100, uri: 16_384 }, requestHead: 10_000, keepAlive: 75_000 },
      leaving: false,
      draining: false,
      connections: new Set<OpenConnection>(),
      reusePort: host.reusePort,
      connectionLimit: 1024,
      refusedConnection: (listener) => host.refusedConnection(listener),
    }
  }

  /** Ports as bound, in the order of the settings. */
  get ports(): number[] {
    return this.#open.map((listener) => listener.port)
  }

  /** @returns what could not be opened, in words; what could is open */
  async apply(settings: WorkerSettings): Promise<string[]> {
    const context = this.#context
    context.options = { limits: settings.limits, ...settings.timeouts }
    context.connectionLimit = settings.limits.connections
    if (context.draining) return []
    const before = this.#open
    const after: Listener[] = []
    const problems: string[] = []
    for (const [index, wanted] of settings.listeners.entries()) {
      const kept = before.find((listener) => listener.index === index && isSame(listener.settings, wanted))
      if (kept !== undefined) {
        after.push(kept)
        continue
      }
      const listener = new Listener(wanted, index, context)
      try {
        await listener.listen()
        after.push(listener)
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error)
        problems.push(`listener ${wanted.name} cannot be opened: ${text}`)
      }
    }
    for (const listener of before) if (!after.includes(listener)) listener.close()
    this.#open = after
    return problems
  }

  /**
   * Goes on serving, but no connection for long: whoever is told `connection: close` sends its next request elsewhere, while a client whose
   * idle connection is closed may be sending one just then, and loses it.
   */
  leave(): void {
    this.#context.leaving = true
  }

  /**
   * Accepts nothing more, ends idle connections, lets what runs finish.
   * @param grace milliseconds until everything is cut
   */
  async drain(grace: number, active: () => number): Promise<void> {
    const context = this.#context
    this.leave()
    context.draining = true
    for (const listener of this.#open) listener.close()
    const until = context.timers.touch() + grace
    while ((context.connections.size > 0 || active() > 0) && context.timers.touch() < until) {
      for (const connection of context.connections) connection.drain()
      await new Promise((resolve) => setTimeout(resolve, DRAIN_STEP))
    }
    this.destroy()
  }

  destroy(): void {
    this.leave()
    this.#context.draining = true
    for (const listener of this.#open) listener.close()
    for (const connection of this.#context.connections) connection.destroy()
  }
}

function isSame(a: ListenerSettings, b: ListenerSettings): boolean {
  return a.name === b.name && a.address === b.address && a.port === b.port
}
