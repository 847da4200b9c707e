import { formatAddress, parseAddress } from '../pattern/cidr.ts'

/** IPv4 addresses are kept in their mapped form, 96 bits in front of their own. */
const MAPPED_BITS = 96

/**
 * The network of an address, `%{client.ip/64}`: so that all addresses of one IPv6 customer count as one.
 *
 * @param address canonical literal
 * @param bits prefix length; one that is not shorter than the address leaves it whole, so `client.ip/64` keeps an IPv4
 *   address
 * @returns CIDR form, or the address itself where it is kept whole
 */
export function networkOf(address: string, bits: number): string {
  const words = parseAddress(address)
  if (words === undefined) return address
  const kept = address.includes(':') ? bits : MAPPED_BITS + bits
  if (kept >= 128) return address
  for (let i = 0; i < 4; i++) {
    const inWord = Math.min(Math.max(kept - i * 32, 0), 32)
    // A shift by 32 is a shift by 0, so a word without kept bits is its own case.
    words[i] = inWord === 0 ? 0 : words[i]! & (-1 << (32 - inWord))
  }
  return `${formatAddress(words)}/${bits}`
}
