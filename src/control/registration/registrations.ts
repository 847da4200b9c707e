/**
 * The room of registrations. In: requests of services through the admin API, and what earlier threads and processes
 * kept. Out: the registered endpoints of every Backend that takes them, and what is to be kept.
 */
import type {
  RegistrationBody,
  RegistrationOutcome,
  RegistrationRequests,
  RegistrationView,
} from '../../admin/registrations.ts'
import { type KeptRegistration, LEASE, type RegistrationChange } from '../../api/registration.ts'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { formatDuration, isDuration, parseDuration } from '../../lib/quantity.ts'
import { type Rate, TokenBucket } from '../../lib/token-bucket.ts'
import { canonicalAddress } from '../../pattern/cidr.ts'
import { namespaceOf } from '../../snapshot/backend-id.ts'
import { type FrozenMap, FrozenMapBuilder } from '../../snapshot/frozen-map.ts'
import type { EndpointAddress } from '../../snapshot/snapshot.ts'
import { type BootClock, systemBootClock } from './boot-clock.ts'
import { type Lease, LeaseBook, remainingOf } from './lease-book.ts'
import { type RefusalText, refuse } from './refusals.ts'

/** Registrations that come, go or change, per namespace: each is an endpoint set for every worker. */
const CHANGES: Rate = { perSecond: 100, burst: 1_000 }
/** How long an endpoint that is removed is used while no other is left, at most. */
const DRAIN: Milliseconds = 30_000
const MAX_DRAIN: Milliseconds = 600_000
/** Heartbeats are kept this often: a lease that a restart finds is at most so much too short. */
const KEEP_EVERY: Milliseconds = 1_000

export type { RefusalText }

/** What a Backend says of registrations; a refusal where it takes none. */
export type RegistrationTerms = { readonly lease: Milliseconds } | RefusalText

export interface RegistrationsOptions {
  readonly time: TimerClock
  /** Of the system where absent. */
  readonly boot?: BootClock
  readonly terms: (backend: string) => RegistrationTerms
  /** Why the address may not be dialled for this Backend. */
  readonly refusal: (backend: string, address: string, port: number) => RefusalText | undefined
  /** The registered endpoints of these Backends are others; `all` has those of every Backend. */
  readonly changed: (backends: readonly string[], all: FrozenMap<readonly EndpointAddress[]>) => void
  /** Must be kept for the next thread and process. */
  readonly keep: (changes: readonly RegistrationChange[]) => void
  /** For the log. */
  readonly expired: (backend: string, message: string) => void
}

export class Registrations implements RegistrationRequests {
  readonly #options: RegistrationsOptions
  readonly #boot: BootClock
  readonly #book: LeaseBook
  readonly #endpoints = new FrozenMapBuilder<readonly EndpointAddress[]>()
  readonly #changes = new Map<string, TokenBucket>()
  readonly #changed = new Set<string>()
  /** Renewed and not kept yet, by Backend and id. */
  readonly #renewed = new Map<string, readonly [backend: string, id: string]>()
  #cancelTell: (() => void) | undefined
  #cancelKeep: (() => void) | undefined

  constructor(options: RegistrationsOptions) {
    this.#options = options
    this.#boot = options.boot ?? systemBootClock()
    this.#book = new LeaseBook(options.time, { expired: (backend, lease) => this.#expired(backend, lease) })
  }

  /**
   * What earlier threads or processes kept; what is known already is newer. Leases go on, and those that ended are
   * gone.
   */
  restore(kept: Iterable<KeptRegistration>): void {
    const { time } = this.#options
    const boot = this.#boot
    const now = { boot: boot.boot, uptime: boot.uptime(), wall: time.wall() }
    for (const one of kept) {
      const { backend, id, state, address, port, weight, zone, metadata, lease } = one
      if (this.#book.get(backend, id) !== undefined) continue
      const remaining = remainingOf(one, now)
      const taken = this.#book.holder(backend, address, port) !== undefined
      if (!(remaining > 0) || taken || this.#book.full(backend) !== undefined) {
        this.#options.keep([{ backend, id, kept: undefined }])
        continue
      }
      const until = time.monotonic() + remaining
      this.#book.set(backend, { id, state, address, port, weight, zone, metadata, lease, until })
      this.#mark(backend)
    }
  }

  put(backend: string, id: string, body: RegistrationBody): RegistrationOutcome {
    const terms = this.#options.terms(backend)
    if ('reason' in terms) return refuse(terms)
    const wanted = endpointOf(body, terms.lease)
    if ('reason' in wanted) return refuse(wanted)
    const before = this.#book.get(backend, id)
    if (before?.state === 'ready' && sameEndpoint(before, wanted)) return this.#renew(backend, before)
    const refusal =
      this.#options.refusal(backend, wanted.address, wanted.port) ??
      this.#taken(backend, id, wanted.address, wanted.port) ??
      (before === undefined ? this.#tooMany(backend) : undefined) ??
      this.#tooFast(backend)
    if (refusal !== undefined) return refuse(refusal)
    this.#makeWay(backend, id, wanted)
    const lease: Lease = { ...wanted, id, state: 'ready', until: this.#options.time.monotonic() + wanted.lease }
    this.#book.set(backend, lease)
    this.#keep(backend, id)
    this.#mark(backend)
    return { ok: true, created: before === undefined, view: this.#view(lease) }
  }

  heartbeat(backend: string, id: string): RegistrationOutcome {
    const terms = this.#options.terms(backend)
    if ('reason' in terms) return refuse(terms)
    const lease = this.#book.get(backend, id)
    if (lease === undefined) return refuse(notFound(backend, id, 'Register it again with PUT'))
    if (lease.state === 'draining') {
      const detail = `${id} of Backend ${backend} was removed and is draining; register it again with PUT`
      return refuse({ status: 409, reason: 'EndpointDraining', title: 'The endpoint is draining', detail })
    }
    return this.#renew(backend, lease)
  }

  remove(backend: string, id: string, drain?: string): RegistrationOutcome {
    const lease = this.#book.get(backend, id)
    if (lease === undefined) return refuse(notFound(backend, id, 'It has expired, or was never registered'))
    const wanted = drain === undefined ? DRAIN : isDuration(drain) ? parseDuration(drain) : Number.NaN
    if (!(wanted <= MAX_DRAIN)) {
      const detail = `drain is a duration of at most ${formatDuration(MAX_DRAIN)}, such as 30s`
      return refuse({ status: 422, reason: 'InvalidEndpoint', title: 'The time to drain is not valid', detail })
    }
    const now = this.#options.time.monotonic()
    const until = Math.min(lease.until, now + wanted)
    const draining: Lease = { ...lease, state: 'draining', until }
    if (wanted === 0) this.#book.delete(backend, id)
    else this.#book.set(backend, draining)
    this.#keep(backend, id)
    if (wanted === 0 || lease.state === 'ready') this.#mark(backend)
    return { ok: true, created: false, view: this.#view(draining) }
  }

  get(backend: string, id: string): RegistrationOutcome {
    const lease = this.#book.get(backend, id)
    if (lease !== undefined) return { ok: true, created: false, view: this.#view(lease) }
    const terms = this.#options.terms(backend)
    return refuse('reason' in terms ? terms : notFound(backend, id, 'It has expired, or was never registered'))
  }

  list(backend: string): ReturnType<RegistrationRequests['list']> {
    const terms = this.#options.terms(backend)
    if ('reason' in terms) return refuse(terms)
    return this.#views(backend)
  }

  /** Everything that is not kept yet is. */
  flush(): void {
    this.#cancelKeep?.()
    this.#cancelKeep = undefined
    const changes = [...this.#renewed.values()].map(([backend, id]) => this.#change(backend, id))
    this.#renewed.clear()
    if (changes.length > 0) this.#options.keep(changes)
  }

  stop(): void {
    this.#cancelTell?.()
    this.#book.stop()
    this.flush()
  }

  *#views(backend: string): Generator<RegistrationView> {
    for (const lease of this.#book.leases(backend)) yield this.#view(lease)
  }

  #view({ id, address, port, weight, zone, metadata, state, lease, until }: Lease): RegistrationView {
    const remaining = Math.max(0, Math.ceil(until - this.#options.time.monotonic()))
    return {
      id,
      address,
      port,
      weight,
      ...(zone !== undefined && { zone }),
      metadata,
      state,
      lease: formatDuration(lease),
      remaining: formatDuration(remaining),
    }
  }

  #renew(backend: string, lease: Lease): RegistrationOutcome {
    const wait = this.#book.admitHeartbeat(backend, lease.id)
    if (wait > 0) {
      const detail = `${lease.id} of Backend ${backend} sends more heartbeats than needed: one in a third of its lease (${formatDuration(lease.lease)}) suffices. The lease is not renewed by this one`
      const title = 'Too many heartbeats'
      return refuse({ status: 429, reason: 'TooManyHeartbeats', title, detail, retryAfter: wait })
    }
    const renewed = { ...lease, until: this.#options.time.monotonic() + lease.lease }
    this.#book.set(backend, renewed)
    this.#renewed.set(`${backend} ${lease.id}`, [backend, lease.id])
    this.#cancelKeep ??= this.#options.time.after(KEEP_EVERY, () => this.flush())
    return { ok: true, created: false, view: this.#view(renewed) }
  }

  #taken(backend: string, id: string, address: string, port: number): RefusalText | undefined {
    const holder = this.#book.holder(backend, address, port)
    if (holder === undefined || holder === id) return undefined
    const lease = this.#book.get(backend, holder)!
    if (lease.state === 'draining') return undefined
    const detail = `${address} port ${port} is registered for Backend ${backend} as ${holder}, whose lease ends in ${this.#view(lease).remaining}; remove that one first, or use its id`
    return { status: 409, reason: 'AddressTaken', title: 'Another id has this address', detail }
  }

  #tooMany(backend: string): RefusalText | undefined {
    const detail = this.#book.full(backend)
    return detail === undefined
      ? undefined
      : { status: 429, reason: 'TooManyEndpoints', title: 'Too many endpoints', detail, retryAfter: LEASE.min }
  }

  #tooFast(backend: string): RefusalText | undefined {
    const namespace = namespaceOf(backend)
    let bucket = this.#changes.get(namespace)
    if (bucket === undefined)
      this.#changes.set(namespace, (bucket = new TokenBucket(CHANGES, () => this.#options.time.monotonic())))
    const wait = bucket.take()
    if (wait === 0) return undefined
    const detail = `Registrations of namespace ${namespace} change more than ${CHANGES.perSecond} times a second`
    return { status: 429, reason: 'TooManyChanges', title: 'Too many changes', detail, retryAfter: wait }
  }

  /** A draining endpoint of another id gives its address to the one that is registered there now. */
  #makeWay(backend: string, id: string, { address, port }: { address: string; port: number }): void {
    const holder = this.#book.holder(backend, address, port)
    if (holder === undefined || holder === id) return
    this.#book.delete(backend, holder)
    this.#keep(backend, holder)
  }

  #expired(backend: string, lease: Lease): void {
    this.#keep(backend, lease.id)
    this.#mark(backend)
    if (lease.state === 'draining') return
    const lasted = formatDuration(lease.lease)
    this.#options.expired(
      backend,
      `Backend ${backend}: ${lease.id} (${lease.address} port ${lease.port}) is not used any more, no heartbeat came within ${lasted}`,
    )
  }

  #keep(backend: string, id: string): void {
    this.#renewed.delete(`${backend} ${id}`)
    this.#options.keep([this.#change(backend, id)])
  }

  #change(backend: string, id: string): RegistrationChange {
    const lease = this.#book.get(backend, id)
    if (lease === undefined) return { backend, id, kept: undefined }
    const { time } = this.#options
    const boot = this.#boot
    const { until, ...rest } = lease
    const remaining = until - time.monotonic()
    const ends = { endWall: time.wall() + remaining, endUptime: boot.uptime() + remaining, boot: boot.boot }
    return { backend, id, kept: { backend, ...rest, ...ends } }
  }

  /** Told once for all changes of a turn. */
  #mark(backend: string): void {
    this.#changed.add(backend)
    this.#cancelTell ??= this.#options.time.nextTurn(() => this.#tell())
  }

  #tell(): void {
    this.#cancelTell = undefined
    const backends = [...this.#changed]
    this.#changed.clear()
    for (const backend of backends) {
      const endpoints = [...this.#book.leases(backend)].map(addressOf)
      if (endpoints.length > 0) this.#endpoints.set(backend, endpoints)
      else if (this.#endpoints.has(backend)) this.#endpoints.delete(backend)
    }
    this.#options.changed(backends, this.#endpoints.freeze())
  }
}

function addressOf({ address, port, weight, zone, state }: Lease): EndpointAddress {
  return { address, port, weight, ...(zone !== undefined && { zone }), state }
}

function notFound(backend: string, id: string, remedy: string): RefusalText {
  const detail = `Backend ${backend} has no registration ${id}. ${remedy}`
  return { status: 404, reason: 'EndpointNotFound', title: 'The endpoint is not registered', detail }
}

type Wanted = Omit<Lease, 'id' | 'state' | 'until'>

function endpointOf(body: RegistrationBody, lease: Milliseconds): Wanted | RefusalText {
  const invalid = (detail: string): RefusalText => ({
    status: 422,
    reason: 'InvalidEndpoint',
    title: 'The endpoint is not valid',
    detail,
  })
  const address = canonicalAddress(body.address)
  if (address === undefined)
    return invalid('address is an IPv4 or IPv6 address such as 10.0.0.7 or 2001:db8::7; names belong in spec.endpoints')
  if (body.lease !== undefined && !isDuration(body.lease)) return invalid('lease is a duration such as 30s or 1m')
  const wanted = body.lease === undefined ? lease : parseDuration(body.lease)
  if (wanted < LEASE.min || wanted > LEASE.max) return invalid(`lease is ${LEASE.text}`)
  const { port, weight = 1, zone, metadata = {} } = body
  return { address, port, weight, zone, metadata, lease: wanted }
}

function sameEndpoint(a: Wanted, b: Wanted): boolean {
  const [keys, others] = [Object.keys(a.metadata), Object.keys(b.metadata)]
  return (
    a.address === b.address &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.zone === b.zone &&
    a.lease === b.lease &&
    keys.length === others.length &&
    keys.every((key) => a.metadata[key] === b.metadata[key])
  )
}
