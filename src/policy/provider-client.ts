/**
 * Calls of the gateway's own to servers that no Backend describes: key sets and metadata of identity providers, their
 * token endpoints. Every call is bounded in bytes and in time, redirects are not followed, and every address is judged
 * by the dial guard behind the look-up of its name.
 */
import type { Milliseconds } from '../lib/clock.ts'

export interface ProviderRequest {
  /** Namespace whose call it is: calls wait in fair turns. Empty: of the settings. */
  readonly owner: string
  readonly method: 'GET' | 'POST'
  /** `http:` or `https:`, without user and password. */
  readonly url: string
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** For the whole call, its wait for a turn included. Default 10 s. */
  readonly timeout?: Milliseconds
  /** Of the body of the response. Default 256 KiB. */
  readonly maxBytes?: number
  /** Gives the call up. */
  readonly signal?: AbortSignal
}

export interface ProviderResponse {
  /** 200 to 599, never a redirect. */
  readonly status: number
  /** Names in lower case; of a field that is there several times the values joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/**
 * `address`: the dial guard or the tenancy refuses it. `busy`: too many calls wait. `redirect`, `encoding`,
 * `too-large`, `malformed`: what came is no response that is read.
 */
export type ProviderFault =
  | 'url'
  | 'address'
  | 'busy'
  | 'name'
  | 'connect'
  | 'tls'
  | 'timeout'
  | 'aborted'
  | 'redirect'
  | 'encoding'
  | 'too-large'
  | 'malformed'

export class ProviderError extends Error {
  override readonly name = 'ProviderError'
  readonly fault: ProviderFault

  /** @param message a clause about the server, for a person: `no answer came within 10 s` */
  constructor(fault: ProviderFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.fault = fault
  }
}

export interface ProviderClient {
  /** @throws {ProviderError} rejects where there is no complete response; a status of 400 and more is a response */
  request(request: ProviderRequest): Promise<ProviderResponse>
}
