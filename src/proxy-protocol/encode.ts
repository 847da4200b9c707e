/** Writes the header at the front of a connection to an endpoint. */
import { formatIPv6, type IpAddress, parseAddress } from '../pattern/cidr.ts'
import { FIXED_BYTES, LOCAL, PROXY, type ProxiedConnection, SIGNATURE, TCP4, TCP6 } from './header.ts'

/**
 * @param connection null: the connection is our own, made for no client
 */
export function encodeProxyHeader(version: 1 | 2, connection: ProxiedConnection | null): Buffer {
  if (connection === null) return version === 1 ? UNKNOWN_V1 : LOCAL_V2
  const source = parseAddress(connection.sourceAddress)
  const destination = parseAddress(connection.destinationAddress)
  // No client is better than a wrong one.
  if (source === undefined || destination === undefined) return version === 1 ? UNKNOWN_V1 : LOCAL_V2
  // One family for both: where they differ IPv4 is written in its mapped form (RFC 4291 §2.5.5.2).
  const v4 = isIPv4(source) && isIPv4(destination)
  return version === 1 ? encodeV1(v4, source, destination, connection) : encodeV2(v4, source, destination, connection)
}

const UNKNOWN_V1 = Buffer.from('PROXY UNKNOWN\r\n', 'latin1')
const LOCAL_V2 = Buffer.concat([SIGNATURE, Uint8Array.of(LOCAL, 0, 0, 0)])

function isIPv4(address: IpAddress): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === 0xffff
}

function encodeV1(v4: boolean, from: IpAddress, to: IpAddress, connection: ProxiedConnection): Buffer {
  const { sourceAddress, sourcePort, destinationAddress, destinationPort } = connection
  const addresses = v4 ? `${sourceAddress} ${destinationAddress}` : `${formatIPv6(from)} ${formatIPv6(to)}`
  const line = `PROXY ${v4 ? 'TCP4' : 'TCP6'} ${addresses} ${sourcePort} ${destinationPort}\r\n`
  return Buffer.from(line, 'latin1')
}

function encodeV2(v4: boolean, from: IpAddress, to: IpAddress, connection: ProxiedConnection): Buffer {
  const size = v4 ? 4 : 16
  const length = 2 * size + 4
  const bytes = Buffer.alloc(FIXED_BYTES + length)
  bytes.set(SIGNATURE)
  bytes[12] = PROXY
  bytes[13] = v4 ? TCP4 : TCP6
  bytes.writeUInt16BE(length, 14)
  writeAddress(bytes, FIXED_BYTES, from, size)
  writeAddress(bytes, FIXED_BYTES + size, to, size)
  bytes.writeUInt16BE(connection.sourcePort, FIXED_BYTES + 2 * size)
  bytes.writeUInt16BE(connection.destinationPort, FIXED_BYTES + 2 * size + 2)
  return bytes
}

function writeAddress(bytes: Buffer, at: number, address: IpAddress, size: number): void {
  const words = size === 4 ? address.subarray(3) : address
  words.forEach((word, i) => void bytes.writeInt32BE(word, at + 4 * i))
}
