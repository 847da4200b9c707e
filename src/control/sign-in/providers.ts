/**
 * OpenID providers by issuer: their metadata and keys, fetched once for all namespaces and kept while a provider is
 * down. A signature by a key that is not known yet has the keys fetched again, not more often than a pause allows.
 */
import { readKeySet, type VerificationKey } from '../../auth/verification-keys.ts'
import type { Milliseconds } from '../../lib/clock.ts'
import { type ProviderClient, ProviderError } from '../../policy/provider-client.ts'
import { discoveryAddress, type ProviderMetadata, readMetadata } from './provider-metadata.ts'

export interface ProvidersOptions {
  readonly client: ProviderClient
  readonly now: () => Milliseconds
}

/** Why a provider cannot be used, as a clause about it. */
export interface ProviderUnavailable {
  readonly unavailable: string
}

/** A document that is fetched: what was last good, and what keeps it from being newer. */
interface Fetched<Value> {
  value: Value | undefined
  /** Of the last fetch that was good, and of the last one. */
  goodAt: Milliseconds
  triedAt: Milliseconds
  /** Empty: none. */
  fault: string
  /** In a row. */
  failures: number
  running: Promise<void> | undefined
}

interface Provider {
  readonly metadata: Fetched<ProviderMetadata>
  readonly keys: Fetched<readonly VerificationKey[]>
}

/** After so long a document is fetched again, while the one before is used. */
const FRESH: Milliseconds = 600_000
/** What is older is not believed any more, though the provider is down. */
const MAX_AGE: Milliseconds = 86_400_000
/** Between two fetches that were not good, or that an unknown key asks for. */
const PAUSE: Milliseconds = 5_000
const MAX_PAUSE: Milliseconds = 60_000
/** Failures in a row before they are told, while there is something good. */
const PATIENCE = 3
const MAX_PROVIDERS = 1_024
const MAX_METADATA = 65_536
const MAX_KEYS = 262_144
const TIMEOUT: Milliseconds = 5_000

export class Providers {
  readonly #options: ProvidersOptions
  readonly #providers = new Map<string, Provider>()

  constructor(options: ProvidersOptions) {
    this.#options = options
  }

  /** @param owner the namespace that asks */
  async metadata(owner: string, issuer: string): Promise<ProviderMetadata | ProviderUnavailable> {
    const { metadata } = this.#provider(issuer)
    return await this.#current(metadata, async () => {
      const text = await this.#get(owner, discoveryAddress(issuer), MAX_METADATA)
      const read = readMetadata(text, issuer)
      if (typeof read === 'string') throw new ProviderError('malformed', read)
      return read
    })
  }

  /**
   * Why it cannot be used, or not for much longer. What is due is fetched, in pauses that double while that fails: this
   * is asked all the time.
   */
  faultOf(owner: string, issuer: string): string | undefined {
    const { metadata, keys } = this.#provider(issuer)
    const now = this.#options.now()
    // Keys are had by way of the metadata.
    for (const one of metadata.value === undefined ? [metadata] : [metadata, keys]) {
      const pause = Math.min(MAX_PAUSE, PAUSE * 2 ** Math.max(0, one.failures - 1))
      const due = one.value === undefined || now - one.goodAt >= FRESH
      if (due && one.running === undefined && now - one.triedAt >= pause) {
        void this.keys(owner, issuer)
        break
      }
    }
    const failing = [metadata, keys].find(({ value, fault, failures }) =>
      value === undefined ? fault !== '' : failures >= PATIENCE,
    )
    return failing?.fault
  }

  async keys(owner: string, issuer: string): Promise<readonly VerificationKey[] | ProviderUnavailable> {
    const metadata = await this.metadata(owner, issuer)
    if ('unavailable' in metadata) return metadata
    return await this.#current(this.#provider(issuer).keys, () => this.#readKeys(owner, metadata))
  }

  /** There may be a key that was not there before. @returns whether there are other keys now */
  async renewKeys(owner: string, issuer: string): Promise<boolean> {
    const metadata = await this.metadata(owner, issuer)
    if ('unavailable' in metadata) return false
    const { keys } = this.#provider(issuer)
    const before = keys.value
    if (keys.running === undefined && this.#options.now() - keys.triedAt < PAUSE) return false
    await this.#fetch(keys, () => this.#readKeys(owner, metadata))
    return keys.value !== before
  }

  async #readKeys(owner: string, { keys }: ProviderMetadata): Promise<readonly VerificationKey[]> {
    const read = readKeySet(await this.#get(owner, keys, MAX_KEYS))
    if ('fault' in read) throw new ProviderError('malformed', `its key set cannot be used: ${read.fault}`)
    return read.keys
  }

  #provider(issuer: string): Provider {
    let provider = this.#providers.get(issuer)
    if (provider === undefined) provider = { metadata: nothing(), keys: nothing() }
    this.#providers.delete(issuer)
    this.#providers.set(issuer, provider)
    if (this.#providers.size > MAX_PROVIDERS) this.#providers.delete(this.#providers.keys().next().value!)
    return provider
  }

  async #current<Value>(fetched: Fetched<Value>, read: () => Promise<Value>): Promise<Value | ProviderUnavailable> {
    const now = this.#options.now()
    const age = now - fetched.goodAt
    if (fetched.value !== undefined && age < FRESH) return fetched.value
    const paused = fetched.running === undefined && now - fetched.triedAt < PAUSE
    if (!paused) {
      const fetching = this.#fetch(fetched, read)
      if (fetched.value === undefined || age >= MAX_AGE) await fetching
    }
    if (fetched.value !== undefined && this.#options.now() - fetched.goodAt < MAX_AGE) return fetched.value
    return { unavailable: fetched.fault === '' ? 'it was not asked yet' : fetched.fault }
  }

  #fetch<Value>(fetched: Fetched<Value>, read: () => Promise<Value>): Promise<void> {
    fetched.running ??= this.#begin(fetched, read).finally(() => {
      fetched.running = undefined
    })
    return fetched.running
  }

  async #begin<Value>(fetched: Fetched<Value>, read: () => Promise<Value>): Promise<void> {
    fetched.triedAt = this.#options.now()
    try {
      fetched.value = await read()
      fetched.goodAt = this.#options.now()
      fetched.fault = ''
      fetched.failures = 0
    } catch (error) {
      fetched.failures++
      fetched.fault = error instanceof ProviderError ? error.message : String(error)
    }
  }

  async #get(owner: string, url: string, maxBytes: number): Promise<string> {
    const { client } = this.#options
    const headers = { accept: 'application/json' }
    const { status, body } = await client.request({ owner, method: 'GET', url, headers, maxBytes, timeout: TIMEOUT })
    if (status !== 200) throw new ProviderError('malformed', `it answers with status ${status} at ${url}`)
    return Buffer.from(body).toString('utf8')
  }
}

function nothing<Value>(): Fetched<Value> {
  const never = Number.NEGATIVE_INFINITY
  return { value: undefined, goodAt: never, triedAt: never, fault: '', failures: 0, running: undefined }
}
