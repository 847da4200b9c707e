/**
 * Passes endpoints to the directory. Changes of pods act in the same turn, without waiting for a compile in progress,
 * and a pod that moves from one slice to another is not lost between the two events. Where the Backend is about to be
 * connected to in another way, they come with the compile that says so.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { listDifference } from '../../lib/origins.ts'
import type { EndpointAddress } from '../../snapshot/snapshot.ts'

/** The receiver of endpoints, implemented by EndpointDirectory. */
export interface EndpointSink {
  /** @param connects see `connectionKey` */
  set(backend: string, addresses: readonly EndpointAddress[], connects: string): void
}

export interface EndpointFeedOptions {
  readonly sink: EndpointSink
  /** `endpointsOf` for the newest resources. */
  readonly endpoints: (backend: string) => readonly EndpointAddress[]
  /** How the backend is connected to by the newest resources; undefined when there is none. */
  readonly connects: (backend: string) => string | undefined
  /** Whether the endpoints of a backend come from EndpointSlices. */
  readonly moves: (backend: string) => boolean
  readonly time: TimerClock
}

/**
 * A deleted pod is terminating first. A ready pod that is absent in the next event has moved to another slice, or was
 * deleted without grace: for this time it is used while no other endpoint is left.
 */
const HELD: Milliseconds = 1_000

interface Fed {
  /** The endpoints last set, without held ones. */
  current: readonly EndpointAddress[]
  /** As last compiled. */
  connects: string
  /** Held endpoints by address and port, with their expiry. */
  readonly held: Map<string, { readonly endpoint: EndpointAddress; readonly until: Milliseconds }>
  /** Set by an event that the compile in progress may not include. */
  ahead: boolean
}

export class EndpointFeed {
  readonly #options: EndpointFeedOptions
  readonly #backends = new Map<string, Fed>()
  /** Backends whose pods wait for a compile; whether one that knows of them has begun. */
  readonly #deferred = new Map<string, boolean>()
  #cancel: (() => void) | undefined

  constructor(options: EndpointFeedOptions) {
    this.#options = options
  }

  /** A compile has begun, which includes all events so far. */
  compiling(): void {
    for (const fed of this.#backends.values()) fed.ahead = false
    for (const backend of this.#deferred.keys()) this.#deferred.set(backend, true)
  }

  /**
   * Sets the endpoints of a backend from a compile, unless a newer event has arrived: it is about endpoints that are
   * connected to as before, so it does not hold back those that are not.
   */
  compiled(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    const fed = this.#backends.get(backend)
    if (fed?.ahead !== true || fed.connects !== connects) this.#update(backend, addresses, connects)
  }

  /** Backends whose pods waited for the compile that is complete. */
  takeDeferred(): string[] {
    const known = [...this.#deferred].filter(([, begun]) => begun).map(([backend]) => backend)
    for (const backend of known) this.#deferred.delete(backend)
    return known
  }

  /** Pods have changed, and with them the backend or its Service: they come with the next compile. */
  defer(backends: Iterable<string>): void {
    for (const backend of backends) if (this.#backends.has(backend)) this.#deferred.set(backend, false)
  }

  /** Pods have changed. Backends not compiled yet wait for a compile. */
  changed(backends: Iterable<string>): void {
    for (const backend of backends) {
      const fed = this.#backends.get(backend)
      if (fed === undefined) continue
      if (this.#options.connects(backend) !== fed.connects) {
        this.#deferred.set(backend, false)
        continue
      }
      fed.ahead = true
      this.#update(backend, this.#options.endpoints(backend), fed.connects)
    }
  }

  /** The backend is absent from the last compile. */
  forget(backend: string): void {
    this.#backends.delete(backend)
    this.#deferred.delete(backend)
  }

  stop(): void {
    this.#cancel?.()
  }

  #update(backend: string, addresses: readonly EndpointAddress[], connects: string): void {
    const { sink, moves, time } = this.#options
    let fed = this.#backends.get(backend)
    // Pods that spoke another protocol are no substitute for those of now.
    if (fed?.connects !== connects) fed = { current: [], connects, held: new Map(), ahead: false }
    this.#backends.set(backend, fed)
    const { gone, fresh } = listDifference(fed.current, addresses)
    const now = new Set(fresh.map(placeOf))
    const until = time.monotonic() + HELD
    if (moves(backend))
      for (const endpoint of gone)
        if (endpoint.state === 'ready' && !now.has(placeOf(endpoint)))
          fed.held.set(placeOf(endpoint), { endpoint: { ...endpoint, state: 'draining' }, until })
    for (const place of now) fed.held.delete(place)
    fed.current = addresses
    sink.set(backend, withHeld(fed), connects)
    if (fed.held.size > 0) this.#cancel ??= time.after(HELD, () => this.#letGo())
  }

  #letGo(): void {
    const { sink, time } = this.#options
    const now = time.monotonic()
    let next = Number.POSITIVE_INFINITY
    for (const [backend, fed] of this.#backends) {
      if (fed.held.size === 0) continue
      const before = fed.held.size
      for (const [place, { until }] of fed.held) {
        if (until <= now) fed.held.delete(place)
        else next = Math.min(next, until)
      }
      if (fed.held.size < before) sink.set(backend, withHeld(fed), fed.connects)
    }
    this.#cancel = next === Number.POSITIVE_INFINITY ? undefined : time.after(next - now, () => this.#letGo())
  }
}

/** The same list when nothing is held: the directory detects unchanged lists by identity. */
function withHeld({ current, held }: Fed): readonly EndpointAddress[] {
  return held.size === 0 ? current : [...current, ...[...held.values()].map(({ endpoint }) => endpoint)]
}

function placeOf({ address, port }: EndpointAddress): string {
  return `${address} ${port}`
}
