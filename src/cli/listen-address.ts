import { isIPv4, isIPv6 } from 'node:net'

/** An address to listen on; without `address`, every address of the machine. */
export interface ListenAddress {
  readonly address?: string
  readonly port: number
}

/**
 * Parses `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` or `8080`.
 *
 * @returns the remedy for any other text
 */
export function parseAddress(text: string): ListenAddress | string {
  const match = /^(?:(?<bracketed>\[[^\]]*\])|(?<plain>[^:[\]]*)):(?<port>\d{1,5})$|^(?<only>\d{1,5})$/.exec(text)
  const example = 'write it as 127.0.0.1:8080, [::1]:8080 or :8080 for every address'
  if (match === null)
    return isIPv6(text.replace(/:\d+$/, '')) ? `write an IPv6 address in brackets; ${example}` : example
  const { bracketed, plain, port, only } = match.groups!
  const number = Number(port ?? only)
  if (number > 65_535) return `a port is 0 to 65535 (0 selects a free one); ${example}`
  if (bracketed !== undefined) {
    const address = bracketed.slice(1, -1)
    return isIPv6(address) ? { address, port: number } : `${bracketed} is not an IPv6 address; ${example}`
  }
  if (plain === undefined || plain === '' || plain === '*') return { port: number }
  // Other names may have several addresses, and their choice would depend on the machine.
  if (plain === 'localhost') return { address: '127.0.0.1', port: number }
  return isIPv4(plain) ? { address: plain, port: number } : `"${plain}" is not an IP address; ${example}`
}

/** Formats `127.0.0.1:8080`, `[::1]:8080` or `:8080`, as in the settings. */
export function formatAddress({ address, port }: ListenAddress): string {
  if (address === undefined) return `:${port}`
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
}
