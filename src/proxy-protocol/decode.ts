/** Reads the header at the front of a connection, from as many bytes as have come. */

import { isIPv4, isIPv6 } from 'node:net'
import { canonicalAddress } from '../pattern/cidr.ts'
import { decodeV2 } from './decode-v2.ts'
import { MAX_V1_BYTES, type ProxiedConnection, type ProxyHeader, type ProxyHeaderFault, SIGNATURE } from './header.ts'

/** More bytes are needed. */
export const INCOMPLETE = null

/**
 * Decides as early as the bytes allow: what does not begin like a header is refused with its first byte.
 *
 * @param bytes all that have come so far
 */
export function decodeProxyHeader(bytes: Buffer): ProxyHeader | ProxyHeaderFault | typeof INCOMPLETE {
  if (bytes.length === 0) return INCOMPLETE
  return bytes[0] === SIGNATURE[0] ? decodeV2(bytes) : decodeV1(bytes)
}

const V1_BEGIN = Buffer.from('PROXY ', 'latin1')

function decodeV1(bytes: Buffer): ProxyHeader | ProxyHeaderFault | typeof INCOMPLETE {
  for (let i = 0; i < V1_BEGIN.length && i < bytes.length; i++) if (bytes[i] !== V1_BEGIN[i]) return 'missing'
  // Both bytes must be within the longest line.
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n', 0, 'latin1')
  if (end < 0) return bytes.length < MAX_V1_BYTES ? INCOMPLETE : 'oversized'
  const line = bytes.toString('latin1', V1_BEGIN.length, end)
  const length = end + 2
  // Whatever follows UNKNOWN is ignored (§2.1).
  if (line === 'UNKNOWN' || line.startsWith('UNKNOWN ')) return { version: 1, length, connection: null }
  const connection = parseV1(line.split(' '))
  return connection === undefined ? 'malformed' : { version: 1, length, connection }
}

/** Exactly five words with one space in between. */
function parseV1(words: readonly string[]): ProxiedConnection | undefined {
  const [family, source, destination, sourcePort, destinationPort, ...others] = words
  if (others.length > 0 || destinationPort === undefined) return undefined
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isIPv6 : () => false
  if (!isAddress(source!) || !isAddress(destination!)) return undefined
  const [from, to] = [parsePort(sourcePort!), parsePort(destinationPort)]
  if (from === undefined || to === undefined) return undefined
  const [sourceAddress, destinationAddress] = [canonicalAddress(source!), canonicalAddress(destination!)]
  // An address with a zone is none for the family.
  if (sourceAddress === undefined || destinationAddress === undefined) return undefined
  return { sourceAddress, sourcePort: from, destinationAddress, destinationPort: to }
}

/** Decimal, without leading zeros (§2.1). */
function parsePort(text: string): number | undefined {
  if (!/^(0|[1-9][0-9]{0,4})$/.test(text)) return undefined
  const port = Number(text)
  return port <= 65_535 ? port : undefined
}
