import type { SettingsObject } from '../api/settings.ts'
import { parseSocketAddress, type SocketAddress } from '../pattern/host.ts'
import type { ResolvedPorts } from '../thread/thread-data.ts'
import { claimPorts, type PortClaim } from './ports.ts'

/**
 * Checks that every address in the settings can be bound, and resolves port 0 to a free port.
 *
 * @throws {Error} with a message of one line for the user
 */
export async function claimConfiguredPorts(settings: SettingsObject): Promise<ResolvedPorts> {
  const claims: PortClaim[] = settings.listeners.map(({ name, address, port }) => ({
    what: `listener ${name}`,
    address: { host: address, port },
  }))
  claims.push({ what: 'admin', address: addressOf(settings.admin.address, 'admin') })
  claims.push({ what: 'signals', address: signalsAddress(settings) })
  // The control thread listens there; one before it may hold the port still.
  if (settings.peers.keyFile !== undefined) addressOf(settings.peers.address, 'peers')
  const ports = await claimPorts(claims)
  const every = await everyAddress()
  const sockets = settings.listeners.map(({ name, address = every }, i) => ({ name, address, port: ports[i]! }))
  return { sockets, failures: [], admin: ports.at(-2)!, signals: ports.at(-1)!, everyAddress: every }
}

async function everyAddress(): Promise<'::' | '0.0.0.0'> {
  try {
    await claimPorts([{ what: 'IPv6', address: { host: '::', port: 0 } }])
    return '::'
  } catch {
    return '0.0.0.0'
  }
}

export function signalsAddress(settings: SettingsObject): SocketAddress {
  return addressOf(settings.signals.address, 'signals')
}

function addressOf(text: string, what: string): SocketAddress {
  const address = parseSocketAddress(text)
  if (address === undefined)
    throw new Error(`${what}: "${text}" is not an address. Write HOST:PORT with an IP address, or :PORT for all.`)
  return address
}
