/**
 * Memory of authorities and revocation lists: OpenSSL keeps them parsed for each `tls.Server`, some megabytes with a
 * large list, and open connections keep those of servers that were given up. Whoever has most of it loses first what
 * was not used for longest, with its connections: its hostnames may have thousands of certificates and one large list.
 */
import type { SecureServer } from './secure-server.ts'

/** Of a worker. */
const MAX_BYTES = 256 * 1024 * 1024

interface Group {
  bytes: number
  /** The longest unused first. */
  readonly servers: Set<SecureServer>
}

export class TrustMemory {
  readonly #most: number
  readonly #groups = new Map<string, Group>()
  #bytes = 0

  constructor(most = MAX_BYTES) {
    this.#most = most
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @param group whose it is: a namespace */
  use(group: string, server: SecureServer): void {
    if (server.trustBytes === 0) return
    let known = this.#groups.get(group)
    if (known === undefined) this.#groups.set(group, (known = { bytes: 0, servers: new Set() }))
    if (known.servers.delete(server)) return void known.servers.add(server)
    known.servers.add(server)
    known.bytes += server.trustBytes
    this.#bytes += server.trustBytes
    server.unused = () => this.#forget(group, server)
    this.#makeRoom(server)
  }

  #makeRoom(newest: SecureServer): void {
    while (this.#bytes > this.#most) {
      let largest: Group | undefined
      for (const group of this.#groups.values()) if (group.bytes > (largest?.bytes ?? 0)) largest = group
      const oldest = largest?.servers.values().next().value
      if (oldest === undefined || oldest === newest) return
      oldest.giveUp()
      oldest.destroyConnections()
    }
  }

  #forget(name: string, server: SecureServer): void {
    const group = this.#groups.get(name)
    if (group?.servers.delete(server) !== true) return
    group.bytes -= server.trustBytes
    this.#bytes -= server.trustBytes
    if (group.servers.size === 0) this.#groups.delete(name)
  }
}
