import type { SettingsObject } from '../api/settings.ts'
import { parseBytes } from '../lib/quantity.ts'
import type { ListenerSettings, WorkerSettings } from './messages.ts'

/** Milliseconds. A browser opens connections ahead and uses them within a minute; a load balancer in front keeps them as long. */
const KEEP_ALIVE = 75_000
/** Milliseconds. RFC 9112 says nothing; a slow mobile network needs a few seconds, a slow-loris attack wants more. */
const REQUEST_HEAD = 10_000

/**
 * Where nothing may ever be connected to, whatever a manifest says: no service lives at these addresses, but a cloud's credentials do
 * (169.254.169.254). Loopback is missing: without a cluster it is where backends are.
 */
export const NEVER_DIALLED: readonly string[] = Object.freeze([
  '0.0.0.0/8',
  '169.254.0.0/16',
  '224.0.0.0/4',
  '255.255.255.255/32',
  '::/128',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
])

/**
 * The part of the settings that acts in a worker.
 *
 * @param connections client connections of one worker by the process limit; used where the settings say 0
 * @param everyAddress what a listener that names no address is bound to
 */
export function workerSettings(settings: SettingsObject, connections: number, everyAddress: string): WorkerSettings {
  const { limits, clientAddress, accessLog, upstreams } = settings
  return {
    listeners: settings.listeners.map(
      (listener): ListenerSettings => ({
        name: listener.name,
        address: listener.address ?? everyAddress,
        port: listener.port,
      }),
    ),
    limits: {
      head: parseBytes(limits.head),
      headers: limits.headers,
      uri: parseBytes(limits.uri),
      connections: limits.connections === 0 ? connections : limits.connections,
    },
    timeouts: { requestHead: REQUEST_HEAD, keepAlive: KEEP_ALIVE },
    clientAddress:
      clientAddress === undefined
        ? null
        : {
            header: clientAddress.header.toLowerCase(),
            trustedCIDRs: clientAddress.trustedCIDRs,
            trustedHops: clientAddress.trustedHops,
          },
    accessLog: { enabled: true, sample: accessLog.sample, fields: accessLog.fields },
    denyCIDRs: [...NEVER_DIALLED, ...upstreams.denyCIDRs],
  }
}
