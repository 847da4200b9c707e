/**
 * Parses and compares addresses and prefixes in binary form, for allow-lists, source matches, trusted proxies and the
 * dial guard. Parsing is strict: no octal numbers, short forms or zone ids, which parsers interpret differently.
 */
import { isIPv4, isIPv6 } from 'node:net'

/**
 * An address as four 32-bit words, IPv4 in its mapped form (::ffff:a.b.c.d, RFC 4291 §2.5.5.2), so that both families
 * compare alike.
 */
export type IpAddress = Int32Array

const MAPPED_WORD = 0x0000ffff

/**
 * @param into receives the words; allocated by default
 * @returns undefined when `text` is not an address literal; IPv6 without brackets and zone
 */
export function parseAddress(text: string, into: IpAddress = new Int32Array(4)): IpAddress | undefined {
  const length = text.length
  if (length < 2 || length > 45) return undefined
  if (!text.includes(':')) {
    if (!isIPv4(text)) return undefined
    into[0] = 0
    into[1] = 0
    into[2] = MAPPED_WORD
    into[3] = readIPv4(text, 0)
    return into
  }
  // A zone is meaningful on one host only.
  if (!isIPv6(text) || text.includes('%')) return undefined
  readIPv6(text, into)
  return into
}

/** Dotted decimal from `start` to the end; the form has been checked. */
function readIPv4(text: string, start: number): number {
  let word = 0
  let octet = 0
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x2e) {
      word = (word << 8) | octet
      octet = 0
    } else octet = octet * 10 + code - 0x30
  }
  return (word << 8) | octet
}

const groups = new Uint16Array(8)

/** RFC 4291 §2.2; the form has been checked. */
function readIPv6(text: string, into: IpAddress): void {
  groups.fill(0)
  let count = 0
  let gap = -1
  let at = 0
  while (at < text.length) {
    if (text.charCodeAt(at) === 0x3a) {
      if (text.charCodeAt(at + 1) !== 0x3a) {
        at++
        continue
      }
      gap = count
      at += 2
      continue
    }
    let end = at
    let value = 0
    while (end < text.length && text.charCodeAt(end) !== 0x3a && text.charCodeAt(end) !== 0x2e) {
      value = value * 16 + Number.parseInt(text[end]!, 16)
      end++
    }
    if (text.charCodeAt(end) === 0x2e) {
      const word = readIPv4(text, at)
      groups[count++] = word >>> 16
      groups[count++] = word & 0xffff
      break
    }
    groups[count++] = value
    at = end
  }
  if (gap !== -1) {
    const moved = count - gap
    groups.copyWithin(8 - moved, gap, count)
    groups.fill(0, gap, 8 - moved)
  }
  for (let i = 0; i < 4; i++) into[i] = (groups[i * 2]! << 16) | groups[i * 2 + 1]!
}

function isMapped(address: IpAddress): boolean {
  return address[0] === 0 && address[1] === 0 && address[2] === MAPPED_WORD
}

function formatIPv4(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`
}

/**
 * Text form by RFC 5952, without brackets: lower case, the longest run of zero groups as `::`. Mapped addresses are
 * IPv4.
 */
export function formatAddress(address: IpAddress): string {
  return isMapped(address) ? formatIPv4(address[3]!) : formatIPv6(address)
}

/** RFC 5952 §4, always eight groups of hexadecimal, also for mapped addresses (as WHATWG URL does). */
export function formatIPv6(address: IpAddress): string {
  let bestStart = -1
  let bestLength = 1
  let start = -1
  const words: number[] = []
  for (let i = 0; i < 8; i++) {
    const group = (address[i >> 1]! >>> (i % 2 === 0 ? 16 : 0)) & 0xffff
    words.push(group)
    if (group !== 0) start = -1
    else {
      if (start === -1) start = i
      if (i - start + 1 > bestLength) {
        bestStart = start
        bestLength = i - start + 1
      }
    }
  }
  const hex = words.map((group) => group.toString(16))
  if (bestStart === -1) return hex.join(':')
  return `${hex.slice(0, bestStart).join(':')}::${hex.slice(bestStart + bestLength).join(':')}`
}

/**
 * Returns the canonical form of an address: IPv4 also for IPv4-mapped IPv6 (what a dual-stack socket reports), RFC 5952
 * for IPv6.
 *
 * @returns undefined when it is not an address
 */
export function canonicalAddress(text: string): string | undefined {
  const address = parseAddress(text, scratch)
  return address === undefined ? undefined : formatAddress(address)
}

const scratch: IpAddress = new Int32Array(4)

/**
 * A prefix: the address with all bits after `bits` cleared. `bits` counts in the mapped form, so 10.0.0.0/8 has 104.
 */
export interface CIDR {
  readonly address: IpAddress
  /** 0 … 128 */
  readonly bits: number
}

/**
 * `address/length`, or an address alone for itself. Bits after the length are ignored, as most tools do; an IPv4-mapped
 * prefix of 96 bits or more is the IPv4 prefix it stands for.
 *
 * An IPv6 prefix shorter than 96 bits that covers ::ffff:0:0/96, like `::/0`, says nothing about IPv4 addresses; see
 * {@link covers}.
 */
export function parseCIDR(text: string): CIDR | undefined {
  const slash = text.indexOf('/')
  const address = parseAddress(slash === -1 ? text : text.slice(0, slash))
  if (address === undefined) return undefined
  const wide = text.includes(':')
  const lengthText = slash === -1 ? (wide ? '128' : '32') : text.slice(slash + 1)
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(lengthText)) return undefined
  const length = Number(lengthText)
  if (length > (wide ? 128 : 32)) return undefined
  const bits = wide ? length : length + 96
  for (let i = 0; i < 4; i++) address[i] = address[i]! & mask(bits, i)
  return { address, bits }
}

/** Bits of word `index` that a prefix of `bits` bits fixes. */
function mask(bits: number, index: number): number {
  const inWord = bits - index * 32
  return inWord <= 0 ? 0 : inWord >= 32 ? -1 : -1 << (32 - inWord)
}

/**
 * Whether the prefix holds the address. `::/0` and other short IPv6 prefixes hold no IPv4 address: `0.0.0.0/0` is for
 * those.
 */
export function covers(prefix: CIDR, address: IpAddress): boolean {
  return coversWords(prefix.address, 0, prefix.bits, address)
}

/** {@link covers} on a prefix whose words stand in a larger array, as in packed tables. */
export function coversWords(words: Int32Array, at: number, bits: number, address: IpAddress): boolean {
  if (bits < 96 && isMapped(address)) return false
  for (let i = 0; i * 32 < bits; i++) if (((address[i]! ^ words[at + i]!) & mask(bits, i)) !== 0) return false
  return true
}

/**
 * A set of prefixes. A lookup takes one hash access per distinct prefix length, so thousands of prefixes cost as little
 * as a few.
 */
export class CidrSet {
  /** Per distinct length: prefixes by a key of their words. */
  readonly #lengths: { readonly bits: number; readonly prefixes: Map<number, CIDR[]> }[] = []
  readonly size: number

  /** @throws {TypeError} for an invalid CIDR, which validation rejects */
  constructor(cidrs: Iterable<string>) {
    let size = 0
    for (const text of cidrs) {
      const prefix = parseCIDR(text)
      if (prefix === undefined) throw new TypeError(`not a CIDR: ${text}`)
      size++
      let level = this.#lengths.find((other) => other.bits === prefix.bits)
      if (level === undefined) this.#lengths.push((level = { bits: prefix.bits, prefixes: new Map() }))
      const key = keyOf(prefix.address, 128)
      const bucket = level.prefixes.get(key)
      if (bucket === undefined) level.prefixes.set(key, [prefix])
      else bucket.push(prefix)
    }
    this.size = size
  }

  /** @param address literal; other texts are in no set */
  has(address: string): boolean {
    if (this.size === 0) return false
    const parsed = parseAddress(address, scratch)
    return parsed !== undefined && this.hasAddress(parsed)
  }

  hasAddress(address: IpAddress): boolean {
    for (const level of this.#lengths) {
      const bucket = level.prefixes.get(keyOf(address, level.bits))
      if (bucket === undefined) continue
      for (const prefix of bucket) if (covers(prefix, address)) return true
    }
    return false
  }
}

function keyOf(address: IpAddress, bits: number): number {
  let key = 0
  for (let i = 0; i < 4; i++) {
    key = Math.imul(key ^ (address[i]! & mask(bits, i)), 0x9e3779b1)
    key ^= key >>> 15
  }
  return key
}

/** Classes of addresses, for the dial guard. */
export type AddressClass = 'loopback' | 'linkLocal' | 'unspecified' | 'multicast' | 'other'

/**
 * Classifies an address by its effective destination: an IPv4 address is also extracted from IPv4-mapped,
 * IPv4-compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052, 64:ff9b::/96; RFC 8215, 64:ff9b:1::/48), 6to4 (RFC 3056) and
 * ISATAP (RFC 5214) forms, because a gateway or translator on the way delivers those to the IPv4 address. Teredo is not
 * served by anything any more and counts as other.
 */
export function addressClass(address: IpAddress): AddressClass {
  const [a, b, c, d] = [address[0]!, address[1]!, address[2]!, address[3]!]
  if (a === 0 && b === 0 && (c === MAPPED_WORD || c === 0)) {
    if (c === 0 && d === 0) return 'unspecified'
    if (c === 0 && d === 1) return 'loopback'
    return classOfIPv4(d)
  }
  // ::ffff:0:a.b.c.d, IPv4-translated (RFC 2765 §2.1): some SIIT translators still deliver it.
  if (a === 0 && b === 0 && c >>> 16 === 0xffff && (c & 0xffff) === 0) return classOfIPv4(d)
  if (a === 0x0064ff9b && b === 0 && c === 0) return classOfIPv4(d)
  if (a === 0x0064ff9b && b >>> 16 === 1) return classOfLocalNAT64(b, c, d)
  if (a >>> 16 === 0x2002) return classOfIPv4((a << 16) | (b >>> 16))
  if (a >>> 24 === 0xff) return 'multicast'
  // fe80::/10, and fec0::/10 that once were site-local.
  if (a >>> 22 === 0xfe80 >>> 6 || a >>> 22 === 0xfec0 >>> 6) return 'linkLocal'
  return isISATAP(c) ? classOfIPv4(d) : 'other'
}

/**
 * In RFC 6052 §2.2 the position of the IPv4 address depends on the prefix length that the operator chose: all positions
 * are checked.
 */
function inLocalNAT64(b: number, c: number, d: number): number[] {
  return [
    d,
    // /48: 16 bits, the reserved byte "u", 16 bits.
    ((b & 0xffff) << 16) | ((c >>> 8) & 0xffff),
    // /56: 8 bits, u, 24 bits.
    ((b & 0xff) << 24) | (c & 0xffffff),
    // /64: u, 32 bits.
    ((c & 0xffffff) << 8) | (d >>> 24),
  ]
}

function classOfLocalNAT64(b: number, c: number, d: number): AddressClass {
  for (const candidate of inLocalNAT64(b, c, d)) {
    const found = classOfIPv4(candidate)
    // Unused positions are zero.
    if (found !== 'other' && found !== 'unspecified') return found
  }
  return (b & 0xffff) === 0 && c === 0 && d >>> 24 === 0 ? 'unspecified' : 'other'
}

function classOfIPv4(word: number): AddressClass {
  const first = word >>> 24
  // 0.0.0.0/8 is "this host" (RFC 1122 §3.2.1.3): Linux connects all of 0.0.0.0 to itself.
  if (first === 0) return 'unspecified'
  if (first === 127) return 'loopback'
  if (word >>> 16 === 0xa9fe) return 'linkLocal'
  // 224.0.0.0/4 and, like it never a single host, 255.255.255.255.
  if (first >>> 4 === 0xe || word === -1) return 'multicast'
  return 'other'
}

/**
 * The IPv4 addresses to which a gateway or translator on the way may deliver, in mapped form; none when there is none
 * or the address is IPv4 itself. See {@link addressClass}; in a local NAT64 prefix each place is taken for one.
 */
export function embeddedIPv4s(address: IpAddress): IpAddress[] {
  const [a, b, c, d] = [address[0]!, address[1]!, address[2]!, address[3]!]
  const compatible = a === 0 && b === 0 && c === 0
  const translated = a === 0 && b === 0 && c >>> 16 === 0xffff && (c & 0xffff) === 0
  const mapped = (word: number): IpAddress => Int32Array.of(0, 0, MAPPED_WORD, word)
  if (compatible || translated || (a === 0x0064ff9b && b === 0 && c === 0)) return [mapped(d)]
  if (a === 0x0064ff9b && b >>> 16 === 1) return inLocalNAT64(b, c, d).map(mapped)
  if (a >>> 16 === 0x2002) return [mapped((a << 16) | (b >>> 16))]
  if (isISATAP(c)) return [mapped(d)]
  return []
}

/** Interface identifiers 0000:5efe and 0200:5efe, below any prefix (RFC 5214 §6.1). */
function isISATAP(c: number): boolean {
  return c === 0x00005efe || c === 0x02005efe
}

/** {@link addressClass} of a literal; undefined when it is not one. */
export function classOf(text: string): AddressClass | undefined {
  const address = parseAddress(text, scratch)
  return address === undefined ? undefined : addressClass(address)
}

/**
 * Whether the dial guard always refuses the address (loopback is allowed in folder mode by the caller).
 */
export function isReserved(address: IpAddress): boolean {
  return addressClass(address) !== 'other'
}
