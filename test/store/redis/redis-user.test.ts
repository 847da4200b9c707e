/** The rights that the pages say the user of Redis needs are those that it needs. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { labelOf } from '../../../src/cache/purge-labels.ts'
import { PLAIN, type PurgeRecord } from '../../../src/cache/purge-record.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import { aloneAs } from '../../../src/store/purge-store.ts'
import { PurgeStream } from '../../../src/store/redis/purge-stream.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import { bytes } from '../../suite/response-archive.ts'
import { RedisPlace } from './redis-place.ts'

const scope = suiteScope()

const LIMITS = rightsOf('rate-limits.md')
const PURGES = rightsOf('purging.md')
/** Page and the scripts of what it is about, with the rights that it takes for granted. */
const PAGES = [
  { what: 'limits', page: LIMITS, granted: [], source: 'redis/redis-limiters.ts' },
  { what: 'the cache', page: rightsOf('cache.md'), granted: LIMITS, source: 'redis/redis-records.ts' },
  { what: 'purges', page: PURGES, granted: [], source: 'redis/purge-scripts.ts' },
  { what: 'sessions', page: rightsOf('oidc.md'), granted: LIMITS, source: 'redis-sessions.ts' },
  { what: 'token issuers', page: rightsOf('token-issuer.md'), granted: LIMITS, source: 'redis-grant-store.ts' },
] as const

/** The first list of rights on a page: `+get +set`. */
function rightsOf(page: string): readonly string[] {
  const text = readFileSync(new URL(`../../../docs/${page}`, import.meta.url), 'utf8').replaceAll(/\s+/g, ' ')
  const [, rights] = /`((?:\+[a-z]+ ){3,}\+[a-z]+)`/.exec(text) ?? []
  assert.ok(rights !== undefined, page)
  return rights.split(' ')
}

const ID = (key: string): string => `Secret a/redis ${key} t`
const PASSWORD = { [ID('username')]: 'gate', [ID('password')]: 'sesame' }
const SECRET: NonNullable<RedisLocation['secret']> = {
  username: ID('username'),
  password: ID('password'),
  sentinelUsername: ID('sentinel-username'),
  sentinelPassword: ID('sentinel-password'),
}

async function serverFor(prefix: string, rights: readonly string[]): Promise<RedisServer> {
  const server = await RedisServer.of(scope)
  await server.admin.call('ACL', 'SETUSER', 'gate', 'on', '>sesame', `~${prefix}:*`, ...rights)
  return server
}

/** What was asked for, and refused. */
async function denied(server: RedisServer): Promise<readonly string[]> {
  const entries = (await server.admin.call('ACL', 'LOG')) as string[][]
  return entries.map((entry) => entry[entry.indexOf('object') + 1]!)
}

describe('the rights of the user of Redis', { skip: NO_REDIS }, () => {
  for (const { what, page, granted, source } of PAGES) {
    it(`are named for each command of ${what}`, () => {
      const text = readFileSync(new URL(`../../../src/store/${source}`, import.meta.url), 'utf8')
      const commands = new Set([...text.matchAll(/\b(?:call|ask)\('([A-Z]+)'/g)].map(([, name]) => name!))
      assert.ok(commands.size > 3)
      const rights: readonly string[] = [...granted, ...page]
      const missing = [...commands].filter((name) => !rights.includes(`+${name.toLowerCase()}`))
      assert.deepEqual(missing, [])
    })
  }

  it('do for the history of purges', { timeout: 60_000 }, async () => {
    const server = await serverFor('hg', PURGES)
    const contents = new ContentStore()
    contents.apply(Object.entries(PASSWORD).map(([id, text]) => ({ id, bytes: Buffer.from(text) })))
    const heard: string[][] = [[], []]
    const streams = heard.map((told, i) => {
      const redis = new RedisAccess(
        { deadline: 5_000, inFlight: 64 },
        { contents, time: systemTimers, random: Math.random, report: () => {} },
      )
      redis.use({ mode: 'Single', addresses: [server.address], keyPrefix: 'hg', secret: SECRET })
      const stream = new PurgeStream(
        { history: 0, position: 0 },
        { redis, time: systemTimers, random: Math.random, name: `r${i}`, others: aloneAs(`r${i}`) },
        { began: () => told.push('began'), told: ({ text }) => told.push(text), failure: () => {} },
      )
      scope.after(() => {
        stream.stop()
        redis.stop()
      })
      return stream
    })
    const record: PurgeRecord = {
      ...{ ...PLAIN, kind: 'label', namespace: 5, label: labelOf('tag', 'x'), text: 'x', id: 1 },
    }
    await eventually(() => assert.deepEqual(heard, [['began'], ['began']]))
    await streams[0]!.append([record])
    await eventually(() => assert.deepEqual(heard[1], ['began', 'x']))
    await eventually(async () => assert.equal((await streams[0]!.reach(1)).members.length, 2))
    assert.deepEqual(await denied(server), [])
  })

  it('do for responses', { timeout: 60_000 }, async () => {
    const server = await serverFor('hg', [...LIMITS, ...rightsOf('cache.md')])
    const place = new RedisPlace(scope, { mode: 'Single', addresses: [server.address], secret: SECRET }, PASSWORD)
    await place.putUntil('a', bytes('short'))
    await place.findUntil('a', 'short')
    await place.putUntil('a', Buffer.alloc(300_000, 'long '))
    await place.findUntil('a', 'long '.repeat(20))
    assert.deepEqual(await denied(server), [])
  })
})
