/** SRV records (RFC 2782): the targets of `_service._proto.name`, each with its port and weight. */
import { promises } from 'node:dns'
import type { Milliseconds } from '../../lib/clock.ts'

/** A resolved target: one address of it. */
export interface SrvAddress {
  readonly address: string
  readonly port: number
  /** At least 1. */
  readonly weight: number
  /** Its name, which its certificate has. */
  readonly hostname: string
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
 * @returns {@link formatSrv} of each
 */
export async function lookupSrv(name: string, servers?: readonly string[]): Promise<readonly string[]> {
  const resolver = new promises.Resolver({ timeout: WITHIN, tries: 2 })
  if (servers !== undefined) resolver.setServers(servers)
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
      const addresses = await resolver.resolve4(target).catch(() => resolver.resolve6(target))
      return addresses.map((address) => formatSrv({ address, port, weight: Math.max(1, weight), hostname }))
    }),
  )
  const all = found.flatMap((one) => (one.status === 'fulfilled' ? one.value : []))
  const failed = found.find((one) => one.status === 'rejected')
  if (all.length === 0 && failed !== undefined) throw failed.reason
  return all
}

function formatSrv({ address, port, weight, hostname }: SrvAddress): string {
  return `${address} ${port} ${weight} ${hostname}`
}

export function parseSrv(text: string): SrvAddress {
  const [address = '', port, weight, hostname = ''] = text.split(' ')
  return { address, port: Number(port), weight: Number(weight), hostname }
}
