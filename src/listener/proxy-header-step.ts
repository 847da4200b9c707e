/**
 * The step of the accept stage that reads the PROXY header: only from trusted addresses, before anything else, and
 * without it nothing goes on.
 */

import { decodeProxyHeader } from '../proxy-protocol/decode.ts'
import type { ProxiedConnection } from '../proxy-protocol/header.ts'
import type { ProxyHeaderRefusal } from '../shared-memory/metric-labels.ts'
import type { PeerListener } from '../transport/peer.ts'
import type { FirstBytes, UnservedSocket } from './unserved-socket.ts'

/** A connection that was closed for want of a header. */
export interface RefusedProxyHeader {
  readonly reason: ProxyHeaderRefusal
  /** Of the socket's other end. */
  readonly address: string
  readonly listener: PeerListener
}

/** A header in many small pieces is copied a few times, not once for each of them. */
const FIRST_CAPACITY = 256

export class ProxyHeaderStep implements FirstBytes {
  readonly #unserved: UnservedSocket
  readonly #refused: (refusal: RefusedProxyHeader) => void
  readonly #next: (connection: ProxiedConnection | null, early: Buffer | null) => void
  #bytes = Buffer.allocUnsafe(FIRST_CAPACITY)
  #length = 0
  #over = false

  /**
   * @param next goes on with the connection, with what came behind the header; the socket is still being read then
   */
  constructor(
    unserved: UnservedSocket,
    refused: (refusal: RefusedProxyHeader) => void,
    next: (connection: ProxiedConnection | null, early: Buffer | null) => void,
  ) {
    this.#unserved = unserved
    this.#refused = refused
    this.#next = next
  }

  push(bytes: Buffer): void {
    if (this.#over) return
    this.#append(bytes)
    const held = this.#bytes.subarray(0, this.#length)
    const header = decodeProxyHeader(held)
    if (header === null) return
    if (typeof header === 'string') {
      this.#refuse(header)
      this.#unserved.socket.destroy()
      return
    }
    this.#over = true
    this.#next(header.connection, header.length === held.length ? null : held.subarray(header.length))
  }

  #append(bytes: Buffer): void {
    const needed = this.#length + bytes.length
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    bytes.copy(this.#bytes, this.#length)
    this.#length = needed
  }

  end(why: string): void {
    this.#refuse(why === 'timeout' ? 'timeout' : 'gone')
    this.#unserved.socket.destroy()
  }

  #refuse(reason: ProxyHeaderRefusal): void {
    if (this.#over) return
    this.#over = true
    const { address, listener } = this.#unserved
    this.#unserved.release()
    this.#refused({ reason, address, listener })
  }
}
