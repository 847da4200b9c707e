/**
 * Checks that an address is free before anything starts. With SO_REUSEPORT, bind succeeds for a second process on the
 * same port, and that process receives part of the connections.
 */
import { type AddressInfo, createServer, isIPv6 } from 'node:net'
import type { SocketAddress } from '../pattern/host.ts'

export function formatAddress(address: SocketAddress): string {
  const host = address.host ?? '*'
  return isIPv6(host) ? `[${host}]:${address.port}` : `${host}:${address.port}`
}

/** An address to bind, and its purpose for error messages. */
export interface PortClaim {
  readonly address: SocketAddress
  /** `listener http`, `admin`, `signals`. */
  readonly what: string
}

/**
 * Binds and closes each address once, without SO_REUSEPORT.
 *
 * @returns the ports in the same order; port 0 becomes the port that the system chose
 * @throws {ClaimError} with a message of one line: what could not be bound, and what to do
 */
export async function claimPorts(claims: readonly PortClaim[]): Promise<number[]> {
  const ports: number[] = []
  const servers = []
  try {
    for (const { address, what } of claims) {
      const server = createServer()
      servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(claimError(error, what, address)))
        server.listen({ port: address.port, ...(address.host && { host: address.host }), exclusive: true }, resolve)
      })
      ports.push((server.address() as AddressInfo).port)
    }
  } finally {
    // All stay open until the last is bound: two claims of port 0 must get different ports, and two claims of the same
    // port must conflict.
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  }
  return ports
}

/** An address that cannot be bound: the cause and the remedy. */
export class ClaimError extends Error {
  readonly #cause: string
  readonly #remedy: string

  constructor(cause: string, remedy: string) {
    super(formatMessage(cause, remedy))
    this.#cause = cause
    this.#remedy = remedy
  }

  /** The message with its consequence between cause and remedy. */
  with(consequence: string): string {
    return formatMessage(`${this.#cause}; ${consequence}`, this.#remedy)
  }
}

function formatMessage(cause: string, remedy: string): string {
  return remedy === '' ? `${cause}.` : `${cause}. ${remedy}`
}

function claimError(error: NodeJS.ErrnoException, what: string, address: SocketAddress): ClaimError {
  const where = formatAddress(address)
  switch (error.code) {
    case 'EADDRINUSE':
      return new ClaimError(
        `${what}: ${where} is already in use`,
        `Stop the process that uses it (\`ss -ltnp 'sport = :${address.port}'\` shows it) or choose another port.`,
      )
    case 'EACCES':
      return new ClaimError(
        `${what}: no permission to open ${where}`,
        `Ports below ${1024} need CAP_NET_BIND_SERVICE; choose a port from 1024 up.`,
      )
    case 'EADDRNOTAVAIL':
      return new ClaimError(`${what}: ${where} is not an address of this machine`, '')
    default:
      return new ClaimError(`${what}: ${where} cannot be opened: ${error.message}`, '')
  }
}
