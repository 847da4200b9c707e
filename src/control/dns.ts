/**
 * Names to addresses, asked again and again: getaddrinfo tells no lifetime, and it alone knows /etc/hosts, search domains and what else
 * the machine was set up with. A name that cannot be resolved any more keeps the addresses it had.
 */
import { ADDRCONFIG } from 'node:dns'
import { lookup } from 'node:dns/promises'
import type { Milliseconds, Random } from '../lib/clock.ts'

/** How often a name is asked for. */
const INTERVAL: Milliseconds = 5_000
/** Until it has answered once. */
const FIRST_INTERVAL: Milliseconds = 1_000
/** Part of the interval by which it varies, so that many names do not ask at once. */
const JITTER = 0.2
/** Longer than this is as good as no answer. */
const WITHIN: Milliseconds = 5_000
/** Each look-up occupies a thread of libuv's pool until it answers, and file reads need the others. */
const AT_ONCE = 4

export type Lookup = (name: string) => Promise<readonly string[]>

export interface NameEvents {
  /** The addresses of a name are different from what they were. */
  changed(name: string): void
  /** It could not be resolved, said once; or it can again (`failure` undefined). */
  health(name: string, failure: string | undefined, kept: readonly string[]): void
}

interface Name {
  addresses: readonly string[] | undefined
  failure: string | undefined
  timer: NodeJS.Timeout | undefined
}

export class NameResolver {
  readonly #events: NameEvents
  readonly #lookup: Lookup
  readonly #random: Random
  readonly #interval: Milliseconds
  readonly #names = new Map<string, Name>()
  readonly #queue: string[] = []
  #running = 0

  constructor(events: NameEvents, random: Random, lookup_: Lookup = systemLookup, interval: Milliseconds = INTERVAL) {
    this.#events = events
    this.#random = random
    this.#lookup = lookup_
    this.#interval = interval
  }

  /** What is known of a name now, sorted; empty until it has answered once. Asks for it from now on. */
  addresses(name: string): readonly string[] {
    const known = this.#names.get(name)
    if (known !== undefined) return known.addresses ?? []
    this.#names.set(name, { addresses: undefined, failure: undefined, timer: undefined })
    this.#enqueue(name)
    return []
  }

  /** Why the last attempt found nothing; undefined when it did, or was not made yet. */
  failure(name: string): string | undefined {
    return this.#names.get(name)?.failure
  }

  /** Does not ask for it any more. */
  forget(name: string): void {
    clearTimeout(this.#names.get(name)?.timer)
    this.#names.delete(name)
  }

  stop(): void {
    for (const name of [...this.#names.keys()]) this.forget(name)
    this.#queue.length = 0
  }

  #enqueue(name: string): void {
    this.#queue.push(name)
    this.#next()
  }

  #next(): void {
    while (this.#running < AT_ONCE && this.#queue.length > 0) {
      const name = this.#queue.shift()!
      if (!this.#names.has(name)) continue
      this.#running++
      void this.#ask(name).finally(() => {
        this.#running--
        this.#next()
      })
    }
  }

  async #ask(name: string): Promise<void> {
    let failure: string | undefined
    let found: readonly string[] = []
    try {
      found = [...new Set(await within(this.#lookup(name), WITHIN))].sort()
      if (found.length === 0) failure = 'it has no address'
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error)
    }
    const entry = this.#names.get(name)
    if (entry === undefined) return
    this.#learn(name, entry, found, failure)
    const interval = entry.addresses === undefined ? Math.min(FIRST_INTERVAL, this.#interval) : this.#interval
    entry.timer = setTimeout(() => this.#enqueue(name), interval * (1 + JITTER * (this.#random() - 0.5)))
    entry.timer.unref()
  }

  #learn(name: string, entry: Name, found: readonly string[], failure: string | undefined): void {
    const before = entry.failure
    entry.failure = failure
    if ((before === undefined) !== (failure === undefined)) {
      this.#events.health(name, failure, entry.addresses ?? [])
    }
    if (failure !== undefined || entry.addresses?.join() === found.join()) return
    entry.addresses = found
    this.#events.changed(name)
  }
}

async function systemLookup(name: string): Promise<readonly string[]> {
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

async function within<T>(answer: Promise<T>, time: Milliseconds): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${time} ms`)), time)
  })
  try {
    return await Promise.race([answer, late])
  } finally {
    clearTimeout(timer)
  }
}
