/**
 * Open connections whose clients have shown certificates: each ends as soon as its certificate would not be accepted in
 * a handshake any more, whatever runs on it.
 */
import type { X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import type { TlsOptions } from '../snapshot/host-tls.ts'
import { chainOf, isRevoked, leadsTo, readRevoked } from '../tls/client-chain.ts'
import type { ClientTrust } from './client-trust.ts'

interface Certified {
  readonly socket: TLSSocket
  readonly options: TlsOptions
  readonly chain: readonly X509Certificate[]
  /** By the wall clock. */
  readonly end: number
  /** By which it was accepted last. */
  trust: ClientTrust
}

export class CertifiedConnections {
  readonly #open = new Set<Certified>()

  get size(): number {
    return this.#open.size
  }

  add(socket: TLSSocket, options: TlsOptions, trust: ClientTrust): void {
    const first = socket.getPeerX509Certificate()
    if (first === undefined) return
    const chain = chainOf(first)
    const end = Math.min(...chain.map(({ validToDate }) => validToDate.getTime()))
    const certified: Certified = { socket, options, chain, end, trust }
    this.#open.add(certified)
    socket.on('close', () => this.#open.delete(certified))
  }

  /**
   * Costs a comparison for each connection, as long as nothing has changed.
   *
   * @param trustOf by the newest contents
   */
  check(wall: number, trustOf: (options: TlsOptions) => ClientTrust | null): void {
    const judged = new Map<TlsOptions['key'], ReturnType<typeof readRevoked>>()
    for (const certified of this.#open) {
      const trust = trustOf(certified.options)
      if (wall > certified.end || trust === null || trust.ca === '' || wall > trust.crlEnd) certified.socket.destroy()
      else if (trust !== certified.trust) {
        const { key } = certified.options
        const revoked = judged.get(key) ?? readRevoked(trust.crl)
        judged.set(key, revoked)
        if (isRevoked(certified.chain, revoked) || !leadsTo(certified.chain, trust.ca)) certified.socket.destroy()
        else certified.trust = trust
      }
    }
  }
}
