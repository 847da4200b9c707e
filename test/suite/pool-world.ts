/** A pool before an upstream, with limits that a test sets, and requests on it. */
import assert from 'node:assert/strict'
import type { Endpoint } from '../../src/balance/endpoint.ts'
import type { TimerClock } from '../../src/lib/clock.ts'
import type { GatewayError } from '../../src/lib/error.ts'
import { FieldBlock } from '../../src/message/field-block.ts'
import { Fields } from '../../src/message/fields.ts'
import { EndpointTable } from '../../src/shared-memory/endpoint-table.ts'
import { ConnectionPlaces, type PlacesContext } from '../../src/transport/connection-places.ts'
import type { Connector } from '../../src/transport/connector.ts'
import { EndpointPool, type PoolContext, type PoolOptions } from '../../src/transport/pool.ts'
import { Timers } from '../../src/transport/timers.ts'
import type { UpstreamHandler, UpstreamRequest, UpstreamStream } from '../../src/transport/upstream.ts'

/** An endpoint, and how to come to it. */
export interface TestUpstream {
  readonly connector: Connector
  readonly clock: TimerClock
  readonly port: number
  /** Connections that are open at its side. */
  readonly open: number
  /** Requests that the connections made from now on carry at a time. */
  capacity: number
  /** Connections are refused from now on. */
  refuse(): void
  /** The connections that are open take no more requests. */
  leave(): void | Promise<void>
  /** Waits until it holds, and lets time pass meanwhile. */
  until(holds: () => boolean): Promise<void>
}

export const OPTIONS: PoolOptions = { connectTimeout: 2_000, idleTimeout: 60_000, maxRequestsPerConnection: 0 }

/** Of the Backend in the endpoint table. */
const SLOT = 1
const MANY = 1_000

export class World implements PoolContext, PlacesContext {
  /** Milliseconds that have passed besides those of the test. */
  skew = 0
  readonly timers: Timers
  readonly connector: Connector
  readonly upstream: TestUpstream
  readonly limits = { head: 10_000, headers: 100, uri: 0 }
  readonly pool: EndpointPool
  readonly table = new EndpointTable(EndpointTable.allocate(1, 8))
  readonly worker = 0
  readonly places: ConnectionPlaces
  maxConnections = MANY
  maxPending = MANY
  allowed = true
  overdrawn = false
  readonly share = { take: () => !this.overdrawn, give() {} }
  readonly counts = { opened: 0, reused: 0, failed: 0, closed: 0 }

  constructor(upstream: TestUpstream, options: Partial<PoolOptions> = {}) {
    const { clock, connector, port } = upstream
    this.upstream = upstream
    this.connector = connector
    this.timers = new Timers({ ...clock, monotonic: () => clock.monotonic() + this.skew })
    this.places = new ConnectionPlaces(SLOT, this)
    const endpoint = { address: '127.0.0.1', port, authority: `127.0.0.1:${port}` } as Endpoint
    this.pool = new EndpointPool(endpoint, { ...OPTIONS, ...options }, this, this.connector)
  }

  /** Connections that may be opened besides those that are. */
  get left(): number {
    return this.maxConnections - this.table.connections.sum(SLOT)
  }

  /** Requests that wait for a place. */
  get pending(): number {
    return this.table.pending.sum(SLOT)
  }

  mayDial(): boolean {
    return this.allowed
  }
  dropIdle(): boolean {
    return this.pool.dropIdle()
  }
  connectionOpened(reused: boolean): void {
    if (reused) this.counts.reused++
    else this.counts.opened++
  }
  connectionFailed(): void {
    this.counts.failed++
  }
  connectionClosed(): void {
    this.counts.closed++
  }

  /** Dispatches a request whose body is still open. */
  ask(fresh = false): Asked {
    const asked = new Asked()
    this.pool.dispatch(openRequest(), asked, fresh)
    return asked
  }
}

export class Asked implements UpstreamHandler {
  stream: UpstreamStream | null = null
  reused: boolean | null = null
  error: GatewayError | null = null
  body = ''
  onChunk: () => void = () => {}
  /** It has a stream, or will never have one. */
  readonly settled = Promise.withResolvers<void>()
  readonly over = Promise.withResolvers<void>()

  constructor() {
    this.over.promise.catch(() => {})
  }
  onStream(stream: UpstreamStream, reused: boolean): void {
    assert.equal(this.stream ?? this.error, null, 'told twice')
    this.stream = stream
    this.reused = reused
    this.settled.resolve()
  }
  onError(error: GatewayError): void {
    assert.equal(this.error, null, 'told twice')
    this.error = error
    this.settled.resolve()
    this.over.reject(error)
  }
  onInformational(): void {}
  onHead(): void {}
  onData(bytes: Buffer, start: number, end: number): void {
    this.body += bytes.latin1Slice(start, end)
    this.onChunk()
  }
  onEnd(): void {
    this.over.resolve()
  }
  onDrain(): void {}
  onBatchEnd(): void {}
  onUpgrade(): void {
    this.over.reject(new Error('upgraded'))
  }
  /** Sends the rest of the request, and waits for the end of its response. */
  async exchange(text = '/'): Promise<string> {
    await this.settled.promise
    this.stream!.write(Buffer.from(text))
    this.stream!.end(null)
    await this.over.promise
    return this.body
  }
}

export function openRequest(): UpstreamRequest {
  return {
    method: 'POST',
    target: '/',
    host: 'h.test',
    fields: new Fields(),
    bodyLength: -1,
    forwarding: new FieldBlock(['x-forwarded-for', '127.0.0.1']),
    id: 'id',
    passed: new FieldBlock([]),
    acceptsTrailers: false,
    upgrade: null,
  }
}
