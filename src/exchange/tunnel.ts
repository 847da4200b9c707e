/** An upgraded exchange: bytes both ways until either side ends, or neither has moved any for too long. */
import { GatewayError } from '../lib/error.ts'
import type { Reason } from '../lib/reason.ts'
import type { Duplex } from '../message/duplex.ts'
import type { ResponseHead } from '../message/head.ts'
import { TimerEntry } from '../transport/timers.ts'
import { firstLook, lookAtTunnel } from './credential-lease.ts'
import { finish } from './ending.ts'
import type { ProxyExchange } from './exchange.ts'
import { passFilters } from './response.ts'
import { addSession } from './session-affinity.ts'
import { WaitingDuplex } from './waiting-duplex.ts'

/** Milliseconds without progress after which the side that is left is not waited for any more. */
const LAST_BYTES = 10_000
/**
 * Milliseconds without a byte for a tunnel of which one direction has ended: whoever ended it may be gone for good,
 * which nobody notices before something is sent to him.
 */
const HALF_CLOSED = 60_000

/** The upstream has agreed to an upgrade: the filters see its head (101), then the two sides are joined. */
export function upgradeExchange(x: ProxyExchange, head: ResponseHead, upstream: Duplex): void {
  const goesOn = passFilters(x, head)
  if (goesOn === true) return openTunnel(x, head, upstream)
  if (goesOn === false) return upstream.destroy()
  head.fields.detach()
  x.watch()
  const waiting = new WaitingDuplex(upstream)
  goesOn
    .then((late) => {
      if (!late || x.ended || waiting.closed) upstream.destroy()
      if (late && !x.ended)
        if (waiting.closed) x.fail(new GatewayError('UpstreamTruncated', 'closed before the upgrade was complete'))
        else openTunnel(x, head, waiting)
    })
    .catch((error: unknown) => x.fail(error))
}

/** Tells the client that the upstream agreed, and joins the two. */
function openTunnel(x: ProxyExchange, head: ResponseHead, upstream: Duplex): void {
  // Of a connection that is not HTTP there is no status.
  if (!x.opaque) x.status = 101
  x.headSent = true
  x.context.timers.disarm(x)
  if (!x.opaque) addSession(x, head.fields)
  const client = x.downstream.upgrade(head, x.upgrade ?? '')
  // Filters that are called at the end may look at it once more.
  if (x.chain?.end == null) x.forgetHead()
  x.split = null
  new Tunnel(x, client, upstream).start()
}

/** Milliseconds in which the look at a credential has its answer, or is taken again. */
const LOOK_AGAIN = 15_000

class Tunnel extends TimerEntry {
  readonly #x: ProxyExchange
  readonly #client: Duplex
  readonly #upstream: Duplex
  /** Milliseconds, 0 = for ever. */
  #idle: number
  #lastActivity: number
  /** When the credential that opened it is looked at, monotonic milliseconds; infinity = never. */
  #leaseAt = Number.POSITIVE_INFINITY
  /** Bytes that had not left at the last activity or look: fewer of them are progress, too. */
  #unsent = 0
  #clientClosed = false
  #upstreamClosed = false

  constructor(x: ProxyExchange, client: Duplex, upstream: Duplex) {
    super()
    this.#x = x
    this.#client = client
    this.#upstream = upstream
    this.#idle = x.policy.timeouts.tunnelIdle
    this.#lastActivity = x.context.timers.now
  }

  start(): void {
    const client = this.#client
    const upstream = this.#upstream
    this.#leaseAt = firstLook(this.#x)
    this.#arm(this.#lastActivity + this.#idle)
    upstream.start({
      onData: (bytes) => {
        this.#x.bytesOut += bytes.length
        this.#carry(bytes, upstream, client)
      },
      onEnd: () => {
        client.end()
        this.#halfClosed()
        // A server that has ended its side is done with the connection.
        upstream.end()
      },
      onDrain: () => this.#drained(client),
      onClose: () => this.#upstreamGone(),
    })
    client.start({
      onData: (bytes) => {
        this.#x.bytesIn += bytes.length
        this.#carry(bytes, client, upstream)
      },
      onEnd: () => {
        upstream.end()
        this.#halfClosed()
      },
      onDrain: () => this.#drained(upstream),
      onClose: (error) => this.#clientGone(error),
    })
  }

  #carry(bytes: Uint8Array, from: Duplex, to: Duplex): void {
    this.#lastActivity = this.#x.context.timers.now
    if (!to.write(bytes)) from.pause()
    this.#unsent = this.#client.unsent + this.#upstream.unsent
  }

  /** Waits less long for the other direction. */
  #halfClosed(): void {
    if (this.#clientClosed || this.#upstreamClosed) return
    const { timers } = this.#x.context
    if (this.#idle === 0 || this.#idle > HALF_CLOSED) this.#idle = HALF_CLOSED
    this.#lastActivity = timers.now
    this.#arm(this.#lastActivity + this.#idle)
  }

  /** @param due of the idle time, where there is one */
  #arm(due: number): void {
    const next = Math.min(this.#idle > 0 ? due : Number.POSITIVE_INFINITY, this.#leaseAt)
    if (next < Number.POSITIVE_INFINITY) this.#x.context.timers.arm(this, next)
  }

  /** What its credential has opened ends with it. */
  #lookAtLease(): void {
    const isOpen = (): boolean => !this.#clientClosed && !this.#upstreamClosed
    lookAtTunnel(
      this.#x,
      (at) => {
        this.#leaseAt = at
        if (isOpen()) this.#arm(this.#lastActivity + this.#idle)
      },
      (reason) => isOpen() && this.#destroy(reason),
    )
  }

  #destroy(reason: Reason): void {
    this.#x.reason ??= reason
    this.#client.destroy()
    this.#upstream.destroy()
  }

  /** One side takes bytes again: the other is read. */
  #drained(from: Duplex): void {
    this.#lastActivity = this.#x.context.timers.now
    from.resume()
  }

  /** What is still on its way to the client gets there, then its end. */
  #upstreamGone(): void {
    this.#upstreamClosed = true
    if (this.#clientClosed) return this.#over()
    this.#client.close()
    this.#awaitLastBytes(this.#client)
  }

  /** The client's data is still sent to the upstream, unless the gateway shuts down. */
  #clientGone(error: GatewayError | null): void {
    const x = this.#x
    this.#clientClosed = true
    x.bytesOut = Math.max(0, x.bytesOut - this.#client.unsent)
    x.reason ??= error?.reason ?? null
    if (this.#upstreamClosed) return this.#over()
    if (error !== null) this.#upstream.destroy()
    else this.#upstream.close()
    this.#awaitLastBytes(this.#upstream)
  }

  #over(): void {
    this.#x.context.timers.disarm(this)
    finish(this.#x)
  }

  #awaitLastBytes(side: Duplex): void {
    const { timers } = this.#x.context
    this.#unsent = side.unsent
    timers.arm(this, timers.now + LAST_BYTES)
  }

  expired(now: number): void {
    const { timers } = this.#x.context
    if (this.#clientClosed || this.#upstreamClosed) {
      const left = this.#clientClosed ? this.#upstream : this.#client
      if (this.#progress(left.unsent)) timers.arm(this, now + LAST_BYTES)
      else left.destroy()
      return
    }
    if (now >= this.#leaseAt) {
      // Whatever is found out later, it is looked at again.
      this.#leaseAt = now + LOOK_AGAIN
      this.#lookAtLease()
      if (this.#clientClosed || this.#upstreamClosed) return
    }
    const due = this.#lastActivity + this.#idle
    if (this.#idle === 0 || due > now) this.#arm(due)
    else if (this.#progress(this.#client.unsent + this.#upstream.unsent)) this.#arm(now + this.#idle)
    else this.#destroy('IdleTimeout')
  }

  #progress(unsent: number): boolean {
    const before = this.#unsent
    this.#unsent = unsent
    return unsent < before
  }
}
