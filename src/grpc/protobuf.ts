/** The wire format of Protocol Buffers (protobuf.dev, Encoding), as far as messages of other services need it. */

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

/** Most levels of messages in messages that a reader may follow. */
export const MAX_MESSAGE_DEPTH = 32

/** Writes one message; values that are empty are left out, as proto3 has it. */
export class MessageWriter {
  readonly #parts: Uint8Array[] = []
  #length = 0

  string(field: number, text: string): this {
    return text === '' ? this : this.bytes(field, Buffer.from(text, 'utf8'))
  }

  bytes(field: number, bytes: Uint8Array): this {
    this.#varint(field * 8 + BYTES)
    this.#varint(bytes.length)
    return this.#add(bytes)
  }

  message(field: number, message: MessageWriter): this {
    return this.bytes(field, message.finish())
  }

  /** @param value whole, from -1 to 2^53: -1 as int64 has ten bytes */
  integer(field: number, value: number): this {
    if (value === 0) return this
    this.#varint(field * 8 + VARINT)
    if (value < 0) return this.#add(MINUS_ONE)
    return this.#varint(value)
  }

  finish(): Uint8Array {
    return Buffer.concat(this.#parts, this.#length)
  }

  #varint(value: number): this {
    const bytes: number[] = []
    let rest = value
    while (rest >= 0x80) {
      bytes.push((rest % 0x80) + 0x80)
      rest = Math.floor(rest / 0x80)
    }
    bytes.push(rest)
    return this.#add(Uint8Array.from(bytes))
  }

  #add(bytes: Uint8Array): this {
    this.#parts.push(bytes)
    this.#length += bytes.length
    return this
  }
}

const MINUS_ONE = Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 255, 255, 1])

/** One field of a message that was read. */
export interface MessageField {
  readonly number: number
  /** Of a varint, as far as it is exact; of other types 0. */
  readonly integer: number
  /** Of strings, bytes and messages; of fixed64 and fixed32 their bytes. */
  readonly bytes: Uint8Array
}

const NO_BYTES = new Uint8Array(0)

/** The fields of a message in their order. @throws {RangeError} where the bytes are no message */
export function* readMessage(bytes: Uint8Array): Generator<MessageField> {
  const cursor = { at: 0 }
  while (cursor.at < bytes.length) {
    const key = readVarint(bytes, cursor)
    const number = Math.floor(key / 8)
    if (number === 0) throw new RangeError('a field has the number 0')
    switch (key % 8) {
      case VARINT:
        yield { number, integer: readVarint(bytes, cursor), bytes: NO_BYTES }
        break
      case BYTES:
        yield { number, integer: 0, bytes: take(bytes, cursor, readVarint(bytes, cursor)) }
        break
      case FIXED64:
        yield { number, integer: 0, bytes: take(bytes, cursor, 8) }
        break
      case FIXED32:
        yield { number, integer: 0, bytes: take(bytes, cursor, 4) }
        break
      default:
        throw new RangeError('a field has a type that is not used any more')
    }
  }
}

function readVarint(bytes: Uint8Array, cursor: { at: number }): number {
  let value = 0
  let scale = 1
  for (let i = 0; i < 10; i++) {
    const byte = bytes[cursor.at++]
    if (byte === undefined) break
    value += (byte & 0x7f) * scale
    scale *= 0x80
    if (byte < 0x80) return value
  }
  throw new RangeError('a number is cut off or has more than ten bytes')
}

function take(bytes: Uint8Array, cursor: { at: number }, length: number): Uint8Array {
  const end = cursor.at + length
  if (end > bytes.length) throw new RangeError('a field is longer than its message')
  const part = bytes.subarray(cursor.at, end)
  cursor.at = end
  return part
}

export function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}
