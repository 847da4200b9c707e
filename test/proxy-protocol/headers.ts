/** PROXY headers for tests, written by hand from the specification. */
import { checksum } from './oracle.ts'

export const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'

/** Version 2. @param rest all behind the length */
export function binary(command: number, family: number, rest: Uint8Array = new Uint8Array()): Buffer {
  const head = Buffer.alloc(16)
  head.write(SIGNATURE, 'latin1')
  head[12] = command
  head[13] = family
  head.writeUInt16BE(rest.length, 14)
  return Buffer.concat([head, rest])
}

export function tcp4(from: string, fromPort: number, to: string, toPort: number, ...tlvs: readonly Buffer[]): Buffer {
  return binary(0x21, 0x11, Buffer.concat([ip4(from), ip4(to), port(fromPort), port(toPort), ...tlvs]))
}

export function ip4(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}

/** @param groups eight of them */
export function ip6(groups: string): Buffer {
  return Buffer.concat(groups.split(':').map((group) => port(Number.parseInt(group, 16))))
}

export function port(number: number): Buffer {
  return Buffer.from([number >> 8, number & 0xff])
}

export function tlv(type: number, value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value)
  return Buffer.concat([Buffer.from([type]), port(bytes.length), bytes])
}

/** The header with a checksum as its last TLV. @param by what is added to the right one */
export function withChecksum(header: Buffer, by = 0): Buffer {
  const all = Buffer.concat([header, tlv(3, Buffer.alloc(4))])
  all.writeUInt16BE(all.length - 16, 14)
  all.writeUInt32BE((checksum(all) + by) >>> 0, all.length - 4)
  return all
}
