/** Requests on connections to endpoints that speak HTTP/2, with everything that their handlers hear. */

import { H2cConnector } from '../../src/connector/h2c-connector.ts'
import { Setting } from '../../src/http/frames.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import type { Duplex } from '../../src/message/duplex.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import type { ResponseHead } from '../../src/message/head.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { Timers } from '../../src/transport/timers.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../../src/transport/upstream.ts'
import { type Scope, until } from '../socket/sockets.ts'
import { World } from '../suite/pool-world.ts'
import { type FramePeer, type FrameServer, frameServer, type SeenRequest } from './frame-server.ts'

export class Dispatched implements UpstreamHandler {
  readonly events: string[] = []
  stream: UpstreamStream | null = null
  error: GatewayError | null = null
  duplex: Duplex | null = null
  body = ''
  /** Pauses when the head has come. */
  pauseAtHead = false
  onBody: () => void = () => {}

  onStream(stream: UpstreamStream): void {
    this.stream = stream
    this.events.push('stream')
  }
  onInformational(status: number, fields: Fields): void {
    this.events.push(`${status} ${text(fields)}`)
  }
  onHead({ status, fields, bodyLength }: ResponseHead): void {
    this.events.push(`head ${status} ${bodyLength} ${text(fields)}`)
    if (this.pauseAtHead) this.stream!.pause()
  }
  onData(bytes: Buffer, start: number, end: number): void {
    this.body += bytes.latin1Slice(start, end)
    this.onBody()
  }
  onEnd(trailers: Fields | null): void {
    this.events.push(trailers === null ? 'end' : `end ${text(trailers)}`)
  }
  onError(error: GatewayError): void {
    this.error = error
    this.events.push(`error ${error.reason}`)
  }
  onDrain(): void {
    this.events.push('drain')
  }
  onBatchEnd(): void {}
  onUpgrade(head: ResponseHead, duplex: Duplex): void {
    this.duplex = duplex
    this.events.push(`upgrade ${head.status} ${text(head.fields)}`)
  }

  /** Without what comes of flow control and batches. */
  get story(): string {
    return this.events.filter((event) => event !== 'stream' && event !== 'drain').join(', ')
  }

  get over(): boolean {
    return this.events.some((event) => event.startsWith('end') || event.startsWith('error'))
  }
}

function text(fields: Fields): string {
  const list: string[] = []
  fields.forEach((name, value) => void list.push(`${name}=${value}`))
  return list.join('&')
}

export function upstreamRequest(changes: Partial<UpstreamRequest> = {}): UpstreamRequest {
  return {
    method: 'GET',
    target: '/',
    host: 'h.test',
    fields: new Fields(),
    bodyLength: 0,
    forwarding: new FieldBlock([]),
    passed: new FieldBlock([]),
    id: 'id',
    acceptsTrailers: false,
    upgrade: null,
    ...changes,
  }
}

/** A pool before one frame server. */
export class H2World {
  readonly world: World
  readonly server: FrameServer
  /** Milliseconds that have passed for the connections besides those of the test. */
  readonly #time: { skew: number }

  private constructor(server: FrameServer, world: World, time: { skew: number }) {
    this.server = server
    this.world = world
    this.#time = time
  }

  static async open(
    scope: Scope,
    changed: (peer: FramePeer) => void = () => {},
    begin: (peer: FramePeer) => void = (peer) => peer.greet(Setting.MAX_CONCURRENT_STREAMS, 100),
  ): Promise<H2World> {
    const server = await frameServer(scope, begin, changed)
    const time = { skew: 0 }
    const timers = new Timers({ ...systemTimers, monotonic: () => systemTimers.monotonic() + time.skew })
    const world = new World({
      connector: new H2cConnector(timers),
      clock: systemTimers,
      port: server.port,
      open: 0,
      capacity: 0,
      refuse: () => {},
      leave: () => {},
      until,
    })
    scope.after(() => world.pool.retire())
    return new H2World(server, world, time)
  }

  /** Time passes for the connections, as far as they look. */
  pass(milliseconds: number): void {
    this.#time.skew += milliseconds
  }

  get peer(): FramePeer {
    return this.server.peers[0]!
  }

  dispatch(changes: Partial<UpstreamRequest> = {}): Dispatched {
    const dispatched = new Dispatched()
    this.world.pool.dispatch(upstreamRequest(changes), dispatched, false)
    return dispatched
  }

  /** Dispatches a request, and waits until the server has its head. */
  async asked(
    changes: Partial<UpstreamRequest> = {},
  ): Promise<{ readonly it: Dispatched; readonly seen: SeenRequest }> {
    const before = this.server.peers.reduce((sum, peer) => sum + peer.requests.length, 0)
    const it = this.dispatch(changes)
    const all = (): readonly SeenRequest[] => this.server.peers.flatMap((peer) => peer.requests)
    await until(() => all().length > before, 'the head at the server')
    return { it, seen: all().at(-1)! }
  }
}
