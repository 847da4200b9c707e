import { isIPv4, isIPv6 } from 'node:net'

/** Where something listens; no address means every address of the machine. */
export interface ListenAddress {
  readonly address?: string
  readonly port: number
}

/**
 * `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, `:8080` or `8080`.
 *
 * @returns what to write instead, when it is none of these
 */
export function parseAddress(text: string): ListenAddress | string {
  const match = /^(?:(?<bracketed>\[[^\]]*\])|(?<plain>[^:[\]]*)):(?<port>\d{1,5})$|^(?<only>\d{1,5})$/.exec(text)
  const example = 'write it as 127.0.0.1:8080, [::1]:8080 or :8080 for every address'
  if (match === null)
    return isIPv6(text.replace(/:\d+$/, '')) ? `an IPv6 address stands in brackets; ${example}` : example
  const { bracketed, plain, port, only } = match.groups!
  const number = Number(port ?? only)
  if (number > 65_535) return `a port is 0 to 65535 (0 takes a free one); ${example}`
  if (bracketed !== undefined) {
    const address = bracketed.slice(1, -1)
    return isIPv6(address) ? { address, port: number } : `${bracketed} holds no IPv6 address; ${example}`
  }
  if (plain === undefined || plain === '' || plain === '*') return { port: number }
  // Names may have several addresses, and which is taken would depend on the machine; this one everybody means.
  if (plain === 'localhost') return { address: '127.0.0.1', port: number }
  return isIPv4(plain) ? { address: plain, port: number } : `"${plain}" is not an IP address; ${example}`
}

/** `127.0.0.1:8080`, `[::1]:8080` or `:8080`: as the settings have it. */
export function formatAddress({ address, port }: ListenAddress): string {
  if (address === undefined) return `:${port}`
  return isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`
}
