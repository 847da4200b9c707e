/** The TTL of SRV records, asked of the name servers of the system beside c-ares, which does not tell it. */
import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { getServers } from 'node:dns'
import { isIPv6 } from 'node:net'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { answerTtl, encodeQuery, SRV } from './dns-message.ts'

/** For one server. */
const WITHIN: Milliseconds = 1_000
/** Servers that are asked, one after the other. */
const MAX_SERVERS = 2
const DNS_PORT = 53

/**
 * @param servers `address:port` of name servers; those of the system where absent
 * @returns undefined where no server tells it
 */
export async function srvTimeToLive(
  name: string,
  time: Pick<TimerClock, 'after'>,
  servers: readonly string[] = getServers(),
  within: Milliseconds = WITHIN,
): Promise<Milliseconds | undefined> {
  for (const server of servers.slice(0, MAX_SERVERS)) {
    const seconds = await ask(name, server, (run) => time.after(within, run)).catch(() => undefined)
    if (seconds !== undefined) return seconds * 1_000
  }
  return undefined
}

async function ask(name: string, server: string, after: (run: () => void) => () => void): Promise<number | undefined> {
  const { address, port } = addressOf(server)
  const query = encodeQuery(randomInt(0x1_0000), name, SRV)
  // A port of its own for each query, and only what comes from the server is read.
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4')
  let cancel = (): void => {}
  try {
    return await new Promise<number | undefined>((resolve, reject) => {
      cancel = after(() => resolve(undefined))
      socket.on('error', reject)
      socket.on('message', (message) => {
        const ttl = answerTtl(message, query)
        if (ttl !== undefined) resolve(ttl)
      })
      socket.connect(port, address, () => socket.send(query))
    })
  } finally {
    cancel()
    socket.close()
  }
}

/** As `getServers` has them: an address, or with a port, where IPv6 addresses are in brackets. */
function addressOf(server: string): { readonly address: string; readonly port: number } {
  const bracketed = /^\[(.+)\]:(\d+)$/.exec(server) ?? /^([\d.]+):(\d+)$/.exec(server)
  if (bracketed === null) return { address: server, port: DNS_PORT }
  return { address: bracketed[1]!, port: Number(bracketed[2]) }
}
