/** The archive in a Redis whose certificate, password or master is replaced while it is used. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { suiteScope } from '../../feature/harness.ts'
import { type Issued, TestAuthority } from '../../lib/certificates.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import { cluster, until, untilClusterSays, watched } from '../../lib/redis-topology.ts'
import { bytes } from '../../suite/response-archive.ts'
import { RedisPlace } from './redis-place.ts'

const CA = 'Secret a/redis ca.crt t'
const PASSWORD = 'Secret a/redis password t'

const scope = suiteScope()

const putUntil = (place: RedisPlace, key: string): Promise<void> => place.putUntil(key, bytes(`body of ${key}`))
const findUntil = (place: RedisPlace, key: string): Promise<void> => place.findUntil(key, `body of ${key}`)

describe('a Redis that is replaced while it is used', { skip: NO_REDIS, concurrency: 3 }, () => {
  it('has another certificate: of the same authority it goes on, of another one once that is known', {
    timeout: 90_000,
  }, async () => {
    const [authority, other] = [new TestAuthority('redis'), new TestAuthority('other')]
    const issue = (by: TestAuthority): Issued => by.issue({ names: { ip: ['127.0.0.1'] } })
    const { cert, key } = issue(authority)
    const server = await RedisServer.of(scope, { tls: { cert, key, ca: authority.ca } })
    const location = { mode: 'Single', addresses: [server.address], tls: { ca: CA } } as const
    const place = new RedisPlace(scope, location, { [CA]: authority.ca })
    await putUntil(place, 'a')
    const folder = mkdtempSync(join(tmpdir(), 'headgate-redis-tls-'))
    scope.after(() => rmSync(folder, { recursive: true, force: true }))
    const replace = async ({ cert, key }: Issued): Promise<void> => {
      const files = [join(folder, 'cert.pem'), join(folder, 'key.pem')] as const
      writeFileSync(files[0], cert)
      writeFileSync(files[1], key)
      await server.admin.call('CONFIG', 'SET', 'tls-cert-file', files[0], 'tls-key-file', files[1])
      await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    }
    await replace(issue(authority))
    await findUntil(place, 'a')
    await replace(issue(other))
    await until(() => place.said.some((line) => /certificate|self-signed|issuer/.test(line)))
    assert.equal(await place.outcome('a'), 'away')
    place.content(CA, authority.ca + other.ca)
    await findUntil(place, 'a')
  })

  it('has another password: what is connected goes on, and what connects anew waits for the Secret', {
    timeout: 90_000,
  }, async () => {
    const server = await RedisServer.of(scope, { password: 'first' })
    const secret = { username: 'none', password: PASSWORD, sentinelUsername: 'none', sentinelPassword: 'none' }
    const location = { mode: 'Single', addresses: [server.address], secret } as const
    const place = new RedisPlace(scope, location, { [PASSWORD]: 'first' })
    await putUntil(place, 'a')
    await server.admin.config('SET', 'requirepass', 'second')
    assert.equal(await place.outcome('a'), 'body of a')
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await until(() => place.said.some((line) => /WRONGPASS|NOAUTH/.test(line)))
    assert.equal(await place.outcome('a'), 'away')
    place.content(PASSWORD, 'second')
    await findUntil(place, 'a')
    assert.doesNotMatch(place.said.join(), /first|second/)
  })

  it('Sentinel: its master ends under load, and the replica goes on; nothing found is wrong', {
    timeout: 90_000,
  }, async () => {
    const { master, replica, sentinel } = await watched(scope)
    const place = new RedisPlace(scope, { mode: 'Sentinel', addresses: [sentinel.address], masterName: 'hg' })
    await underLoad(place, async () => {
      await master.kill()
      await until(async () => (await replica.admin.info('replication')).includes('role:master'))
    })
  })

  it('Cluster: a master ends under load, and its replica takes its slots over; nothing found is wrong', {
    timeout: 90_000,
  }, async () => {
    const nodes = await cluster(scope, 3, true)
    const [first, second, third, replica] = nodes as [RedisServer, RedisServer, RedisServer, RedisServer]
    const place = new RedisPlace(scope, { mode: 'Cluster', addresses: [first.address, second.address] })
    await underLoad(place, async () => {
      await third.kill()
      await until(async () => (await replica.admin.info('replication')).includes('role:master'))
      await untilClusterSays(first, 'cluster_state:ok')
    })
  })
})

/** Pages are put and looked up all the time; afterwards all can be put and found. */
async function underLoad(place: RedisPlace, fault: () => Promise<void>): Promise<void> {
  const keys = Array.from({ length: 30 }, (_, i) => `page ${i}`)
  for (const key of keys) await putUntil(place, key)
  let over = false
  const seen = new Set<string>()
  const lanes = keys.map(async (key) => {
    while (!over) {
      const outcome = await place.outcome(key)
      seen.add(outcome === `body of ${key}` ? 'right' : outcome)
      if (outcome === 'none') await place.put(key, bytes(`body of ${key}`))
      await pause(5)
    }
  })
  await until(() => seen.has('right'))
  await fault()
  over = true
  await Promise.all(lanes)
  assert.ok(seen.has('right'))
  for (const outcome of seen)
    assert.ok(['right', 'none', 'away', 'broken', 'timeout', 'full'].includes(outcome), outcome)
  for (const key of keys) {
    await until(async () => ['none', `body of ${key}`].includes(await place.outcome(key)))
    if ((await place.outcome(key)) === 'none') await putUntil(place, key)
    await findUntil(place, key)
  }
}
