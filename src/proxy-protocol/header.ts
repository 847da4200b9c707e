/**
 * The PROXY protocol (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt): the first bytes of a connection, by
 * which a proxy that relays TCP says whose connection it is.
 */

/** The two ends of the client's connection to the proxy. Addresses are canonical, IPv4-mapped ones IPv4. */
export interface ProxiedConnection {
  readonly sourceAddress: string
  readonly sourcePort: number
  readonly destinationAddress: string
  readonly destinationPort: number
}

export interface ProxyHeader {
  readonly version: 1 | 2
  /** Bytes of the header; what follows is the connection's own. */
  readonly length: number
  /**
   * Null: the ends are those of the connection itself. The proxy speaks for itself, as in a health check (LOCAL), or it
   * says of the client no address that is an IP address (UNKNOWN, AF_UNSPEC, AF_UNIX).
   */
  readonly connection: ProxiedConnection | null
}

/** Why a connection has no header that can be used. */
export type ProxyHeaderFault =
  /** It begins with something else. */
  | 'missing'
  | 'malformed'
  /** Longer than {@link MAX_HEADER_BYTES}, or than 107 bytes in version 1. */
  | 'oversized'
  /** It has a checksum, and another one than its bytes (PP2_TYPE_CRC32C). */
  | 'checksum'

/** Of version 1: the longest line, with its CRLF (§2.1). */
export const MAX_V1_BYTES = 107

/** Of version 2: a client's certificate among the TLVs has room, and no more than a few of them. */
export const MAX_HEADER_BYTES = 16 * 1024

/** §2.2. */
export const SIGNATURE = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
/** Signature, version and command, family and protocol, length. */
export const FIXED_BYTES = 16

export const LOCAL = 0x20
export const PROXY = 0x21
export const TCP4 = 0x11
export const TCP6 = 0x21

/** By the upper half of the byte for family and protocol: bytes that its addresses take. */
export const ADDRESS_BYTES = [0, 12, 36, 216] as const
