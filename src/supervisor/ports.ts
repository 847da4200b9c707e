/**
 * Whether an address is free, found out before anything starts: with SO_REUSEPORT a second process on the same port is
 * not refused, it silently gets a part of the connections.
 */
import { type AddressInfo, createServer, isIPv6 } from 'node:net'

export interface Address {
  /** IP literal; undefined = every address of the machine. */
  readonly host: string | undefined
  readonly port: number
}

/** Reads `127.0.0.1:9901`, `[::1]:9901` or `:9901`. @returns undefined when it is none of these */
export function parseAddress(text: string): Address | undefined {
  const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  if (parts === null || Number(parts[3]) > 65_535) return undefined
  return { host: parts[1] ?? (parts[2] || undefined), port: Number(parts[3]) }
}

export function formatAddress(address: Address): string {
  const host = address.host ?? '*'
  return isIPv6(host) ? `[${host}]:${address.port}` : `${host}:${address.port}`
}

/** What is to be opened on an address, for the message when it cannot be. */
export interface Claim {
  readonly address: Address
  /** `listener http`, `admin`, `signals`. */
  readonly what: string
}

/**
 * Opens and closes each address once, without SO_REUSEPORT.
 *
 * @returns the ports in the same order, with the one the system chose where 0 was asked for
 * @throws {ClaimError} one line for a person: what could not be opened, and what to do
 */
export async function claimPorts(claims: readonly Claim[]): Promise<number[]> {
  const ports: number[] = []
  const servers = []
  try {
    for (const { address, what } of claims) {
      const server = createServer()
      servers.push(server)
      await new Promise<void>((resolve, reject) => {
        server.once('error', (error: NodeJS.ErrnoException) => reject(explain(error, what, address)))
        server.listen({ port: address.port, ...(address.host && { host: address.host }), exclusive: true }, resolve)
      })
      ports.push((server.address() as AddressInfo).port)
    }
  } finally {
    // All are closed only at the end: two claims of port 0 must not get the same one, and two of the same port must
    // collide.
    await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))))
  }
  return ports
}

/** An address that cannot be opened: what happened, and what to do. */
export class ClaimError extends Error {
  readonly #happened: string
  readonly #remedy: string

  constructor(happened: string, remedy: string) {
    super(joined(happened, remedy))
    this.#happened = happened
    this.#remedy = remedy
  }

  /** The message with what follows from it. */
  with(consequence: string): string {
    return joined(`${this.#happened}; ${consequence}`, this.#remedy)
  }
}

function joined(happened: string, remedy: string): string {
  return remedy === '' ? `${happened}.` : `${happened}. ${remedy}`
}

function explain(error: NodeJS.ErrnoException, what: string, address: Address): ClaimError {
  const where = formatAddress(address)
  switch (error.code) {
    case 'EADDRINUSE':
      return new ClaimError(
        `${what}: ${where} is already in use`,
        `Stop what uses it (\`ss -ltnp 'sport = :${address.port}'\` shows it) or choose another port.`,
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
