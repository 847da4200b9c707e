/** What happens meanwhile in the soak: content changes and is purged, Redis and workers and replicas fail. */
import { setTimeout as delay } from 'node:timers/promises'
import type { RedisServer } from '../../../test/lib/redis-server.ts'
import type { Causes } from './causes.ts'
import { floorAt } from './clients.ts'
import type { SoakGateway } from './replica.ts'
import { type Thing, versionAt, type World } from './world.ts'

/** Milliseconds until a purge of which a replica did not hear at once holds in it: until Redis is back, and more. */
const RECONCILED = 15_000
export const REPLICAS = 2
export const TOKEN = 'a-token-of-the-soak'

export interface Events {
  changes: number
  purges: number
  /** Of these, such as the answer says act in every replica. */
  purgesEverywhere: number
  purgesFailed: number
  /** The last of them. */
  failure: string
  redisPaused: number
  redisRestarted: number
  redisSpoiled: number
  workersEnded: number
  replicasKilled: number
}

export interface Chaos {
  readonly world: World
  readonly hosts: readonly string[]
  readonly replicas: readonly SoakGateway[]
  readonly redis: RedisServer
  readonly clock: () => number
  readonly events: Events
  readonly causes: Causes
  /** Whether things fail besides changing. */
  readonly faults: boolean
}

/** Resolves when all of it has ended; what fails in it ends the others first. */
export async function run(chaos: Chaos, until: () => boolean): Promise<void> {
  let failed = false
  const over = (): boolean => failed || until()
  const loops = [every(40, over, () => change(chaos)), every(250, over, () => purge(chaos))]
  if (chaos.faults) {
    loops.push(every(7_000, over, () => chaos.causes.during('redis', '', () => troubleRedis(chaos))))
    loops.push(every(11_000, over, () => endWorker(chaos)))
    loops.push(every(31_000, over, () => killReplica(chaos)))
  }
  const ends = loops.map((loop) =>
    loop.catch((error: unknown) => {
      failed = true
      throw error
    }),
  )
  // One that is left alone might start a gateway that nobody ends.
  await Promise.allSettled(ends)
  await Promise.all(ends)
}

async function every(mean: number, until: () => boolean, work: () => Promise<void> | void): Promise<void> {
  for (;;) {
    const end = performance.now() + mean * (0.5 + Math.random())
    while (performance.now() < end && !until()) await delay(Math.min(200, Math.max(1, end - performance.now())))
    if (until()) return
    await work()
  }
}

function change({ world, clock, events }: Chaos): void {
  const thing = oneOf(world.things)
  thing.began.push(clock())
  events.changes++
}

/** After the answer, no replica that it reached serves anything older than what was there before it was sent. */
async function purge(chaos: Chaos): Promise<void> {
  const { world, replicas, clock, events } = chaos
  const replica = oneOf(replicas)
  if (!replica.alive) return
  const host = oneOf(chaos.hosts)
  const thing = oneOf(world.of(host))
  const kind = oneOf(['url', 'url', 'url', 'prefix', 'tag', 'rule', 'soft'] as const)
  const { body, hit } = purgeOf(kind, thing)
  const sent = clock()
  const versions = new Map(world.things.filter(hit).map((each) => [each, versionAt(each, sent)]))
  const done = await post(replica, body, events)
  if (done === undefined) {
    events.purgesFailed++
    return
  }
  events.purges++
  if (done) events.purgesEverywhere++
  // What is only marked stale may still be served while it is validated.
  if (kind === 'soft') return
  const now = clock()
  for (const other of replicas) {
    const since = done || other === replica ? now : now + RECONCILED
    for (const [each, version] of versions) floorAt(other, each, version, since)
  }
}

export function purgeOf(
  kind: string,
  thing: Thing,
): { readonly body: object; readonly hit: (thing: Thing) => boolean } {
  const { host, path, tag } = thing
  const folder = path.slice(0, path.lastIndexOf('/') + 1)
  switch (kind) {
    case 'prefix':
      return {
        body: { prefixes: [`http://${host}${folder}`] },
        hit: (each) => each.host === host && each.path.startsWith(folder),
      }
    case 'tag':
      return {
        body: { tags: [tag] },
        hit: (each) => each.tag === tag,
      }
    case 'rule':
      return { body: { route: routeOf(host), rule: 'all' }, hit: (each) => each.host === host }
    case 'soft':
      return { body: { urls: [`http://${host}${path}`], soft: true }, hit: (each) => each === thing }
    default:
      return { body: { urls: [`http://${host}${path}`] }, hit: (each) => each === thing }
  }
}

export const routeOf = (host: string): string => host.replaceAll('.', '-')

/** @returns whether it says that it acts in all replicas; undefined where there is no answer */
async function post(replica: SoakGateway, body: object, events: Events): Promise<boolean | undefined> {
  const path = 'urls' in body || 'prefixes' in body ? 'purges' : 'namespaces/default/purges'
  try {
    const response = await fetch(`http://127.0.0.1:${replica.adminPort}/api/v1/cache/${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(5_000),
    })
    const text = await response.text()
    // One that is starting has no tables yet.
    if (response.status >= 400 && response.status < 500 && replica.ready)
      throw new TypeError(`${replica.name} refuses a purge with ${response.status} ${text}`)
    if (!response.ok) {
      events.failure = text.slice(0, 200)
      return undefined
    }
    const { replicas, reached } = JSON.parse(text) as { replicas: number; reached: number }
    return reached === replicas && replicas === REPLICAS
  } catch (error) {
    if (error instanceof TypeError && error.message.includes('refuses a purge')) throw error
    return undefined
  }
}

async function troubleRedis({ redis, events }: Chaos): Promise<void> {
  const what = oneOf(['pause', 'restart', 'spoil', 'forget'] as const)
  if (what === 'pause') {
    events.redisPaused++
    redis.pause()
    await delay(200 + Math.random() * 2_000)
    redis.resume()
  } else if (what === 'restart') {
    events.redisRestarted++
    await redis.kill()
    await delay(Math.random() * 2_000)
    await redis.run()
  } else
    await spoil(redis, what).then(
      () => events.redisSpoiled++,
      // A key has become another type meanwhile, or the connection is that of the Redis before.
      (error: unknown) => void (events.failure = String(error)),
    )
}

/** Data that is cut, or of somebody else, or gone: never served. */
async function spoil(redis: RedisServer, what: 'spoil' | 'forget'): Promise<void> {
  if (what === 'forget') {
    await redis.admin.flushall()
    return
  }
  let cursor = '0'
  const keys: string[] = []
  do {
    const [next, found] = await redis.admin.scan(cursor, 'COUNT', 500)
    cursor = next
    keys.push(...found)
  } while (cursor !== '0' && keys.length < 2_000)
  for (const key of keys) {
    if (Math.random() < 0.8 || keys.length < 2) continue
    const type = await redis.admin.type(key)
    const other = oneOf(keys.filter((each) => each !== key))
    if (type === 'string') {
      const bytes = await redis.admin.getBuffer(key)
      if (bytes === null) continue
      const ways = [
        () => redis.admin.set(key, bytes.subarray(0, bytes.length >> 1), 'KEEPTTL'),
        () => redis.admin.setrange(key, Math.floor(Math.random() * bytes.length), 'spoiled'),
        () => redis.admin.copy(other, key, 'REPLACE'),
        () => redis.admin.set(key, 'foreign', 'KEEPTTL'),
      ]
      await oneOf(ways)()
    } else if (type === 'hash') {
      const [field] = await redis.admin.hkeys(key)
      if (field !== undefined) await redis.admin.hset(key, field, 'spoiled')
    }
  }
}

async function endWorker({ replicas, events, causes }: Chaos): Promise<void> {
  const replica = oneOf(replicas)
  // The signal that opens the debugger ends a Node that is just beginning.
  if (!replica.ready) return
  await causes.during('worker', replica.name, () =>
    replica.endWorker().then(
      () => void events.workersEnded++,
      () => {},
    ),
  )
}

async function killReplica({ replicas, events, causes }: Chaos): Promise<void> {
  const replica = oneOf(replicas)
  await causes.during('replica', replica.name, async () => {
    await replica.kill()
    events.replicasKilled++
    await delay(Math.random() * 1_000)
    await replica.run()
  })
}

function oneOf<T>(list: readonly T[]): T {
  return list[Math.floor(Math.random() * list.length)]!
}
