/** The archive in Redis as a worker has it, with two connections, and what it says. */
import { randomBytes } from 'node:crypto'
import type { ResponseArchive } from '../../../src/cache/response-archive.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { MAX_REDIS_BODY, NO_MEMORY, RedisRecords } from '../../../src/store/redis/redis-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { recordArchive } from '../../lib/record-archive.ts'
import type { Scope } from '../../lib/redis-server.ts'
import { until } from '../../lib/redis-topology.ts'
import { bytes, HOUR, keyOf, readAll, sourceOf } from '../../suite/response-archive.ts'

/** Long enough for a machine that is busy. */
const DEADLINE = 1_000

export class RedisPlace {
  readonly archive: ResponseArchive
  /** Messages of the accesses, and `full`. */
  readonly said: string[] = []
  readonly #contents: ContentStore

  /** @param secrets by the names of contents that the location has */
  constructor(
    scope: Scope,
    location: Omit<RedisLocation, 'keyPrefix'>,
    secrets: Readonly<Record<string, string>> = {},
  ) {
    const accesses: RedisAccess[] = []
    const contents = new ContentStore(() => {
      for (const access of accesses) access.contentsChanged()
    })
    this.#contents = contents
    for (const [id, text] of Object.entries(secrets)) this.content(id, text)
    const report = (_level: string, message: string): void => void this.said.push(message)
    const access = (): RedisAccess => {
      const edges = { contents, time: systemTimers, random: Math.random, report }
      const redis = new RedisAccess({ deadline: DEADLINE, inFlight: 256, ofCommand: [NO_MEMORY, 'TRYAGAIN'] }, edges)
      scope.after(() => redis.stop())
      redis.use({ keyPrefix: 'hg', ...location })
      accesses.push(redis)
      return redis
    }
    const full = (): void => void this.said.push('full')
    const own = { lookups: access(), bulk: access(), time: systemTimers, randomBytes, full }
    this.archive = recordArchive({ records: new RedisRecords(own), deadline: DEADLINE, maxBodyBytes: MAX_REDIS_BODY })
  }

  /** A Secret changes. */
  content(id: string, text: string): void {
    this.#contents.apply([{ id, bytes: Buffer.from(text) }])
  }

  /** The body that is found, or what the answer is, in a word. */
  async outcome(key: string): Promise<string> {
    const answer = await this.archive.find(keyOf(key))
    if (answer.type !== 'found') return answer.type === 'away' ? answer.reason : 'none'
    return String(await readAll(answer).catch((error) => error)).slice(0, 100)
  }

  async put(key: string, body: Uint8Array): Promise<string> {
    const answer = await this.archive.find(keyOf(key))
    if (answer.type === 'away') return answer.reason
    return await this.archive.put(answer.ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(body))
  }

  /** Until it is put: a machine that is busy may be too late. */
  putUntil(key: string, body: Uint8Array): Promise<void> {
    return until(async () => (await this.put(key, body)) === 'put')
  }

  findUntil(key: string, body: string): Promise<void> {
    return until(async () => (await this.outcome(key)) === body)
  }
}
