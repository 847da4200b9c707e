import type { SettingsObject } from '../api/settings.ts'
import { parseBytes } from '../lib/quantity.ts'
import type { Surroundings } from './dial-guard.ts'
import type { ListenerSettings, WorkerSettings } from './messages.ts'

/** Milliseconds. A browser opens connections ahead and uses them within a minute; a load balancer in front keeps them as long. */
const KEEP_ALIVE = 75_000
/** Milliseconds. RFC 9112 says nothing; a slow mobile network needs a few seconds, a slow-loris attack wants more. */
const REQUEST_HEAD = 10_000

/**
 * The part of the settings that acts in a worker.
 *
 * @param connections client connections of one worker by the process limit; used where the settings say 0
 * @param sockets what listeners are bound to
 */
export function workerSettings(
  settings: SettingsObject,
  connections: number,
  sockets: readonly ListenerSettings[],
  surroundings: Surroundings,
): WorkerSettings {
  const { limits, clientAddress, accessLog, upstreams } = settings
  return {
    listeners: sockets,
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
    dial: { ...surroundings, denyCIDRs: upstreams.denyCIDRs, ownPorts: ownPorts(settings, sockets) },
  }
}

/** Ports on which this process listens, and those on which it will as soon as it can. */
export function ownPorts(settings: SettingsObject, sockets: readonly ListenerSettings[]): number[] {
  const ports = new Set([...settings.listeners, ...sockets].map((listener) => listener.port))
  for (const text of [settings.admin.address, settings.signals.address]) {
    const port = /:(\d{1,5})$/.exec(text)?.[1]
    if (port !== undefined) ports.add(Number(port))
  }
  return [...ports]
}
