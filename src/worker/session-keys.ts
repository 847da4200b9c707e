/**
 * The keys of session tokens, of sessions of browsers, and of what is cached outside of the process: equal at all
 * replicas that share the key of TLS session tickets, and over restarts.
 */
import { hkdfSync } from 'node:crypto'
import type { Contents } from '../policy/contents.ts'

export class SessionKeys {
  readonly #contents: Contents
  #secret: string | null = null
  #seed = ''
  /** What the key was made of. */
  #master: Uint8Array | string | undefined
  #key: Uint8Array = new Uint8Array(32)
  #browserKey: Uint8Array = new Uint8Array(32)
  #cacheKey: Uint8Array = new Uint8Array(32)

  constructor(contents: Contents) {
    this.#contents = contents
  }

  /**
   * @param secret content id of the shared key, null without one
   * @param seed used as long as there is none: of the installation in a cluster, else of the process
   */
  use(secret: string | null, seed: string): void {
    this.#secret = secret
    this.#seed = seed
  }

  /** Of session tokens: the same array until the key changes. */
  get key(): Uint8Array {
    this.#derive()
    return this.#key
  }

  /** Of what is sealed for browsers, likewise. */
  get browserKey(): Uint8Array {
    this.#derive()
    return this.#browserKey
  }

  /** Of responses in Redis and in files, likewise. */
  get cacheKey(): Uint8Array {
    this.#derive()
    return this.#cacheKey
  }

  #derive(): void {
    const master = (this.#secret === null ? undefined : this.#contents.get(this.#secret)) ?? this.#seed
    if (master === this.#master) return
    this.#master = master
    this.#key = new Uint8Array(hkdfSync('sha256', master, '', 'headgate session affinity', 32))
    this.#browserKey = new Uint8Array(hkdfSync('sha256', master, '', 'headgate browser sessions', 32))
    this.#cacheKey = new Uint8Array(hkdfSync('sha256', master, '', 'headgate cache', 32))
  }
}
