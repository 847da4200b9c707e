/**
 * Passes endpoints to the directory. Changes of pods act in the same turn, without waiting for a compile in progress,
 * and a pod that moves from one slice to another is not lost between the two events.
 */
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import type { EndpointAddress } from '../../snapshot/snapshot.ts'

/** The receiver of endpoints, implemented by EndpointDirectory. */
export interface EndpointSink {
  set(backend: string, addresses: readonly EndpointAddress[]): void
}

export interface EndpointFeedOptions {
  readonly sink: EndpointSink
  /** `endpointsOf` for the newest resources. */
  readonly endpoints: (backend: string) => readonly EndpointAddress[]
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
  /** Held endpoints by address and port, with their expiry. */
  readonly held: Map<string, { readonly endpoint: EndpointAddress; readonly until: Milliseconds }>
  /** Set by an event that the compile in progress may not include. */
  ahead: boolean
}

export class EndpointFeed {
  readonly #options: EndpointFeedOptions
  readonly #backends = new Map<string, Fed>()
  #cancel: (() => void) | undefined

  constructor(options: EndpointFeedOptions) {
    this.#options = options
  }

  /** A compile has begun, which includes all events so far. */
  compiling(): void {
    for (const fed of this.#backends.values()) fed.ahead = false
  }

  /** Sets the endpoints of a backend from a compile, unless a newer event has arrived. */
  compiled(backend: string, addresses: readonly EndpointAddress[]): void {
    const fed = this.#backends.get(backend)
    if (fed?.ahead !== true) this.#update(backend, addresses)
  }

  /** Pods have changed. Backends not compiled yet wait for a compile. */
  changed(backends: Iterable<string>): void {
    for (const backend of backends) {
      const fed = this.#backends.get(backend)
      if (fed === undefined) continue
      fed.ahead = true
      this.#update(backend, this.#options.endpoints(backend))
    }
  }

  /** The backend is absent from the last compile. */
  forget(backend: string): void {
    this.#backends.delete(backend)
  }

  stop(): void {
    this.#cancel?.()
  }

  #update(backend: string, addresses: readonly EndpointAddress[]): void {
    const { sink, moves, time } = this.#options
    const fed = this.#backends.get(backend) ?? { current: [], held: new Map(), ahead: false }
    this.#backends.set(backend, fed)
    if (fed.current !== addresses || fed.held.size > 0) {
      const now = new Set(addresses.map(placeOf))
      const until = time.monotonic() + HELD
      if (moves(backend))
        for (const endpoint of fed.current)
          if (endpoint.state === 'ready' && !now.has(placeOf(endpoint)))
            fed.held.set(placeOf(endpoint), { endpoint: { ...endpoint, state: 'draining' }, until })
      for (const place of now) fed.held.delete(place)
    }
    fed.current = addresses
    sink.set(backend, withHeld(fed))
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
      if (fed.held.size < before) sink.set(backend, withHeld(fed))
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
