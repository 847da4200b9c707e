import ipaddr from 'ipaddr.js'

/**
 * The network of an address, `%{client.ip/64}`: so that all addresses of one IPv6 customer count as one.
 *
 * @param address canonical literal
 * @param bits prefix length; one that is not shorter than the address leaves it whole, so `client.ip/64` keeps an IPv4 address
 * @returns CIDR form, or the address itself where it is kept whole
 */
export function networkOf(address: string, bits: number): string {
  if (!ipaddr.isValid(address)) return address
  const parsed = ipaddr.parse(address)
  const bytes = parsed.toByteArray()
  if (bits >= bytes.length * 8) return address
  for (let i = 0; i < bytes.length; i++) {
    const kept = Math.min(Math.max(bits - i * 8, 0), 8)
    bytes[i] = bytes[i]! & (0xff << (8 - kept)) & 0xff
  }
  return `${ipaddr.fromByteArray(bytes).toString()}/${bits}`
}
