/** Limits of all replicas in the Redis of the settings. */
import type { Random, TimerClock } from '../lib/clock.ts'
import type { LimiterScope } from '../limit/limiter.ts'
import type { Logger } from '../log/process-log.ts'
import type { Contents } from '../policy/contents.ts'
import { RedisAccess } from '../store/redis/redis-access.ts'
import { RedisLimiters } from '../store/redis/redis-limiters.ts'
import type { RemoteLimits } from './data-plane.ts'

/** A request waits no longer than that for what Redis says, and no more of them wait in a worker. */
const BOUNDS = { deadline: 50, inFlight: 1_024 }
/** Limits of which the log says once that Redis is missing. */
const MAX_TOLD = 100

export function remoteLimits(
  contents: Contents,
  time: TimerClock,
  random: Random,
  log: Pick<Logger, 'info' | 'warn'>,
): RemoteLimits {
  const redis = new RedisAccess(BOUNDS, {
    contents,
    time,
    random,
    report: (level, message) => log[level](message),
  })
  const limiters = new RedisLimiters(redis)
  const told = new Set<string>()
  const tell = ({ owner, name }: LimiterScope): void => {
    const where = `${owner} ${name.replace('\n', ': ')}`
    if (told.has(where) || told.size >= MAX_TOLD) return
    told.add(where)
    log.warn(`rateLimits of ${where} has scope: Cluster, and the settings name no redis: onStoreError holds`)
  }
  return {
    limiters: {
      open(scope, rate) {
        if (!redis.configured) tell(scope)
        return limiters.open(scope, rate)
      },
    },
    scripts: redis,
    use: (settings) => redis.use(settings),
    contentsChanged: () => redis.contentsChanged(),
  }
}
