/** A worker's request path on sockets, in the thread of the test. */

import { setTimeout as delay } from 'node:timers/promises'
import { tcpConnector } from '../../src/connector/tcp-connector.ts'
import { tlsOf } from '../../src/routing/find-host.ts'
import type { HostTls } from '../../src/snapshot/host-tls.ts'
import type { WorkerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { HELD_BODIES } from '../../src/transport/held-memory.ts'
import type { Peer } from '../../src/transport/peer.ts'
import { Listeners } from '../../src/worker/listeners.ts'
import { RawClient } from '../feature/raw-client.ts'
import { type InProcessOptions, type Scope, settingsWith, TestPlane } from './test-plane.ts'

/** Several bodies that wait, each with the largest window of a stream in a buffer that has doubled. */
const BODY_BYTES = 32 * 1024 * 1024

export class InProcess extends TestPlane {
  readonly listeners: Listeners
  /** How each handshake ended: `full`, `resumed`, or why it failed. */
  readonly handshakes: string[] = []
  readonly problems: string[] = []
  /** Why connections were closed for want of a PROXY header. */
  readonly proxyRefusals: string[] = []
  /** By name, besides what the tables say. */
  readonly hostTls = new Map<string, HostTls>()
  #listening: Promise<void> = Promise.resolve()
  #connections = 0

  /** Requests that were answered without being read. */
  repeats = 0
  /** Hears of the connection of each request. */
  onPeer: (peer: Peer) => void = () => {}

  constructor(options: InProcessOptions) {
    const clock = options.clock ?? systemTimers
    const wall = options.wall ?? clock.wall
    super(options, {
      clock,
      connector: options.connector ?? tcpConnector,
      settings: (settings) => (this.#listening = this.listeners.apply(settings)),
    })
    const heldLimit = options.heldLimit ?? 1 << 20
    HELD_BODIES.use(options.heldBodies ?? BODY_BYTES, setImmediate)
    this.listeners = new Listeners({
      requests: {
        begin: (downstream, request) => {
          this.onPeer(downstream.peer)
          return this.plane.handler.begin(downstream, request)
        },
        repeat: (peer, bytes, length, take) => {
          if (options.repeats === false) return null
          const response = this.plane.handler.repeat(peer, bytes, length, take)
          if (response !== null) this.repeats++
          return response
        },
        refused: (peer, error, request) => this.plane.handler.refused(peer, error, request),
        connectionOpened: (listener) => this.plane.handler.connectionOpened(listener),
        connectionClosed: (listener) => this.plane.handler.connectionClosed(listener),
      },
      timers: this.plane.timers,
      wall: clock.wall,
      reusePort: options.reusePort ?? false,
      sockets: 4,
      heldLimit,
      ...(options.upstreamsOpen === undefined ? {} : { upstreams: options.upstreamsOpen }),
      connectionBytes: options.connectionBytes ?? Number.POSITIVE_INFINITY,
      tls: {
        contents: this.plane.contents,
        clock: systemTimers,
        wall,
        ticketMaster: Buffer.alloc(32, 1),
        ...(options.handshakes === undefined ? {} : { bounds: options.handshakes }),
        tlsOf: (frontend, host) => {
          const stated = this.hostTls.get(host)
          if (stated !== undefined) return stated
          const { tables } = this.plane.context
          return tables === null ? null : tlsOf(tables.tables, frontend, host)
        },
        passThrough: (downstream, serverName) => this.plane.handler.passThrough(downstream, serverName),
        handshakeDone: (resumed) => void this.handshakes.push(resumed ? 'resumed' : 'full'),
        handshakeFailed: ({ reason }) => void this.handshakes.push(reason),
        problem: (message) => void this.problems.push(message),
      },
      countConnection: (delta) => (this.#connections += delta),
      metricsRow: () => 0,
      refusedConnection: (metricsRow) => this.metrics.connectionRefused(metricsRow),
      refusedProxyHeader: ({ reason }) => void this.proxyRefusals.push(reason),
      changed: () => {},
    })
  }

  async listen(options: InProcessOptions): Promise<void> {
    await this.use(settingsWith([{ name: 'http', address: '127.0.0.1', port: 0 }], options))
    if (options.unlinked !== true) await this.linked
  }

  /** Applies settings, and waits until they are in force. */
  async use(settings: WorkerSettings): Promise<void> {
    this.plane.messages.accept({ type: 'settings', settings })
    await this.#listening
    const [failure] = this.listeners.failures
    if (failure !== undefined) throw new Error(failure.message)
  }

  get port(): number {
    return this.listeners.ports.get('http')!
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.port)
  }

  override get holdings(): Readonly<Record<string, number>> {
    return { ...super.holdings, connections: this.#connections }
  }

  /** Waits until nothing is left; fails after five seconds with what is. */
  async nothingLeft(): Promise<void> {
    const deadline = performance.now() + 5_000
    for (;;) {
      const left = Object.entries(this.holdings).filter(([, count]) => count !== 0)
      if (left.length === 0) return
      if (performance.now() > deadline) throw new Error(`left over: ${JSON.stringify(left)}`)
      await delay(5)
    }
  }
}

export async function inProcess(scope: Scope, options: InProcessOptions = {}): Promise<InProcess> {
  const gateway = new InProcess(options)
  await gateway.listen(options)
  scope.after(() => {
    gateway.listeners.destroy()
    gateway.plane.backends.retain([])
  })
  return gateway
}
