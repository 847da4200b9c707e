/**
 * The time to live of a name's addresses, asked of the name servers of the system (c-ares): getaddrinfo, which knows
 * the hosts file and search domains, does not tell it.
 */
import { promises } from 'node:dns'
import type { Milliseconds } from '../../lib/clock.ts'

/** For one query, twice. It occupies no thread, and addresses do not wait for it. */
const WITHIN: Milliseconds = 1_000

/**
 * @param servers `address:port` of name servers; those of the system where absent
 * @returns the shortest of all its records; undefined where no server has the name as it stands, for example one of the
 *   hosts file
 */
export async function timeToLive(name: string, servers?: readonly string[]): Promise<Milliseconds | undefined> {
  // Of its own: the servers of the system may have changed since the last one.
  const resolver = new promises.Resolver({ timeout: WITHIN, tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
  const answers = await Promise.allSettled([
    resolver.resolve4(name, { ttl: true }),
    resolver.resolve6(name, { ttl: true }),
  ])
  const records = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  return records.length === 0 ? undefined : Math.min(...records.map(({ ttl }) => ttl)) * 1_000
}
