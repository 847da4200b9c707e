/** The key of session tokens: equal at all replicas that share the key of TLS session tickets, and over restarts. */
import { hkdfSync } from 'node:crypto'
import type { Contents } from '../policy/contents.ts'

export class SessionKeys {
  readonly #contents: Contents
  #secret: string | null = null
  #seed = ''
  /** What the key was made of. */
  #master: Uint8Array | string | undefined
  #key: Uint8Array = new Uint8Array(32)

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

  /** The same array until the key changes. */
  get key(): Uint8Array {
    const master = (this.#secret === null ? undefined : this.#contents.get(this.#secret)) ?? this.#seed
    if (master !== this.#master) {
      this.#master = master
      this.#key = new Uint8Array(hkdfSync('sha256', master, '', 'headgate session affinity', 32))
    }
    return this.#key
  }
}
