/**
 * Tokens by which clients come back to an endpoint. A token is a keyed digest of Backend and address: it shows neither,
 * is the same at every replica that has the key, and cannot be made without it. Nothing of it is decoded: what is not
 * the token of an endpoint that there is now, be it forged, of another Backend or of an endpoint that is gone, is
 * nobody's.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Endpoint } from './endpoint.ts'

/** 144 bits, in base64url. */
const TOKEN_LENGTH = 24
/** By these characters tokens are found; the others are compared in constant time. */
const INDEX_LENGTH = 8

export class SessionTokens {
  readonly key: Uint8Array
  readonly #backend: string
  readonly #tokens = new WeakMap<Endpoint, string>()
  #endpoints: readonly Endpoint[] = []
  #byIndex = new Map<string, Endpoint>()

  /** @param backend its id */
  constructor(backend: string, key: Uint8Array) {
    this.#backend = backend
    this.key = key
  }

  tokenOf(endpoint: Endpoint): string {
    let token = this.#tokens.get(endpoint)
    if (token === undefined) {
      const text = `session affinity\n${this.#backend}\n${endpoint.authority}`
      token = createHmac('sha256', this.key).update(text).digest('base64url').slice(0, TOKEN_LENGTH)
      this.#tokens.set(endpoint, token)
    }
    return token
  }

  /**
   * @param token from a client
   * @param endpoints all there are now; tokens of new ones are made when this is another array
   */
  find(token: string, endpoints: readonly Endpoint[]): Endpoint | undefined {
    if (token.length !== TOKEN_LENGTH) return undefined
    if (endpoints !== this.#endpoints) {
      this.#byIndex = new Map(endpoints.map((endpoint) => [this.tokenOf(endpoint).slice(0, INDEX_LENGTH), endpoint]))
      this.#endpoints = endpoints
    }
    const endpoint = this.#byIndex.get(token.slice(0, INDEX_LENGTH))
    if (endpoint === undefined) return undefined
    const given = Buffer.from(token, 'utf8')
    return given.length === TOKEN_LENGTH && timingSafeEqual(given, Buffer.from(this.tokenOf(endpoint)))
      ? endpoint
      : undefined
  }
}
