import type { SettingsObject } from '../api/settings.ts'
import { ALONE, type Topology } from '../balance/topology.ts'
import { parseBytes, parseDuration } from '../lib/quantity.ts'
import { contentId } from '../policy/contents.ts'
import { TICKET_KEY_SECRET } from '../policy/secret-types.ts'
import { certificateRef } from '../snapshot/host-tls.ts'
import type { ReservedDestinations } from '../transport/dial-guard.ts'
import type { ListenerSettings, WorkerListener, WorkerSettings } from './messages.ts'
import { redisLocation } from './redis-location.ts'

/**
 * Milliseconds. A browser opens connections ahead and uses them within a minute; a load balancer in front keeps them as
 * long.
 */
const KEEP_ALIVE = 75_000
/** Milliseconds. RFC 9112 has no value; a slow mobile network needs a few seconds, a slow-loris attack wants more. */
const REQUEST_HEAD = 10_000
/** Milliseconds. Two round trips of a slow mobile network, and what the client takes to verify and to sign. */
const HANDSHAKE = 10_000

/** What a process has for its workers, besides the settings. */
export interface ProcessShare {
  /** Sockets of probes, of the whole process. */
  readonly probes?: number
  /** Client connections of one worker, by the process limit: the settings can only lower it. */
  readonly clients: number
  /** Connections of one worker to upstreams. */
  readonly upstreams: number
  /** Of one worker, to clients and upstreams together; absent: as many as both may have. */
  readonly connections?: number
  /** See {@link LoopSettings.seed}. */
  readonly seed: string
  /** See `WorkerSettings.sessionSeed`; absent: the same. */
  readonly sessionSeed?: string
}

/** Listeners for which open files are reserved beside those of connections; each beyond takes the place of one. */
const LISTENERS_RESERVED = 16

/**
 * The part of the settings that acts in a worker.
 *
 * @param sockets what listeners are bound to
 */
export function workerSettings(
  settings: SettingsObject,
  { clients, upstreams: toUpstreams, connections, seed, sessionSeed = seed }: ProcessShare,
  sockets: readonly ListenerSettings[],
  reserved: ReservedDestinations,
  topology: Topology = ALONE,
): WorkerSettings {
  const { limits, clientAddress, accessLog, upstreams } = settings
  const room = clients - Math.max(sockets.length - LISTENERS_RESERVED, 0)
  return {
    listeners: workerListeners(settings, sockets, reserved),
    tls: workerTls(settings),
    grantStore: defaultGrantStore(settings, reserved),
    sessionSeed,
    limits: {
      head: parseBytes(limits.head),
      headers: limits.headers,
      uri: parseBytes(limits.uri),
      connections: limits.connections === 0 ? room : Math.min(limits.connections, room),
    },
    upstreams: {
      connections: toUpstreams,
      ...(connections === undefined ? {} : { allConnections: connections }),
      namespaceConnections: upstreams.limits?.namespaceConnections ?? Number.POSITIVE_INFINITY,
      maxConnections: upstreams.limits?.maxConnections ?? Number.POSITIVE_INFINITY,
      maxPending: upstreams.limits?.maxPending ?? Number.POSITIVE_INFINITY,
      maxConcurrentRequests: upstreams.limits?.maxConcurrentRequests ?? Number.POSITIVE_INFINITY,
    },
    redis: redisLocation(settings),
    cache: {
      collapseTimeout: parseDuration(settings.cache.collapseTimeout),
      debugCIDRs: settings.cache.debugCIDRs,
    },
    topology,
    timeouts: { handshake: HANDSHAKE, requestHead: REQUEST_HEAD, keepAlive: KEEP_ALIVE },
    clientAddress:
      clientAddress === undefined
        ? null
        : {
            header: clientAddress.header.toLowerCase(),
            trustedCIDRs: clientAddress.trustedCIDRs,
            trustedHops: clientAddress.trustedHops,
          },
    accessLog: { enabled: true, sample: accessLog.sample, fields: accessLog.fields },
    loop: { seed, passes: limits.passes },
    dial: { ...reserved, denyCIDRs: upstreams.denyCIDRs, ownPorts: ownPorts(settings, sockets) },
  }
}

/** In a cluster there are several replicas, which know nothing of each other's files. */
function defaultGrantStore(
  { redis }: SettingsObject,
  { loopback }: ReservedDestinations,
): WorkerSettings['grantStore'] {
  if (loopback) return 'Embedded'
  return redis === undefined ? null : 'Redis'
}

/** A socket speaks what the settings say of its listener by name, wherever it is bound. */
function workerListeners(
  { listeners }: SettingsObject,
  sockets: readonly ListenerSettings[],
  { loopback }: ReservedDestinations,
): readonly WorkerListener[] {
  const stated = new Map(listeners.map((listener) => [listener.name, listener]))
  const secure = sockets.filter(({ name }) => stated.get(name)?.tls !== undefined)
  // In a cluster Services, balancers and host ports have numbers of their own.
  const securePort = loopback ? preferred(secure)?.port : undefined
  return sockets.map((socket) => {
    const { tls, proxyProtocol = null } = stated.get(socket.name) ?? {}
    const secureTwin = tls === undefined && securePort !== undefined ? { port: socket.port, securePort } : null
    return { ...socket, tls: tls !== undefined, secureTwin, proxyProtocol }
  })
}

/** The one that is called `https`, or the first by name: the order in the settings decides nothing. */
function preferred(sockets: readonly ListenerSettings[]): ListenerSettings | undefined {
  return sockets.find(({ name }) => name === 'https') ?? sockets.toSorted((a, b) => (a.name < b.name ? -1 : 1))[0]
}

function workerTls({ tls }: SettingsObject): WorkerSettings['tls'] {
  const { defaultCertificate: certificate, sessionTicketKey: ticketKey } = tls ?? {}
  return {
    defaultCertificate:
      certificate === undefined ? null : certificateRef(certificate.namespace, certificate.secretName),
    ticketKey:
      ticketKey === undefined
        ? null
        : contentId({
            kind: 'Secret',
            namespace: ticketKey.namespace,
            name: ticketKey.secretName,
            ...TICKET_KEY_SECRET,
          }),
  }
}

/** Ports on which this process listens, and those on which it will as soon as it can. */
export function ownPorts(settings: SettingsObject, sockets: readonly ListenerSettings[]): number[] {
  const ports = new Set([...settings.listeners, ...sockets].map((listener) => listener.port))
  const { admin, signals, peers } = settings
  for (const text of [admin.address, signals.address, ...(peers.keyFile === undefined ? [] : [peers.address])]) {
    const port = /:(\d{1,5})$/.exec(text)?.[1]
    if (port !== undefined) ports.add(Number(port))
  }
  return [...ports]
}
