/** The listeners of this worker: opened, closed and updated by the settings, and drained on shutdown. */
import { isIPv4 } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { ConnectionRoom } from '../listener/connection-room.ts'
import { BACKLOG, Listener, type ListenerContext, ListenSocket } from '../listener/listener.ts'
import type { RefusedProxyHeader } from '../listener/proxy-header-step.ts'
import { TlsAcceptor } from '../listener/tls-acceptor.ts'
import type { TlsHost } from '../listener/tls-handshake.ts'
import { ReadTurns } from '../socket/read-turns.ts'
import type { OpenConnection, ServerContext } from '../socket/server-context.ts'
import type { ListenerFailure, WorkerListener, WorkerSettings } from '../thread/messages.ts'
import type { RequestHandler } from '../transport/downstream.ts'
import type { PeerListener } from '../transport/peer.ts'
import type { Timers } from '../transport/timers.ts'

export interface ListenersHost {
  readonly requests: RequestHandler
  readonly timers: Timers
  readonly wall: () => number
  readonly reusePort: boolean
  /** At each address and port, where several may bind one. */
  readonly sockets: number
  /** Row of a listener in the metrics, by its name. */
  metricsRow(name: string): number
  /** See `ServerContext.heldLimit`. */
  readonly heldLimit: number
  /** Connections to upstreams that are open. */
  readonly upstreams?: () => number
  /** Bytes of open connections and secure contexts. */
  readonly connectionBytes: number
  readonly tls: TlsHost
  countConnection(delta: number): void
  refusedConnection(metricsRow: number): void
  refusedProxyHeader(refusal: RefusedProxyHeader): void
  /** Called whenever the open listeners or the failures change. */
  changed(open: ReadonlyMap<string, number>, failures: readonly ListenerFailure[]): void
}

/** Milliseconds between checks for remaining work during a drain. */
const DRAIN_STEP = 20
/** Turns of the event loop behind which an address at which none is accepted has no connection that waits. */
const QUIET_TURNS = 2
/** Milliseconds until a listener that could not be opened is tried again; doubled each time. */
const RETRY_FIRST = 250
const RETRY_LONGEST = 10_000

export class Listeners {
  /** By address and port. */
  readonly #sockets = new Map<string, ListenSocket>()
  readonly #host: ListenersHost
  readonly #context: ListenerContext
  #wanted: readonly WorkerListener[] = []
  /** Nothing is opened before {@link open}. */
  #held = false
  #failures: readonly ListenerFailure[] = []
  /** The state last reported to the host. */
  #reported: unknown
  #settling: Promise<void> | undefined
  #retryAfter = RETRY_FIRST
  #retry: NodeJS.Timeout | undefined

  constructor(host: ListenersHost) {
    this.#host = host
    const requests: RequestHandler = {
      begin: (downstream, request) => host.requests.begin(downstream, request),
      repeat: (peer, bytes, length, take) => host.requests.repeat?.(peer, bytes, length, take) ?? null,
      refused: (peer, error, request) => host.requests.refused(peer, error, request),
      connectionOpened(listener) {
        host.countConnection(1)
        host.requests.connectionOpened(listener)
      },
      connectionClosed(listener) {
        host.countConnection(-1)
        host.requests.connectionClosed(listener)
      },
    }
    const context: ServerContext = {
      requests,
      timers: host.timers,
      turns: new ReadTurns(host.tls.clock),
      wall: host.wall,
      heldLimit: host.heldLimit,
      options: {
        limits: { head: 65_536, headers: 100, uri: 16_384 },
        handshake: 10_000,
        requestHead: 10_000,
        keepAlive: 75_000,
      },
      leaving: false,
      draining: false,
      connections: new Set<OpenConnection>(),
    }
    const tls = new TlsAcceptor(host.tls)
    this.#context = Object.assign(context, {
      room: new ConnectionRoom(context, host.connectionBytes, tls.servers, host.upstreams),
      tls,
      reusePort: host.reusePort,
      sockets: host.sockets,
      refusedConnection: (listener: PeerListener) => host.refusedConnection(listener.metricsRow),
      refusedProxyHeader: (refusal: RefusedProxyHeader) => host.refusedProxyHeader(refusal),
    })
  }

  /** Ports as bound, by the listener's name. */
  get ports(): ReadonlyMap<string, number> {
    return new Map(Array.from(this.#sockets.values(), (socket) => [socket.listener.name, socket.boundPort]))
  }

  /** Those of the newest settings that could not be opened. */
  get failures(): readonly ListenerFailure[] {
    return this.#failures
  }

  /** Connections of clients that are open. */
  get connections(): number {
    return this.#context.connections.size
  }

  /** To be called every second or so. */
  sweep(): void {
    this.#context.tls.sweep()
  }

  /**
   * Settings that come while earlier ones are being applied are applied after them. Resolves when the newest are.
   * @param held where nothing was opened before, nothing is before {@link open}: the kernel gives each worker its share
   * of new connections, whether it has anything to serve or not
   */
  apply(settings: WorkerSettings, held = false): Promise<void> {
    this.#context.options = { limits: settings.limits, ...settings.timeouts }
    this.#context.room.most = settings.limits.connections
    this.#context.room.mostOfAll = settings.upstreams.allConnections ?? Number.POSITIVE_INFINITY
    this.#context.tls.use(settings.tls, this.#context.room.mostSecure)
    this.#wanted = settings.listeners
    this.#retryAfter = RETRY_FIRST
    this.#held ||= held && this.#reported === undefined && this.#settling === undefined
    return this.#held ? Promise.resolve() : this.#settle()
  }

  /** There is something to serve. */
  open(): void {
    if (!this.#held) return
    this.#held = false
    void this.#settle()
  }

  #settle(): Promise<void> {
    clearTimeout(this.#retry)
    this.#settling ??= this.#bring().finally(() => {
      this.#settling = undefined
    })
    return this.#settling
  }

  async #bring(): Promise<void> {
    let wanted: readonly WorkerListener[]
    let failures: ListenerFailure[]
    do {
      wanted = this.#wanted
      failures = await this.#open(wanted)
    } while (wanted !== this.#wanted && !this.#context.draining)
    if (this.#context.draining) return
    this.#failures = failures
    if (failures.length > 0) {
      this.#retry = setTimeout(() => void this.#settle(), this.#retryAfter).unref()
      this.#retryAfter = Math.min(this.#retryAfter * 2, RETRY_LONGEST)
    }
    const { ports } = this
    if (isDeepStrictEqual(this.#reported, { ports, failures })) return
    this.#reported = { ports, failures }
    this.#host.changed(ports, failures)
  }

  /**
   * Sockets that stay get their names in one step, so that no connection is accepted for a listener that is elsewhere
   * by then. What is new is opened before what is not wanted any more is closed.
   */
  async #open(wanted: readonly WorkerListener[]): Promise<ListenerFailure[]> {
    if (this.#context.draining) return []
    for (const socket of this.#sockets.values()) {
      const owner = ownerOf(socket, wanted)
      if (owner === undefined) continue
      if (!socket.listener.is(owner)) socket.give(this.#listener(owner))
      socket.listener.secureTwin = owner.secureTwin
    }
    const failures: ListenerFailure[] = []
    for (const one of wanted) {
      if (this.#sockets.has(keyOf(one))) continue
      const failure = await this.#openOne(one, wanted)
      if (failure !== undefined) failures.push(failure)
      if (this.#context.draining) return []
    }
    await this.#closeUnwanted(wanted)
    return failures
  }

  async #closeUnwanted(wanted: readonly WorkerListener[]): Promise<void> {
    const unwanted = [...this.#sockets].filter(([, socket]) => ownerOf(socket, wanted) === undefined)
    if (unwanted.length === 0) return
    for (const [, socket] of unwanted) socket.listener.retired = true
    await acceptWaiting(unwanted.map(([, socket]) => socket))
    for (const [key, socket] of unwanted) this.#close(key, socket)
  }

  async #openOne(wanted: WorkerListener, all: readonly WorkerListener[]): Promise<ListenerFailure | undefined> {
    const { name, address, port } = wanted
    const attempt = async (): Promise<ListenerFailure | undefined> => {
      const socket = new ListenSocket(address, port, this.#listener(wanted), this.#context)
      try {
        await socket.listen()
      } catch (error) {
        return { name, message: error instanceof Error ? error.message : String(error) }
      }
      // The shutdown has already closed the listed sockets.
      if (this.#context.draining) socket.close()
      else this.#sockets.set(keyOf(wanted), socket)
      return undefined
    }
    const failure = await attempt()
    const keys = new Set(all.map(keyOf))
    const inTheWay = [...this.#sockets].filter(([key, socket]) => socket.port === port && !keys.has(key))
    if (failure === undefined || inTheWay.length === 0) return failure
    // Every address and a single one cannot be open at the same port side by side without SO_REUSEPORT.
    for (const [key, socket] of inTheWay) this.#close(key, socket)
    return await attempt()
  }

  #listener(settings: WorkerListener): Listener {
    return new Listener(settings, this.#host.metricsRow(settings.name), this.#context)
  }

  #close(key: string, socket: ListenSocket): void {
    socket.close()
    this.#sockets.delete(key)
  }

  #closeAll(): void {
    clearTimeout(this.#retry)
    for (const socket of this.#sockets.values()) socket.close()
  }

  /**
   * Goes on serving, but no connection for long: whoever is told `connection: close` sends its next request elsewhere,
   * while a client whose idle connection is closed may be sending one just then, and loses it.
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
    this.#closeAll()
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
    this.#closeAll()
    for (const connection of this.#context.connections) connection.destroy()
  }
}

/**
 * The kernel resets what waits to be accepted when a socket is closed. Behind so many turns all that waits now is
 * accepted, whatever comes meanwhile.
 */
async function acceptWaiting(sockets: readonly ListenSocket[]): Promise<void> {
  const accepted = (): number => sockets.reduce((sum, socket) => sum + socket.accepted, 0)
  for (let turn = 0, quiet = 0; turn < BACKLOG && quiet < QUIET_TURNS; turn++) {
    const before = accepted()
    await new Promise((resolve) => setImmediate(resolve))
    quiet = accepted() === before ? quiet + 1 : 0
  }
}

/** What makes a socket the same one. */
function keyOf({ address, port }: Pick<WorkerListener, 'address' | 'port'>): string {
  return `${address} ${port}`
}

/**
 * Whose a socket is by the settings. One for a single address stays when its port is opened for all: the kernel goes on
 * giving it the connections to that address, and to close it would reset those that wait to be accepted.
 */
function ownerOf(socket: ListenSocket, wanted: readonly WorkerListener[]): WorkerListener | undefined {
  const { address, port } = socket
  return (
    wanted.find((one) => one.address === address && one.port === port) ??
    wanted.find((one) => one.port === port && (one.address === '::' || (one.address === '0.0.0.0' && isIPv4(address))))
  )
}
