import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { WHOLE_BYTES } from '../../../src/cache/response-archive.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import type { RedisLocation } from '../../../src/snapshot/redis-location.ts'
import type { RecordArchive } from '../../../src/store/archive/record-archive.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { MAX_REDIS_BODY, RedisRecords } from '../../../src/store/redis/redis-records.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { suiteScope } from '../../feature/harness.ts'
import { recordArchive } from '../../lib/record-archive.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'
import {
  archiveSuite,
  bytes,
  found,
  HOUR,
  keyOf,
  put,
  putVariant,
  readAll,
  sourceOf,
  ticketOf,
} from '../../suite/response-archive.ts'
import { RedisPlace } from './redis-place.ts'

/** Wide: these tests are of what happens, and a machine under test may be slow. */
const DEADLINE = 10_000

const scope = suiteScope()

const EDGES = { contents: new ContentStore(), time: systemTimers, random: () => 0, report: () => {} }

type Settings = Pick<RedisLocation, 'mode' | 'addresses'>

async function accessOf(settings: Settings, deadline = DEADLINE): Promise<RedisAccess> {
  const access = new RedisAccess({ deadline, inFlight: 256 }, EDGES)
  scope.after(() => access.stop())
  access.use({ keyPrefix: 'hg', ...settings })
  while (!access.answers) await pause(5)
  return access
}

async function recordsOf(settings: Settings, time: { monotonic(): number } = systemTimers): Promise<RedisRecords> {
  return new RedisRecords({ lookups: await accessOf(settings), bulk: await accessOf(settings), time, randomBytes })
}

function archiveWith(records: RedisRecords, master: Uint8Array = new Uint8Array(32)): RecordArchive {
  return recordArchive({ records, master: () => master, deadline: DEADLINE, maxBodyBytes: MAX_REDIS_BODY })
}

describe('the archive in Redis', { skip: NO_REDIS }, () => {
  let server: RedisServer
  let archives: RecordArchive[]
  before(async () => {
    server = await RedisServer.of(scope)
    const settings = { mode: 'Single', addresses: [server.address] } as const
    const keys = [undefined, undefined, new Uint8Array(32).fill(1)]
    archives = await Promise.all(keys.map(async (key) => archiveWith(await recordsOf(settings), key)))
  })

  const sentBytes = async (): Promise<number> =>
    Number(/total_net_output_bytes:(\d+)/.exec(await server.admin.info('stats'))?.[1])

  archiveSuite(() => ({
    archive: archives[0]!,
    other: archives[1]!,
    stranger: archives[2]!,
    outlive: (ttl) => pause(ttl + 20),
    async clear() {
      await server.admin.flushall()
    },
    async edit(change) {
      for (const key of await server.admin.keys('hg:cache:*')) {
        if (key.endsWith(':gone')) continue
        const bytes = (await server.admin.getBuffer(key))!
        const changed = change(bytes)
        if (changed === null) await server.admin.del(key)
        else await server.admin.set(key, changed, 'KEEPTTL')
      }
    },
  }))

  it('takes what is no string for nothing, and writes over it', async () => {
    const [archive] = archives
    await server.admin.flushall()
    await put(archive!, 'list', bytes('body'))
    const [key] = await server.admin.keys('hg:cache:*')
    await server.admin.del(key!)
    await server.admin.rpush(key!, 'a', 'b')
    assert.equal((await archive!.find(keyOf('list'))).type, 'none')
    await put(archive!, 'list', bytes('again'))
    assert.equal(found(await archive!.find(keyOf('list'))).bodyBytes, 5)
    await server.admin.del(key!)
    await server.admin.rpush(`${key}:gone`, 'a')
    assert.equal(await archive!.remove(keyOf('list')), true)
  })

  it('takes a piece that is no string for one that is gone, and its response for none from then on', async () => {
    const archive = archives[0]!
    await server.admin.flushall()
    await put(archive, 'typed', Buffer.alloc(3 * WHOLE_BYTES))
    for (const key of await server.admin.keys('hg:cache:*:p:*')) {
      await server.admin.del(key)
      await server.admin.rpush(key, 'x')
    }
    await assert.rejects(readAll(found(await archive.find(keyOf('typed')))), /gone/)
    while ((await archive.find(keyOf('typed'))).type !== 'none') await pause(5)
  })

  it('takes what is larger than any record for nothing, and writes over it', async () => {
    const [archive] = archives
    await server.admin.flushall()
    await put(archive!, 'huge', bytes('body'))
    const [key] = await server.admin.keys('hg:cache:*')
    await server.admin.append(key!, 'x'.repeat(4 * 1_024 * 1_024))
    const sent = await sentBytes()
    assert.equal((await archive!.find(keyOf('huge'))).type, 'none')
    assert.ok((await sentBytes()) - sent < 16 * 1_024, 'no more of it comes than shows that it is none')
    await put(archive!, 'huge', bytes('again'))
    assert.equal(found(await archive!.find(keyOf('huge'))).bodyBytes, 5)
  })

  it('has no more sent than there is room for, also where small records were looked up before large ones', async () => {
    const [archive] = archives
    const large = Array.from({ length: 60 }, (_, i) => `large ${i}`)
    for (const name of large) await put(archive!, name, randomBytes(WHOLE_BYTES))
    await put(archive!, 'small', bytes('small'))
    for (let i = 0; i < 40; i++) found(await archive!.find(keyOf('small')))
    const sent = await sentBytes()
    const answers = await Promise.all(large.map((name) => archive!.find(keyOf(name))))
    const came = (await sentBytes()) - sent
    assert.ok(came <= 2 * 1_024 * 1_024, `${came} bytes came`)
    assert.ok(answers.some(({ type }) => type === 'found'))
    for (const answer of answers)
      assert.ok(answer.type === 'found' || (answer.type === 'away' && answer.reason === 'full'))
    for (const name of large) assert.equal(found(await archive!.find(keyOf(name))).bodyBytes, WHOLE_BYTES)
  })

  it('leaves nothing without an end, and names nothing by its URL', async () => {
    const [archive] = archives
    await server.admin.flushall()
    await put(archive!, 'GET https://shop.test/a', randomBytes(3 * WHOLE_BYTES))
    await putVariant(archive!, 'GET https://shop.test/b', 'de', 'Hallo')
    await archive!.remove(keyOf('GET https://shop.test/c'))
    const names = await server.admin.keys('*')
    assert.equal(names.length, 6)
    for (const name of names) {
      assert.ok((await server.admin.pttl(name)) > 0, name)
      assert.match(name, /^hg:cache:\{[\w-]{43}\}(:gone|:v:[\w-]{43}|:p:[0-9a-f]{32}:\d+)?$/)
      const bytes = await server.admin.getBuffer(name)
      assert.ok(!bytes!.includes('shop') && !bytes!.includes('Hallo'), 'what stands there is sealed')
    }
  })

  it('lets go of the pieces of a response that was replaced or removed, soon and not at once', async () => {
    const [archive] = archives
    await server.admin.flushall()
    const lives = async (): Promise<number[]> => {
      const names = await server.admin.keys('*:p:*')
      return (await Promise.all(names.map((name) => server.admin.pttl(name)))).toSorted((a, b) => a - b)
    }
    await put(archive!, 'a', randomBytes(2 * WHOLE_BYTES))
    await put(archive!, 'a', randomBytes(2 * WHOLE_BYTES))
    const [replaced, current] = await lives()
    assert.ok(replaced! > 0 && replaced! <= 60_000 && current! > 60_000, `${replaced} ${current}`)
    await archive!.remove(keyOf('a'))
    for (const left of await lives()) assert.ok(left > 0 && left <= 60_000, `${left}`)
  })

  it('leaves a write without effect that Redis runs too late', async () => {
    let now = 0
    const settings = { mode: 'Single', addresses: [server.address] } as const
    const archive = archiveWith(await recordsOf(settings, { monotonic: () => now }))
    const ticket = await ticketOf(archive, keyOf('late'))
    // As if it had been sent an hour ago.
    now = -HOUR
    assert.equal(await archive.put(ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes('old'))), 'late')
    now = 4_000
    assert.equal(await archive.put(ticket, { head: bytes('head'), ttl: HOUR }, sourceOf(bytes('new'))), 'put')
  })

  it('answers within its deadline while Redis stands still, and finds again afterwards', async () => {
    const own = await RedisServer.of(scope)
    const settings = { mode: 'Single', addresses: [own.address] } as const
    const lookups = await accessOf(settings, 20)
    const records = new RedisRecords({ lookups, bulk: await accessOf(settings), time: systemTimers, randomBytes })
    const archive = archiveWith(records)
    const kinds = async (): Promise<string> => {
      const answer = await archive.find(keyOf('a'))
      return answer.type === 'away' ? answer.reason : answer.type
    }
    while ((await kinds()) !== 'none');
    own.pause()
    const reasons = new Set<string>()
    while (!reasons.has('away')) reasons.add(await kinds())
    assert.deepEqual([...reasons].toSorted(), ['away', 'timeout'])
    own.resume()
    while ((await kinds()) !== 'none') await pause(5)
  })

  it('says that nothing is configured, and that Redis is out of memory', async () => {
    const nothing = new RedisAccess({ deadline: DEADLINE, inFlight: 1 }, EDGES)
    const archive = archiveWith(new RedisRecords({ lookups: nothing, bulk: nothing, time: systemTimers, randomBytes }))
    assert.deepEqual(await archive.find(keyOf('a')), { type: 'away', reason: 'absent' })
    assert.equal(await archive.remove(keyOf('a')), false)
    const [full] = archives
    const ticket = await ticketOf(full!, keyOf('oom'))
    await server.admin.config('SET', 'maxmemory', '1')
    const record = { head: bytes('head'), ttl: HOUR }
    assert.equal(await full!.put(ticket, record, sourceOf(randomBytes(3 * WHOLE_BYTES))), 'refused')
    await server.admin.config('SET', 'maxmemory', '0')
    assert.equal(await full!.put(ticket, record, sourceOf(randomBytes(3 * WHOLE_BYTES))), 'put')
  })

  it('removes where Redis is out of memory, and says that it is', async () => {
    const own = await RedisServer.of(scope)
    const place = new RedisPlace(scope, { mode: 'Single', addresses: [own.address] })
    await place.putUntil('page', bytes('body'))
    await own.admin.config('SET', 'maxmemory', '1')
    assert.equal(
      await place.archive.remove(keyOf('page')),
      false,
      'it is not certain that nothing late takes its place',
    )
    assert.equal(place.said.filter((line) => line === 'full').length, 1, place.said.join())
    await own.admin.config('SET', 'maxmemory', '0')
    assert.equal(await place.outcome('page'), 'none')
  })
})
