/** SRV records (RFC 2782): the targets of `_service._proto.name`, each with its port and weight. */
import { promises } from 'node:dns'
import type { Milliseconds, TimerClock } from '../../lib/clock.ts'
import { srvTimeToLive } from './srv-ttl.ts'

/** A resolved target: one address of it. */
export interface SrvAddress {
  readonly address: string
  readonly port: number
  /** At least 1. */
  readonly weight: number
  /** Its name, which its certificate has. */
  readonly hostname: string
}

export interface SrvAnswer {
  readonly addresses: readonly string[]
  readonly ttl: Milliseconds | undefined
}

/** For one query, twice. */
const WITHIN: Milliseconds = 1_000
/** Targets of one name that are looked up: those with the least priority value, by weight. */
const MAX_TARGETS = 64

export function isSrvName(name: string): boolean {
  return name.startsWith('_')
}

/**
 * The addresses of the targets that are to be tried first; those of other priorities are for when these are not there,
 * which is not known here. A target that cannot be resolved is passed over while another one can.
 *
 * @param servers `address:port` of name servers; those of the system where absent
 * @returns {@link formatSrv} of each, and the shortest TTL of all records that lead there, where it is known
 */
export async function lookupSrv(
  name: string,
  time: Pick<TimerClock, 'after'>,
  servers?: readonly string[],
): Promise<SrvAnswer> {
  const resolver = new promises.Resolver({ timeout: WITHIN, tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
  const asked = srvTimeToLive(name, time, servers)
  const records = await resolver.resolveSrv(name)
  const first = Math.min(...records.map(({ priority }) => priority))
  const targets = records
    // A single "." says that there is no such service.
    .filter((record) => record.priority === first && record.name !== '' && record.name !== '.')
    .sort((a, b) => b.weight - a.weight || (a.name < b.name ? -1 : 1))
    .slice(0, MAX_TARGETS)
  const found = await Promise.allSettled(
    targets.map(async ({ name: target, port, weight }) => {
      const hostname = target.toLowerCase()
      const options = { ttl: true } as const
      const addresses = await resolver.resolve4(target, options).catch(() => resolver.resolve6(target, options))
      return addresses.map(({ address, ttl }) => ({
        text: formatSrv({ address, port, weight: Math.max(1, weight), hostname }),
        ttl: ttl * 1_000,
      }))
    }),
  )
  const all = found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  const failed = found.find((one) => one.status === 'rejected')
  if (all.length === 0 && failed !== undefined) throw failed.reason
  const ttl = await asked
  const least = Math.min(...all.map((one) => one.ttl))
  return { addresses: all.map(({ text }) => text), ttl: ttl === undefined ? undefined : Math.min(ttl, least) }
}

function formatSrv({ address, port, weight, hostname }: SrvAddress): string {
  return `${address} ${port} ${weight} ${hostname}`
}

export function parseSrv(text: string): SrvAddress {
  const [address = '', port, weight, hostname = ''] = text.split(' ')
  return { address, port: Number(port), weight: Number(weight), hostname }
}
