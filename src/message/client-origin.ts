/** Scheme, host and port as the client names them, and never those of the socket that accepted its connection. */
export interface ClientOrigin {
  readonly scheme: 'http' | 'https'
  /** Normal form; '' when an HTTP/1.0 client names none. */
  readonly host: string
  /** Of the authority that it asks for, else the one a trusted proxy reports, else the scheme's default. */
  readonly port: number
  /** `host[:port]` as it is reported upstream; absent: as the request names it. */
  readonly authority?: string
  /** Of the client's connection, as a PROXY header has it, where that is another one; it is reported upstream. */
  readonly connectedPort?: number
}
