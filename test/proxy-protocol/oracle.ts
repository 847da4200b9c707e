/**
 * A second reader of PROXY headers, written from the specification alone and from nothing of ours: it looks at a whole
 * input at once, by other means (a regular expression, a DataView, arithmetic on polynomials), and knows no pieces.
 */
import { isIP } from 'node:net'

export type OracleHeader =
  | {
      readonly length: number
      readonly connection: readonly [source: string, port: number, destination: string, port: number] | null
    }
  | 'refused'
  /** It may become a header when more bytes come. */
  | 'open'

const V1 =
  /^PROXY (?:UNKNOWN(?: [^\r]*(?:\r(?!\n)[^\r]*)*)?|TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4}))\r\n/

export function readProxyHeader(bytes: Uint8Array): OracleHeader {
  const binary = [0x0d, 0x0a, 0x0d, 0x0a, 0, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
  const begins = (with_: readonly number[]) => with_.every((byte, i) => i >= bytes.length || bytes[i] === byte)
  if (bytes.length === 0) return 'open'
  if (begins(binary)) return readBinary(bytes)
  if (begins([...'PROXY '].map((letter) => letter.charCodeAt(0)))) return readText(bytes)
  return 'refused'
}

function readText(bytes: Uint8Array): OracleHeader {
  const text = String.fromCharCode(...bytes.slice(0, 107))
  if (!text.includes('\r\n')) return bytes.length < 107 ? 'open' : 'refused'
  const found = V1.exec(text)
  if (found === null) return 'refused'
  const [line, family, source, destination, from, to] = found
  if (family === undefined) return { length: line.length, connection: null }
  const version = Number(family)
  if (isIP(source!) !== version || isIP(destination!) !== version) return 'refused'
  if (Number(from) > 65535 || Number(to) > 65535) return 'refused'
  return { length: line.length, connection: [plain(source!), Number(from), plain(destination!), Number(to)] }
}

function readBinary(bytes: Uint8Array): OracleHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const [version, command] = bytes.length > 12 ? [bytes[12]! >> 4, bytes[12]! % 16] : [2, 1]
  if (version !== 2 || command > 1) return 'refused'
  if (bytes.length < 16) return 'open'
  const rest = view.getUint16(14)
  if (rest > 16 * 1024 - 16) return 'refused'
  const whole = bytes.length >= 16 + rest
  if (command === 0) return whole ? { length: 16 + rest, connection: null } : 'open'
  const [family, transport] = [bytes[13]! >> 4, bytes[13]! % 16]
  if (family > 3 || transport > 2) return 'refused'
  const needed = [0, 12, 36, 216][family]!
  if (rest < needed) return 'refused'
  if (!whole) return 'open'
  if (!tlvsAreGood(bytes.slice(0, 16 + rest), 16 + needed)) return 'refused'
  const dotted = (at: number) => Array.from(bytes.slice(at, at + 4)).join('.')
  const grouped = (at: number) =>
    plain(Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16)).join(':'))
  if (family === 1)
    return { length: 16 + rest, connection: [dotted(16), view.getUint16(24), dotted(20), view.getUint16(26)] }
  if (family === 2)
    return { length: 16 + rest, connection: [grouped(16), view.getUint16(48), grouped(32), view.getUint16(50)] }
  return { length: 16 + rest, connection: null }
}

function tlvsAreGood(header: Uint8Array, from: number): boolean {
  const checksums: number[] = []
  let at = from
  while (at < header.length) {
    if (at + 3 > header.length) return false
    const size = header[at + 1]! * 256 + header[at + 2]!
    if (header[at] === 3) {
      if (size !== 4) return false
      checksums.push(at + 3)
    }
    at += 3 + size
  }
  if (at !== header.length || checksums.length > 1) return false
  if (checksums.length === 0) return true
  const place = checksums[0]!
  const stated = new DataView(header.buffer).getUint32(place)
  return checksum(header.map((byte, i) => (i >= place && i < place + 4 ? 0 : byte))) === stated
}

/** CRC-32C bit by bit: the remainder of a division of polynomials. */
export function checksum(bytes: Uint8Array): number {
  let remainder = 0xffffffffn
  for (const byte of bytes)
    for (let bit = 0; bit < 8; bit++) {
      const odd = (remainder ^ (BigInt(byte) >> BigInt(bit))) & 1n
      remainder = (remainder >> 1n) ^ (odd * 0x82f63b78n)
    }
  return Number(remainder ^ 0xffffffffn)
}

/** RFC 5952, by the URL parser, and IPv4 for mapped addresses. */
function plain(address: string): string {
  if (isIP(address) === 4) return address
  const text = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(text)
  if (mapped === null) return text
  const [high, low] = [Number.parseInt(mapped[1]!, 16), Number.parseInt(mapped[2]!, 16)]
  return [high >> 8, high % 256, low >> 8, low % 256].join('.')
}
