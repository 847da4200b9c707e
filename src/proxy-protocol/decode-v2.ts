/** Version 2: binary, with TLVs behind the addresses (§2.2). */
import { formatAddress, type IpAddress } from '../pattern/cidr.ts'
import { crc32c } from './crc32c.ts'
import {
  ADDRESS_BYTES,
  FIXED_BYTES,
  LOCAL,
  MAX_HEADER_BYTES,
  PROXY,
  type ProxiedConnection,
  type ProxyHeader,
  type ProxyHeaderFault,
  SIGNATURE,
} from './header.ts'

/** By the lower half of the byte for family and protocol: unspecified, stream, datagram. */
const PROTOCOLS = 3
const AF_INET = 1
const AF_INET6 = 2

/** @returns null: more bytes are needed */
export function decodeV2(bytes: Buffer): ProxyHeader | ProxyHeaderFault | null {
  for (let i = 0; i < SIGNATURE.length && i < bytes.length; i++) if (bytes[i] !== SIGNATURE[i]) return 'missing'
  const command = bytes[12]
  if (command === undefined) return null
  if (command !== LOCAL && command !== PROXY) return 'malformed'
  if (bytes.length < FIXED_BYTES) return null
  const length = FIXED_BYTES + bytes.readUInt16BE(14)
  if (length > MAX_HEADER_BYTES) return 'oversized'
  // Family and addresses are ignored, whatever they are.
  if (command === LOCAL) return bytes.length < length ? null : { version: 2, length, connection: null }
  const family = bytes[13]! >> 4
  const addresses = ADDRESS_BYTES[family]
  if (addresses === undefined || (bytes[13]! & 0x0f) >= PROTOCOLS) return 'malformed'
  const tlvs = FIXED_BYTES + addresses
  if (length < tlvs) return 'malformed'
  if (bytes.length < length) return null
  const fault = checkTlvs(bytes.subarray(0, length), tlvs)
  return fault ?? { version: 2, length, connection: connectionOf(bytes, family) }
}

/** An address of a Unix socket says nothing about a client that would be meant by an address. */
function connectionOf(bytes: Buffer, family: number): ProxiedConnection | null {
  if (family !== AF_INET && family !== AF_INET6) return null
  const size = family === AF_INET ? 4 : 16
  const ports = FIXED_BYTES + 2 * size
  return {
    sourceAddress: addressAt(bytes, FIXED_BYTES, size),
    destinationAddress: addressAt(bytes, FIXED_BYTES + size, size),
    sourcePort: bytes.readUInt16BE(ports),
    destinationPort: bytes.readUInt16BE(ports + 2),
  }
}

function addressAt(bytes: Buffer, at: number, size: number): string {
  const address: IpAddress = new Int32Array(4)
  if (size === 4) {
    address[2] = 0xffff
    address[3] = bytes.readInt32BE(at)
  } else for (let i = 0; i < 4; i++) address[i] = bytes.readInt32BE(at + 4 * i)
  return formatAddress(address)
}

const PP2_TYPE_CRC32C = 0x03
/** Type and length. */
const TLV_HEAD = 3

/** They must fill the header exactly; their values are skipped, but for a checksum. */
function checkTlvs(header: Buffer, from: number): ProxyHeaderFault | null {
  let checksum = -1
  let at = from
  while (at < header.length) {
    if (header.length - at < TLV_HEAD) return 'malformed'
    const size = header.readUInt16BE(at + 1)
    const value = at + TLV_HEAD
    if (value + size > header.length) return 'malformed'
    if (header[at] === PP2_TYPE_CRC32C) {
      if (checksum >= 0 || size !== 4) return 'malformed'
      checksum = value
    }
    at = value + size
  }
  if (checksum < 0) return null
  // Its own bytes count as zero (§2.2.5).
  const copy = Buffer.from(header)
  copy.fill(0, checksum, checksum + 4)
  return crc32c(copy) === header.readUInt32BE(checksum) ? null : 'checksum'
}
