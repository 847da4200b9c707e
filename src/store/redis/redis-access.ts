/**
 * The Redis of the settings, as it is now: another address, or a password that was rotated, makes another connection,
 * which takes the place of the one before as soon as it answers.
 */
import type { Contents } from '../../policy/contents.ts'
import type { RedisLocation } from '../../snapshot/redis-location.ts'
import type { RedisConfig } from './connection.ts'
import { RedisClient, type RedisClientBounds, type RedisClientEdges } from './redis-client.ts'
import { RedisFault } from './redis-fault.ts'
import type { RedisArgument, RedisScript } from './redis-script.ts'

export interface RedisAccessEdges {
  readonly contents: Contents
  readonly time: RedisClientEdges['time']
  readonly random: RedisClientEdges['random']
  /** For the log: what has changed, without anything secret. */
  report(level: 'info' | 'warn', message: string): void
}

const NOT_NAMED = new RedisFault('absent', 'the settings name no Redis (redis.addresses)')

/** Settings and contents are looked at again behind a change of either, and this often while a Secret is missing. */
export class RedisAccess {
  readonly #edges: RedisAccessEdges
  readonly #bounds: RedisClientBounds
  #settings: RedisLocation | null = null
  #client: RedisClient | null = null
  /** Of `#client`, and of `#next`. */
  #config = ''
  /** Connects, and does not answer yet. */
  #next: RedisClient | null = null
  #missing: string | null = null
  /** Says what is missing. */
  #waits = NOT_NAMED

  constructor(bounds: RedisClientBounds, edges: RedisAccessEdges) {
    this.#bounds = bounds
    this.#edges = edges
  }

  get configured(): boolean {
    return this.#settings !== null
  }

  /** Whether calls reach it now. */
  get answers(): boolean {
    return this.#client?.answers ?? false
  }

  /** Calls for which there is room now. */
  get free(): number {
    return this.#client?.free ?? 0
  }

  /** With its colon; what is kept of one installation has one. */
  get keyPrefix(): string {
    return this.#settings === null ? '' : `${this.#settings.keyPrefix}:`
  }

  /** How it is reached, while it answers; for a connection of another kind. */
  get config(): RedisConfig | undefined {
    return this.answers && this.#next === null ? (JSON.parse(this.#config) as RedisConfig) : undefined
  }

  use(settings: RedisLocation | null): void {
    this.#settings = settings
    this.contentsChanged()
  }

  /** To be called behind every change of contents: a password may be another one. */
  contentsChanged(): void {
    const settings = this.#settings
    if (settings === null) return this.stop()
    const config = this.#resolve(settings)
    if (config === undefined) return
    const text = JSON.stringify(config)
    if (text === this.#config) return
    this.#config = text
    this.#next?.close()
    this.#next = null
    if (this.#client === null) this.#client = this.#connect(config, settings)
    else this.#next = this.#connect(config, settings)
  }

  /**
   * @param keys without the prefix
   * @throws {RedisFault} rejects with it, at the deadline at the latest
   */
  run(script: RedisScript, keys: readonly string[], args: readonly RedisArgument[]): Promise<unknown> {
    const client = this.#client
    if (client === null) return Promise.reject(this.#missing === null ? NOT_NAMED : this.#waits)
    const prefix = this.keyPrefix
    return client.run(
      script,
      keys.map((key) => prefix + key),
      args,
    )
  }

  stop(): void {
    this.#client?.close()
    this.#next?.close()
    this.#client = null
    this.#next = null
    this.#config = ''
    this.#missing = null
  }

  #connect(config: RedisConfig, { addresses }: RedisLocation): RedisClient {
    const where = addresses.join(', ')
    const { time, random, report } = this.#edges
    const client = new RedisClient(config, this.#bounds, {
      time,
      random,
      changed: (state, message) => {
        if (state === 'answers' && client === this.#next) this.#replace(client)
        report(state === 'answers' ? 'info' : 'warn', `redis ${where}: ${message}`)
      },
    })
    return client
  }

  /** The calls that the old one still has end as they would have. */
  #replace(client: RedisClient): void {
    const old = this.#client
    this.#client = client
    this.#next = null
    if (old !== null) this.#edges.time.after(this.#bounds.deadline, () => old.close())
  }

  /** Undefined while something is missing that it names: without its password it would not let us in. */
  #resolve({ mode, addresses, masterName, secret, tls }: RedisLocation): RedisConfig | undefined {
    const { contents, report } = this.#edges
    const text = (id: string): string | undefined => {
      const bytes = contents.get(id)
      return bytes === undefined ? undefined : Buffer.from(bytes).toString('utf8')
    }
    const missing = [secret?.password, tls?.ca].find((id) => id !== undefined && text(id) === undefined)
    if (missing !== undefined) {
      const message = `redis waits for ${describe(missing)}`
      if (this.#missing !== message) report('warn', message)
      if (this.#missing !== message) this.#waits = new RedisFault('absent', message)
      this.#missing = message
      return undefined
    }
    this.#missing = null
    const optional = <Name extends string>(name: Name, id: string | undefined): Partial<Record<Name, string>> => {
      const value = id === undefined ? undefined : text(id)
      return value === undefined ? {} : ({ [name]: value } as Record<Name, string>)
    }
    return {
      mode,
      endpoints: addresses.map(endpointOf),
      ...(masterName === undefined ? {} : { masterName }),
      ...optional('username', secret?.username),
      ...optional('password', secret?.password),
      ...optional('sentinelUsername', secret?.sentinelUsername),
      ...optional('sentinelPassword', secret?.sentinelPassword),
      ...(tls === undefined
        ? {}
        : {
            tls: {
              ...optional('ca', tls.ca),
              ...(tls.serverName === undefined ? {} : { serverName: tls.serverName }),
            },
          }),
    }
  }
}

/** `Secret shop/redis`, of a content id. */
const describe = (id: string): string => id.split(' ').slice(0, 2).join(' ')

function endpointOf(address: string): RedisConfig['endpoints'][number] {
  const colon = address.lastIndexOf(':')
  return { host: address.slice(0, colon).replace(/^\[(.*)\]$/, '$1'), port: Number(address.slice(colon + 1)) }
}
