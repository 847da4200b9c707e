/**
 * Looks up names for calls to providers, and leaves out what may not be connected to. Getaddrinfo is used, which
 * honours /etc/hosts and search domains; it occupies a thread of libuv's pool for as long as a name server hangs, so
 * only few look-ups run at a time, one for each owner.
 */
import { ADDRCONFIG, type LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { FairQueue } from '../lib/fair-queue.ts'
import { ProviderError } from '../policy/provider-client.ts'

export type NameLookup = (name: string) => Promise<readonly LookupAddress[]>

/** Of libuv's pool, which has eight threads or more. */
const AT_ONCE = 3
/** Addresses of one name that are tried. */
const MAX_ADDRESSES = 16

interface Waiting {
  readonly name: string
  readonly done: (addresses: Promise<readonly LookupAddress[]>) => void
}

export class GuardedLookup {
  readonly #refuses: (address: string, port: number) => string | undefined
  readonly #lookup: NameLookup
  readonly #queue = new FairQueue()
  readonly #waiting = new Map<string, Waiting>()
  readonly #busy = new Set<string>()
  #next = 0

  constructor(refuses: (address: string, port: number) => string | undefined, resolve: NameLookup = systemLookup) {
    this.#refuses = refuses
    this.#lookup = resolve
  }

  /** @throws {ProviderError} rejects where there is no address, or none that may be connected to */
  async addresses(owner: string, name: string, port: number): Promise<readonly LookupAddress[]> {
    let all: readonly LookupAddress[]
    try {
      all = await this.#resolve(owner, name)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'no answer'
      throw new ProviderError('name', `its name ${name} cannot be resolved (${code})`)
    }
    const usable = all.filter(({ address }) => this.#refuses(address, port) === undefined).slice(0, MAX_ADDRESSES)
    if (usable.length > 0) return usable
    const [first] = all
    if (first === undefined) throw new ProviderError('name', `its name ${name} has no address`)
    throw new ProviderError(
      'address',
      `its name ${name} leads to an address that ${this.#refuses(first.address, port)}`,
    )
  }

  #resolve(owner: string, name: string): Promise<readonly LookupAddress[]> {
    const { promise, resolve } = Promise.withResolvers<readonly LookupAddress[]>()
    const id = String(this.#next++)
    this.#waiting.set(id, { name, done: resolve })
    this.#queue.add(owner, id)
    this.#start()
    return promise
  }

  #start(): void {
    while (this.#busy.size < AT_ONCE) {
      const next = this.#queue.take(1, (owner) => this.#busy.has(owner))
      if (next === undefined) return
      const { group: owner, key } = next
      const { name, done } = this.#waiting.get(key)!
      this.#waiting.delete(key)
      this.#busy.add(owner)
      const answer = this.#lookup(name)
      const ended = (): void => {
        this.#busy.delete(owner)
        this.#start()
      }
      answer.then(ended, ended)
      done(answer)
    }
  }
}

async function systemLookup(name: string): Promise<readonly LookupAddress[]> {
  try {
    // No IPv6 addresses for a machine that has none itself …
    return await lookup(name, { all: true, hints: ADDRCONFIG })
  } catch {
    // … but a machine with nothing but loopback has none of either kind by that rule.
    return await lookup(name, { all: true })
  }
}
