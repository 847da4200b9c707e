/**
 * Connections of ioredis with all of its own patience taken away: nothing is queued while there is no connection,
 * nothing is sent twice, and nothing connects again by itself. Who owns the connection decides these.
 */
import { Cluster, Redis } from 'ioredis'
import type { Milliseconds } from '../../lib/clock.ts'
import { optimizeStringPrototype } from '../../lib/string-prototype.ts'
import { ReplyGuard } from './reply-guard.ts'

// ioredis has a class that extends String.
optimizeStringPrototype()

export interface RedisEndpoint {
  readonly host: string
  readonly port: number
}

/** How Redis is reached, with what it takes to be let in. */
export interface RedisConfig {
  readonly mode: 'Single' | 'Sentinel' | 'Cluster'
  /** Of Redis, of its Sentinels, or of some nodes of a cluster. */
  readonly endpoints: readonly RedisEndpoint[]
  /** With Sentinel: the name of the master's group. */
  readonly masterName?: string
  readonly username?: string
  readonly password?: string
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string
  readonly tls?: {
    /** PEM; absent: the authorities that Node brings. */
    readonly ca?: string
    /** Absent: the host that is connected to. */
    readonly serverName?: string
  }
}

/** Of TCP and TLS. */
const CONNECT_TIMEOUT: Milliseconds = 2_000
/** A node of a cluster that stands still for so long is cut off, so that what waits for it ends. */
const NODE_SILENCE: Milliseconds = 1_000
/** How often a cluster is asked who has which keys, besides what its nodes say by themselves. */
const SLOTS_INTERVAL: Milliseconds = 2_000

export type RedisConnection = Redis | Cluster

/**
 * @param turn which of several addresses is tried: those of one Redis are tried one after the other
 * @param received hears how many bytes of replies have come, of any node
 */
export function connect(config: RedisConfig, turn: number, received: (bytes: number) => void): RedisConnection {
  const connection = connectionOf(config, turn)
  if (connection instanceof Cluster) {
    connection.on('+node', (node) => guardReplies(node, received))
    refreshSlots(connection)
  } else guardReplies(connection, received)
  return connection
}

/**
 * Instead of `slotsRefreshInterval` of ioredis 6.0, whose timer begins anew for ever where a connection is ended while
 * an answer is waited for.
 */
function refreshSlots(cluster: Cluster): void {
  cluster.once('ready', () => {
    const timer = setInterval(() => {
      if (cluster.status === 'ready') cluster.refreshSlotsCache()
      else clearInterval(timer)
    }, SLOTS_INTERVAL)
    cluster.once('end', () => clearInterval(timer))
  })
}

/** Puts a guard in front of the decoder, which is the first to read a connection. */
function guardReplies(redis: Redis, received: (bytes: number) => void): void {
  redis.on('connect', () => {
    const { stream } = redis
    const [decode] = stream.listeners('data')
    if (decode === undefined) return
    const guard = new ReplyGuard()
    stream.off('data', decode as (chunk: Buffer) => void)
    stream.prependListener('data', (chunk: Buffer) => {
      received(chunk.length)
      const wrong = stream.destroyed ? undefined : guard.check(chunk)
      if (wrong === undefined) decode(chunk)
      else stream.destroy(new Error(`it sent ${wrong}`))
    })
  })
}

function connectionOf(config: RedisConfig, turn: number): RedisConnection {
  const { mode, endpoints, masterName } = config
  const common = commonOptions(config)
  switch (mode) {
    case 'Cluster':
      return new Cluster([...endpoints], {
        // Nodes are connected to when there is something for them, which waits within its deadline. While the cluster
        // as a whole is away nothing is sent.
        enableOfflineQueue: true,
        enableReadyCheck: true,
        // Where all nodes are gone it ends, as any other connection does.
        clusterRetryStrategy: null,
        maxRedirections: 3,
        retryDelayOnFailover: 0,
        retryDelayOnClusterDown: 0,
        retryDelayOnTryAgain: 0,
        retryDelayOnMoved: 0,
        slotsRefreshTimeout: CONNECT_TIMEOUT,
        shardedSubscribers: false,
        redisOptions: { ...common, socketTimeout: NODE_SILENCE },
      })
    case 'Sentinel':
      return new Redis({
        ...common,
        ...(masterName === undefined ? {} : { name: masterName }),
        sentinels: endpoints.map(({ host, port }) => ({ host, port })),
        ...(config.sentinelUsername === undefined ? {} : { sentinelUsername: config.sentinelUsername }),
        ...(config.sentinelPassword === undefined ? {} : { sentinelPassword: config.sentinelPassword }),
        enableTLSForSentinelMode: config.tls !== undefined,
        ...(common.tls === undefined ? {} : { sentinelTLS: common.tls }),
        sentinelRetryStrategy: () => null,
        sentinelCommandTimeout: CONNECT_TIMEOUT,
        sentinelMaxConnections: 4,
        retryStrategy: () => null,
        enableOfflineQueue: false,
      })
    case 'Single': {
      const { host, port } = endpoints[turn % endpoints.length]!
      return new Redis({ ...common, host, port, retryStrategy: () => null, enableOfflineQueue: false })
    }
  }
}

function commonOptions({ username, password, tls }: RedisConfig) {
  return {
    // No HELLO and no CLIENT SETINFO: one step less, and nothing that an ACL would have to allow.
    protocol: 2,
    disableClientInfo: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    connectTimeout: CONNECT_TIMEOUT,
    keepAlive: 10_000,
    noDelay: true,
    ...(username === undefined || username === '' ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls === undefined ? {} : { tls: tlsOptions(tls) }),
  } as const
}

function tlsOptions({ ca, serverName }: NonNullable<RedisConfig['tls']>) {
  return {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  } as const
}
