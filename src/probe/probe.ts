/**
 * The probes of one endpoint of one Backend: one at a time, on a connection that is kept. Nothing here waits for the
 * endpoint longer than the time-out, whatever it does.
 */
import type { Endpoint } from '../balance/endpoint.ts'
import type { GatewayError } from '../lib/error.ts'
import type { Duplex } from '../message/duplex.ts'
import type { Fields } from '../message/fields.ts'
import type { HeadLimits, ResponseHead } from '../message/head.ts'
import { encodeProxyHeader } from '../proxy-protocol/encode.ts'
import type { ActiveHealth } from '../snapshot/health.ts'
import type { BackendConfig } from '../snapshot/snapshot.ts'
import type { Connector, PendingConnection, SessionOwner, UpstreamSession } from '../transport/connector.ts'
import { TimerEntry, type Timers } from '../transport/timers.ts'
import type { UpstreamHandler, UpstreamStream } from '../transport/upstream.ts'
import { ProbeAnswer } from './probe-answer.ts'
import { probeRequest } from './probe-request.ts'

/** What a probe needs of the prober. */
export interface ProbeHost {
  readonly timers: Timers
  readonly limits: HeadLimits
  /** It is time for the next one: {@link Probe.start} follows when there is room. */
  queue(probe: Probe): void
  /** Why the address may not be dialled. */
  refuses(address: string, port: number): string | undefined
  connectorOf(plan: BackendConfig, active: ActiveHealth): Connector
  /** A connection is opened. @returns false when there is no room for it */
  opening(probe: Probe): boolean
  /** It is closed. */
  closed(probe: Probe): void
  /** It lies idle, and may be closed by {@link Probe.dropIdle}; or does not any more. */
  idle(probe: Probe, idle: boolean): void
  /** The probe is over. @param fault '' = good */
  done(probe: Probe, fault: string): void
}

/** A server that announces its time-out closes at about it: a connection is not used in the last part. */
const IDLE_MARGIN = 500

/** One connection. Its end may become known when the probe has another one. */
class ProbeConnection implements SessionOwner {
  readonly #probe: Probe
  readonly limits: HeadLimits

  constructor(probe: Probe, limits: HeadLimits) {
    this.#probe = probe
    this.limits = limits
  }

  connected(session: UpstreamSession): void {
    this.#probe.connected(session)
  }

  connectFailed(error: GatewayError): void {
    this.#probe.connectFailed(error)
  }

  available(): void {}

  closed(): void {
    this.#probe.closed(this)
  }
}

export class Probe extends TimerEntry implements UpstreamHandler {
  readonly backend: string
  /** In the endpoint table. */
  readonly place: number
  plan: BackendConfig
  active: ActiveHealth
  /** What it dials, which may have another port than the endpoint. */
  target: Endpoint
  /** Good ones, or bad ones, in a row. */
  goodInARow = 0
  badInARow = 0
  /** Why the last one failed; '' when it did not. */
  fault = ''
  /** Why the last one that failed did. */
  lastFault = ''
  /** Monotonic: when the running one began. */
  startedAt = 0
  /** Monotonic: when the last one ended; -1 = none did. */
  endedAt = -1
  /** How long it took. */
  took = 0
  /** It is under way. */
  running = false
  readonly #host: ProbeHost
  #dial: PendingConnection | null = null
  /** What is dialled or open. */
  #connection: ProbeConnection | null = null
  #session: UpstreamSession | null = null
  #idleSince = 0
  #stream: UpstreamStream | null = null
  #answer: ProbeAnswer | null = null
  #fresh = true
  /** Its connection was made for other options: it carries the probe that runs, and no other. */
  #outdated = false
  #gone = false

  constructor(host: ProbeHost, plan: BackendConfig, active: ActiveHealth, target: Endpoint) {
    super()
    this.#host = host
    this.backend = plan.id
    this.place = target.slot
    this.plan = plan
    this.active = active
    this.target = target
  }

  /** Other options, from the next probe on. @param renews the connection cannot carry it */
  use(plan: BackendConfig, active: ActiveHealth, target: Endpoint, renews: boolean): void {
    this.plan = plan
    this.active = active
    this.target = target
    if (renews) this.renewConnection()
  }

  renewConnection(): void {
    if (this.#connection === null) return
    if (this.running) this.#outdated = true
    else this.#close()
  }

  /** Time for the next probe, or the time-out of the one that runs. */
  expired(): void {
    if (!this.running) return this.#host.queue(this)
    const verdict = this.#answer?.verdict
    const stage = this.#dial === null ? 'no answer' : 'no connection'
    this.#finish(verdict ?? `${stage} within ${this.active.timeout} ms`)
  }

  start(): void {
    const { timers } = this.#host
    this.running = true
    this.startedAt = timers.now
    timers.arm(this, timers.now + this.active.timeout)
    const refusal = this.#host.refuses(this.target.address, this.target.port)
    if (refusal !== undefined) return this.#finish(`${this.target.authority} ${refusal}`)
    this.#begin()
  }

  #begin(): void {
    const session = this.#session
    if (session !== null) {
      this.#host.idle(this, false)
      const { idleTimeout } = session
      const old = idleTimeout > 0 && this.#host.timers.now - this.#idleSince > idleTimeout - IDLE_MARGIN
      if (session.usable && !old) return this.#ask(session, true)
      this.#close()
    }
    this.#connect()
  }

  #connect(): void {
    if (!this.#host.opening(this)) return this.#finish('there is no room for another connection of a probe')
    const { proxyProtocol } = this.plan
    const first = proxyProtocol === undefined ? undefined : encodeProxyHeader(proxyProtocol === 'V1' ? 1 : 2, null)
    const connection = new ProbeConnection(this, this.#host.limits)
    this.#outdated = false
    this.#connection = connection
    this.#dial = this.#host.connectorOf(this.plan, this.active).connect(this.target, connection, first)
  }

  #ask(session: UpstreamSession, reused: boolean): void {
    this.#fresh = !reused
    this.#answer = new ProbeAnswer(this.active)
    session.dispatch(probeRequest(this.active, this.target), this, reused)
  }

  // ---- the connection ----

  connected(session: UpstreamSession): void {
    this.#dial = null
    this.#session = session
    if (this.active.type === 'TCP') {
      this.#finish('')
      this.#close()
    } else this.#ask(session, false)
  }

  connectFailed(error: GatewayError): void {
    this.#dial = null
    this.#connection = null
    this.#host.closed(this)
    this.#finish(describe(error))
  }

  /** A connection is closed, by whichever side. */
  closed(connection: ProbeConnection | null): void {
    if (connection === null || connection !== this.#connection) return
    this.#connection = null
    this.#session = null
    this.#host.idle(this, false)
    this.#host.closed(this)
  }

  // ---- the answer ----

  onStream(stream: UpstreamStream): void {
    this.#stream = stream
    const { body } = probeRequest(this.active, this.target)
    if (body === null) return
    stream.write(body)
    stream.end(null)
  }

  onInformational(): void {}

  onHead(head: ResponseHead): void {
    this.#answer?.head(head)
  }

  onData(bytes: Buffer, start: number, end: number): void {
    const answer = this.#answer
    if (answer !== null && !answer.data(bytes, start, end)) this.#finish(answer.verdict ?? '')
  }

  onEnd(trailers: Fields | null): void {
    if (this.#stream?.sending === true) this.#stream.abort()
    this.#stream = null
    const answer = this.#answer
    answer?.end(trailers)
    this.#finish(answer?.verdict ?? 'no answer')
  }

  onError(error: GatewayError): void {
    this.#stream = null
    if (!this.running) return
    const verdict = this.#answer?.verdict
    // A server may close an idle connection at any time, which says nothing about it (RFC 9112 §9.3.1).
    if (verdict === undefined && !this.#fresh) {
      this.#close()
      return this.#connect()
    }
    this.#finish(verdict ?? describe(error))
  }

  onDrain(): void {}

  onBatchEnd(): void {}

  onUpgrade(_head: ResponseHead, duplex: Duplex): void {
    duplex.destroy()
    this.#finish('a switch of protocols that was not asked for')
  }

  // ---- the end ----

  #finish(fault: string): void {
    if (!this.running) return
    this.running = false
    this.#answer = null
    const { timers } = this.#host
    timers.disarm(this)
    if (this.#dial !== null) {
      this.#dial.cancel()
      this.#dial = null
      this.#connection = null
      this.#host.closed(this)
    }
    if (this.#stream !== null) {
      // What comes of this response is not wanted.
      const stream = this.#stream
      this.#stream = null
      stream.abort()
    }
    if (this.#session !== null && (this.#outdated || !this.#session.usable)) this.#close()
    if (this.#session !== null) {
      this.#idleSince = timers.now
      this.#host.idle(this, true)
    }
    if (!this.#gone) this.#host.done(this, fault)
  }

  #close(): void {
    const connection = this.#connection
    this.#session?.destroy()
    // Some sessions say so at once, others when the socket is closed.
    if (this.#session !== null) this.closed(connection)
  }

  /** Closes the connection that lies idle. */
  dropIdle(): void {
    if (!this.running) this.#close()
  }

  /** No more of it. */
  end(): void {
    this.#gone = true
    this.#finish('')
    this.#host.timers.disarm(this)
    this.#close()
  }
}

/** For people, on one line. */
function describe({ info, detail }: GatewayError): string {
  const title = info.title.replace(/^The/, 'the')
  return detail === '' ? title : `${title}: ${detail.slice(0, 200)}`
}
