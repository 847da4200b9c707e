/** Restricts the addresses on which the admin API may listen, and the Host values it accepts. */
import { BlockList, isIP } from 'node:net'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

export interface AdminAddress {
  /** IP literal. */
  readonly host: string
  readonly port: number
}

/** @returns undefined when it is not `address:port` with an IP literal, IPv6 in brackets */
function parseAdminAddress(text: string): AdminAddress | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text)
  const host = parts?.[1] ?? parts?.[2]
  if (parts === null || host === undefined || isIP(host) === 0 || Number(parts[3]) > 65_535) return undefined
  return { host, port: Number(parts[3]) }
}

/**
 * @throws {TypeError} with a message for the user: the error and the remedy
 */
export function adminAddress(text: string): AdminAddress {
  const address = parseAdminAddress(text)
  if (address === undefined)
    throw new TypeError(`admin.address: "${text}" is not an IP address and port, such as 127.0.0.1:9901 or [::1]:9901`)
  if (!isLoopback(address.host))
    throw new TypeError(
      `admin.address: ${text} can be reached from other machines, which needs TLS; ` +
        'that is not implemented yet. Use 127.0.0.1:9901; probes and metrics have the signals address',
    )
  return address
}

export function isLoopback(host: string): boolean {
  const family = isIP(host)
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

/**
 * Whether the Host of a request is localhost or a loopback address. This rejects DNS rebinding: a page whose DNS name
 * resolves to 127.0.0.1 sends that name.
 */
export function isOwnAuthority(authority: string | undefined): boolean {
  const host = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+))(?::\d{1,5})?$/.exec(authority ?? '')
  const name = host?.[1] ?? host?.[2]
  return name !== undefined && (name.toLowerCase() === 'localhost' || isLoopback(name))
}
