/**
 * Who has which socket while the process runs. Decided here, once for all workers, so that they agree and a worker or
 * control thread that comes later finds what is in force. A socket that stays open under another name is never closed;
 * one that is new is tried first, as at the start; a listener whose socket cannot be had keeps the one it had, and is
 * tried again.
 */
import { isDeepStrictEqual } from 'node:util'
import type { ListenerSpec } from '../api/settings.ts'
import type { Milliseconds, TimerClock } from '../lib/clock.ts'
import { canonicalAddress } from '../pattern/cidr.ts'
import type { ListenerFailure, ListenerSettings } from '../thread/messages.ts'
import { ClaimError, type claimPorts, formatAddress } from './ports.ts'

/** One socket of a listener. */
interface PlannedListener extends ListenerSettings {
  /** The settings ask for any free port. */
  readonly any: boolean
}

export interface ListenerPortsOptions {
  /** What a listener without an address is bound to. */
  readonly everyAddress: string
  readonly claim: typeof claimPorts
  readonly time: TimerClock
  /** What is to be open from now on, and what of the settings cannot be. */
  readonly changed: (sockets: readonly ListenerSettings[], failures: readonly ListenerFailure[]) => void
}

const RETRY_FIRST: Milliseconds = 500
const RETRY_LONGEST: Milliseconds = 30_000
/** Workers may take that long to close what they were told to close. */
const CLOSING: Milliseconds = 5_000

export class ListenerPorts {
  readonly #options: ListenerPortsOptions
  #places: ReadonlyMap<string, PlannedListener>
  #failures: readonly ListenerFailure[] = []
  /** What was given up lately, and until when it may still be open in a worker. */
  #closing: readonly (PlannedListener & { readonly until: Milliseconds })[] = []
  #wanted: readonly ListenerSpec[]
  #resolving = false
  #stopped = false
  #retryAfter = RETRY_FIRST
  #cancelRetry = (): void => {}

  /**
   * @param started the listeners of the settings at the start
   * @param sockets what was found free for them
   */
  constructor(options: ListenerPortsOptions, started: readonly ListenerSpec[], sockets: readonly ListenerSettings[]) {
    this.#options = options
    this.#wanted = started
    const any = new Set(started.filter(({ port }) => port === 0).map(({ name }) => name))
    this.#places = new Map(sockets.map((socket) => [socket.name, { ...socket, any: any.has(socket.name) }]))
  }

  /** The newest settings. */
  want(listeners: readonly ListenerSpec[]): void {
    if (isDeepStrictEqual(listeners, this.#wanted)) return
    this.#wanted = listeners
    this.#retryAfter = RETRY_FIRST
    void this.#resolve()
  }

  stop(): void {
    this.#stopped = true
    this.#cancelRetry()
  }

  async #resolve(): Promise<void> {
    this.#cancelRetry()
    if (this.#resolving) return
    this.#resolving = true
    let wanted: readonly ListenerSpec[]
    do {
      wanted = this.#wanted
      await this.#bring(wanted)
    } while (wanted !== this.#wanted && !this.#stopped)
    this.#resolving = false
    if (this.#failures.length === 0 || this.#stopped) return
    this.#cancelRetry = this.#options.time.after(this.#retryAfter, () => void this.#resolve())
    this.#retryAfter = Math.min(this.#retryAfter * 2, RETRY_LONGEST)
  }

  async #bring(wanted: readonly ListenerSpec[]): Promise<void> {
    const next = new Map<string, PlannedListener>()
    const others: ListenerSpec[] = []
    for (const listener of wanted) {
      const place = this.#places.get(listener.name)
      if (place !== undefined && this.#isFor(place, listener)) next.set(place.name, place)
      else others.push(listener)
    }
    // Nothing may depend on the order of the settings: where two want the same, the name decides.
    others.sort((a, b) => (a.name < b.name ? -1 : 1))
    const failed = new Map<string, ClaimError>()
    for (const listener of others) {
      const place = await this.#claim(listener, next)
      if (place instanceof ClaimError) failed.set(listener.name, place)
      else next.set(place.name, place)
    }
    const failures = Array.from(failed, ([name, error]) => ({ name, message: this.#fallBack(name, error, next) }))
    // Newer settings have come meanwhile: what was found for these is looked at again for those.
    if (wanted === this.#wanted && !this.#stopped) this.#commit(next, failures)
  }

  #isFor({ address, port, any }: PlannedListener, listener: ListenerSpec): boolean {
    return address === this.#addressOf(listener) && (listener.port === 0 ? any : port === listener.port)
  }

  #addressOf({ address }: ListenerSpec): string {
    return address ?? this.#options.everyAddress
  }

  /** @param next those that have their place already */
  async #claim(
    listener: ListenerSpec,
    next: ReadonlyMap<string, PlannedListener>,
  ): Promise<PlannedListener | ClaimError> {
    const { name, port } = listener
    const address = this.#addressOf(listener)
    const place = { name, address, port, any: port === 0 }
    const what = `listener ${name}`
    if (port !== 0) {
      const holder = [...next.values()].find((other) => overlap(other, place))
      if (holder !== undefined) {
        const where = formatAddress({ host: address, port })
        return new ClaimError(`${what}: listener ${holder.name} has ${where}`, 'Choose another port for one of them.')
      }
      // Our own sockets would be in the way of a trial. The kernel lets only our own share them.
      if ([...this.#places.values(), ...this.#stillOpen()].some((other) => overlap(other, place))) return place
    }
    try {
      const [found] = await this.#options.claim([{ what, address: { host: address, port } }])
      return { ...place, port: found! }
    } catch (error) {
      return error instanceof ClaimError ? error : new ClaimError(`${what}: ${String(error)}`, '')
    }
  }

  /** What it had, unless somebody else has that now. */
  #fallBack(name: string, error: ClaimError, next: Map<string, PlannedListener>): string {
    const former = this.#places.get(name)
    if (former === undefined || [...next.values()].some((other) => overlap(other, former)))
      return error.with('it is not open, and is tried again')
    next.set(name, former)
    const { address, port } = former
    return error.with(`until that changes it stays at ${formatAddress({ host: address, port })}`)
  }

  #stillOpen(): readonly PlannedListener[] {
    const now = this.#options.time.monotonic()
    this.#closing = this.#closing.filter(({ until }) => until > now)
    return this.#closing
  }

  #commit(next: ReadonlyMap<string, PlannedListener>, failures: readonly ListenerFailure[]): void {
    const before = this.#places
    if (isDeepStrictEqual(before, next) && isDeepStrictEqual(failures, this.#failures)) return
    const until = this.#options.time.monotonic() + CLOSING
    const gone = [...before.values()].filter((place) => ![...next.values()].some((other) => same(other, place)))
    this.#closing = [...this.#closing, ...gone.map((place) => ({ ...place, until }))]
    this.#places = next
    this.#failures = failures
    const sockets = Array.from(next.values(), ({ name, address, port }) => ({ name, address, port }))
    this.#options.changed(sockets, failures)
  }
}

function same(a: PlannedListener, b: PlannedListener): boolean {
  return a.port === b.port && a.address === b.address
}

/** Whether one connection could be for both. */
function overlap(a: PlannedListener, b: PlannedListener): boolean {
  if (a.port !== b.port) return false
  return isEvery(a.address) || isEvery(b.address) || canonicalAddress(a.address) === canonicalAddress(b.address)
}

function isEvery(address: string): boolean {
  const canonical = canonicalAddress(address)
  return canonical === '::' || canonical === '0.0.0.0'
}
