/**
 * What we tell an upstream about where a request came from: X-Forwarded-For, -Proto, -Host, -Port. Whatever the client
 * sent under these names is dropped first unless it came from a trusted proxy (security.md, "Client IP").
 */

/** Immutable; one per connection for all its requests wherever the client's address and the Host stay the same. */
export class Forwarding {
  readonly for: string
  readonly proto: 'http' | 'https'
  readonly host: string
  readonly port: number
  /** Full `Forwarded` field to send, or null. */
  readonly forwarded: string | null
  #block: string | null = null

  constructor(forList: string, proto: 'http' | 'https', host: string, port: number, forwarded: string | null = null) {
    this.for = forList
    this.proto = proto
    this.host = host
    this.port = port
    this.forwarded = forwarded
  }

  /** The fields as they stand in an HTTP/1.1 head, made once. */
  get block(): string {
    if (this.#block === null) {
      let text = `x-forwarded-for: ${this.for}\r\nx-forwarded-proto: ${this.proto}\r\n`
      if (this.host !== '') text += `x-forwarded-host: ${this.host}\r\n`
      text += `x-forwarded-port: ${this.port}\r\n`
      if (this.forwarded !== null) text += `forwarded: ${this.forwarded}\r\n`
      this.#block = text
    }
    return this.#block
  }
}
