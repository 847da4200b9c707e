/** The stores of token issuers as a worker has them: the embedded one of control, and the Redis of the settings. */
import type { GrantAnswer, GrantRequest, GrantStore } from '../auth/grant-store.ts'
import type { Random, TimerClock } from '../lib/clock.ts'
import type { Contents } from '../policy/contents.ts'
import type { GrantStores } from '../policy/services.ts'
import { RedisAccess } from '../store/redis/redis-access.ts'
import { RedisGrantStore } from '../store/redis-grant-store.ts'
import type { WorkerSettings } from '../thread/messages.ts'
import { type AccessReportEdges, accessReport } from './access-report.ts'
import { GrantClient } from './grant-client.ts'

export interface WorkerGrantStoresEdges extends AccessReportEdges {
  readonly clock: TimerClock
  readonly random: Random
  readonly contents: Contents
  /** To control. */
  ask(id: number, request: GrantRequest): void
}

/** A client waits for its token, so longer than a request that is only counted; 16 calls are under way at a time. */
const REDIS_BOUNDS = { deadline: 1_000, inFlight: 64 }

interface RedisOfGrants {
  readonly access: RedisAccess
  readonly store: GrantStore
}

export class WorkerGrantStores implements GrantStores {
  readonly #edges: WorkerGrantStoresEdges
  readonly #embedded: GrantClient
  #settings: Pick<WorkerSettings, 'grantStore' | 'redis'> | undefined
  /** A connection of its own, which only workers of token issuers with this store have. */
  #redis: RedisOfGrants | undefined

  constructor(edges: WorkerGrantStoresEdges) {
    this.#edges = edges
    this.#embedded = new GrantClient(edges.clock, edges.random, (id, request) => edges.ask(id, request))
  }

  store(name: 'Redis' | 'Embedded' | undefined): GrantStore | undefined {
    const { grantStore = null, redis = null } = this.#settings ?? {}
    const wanted = name ?? grantStore
    if (wanted === 'Embedded') return this.#embedded
    if (wanted === null || redis === null) return undefined
    this.#redis ??= this.#openRedis(redis)
    return this.#redis.store
  }

  use(settings: Pick<WorkerSettings, 'grantStore' | 'redis'>): void {
    this.#settings = settings
    this.#redis?.access.use(settings.redis)
  }

  /** A password may be another one. */
  contentsChanged(): void {
    this.#redis?.access.contentsChanged()
  }

  answered(id: number, answer: GrantAnswer): void {
    this.#embedded.answered(id, answer)
  }

  /** See {@link GrantClient.forget}. */
  forget(): void {
    this.#embedded.forget()
  }

  #openRedis(settings: NonNullable<WorkerSettings['redis']>): RedisOfGrants {
    const { clock, random, contents } = this.#edges
    const report = accessReport('the store of token issuers', this.#edges)
    const access = new RedisAccess(REDIS_BOUNDS, { contents, time: clock, random, report })
    access.use(settings)
    return { access, store: new RedisGrantStore(access, clock) }
  }
}
