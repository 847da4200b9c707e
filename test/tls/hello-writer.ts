/** Writes ClientHellos of any kind, also wrong ones, and cuts them into records. */
import { randomBytes } from 'node:crypto'

export function counted(size: 1 | 2 | 3, content: Uint8Array): Buffer {
  const length = Buffer.alloc(size)
  length.writeUIntBE(content.length, 0, size)
  return Buffer.concat([length, content])
}

export function extension(type: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(type)
  return Buffer.concat([head, counted(2, body)])
}

export function serverName(name: Uint8Array | string, type = 0): Buffer {
  return extension(0, counted(2, Buffer.concat([Buffer.from([type]), counted(2, Buffer.from(name as string))])))
}

export function protocols(...names: readonly string[]): Buffer {
  return extension(16, counted(2, Buffer.concat(names.map((name) => counted(1, Buffer.from(name))))))
}

export function versions(...list: readonly number[]): Buffer {
  const bytes = Buffer.alloc(list.length * 2)
  list.forEach((version, i) => void bytes.writeUInt16BE(version, i * 2))
  return extension(43, counted(1, bytes))
}

/** X25519 and the usual algorithms: with these OpenSSL answers a hello. */
export function common(): Buffer[] {
  return [
    versions(0x0304, 0x0303),
    extension(10, counted(2, Buffer.from([0x00, 0x1d, 0x00, 0x17]))),
    extension(11, counted(1, Buffer.from([0]))),
    extension(13, counted(2, Buffer.from([0x04, 0x03, 0x08, 0x04, 0x04, 0x01]))),
    extension(51, counted(2, Buffer.concat([Buffer.from([0x00, 0x1d]), counted(2, randomBytes(32))]))),
  ]
}

const CIPHERS = Buffer.from([0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b, 0xc0, 0x2f])

/** @returns the message with its header of four bytes */
export function clientHello(extensions: readonly Uint8Array[] | null, ciphers: Uint8Array = CIPHERS): Buffer {
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    counted(1, Buffer.alloc(32, 9)),
    counted(2, ciphers),
    counted(1, Buffer.from([0])),
    ...(extensions === null ? [] : [counted(2, Buffer.concat(extensions))]),
  ])
  return Buffer.concat([Buffer.from([1]), counted(3, body)])
}

/** @param size bytes of the message in each record */
export function records(message: Uint8Array, size = 16_384): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < message.length; at += size)
    parts.push(Buffer.from([22, 3, 1]), counted(2, message.subarray(at, at + size)))
  return Buffer.concat(parts)
}
