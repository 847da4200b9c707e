/** Writes ASN.1 values in their distinguished encoding (X.690): what certificates and revocation lists are made of. */

const INTEGER = 0x02
const BIT_STRING = 0x03
const OCTET_STRING = 0x04
const OBJECT_IDENTIFIER = 0x06
const ENUMERATED = 0x0a
const UTF8_STRING = 0x0c
const PRINTABLE_STRING = 0x13
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
const SEQUENCE = 0x30
const SET = 0x31
/** A value under a tag that its context gives a meaning: primitive, or with `CONSTRUCTED` one that holds others. */
const CONTEXT = 0x80
const CONSTRUCTED = 0x20

export const NULL: Uint8Array = Buffer.from([0x05, 0x00])
export const TRUE: Uint8Array = Buffer.from([0x01, 0x01, 0xff])

function value(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), content])
  const digits: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Buffer.concat([Buffer.from([tag, 0x80 | digits.length, ...digits]), content])
}

export function sequence(...parts: readonly Uint8Array[]): Buffer {
  return value(SEQUENCE, Buffer.concat(parts))
}

export function set(...parts: readonly Uint8Array[]): Buffer {
  return value(SET, Buffer.concat(parts))
}

/** @param bytes not negative, the most significant first */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  if (digits.length === 0) return value(INTEGER, Buffer.from([0]))
  return value(INTEGER, digits[0]! < 0x80 ? digits : Buffer.concat([Buffer.from([0]), digits]))
}

/** @param number 0 … 127 */
export function smallInteger(number: number): Buffer {
  return value(INTEGER, Buffer.from([number]))
}

/** @param number 0 … 127 */
export function enumerated(number: number): Buffer {
  return value(ENUMERATED, Buffer.from([number]))
}

/** @param dotted `1.2.840.10045.4.3.2` */
export function objectIdentifier(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number)
  const bytes: number[] = []
  for (const part of [first! * 40 + second!, ...rest]) {
    const groups = [part & 0x7f]
    for (let high = part >>> 7; high > 0; high >>>= 7) groups.unshift((high & 0x7f) | 0x80)
    bytes.push(...groups)
  }
  return value(OBJECT_IDENTIFIER, Buffer.from(bytes))
}

export function octetString(bytes: Uint8Array): Buffer {
  return value(OCTET_STRING, bytes)
}

/** A whole number of bytes. */
export function bitString(bytes: Uint8Array): Buffer {
  return value(BIT_STRING, Buffer.concat([Buffer.from([0]), bytes]))
}

/** Named bits in one byte or none, the first one most significant: `0b1010_0000` sets bits 0 and 2. */
export function namedBits(bits: number): Buffer {
  if (bits === 0) return value(BIT_STRING, Buffer.from([0]))
  let unused = 0
  while (((bits >> unused) & 1) === 0) unused++
  return value(BIT_STRING, Buffer.from([unused, bits]))
}

export function utf8String(text: string): Buffer {
  return value(UTF8_STRING, Buffer.from(text))
}

/** @param text of letters, digits and `'()+,-./:=?` and spaces alone */
export function printableString(text: string): Buffer {
  return value(PRINTABLE_STRING, Buffer.from(text, 'latin1'))
}

/** In the form that RFC 5280 §4.1.2.5 asks for: two digits of the year up to 2049. */
export function time(date: Date): Buffer {
  const year = date.getUTCFullYear()
  return year < 1950 || year > 2049 ? generalizedTime(date) : value(UTC_TIME, Buffer.from(digitsOf(date).slice(2)))
}

export function generalizedTime(date: Date): Buffer {
  return value(GENERALIZED_TIME, Buffer.from(digitsOf(date)))
}

/** `20261129013000Z` */
function digitsOf(date: Date): string {
  return `${date
    .toISOString()
    .replace(/\.\d+Z$/, '')
    .replaceAll(/[-:T]/g, '')}Z`
}

/** A value that keeps its own tag inside. */
export function explicit(number: number, content: Uint8Array): Buffer {
  return value(CONTEXT | CONSTRUCTED | number, content)
}

/** Content whose own tag is replaced. */
export function implicit(number: number, content: Uint8Array): Buffer {
  return value(CONTEXT | number, content)
}
