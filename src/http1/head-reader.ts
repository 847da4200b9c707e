/** The bytes of a client's connection that are read and not yet consumed, and the requests at their front. */
import { frameRequest, requestFraming } from '../http/framing.ts'
import { INCOMPLETE, RequestHead } from '../http/head.ts'
import { GatewayError } from '../lib/error.ts'
import type { HeadLimits } from '../message/head.ts'
import { KEY_FIELD, WEBSOCKET } from '../message/websocket-handshake.ts'
import { countHeldHeads, heldHeads } from '../socket/held-heads.ts'
import type { IncomingRequest, RefusedRequest } from '../transport/downstream.ts'
import { requestTarget } from '../transport/request-target.ts'

export class HeadReader implements RefusedRequest {
  readonly protocol = 'HTTP/1.1'
  #head = new RequestHead()
  /** Framing of the message whose head was read last. */
  readonly framing = requestFraming()
  /** Of the WebSocket handshake that the request read last is; '' where it is none. */
  webSocketKey = ''
  #held: Buffer | null = null

  get held(): Buffer | null {
    return this.#held
  }

  set held(bytes: Buffer | null) {
    countHeldHeads((bytes === null ? 0 : bytes.length) - (this.#held === null ? 0 : this.#held.length))
    this.#held = bytes
  }

  /** Method and target of a head that was refused, as far as they were read. */
  get method(): string {
    return this.#head.method
  }

  get target(): string {
    return this.#head.target
  }

  /** Nothing of a request is there: an empty line after a body is a habit of old clients (RFC 9112 §2.2). */
  get quiet(): boolean {
    return this.held === null || (this.held[0] === 0x0d && this.held.length <= 2)
  }

  append(bytes: Buffer): void {
    this.held = this.held === null ? bytes : Buffer.concat([this.held, bytes])
  }

  /**
   * Keeps what was sent ahead.
   * @returns false when there is no memory for it: it is dropped, and the connection must not go on
   */
  hold(bytes: Buffer, limit: number): boolean {
    if (heldHeads() > limit) return false
    this.append(bytes)
    return true
  }

  /** Takes all held bytes. */
  take(): Buffer | null {
    const held = this.held
    this.held = null
    return held
  }

  /**
   * Takes the request at the front.
   * @param latest what was appended since the last call, or null where that is not known
   * @param heldLimit bytes that all connections of the thread may hold while they wait for more
   * @returns null: more bytes are needed
   */
  read(latest: Buffer | null, limits: HeadLimits, heldLimit: number): IncomingRequest | GatewayError | null {
    const held = this.held!
    // Without a line end in the new bytes parsing cannot progress: a trickling sender must not cause repeated parses.
    if (latest !== null && latest !== held && latest.indexOf(0x0a) < 0 && held.length <= limits.head)
      return this.#waiting(heldLimit)
    const head = this.#head
    const end = head.parse(held, 0, held.length, limits)
    if (end === INCOMPLETE) return this.#waiting(heldLimit)
    if (end < 0)
      return isHandshake(held)
        ? new GatewayError('TlsOnClearText')
        : new GatewayError(head.fault!.reason, head.fault!.detail)
    const fault = frameRequest(head, this.framing)
    if (fault !== null) return new GatewayError(fault.reason, fault.detail)
    const host = this.framing.host >= 0 ? head.fields.valueAt(this.framing.host) : ''
    const request = requestTarget(head, this.framing, host)
    if (request instanceof GatewayError) return request
    this.webSocketKey = request.upgrade === WEBSOCKET ? (head.fields.get(KEY_FIELD) ?? '') : ''
    // What was read is this connection's own, and is not written to again.
    head.fields.lasting = true
    this.#head = new RequestHead()
    this.held = end === held.length ? null : held.subarray(end)
    return request
  }

  #waiting(limit: number): GatewayError | null {
    if (heldHeads() <= limit || this.quiet) return null
    return new GatewayError('MemoryLimit', 'too many request heads have come in part')
  }
}

/** The header of a TLS record with a handshake (RFC 8446 §5.1). */
function isHandshake(bytes: Buffer): boolean {
  return bytes[0] === 22 && bytes[1] === 3
}
