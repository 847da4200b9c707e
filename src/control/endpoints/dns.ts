/**
 * Resolves names by getaddrinfo, which honours /etc/hosts and search domains, again when the TTL of their records has
 * passed, and periodically where there is none. A name that cannot be resolved any more keeps its addresses. Look-ups
 * are scheduled fairly by namespace and bounded per namespace: a name whose servers do not respond occupies one for
 * many seconds.
 */
import { ADDRCONFIG } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { Milliseconds, Random, TimerClock } from '../../lib/clock.ts'
import { FairQueue } from '../../lib/fair-queue.ts'
import { isSrvName, lookupSrv } from './srv.ts'
import { timeToLive } from './time-to-live.ts'

/** Interval of look-ups of a name without a known TTL, and of one that cannot be resolved at the moment. */
const INTERVAL: Milliseconds = 5_000
/** Interval until the first result. */
const FIRST_INTERVAL: Milliseconds = 1_000
/** Bounds of a TTL: 0 must not become a flood of queries, nor a week a name that is never looked up again. */
const MIN_TTL: Milliseconds = 1_000
const MAX_TTL: Milliseconds = 300_000
/** Addresses of one name that are used, the first in their order: as many as a Backend may list. */
const MAX_ADDRESSES = 256
/** Random share of the interval, so that look-ups of many names spread out. */
const JITTER = 0.2
/** Timeout of a look-up. */
const WITHIN: Milliseconds = 5_000
/** Concurrent look-ups: each occupies a thread of libuv's pool, which file reads need too. */
const AT_ONCE = 4
/** Concurrent look-ups per namespace. */
const AT_ONCE_OF_NAMESPACE = 2

/** The addresses of a name, or these with their time to live where the look-up tells it. */
export type LookupAnswer =
  | readonly string[]
  | { readonly addresses: readonly string[]; readonly ttl: Milliseconds | undefined }
export type Lookup = (name: string) => Promise<LookupAnswer>
/** Undefined where it is not known. */
export type TimeToLive = (name: string) => Promise<Milliseconds | undefined>

export interface NameEvents {
  /** The addresses of a name have changed. */
  changed(name: string): void
  /** The resolution failed, reported once, or succeeds again (`failure` undefined). */
  health(name: string, failure: string | undefined, kept: readonly string[]): void
  /** The name has more addresses than are used, reported once; or it has fewer again (undefined). */
  excess?(name: string, message: string | undefined): void
}

interface Name {
  /** The namespaces that use the name: it is looked up in the turn of any of them. */
  readonly namespaces: Set<string>
  addresses: readonly string[] | undefined
  failure: string | undefined
  excess: string | undefined
  cancel: () => void
}

export interface NameResolverOptions {
  readonly events: NameEvents
  readonly time: TimerClock
  readonly random: Random
  readonly lookup?: Lookup
  readonly ttl?: TimeToLive
  readonly interval?: Milliseconds
}

export class NameResolver {
  readonly #events: NameEvents
  readonly #time: TimerClock
  readonly #lookup: Lookup
  readonly #ttl: TimeToLive
  readonly #random: Random
  readonly #interval: Milliseconds
  readonly #names = new Map<string, Name>()
  readonly #queue = new FairQueue()
  #running = 0
  readonly #runningOf = new Map<string, number>()

  constructor({ events, time, random, lookup: resolve, ttl, interval = INTERVAL }: NameResolverOptions) {
    this.#events = events
    this.#time = time
    this.#random = random
    this.#lookup = resolve ?? ((name) => systemLookup(name, time))
    this.#ttl = ttl ?? (resolve === undefined ? timeToLive : async () => undefined)
    this.#interval = interval
  }

  /**
   * The current addresses of a name, sorted, of an SRV name as `parseSrv` reads them; empty before the first result.
   * Resolves it periodically from now on.
   * @param namespace the namespace that uses the name
   */
  addresses(name: string, namespace: string): readonly string[] {
    const known = this.#names.get(name)
    if (known === undefined) {
      this.#names.set(name, {
        namespaces: new Set([namespace]),
        addresses: undefined,
        failure: undefined,
        excess: undefined,
        cancel: () => {},
      })
      this.#enqueue(name)
      return []
    }
    if (!known.namespaces.has(namespace)) {
      // A pending name is also queued in the turns of this namespace.
      const waits = [...known.namespaces].some((other) => this.#queue.has(other, name))
      known.namespaces.add(namespace)
      if (waits) this.#enqueue(name)
    }
    return known.addresses ?? []
  }

  /** Why the last look-up failed; undefined after success, and before the first one. */
  failure(name: string): string | undefined {
    return this.#names.get(name)?.failure
  }

  /** What is said of a name that has more addresses than are used. */
  excess(name: string): string | undefined {
    return this.#names.get(name)?.excess
  }

  /** Stops resolving the name. */
  forget(name: string): void {
    const known = this.#names.get(name)
    known?.cancel()
    for (const namespace of known?.namespaces ?? []) this.#queue.delete(namespace, name)
    this.#names.delete(name)
  }

  stop(): void {
    for (const name of [...this.#names.keys()]) this.forget(name)
    this.#queue.clear()
  }

  #enqueue(name: string): void {
    for (const namespace of this.#names.get(name)?.namespaces ?? []) this.#queue.add(namespace, name)
    this.#next()
  }

  #next(): void {
    const busy = (namespace: string): boolean => this.#count(namespace) >= AT_ONCE_OF_NAMESPACE
    while (this.#running < AT_ONCE) {
      const next = this.#queue.take(1, busy)
      if (next === undefined) return
      const { group: namespace, key: name } = next
      for (const other of this.#names.get(name)?.namespaces ?? []) this.#queue.delete(other, name)
      this.#running++
      this.#runningOf.set(namespace, this.#count(namespace) + 1)
      void this.#ask(name, () => this.#ended(namespace))
    }
  }

  #count(namespace: string): number {
    return this.#runningOf.get(namespace) ?? 0
  }

  #ended(namespace: string): void {
    this.#running--
    const count = this.#count(namespace) - 1
    if (count === 0) this.#runningOf.delete(namespace)
    else this.#runningOf.set(namespace, count)
    this.#next()
  }

  /** @param ended called when the look-up releases its thread, possibly long after its timeout */
  async #ask(name: string, ended: () => void): Promise<void> {
    let failure: string | undefined
    let found: readonly string[] = []
    let known: Milliseconds | undefined
    const asked = isSrvName(name) ? undefined : this.#ttl(name).catch(() => undefined)
    try {
      const answer = this.#lookup(name)
      answer.then(ended, ended)
      const told = await this.#within(answer, WITHIN)
      if ('addresses' in told) known = told.ttl
      found = [...new Set('addresses' in told ? told.addresses : told)].sort()
      if (found.length === 0) failure = 'it has no address'
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
    const entry = this.#names.get(name)
    if (entry === undefined) return
    this.#learn(name, entry, found, failure)
    const ttl = failure === undefined ? (known ?? (await asked)) : undefined
    // Forgotten meanwhile, and perhaps somebody asks for it anew.
    if (this.#names.get(name) !== entry) return
    entry.cancel = this.#time.after(this.#pause(entry, ttl), () => this.#enqueue(name))
  }

  /** Records are used for their whole TTL, and a tenth of it longer at most. */
  #pause({ addresses }: Name, ttl: Milliseconds | undefined): Milliseconds {
    const chance = this.#random()
    if (ttl !== undefined) return Math.min(MAX_TTL, Math.max(MIN_TTL, ttl)) * (1 + (JITTER / 2) * chance)
    const interval = addresses === undefined ? Math.min(FIRST_INTERVAL, this.#interval) : this.#interval
    return interval * (1 + JITTER * (chance - 0.5))
  }

  async #within<T>(answer: Promise<T>, time: Milliseconds): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>()
    const cancel = this.#time.after(time, () => reject(new Error(`no answer within ${time} ms`)))
    try {
      return await Promise.race([answer, late])
    } finally {
      cancel()
    }
  }

  #learn(name: string, entry: Name, all: readonly string[], failure: string | undefined): void {
    const found = all.length > MAX_ADDRESSES ? all.slice(0, MAX_ADDRESSES) : all
    if (failure === undefined) this.#noteExcess(name, entry, all.length)
    const before = entry.failure
    entry.failure = failure
    if ((before === undefined) !== (failure === undefined)) {
      this.#events.health(name, failure, entry.addresses ?? [])
    }
    if (failure !== undefined || entry.addresses?.join() === found.join()) return
    entry.addresses = found
    this.#events.changed(name)
  }

  #noteExcess(name: string, entry: Name, count: number): void {
    const excess =
      count > MAX_ADDRESSES ? `${name} has ${count} addresses, of which the first ${MAX_ADDRESSES} are used` : undefined
    const before = entry.excess
    entry.excess = excess
    if ((before === undefined) !== (excess === undefined)) this.#events.excess?.(name, excess)
  }
}

async function systemLookup(name: string, time: TimerClock): Promise<LookupAnswer> {
  if (isSrvName(name)) return await lookupSrv(name, time)
  let answers: { address: string }[]
  try {
    // No IPv6 addresses for a machine that has none itself …
    answers = await lookup(name, { all: true, hints: ADDRCONFIG })
  } catch {
    // … but a machine with nothing but loopback has none of either kind by that rule.
    answers = await lookup(name, { all: true })
  }
  return answers.map((answer) => answer.address)
}
