/**
 * The forwarding fields that the gateway sends to an upstream: X-Forwarded-For, -Proto, -Host, -Port, and
 * Forwarded where that is the configured field. All of them are written from the same facts, so that no two can
 * contradict each other (security.md, "Client IP").
 */

import type { ClientCertificate } from '../message/client-certificate.ts'
import type { ClientOrigin } from '../message/client-origin.ts'
import { FieldBlock } from '../message/field-block.ts'
import { type Authority, defaultPort, type Scheme } from '../pattern/host.ts'
import { writeForwarded } from './forwarding-lists.ts'

/** The client's address, and the authority sent to the upstream. */
export interface ReportedOrigin extends ClientOrigin {
  /** Host as it was sent, with its port if it has one; '' when an HTTP/1.0 client sent none. */
  readonly authority: string
}

/**
 * What a client says by itself: the port is the one in its Host, since a port that is left out is the scheme's own (RFC
 * 9110 §7.2).
 */
export function directOrigin(scheme: Scheme, authority: string, named: Authority | undefined): ReportedOrigin {
  return { scheme, authority, host: named?.host ?? '', port: named?.port || defaultPort(scheme) }
}

/** Immutable; one per connection for all its requests wherever the client's address and the Host stay the same. */
export class Forwarding {
  /** Addresses, the client's first and that of the socket's other end last. */
  readonly for: readonly string[]
  readonly origin: ReportedOrigin
  readonly #certificate: ClientCertificate | null
  readonly #withForwarded: boolean
  #block: FieldBlock | null = null
  #renamed: Forwarding | null = null

  /**
   * @param certificate of the client, verified
   * @param withForwarded `Forwarded` is the configured field and is sent too
   */
  constructor(
    addresses: readonly string[],
    origin: ReportedOrigin,
    certificate: ClientCertificate | null,
    withForwarded: boolean,
  ) {
    this.#certificate = certificate
    this.for = addresses
    this.origin = origin
    this.#withForwarded = withForwarded
  }

  /** The fields, made once. */
  get block(): FieldBlock {
    this.#block ??= this.#write()
    return this.#block
  }

  /** The same with another spelling of the authority; made once. */
  blockNaming(authority: string): FieldBlock {
    if (this.#renamed?.origin.authority !== authority)
      this.#renamed = new Forwarding(this.for, { ...this.origin, authority }, this.#certificate, this.#withForwarded)
    return this.#renamed.block
  }

  #write(): FieldBlock {
    const { scheme, authority, port, connectedPort = port } = this.origin
    const pairs = ['x-forwarded-for', this.for.join(', '), 'x-forwarded-proto', scheme]
    if (authority !== '') pairs.push('x-forwarded-host', authority)
    pairs.push('x-forwarded-port', `${connectedPort}`)
    if (this.#certificate !== null) {
      const { subject, san, fingerprint } = this.#certificate
      pairs.push('x-client-cert-subject', subject, 'x-client-cert-san', san, 'x-client-cert-fingerprint', fingerprint)
    }
    if (this.#withForwarded) pairs.push('forwarded', this.#forwarded())
    return new FieldBlock(pairs)
  }

  /**
   * Scheme and host stand in the client's element alone: the others would only say how proxies speak with each other.
   */
  #forwarded(): string {
    const { scheme, authority } = this.origin
    return this.for
      .map((address, i) => (i === 0 ? writeForwarded(address, scheme, authority) : writeForwarded(address, null, '')))
      .join(', ')
  }
}
