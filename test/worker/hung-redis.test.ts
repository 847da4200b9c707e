/** The archive of a worker, with its own bounds, while Redis or the way to it hangs. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import {
  ArchiveError,
  type ArchiveHit,
  type ArchiveKey,
  type ResponseArchive,
} from '../../src/cache/response-archive.ts'
import { ContentStore } from '../../src/policy/contents.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { WorkerArchives } from '../../src/worker/archives.ts'
import { suiteScope } from '../feature/harness.ts'
import { FaultyWay } from '../lib/faulty-way.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'
import { bytes, HOUR, keyOf, sourceOf } from '../suite/response-archive.ts'

/** What is promised, in milliseconds. */
const PROMISE = 20
const PIECE = 128 * 1_024

const scope = suiteScope()

interface Place {
  readonly archive: ResponseArchive
  readonly server: RedisServer
  readonly way: FaultyWay
}

async function place(): Promise<Place> {
  const server = await RedisServer.of(scope)
  const way = await FaultyWay.open(server.port)
  scope.after(() => way.close())
  const key = randomBytes(32)
  const archives = new WorkerArchives({
    clock: systemTimers,
    random: Math.random,
    randomBytes,
    contents: new ContentStore(),
    maxPutBytes: 1e9,
    key: () => key,
    askForFiles() {},
    count() {},
    problem() {},
    recovered() {},
  })
  scope.after(() => archives.use(null))
  archives.use({ mode: 'Single', addresses: [way.address], keyPrefix: 'hg' })
  const archive = archives.of('Redis')!
  await answering(archive)
  return { archive, server, way }
}

async function answering(archive: ResponseArchive): Promise<void> {
  while ((await archive.find(keyOf('nothing'))).type !== 'none') await pause(5)
}

async function put(
  archive: ResponseArchive,
  key: string | ArchiveKey,
  body: Uint8Array,
  head: Uint8Array = bytes('head'),
): Promise<void> {
  for (;;) {
    const answer = await archive.find(typeof key === 'string' ? keyOf(key) : key)
    const record = { head, ttl: HOUR }
    if (answer.type !== 'away' && (await archive.put(answer.ticket, record, sourceOf(body))) === 'put') return
    await pause(5)
  }
}

/** A machine that is busy may itself be too late for a lookup. */
async function finding(archive: ResponseArchive, key: string): Promise<ArchiveHit> {
  for (;;) {
    const answer = await archive.find(keyOf(key))
    if (answer.type === 'found') return answer
    assert.equal(answer.type, 'away')
    await pause(5)
  }
}

/** Lets 20 ms pass, and two turns in which what is due then can be done: the same thread, however late it is. */
async function promised(): Promise<void> {
  await pause(PROMISE)
  for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => void setImmediate(resolve))
}

/** Looks up until Redis is not asked any more. @returns the reasons, and how many lookups took longer than promised */
async function lookups(archive: ResponseArchive, key: string): Promise<{ reasons: string[]; late: number }> {
  const reasons: string[] = []
  let late = 0
  while (reasons.at(-1) !== 'away') {
    let over = false
    const bound = promised().then(() => (over = true))
    const answer = await archive.find(keyOf(key))
    if (over) late++
    await bound
    reasons.push(answer.type === 'away' ? answer.reason : answer.type)
  }
  return { reasons, late }
}

describe('a lookup whose Redis hangs', { skip: NO_REDIS, concurrency: true }, () => {
  const faults: Readonly<Record<string, (place: Place) => void>> = {
    'stands still': ({ server }) => server.pause(),
    'is behind a network that loses everything': ({ way }) => (way.fault = 'black-hole'),
    'sends a byte a second': ({ way }) => (way.fault = 'drip'),
  }
  for (const [what, begin] of Object.entries(faults))
    it(`has nothing after 20 ms where it ${what}, five times, and then at once`, { timeout: 60_000 }, async () => {
      const here = await place()
      const { archive, server, way } = here
      await put(archive, 'long', randomBytes(3 * PIECE))
      begin(here)
      const { reasons, late } = await lookups(archive, 'long')
      assert.deepEqual(reasons, [...Array(5).fill('timeout'), 'away'])
      // What is collected or compiled between two timers of one thread may make it late once.
      assert.ok(late <= 1, `${late} of ${reasons.length} lookups took longer`)
      server.resume()
      way.fault = null
      await answering(archive)
      assert.equal((await finding(archive, 'long')).bodyBytes, 3 * PIECE)
    })

  it('has one deadline for all its steps', { timeout: 60_000 }, async () => {
    const { archive, server } = await place()
    await put(archive, 'long', randomBytes(2 * PIECE))
    let longest = 0
    let late = 0
    // The record is found just before its deadline, and its pieces are asked for.
    for (let round = 0; round < 10; round++) {
      await answering(archive)
      server.pause()
      setTimeout(() => server.resume(), 10 + round)
      let over = false
      const bound = promised().then(() => (over = true))
      const began = performance.now()
      await archive.find(keyOf('long'))
      longest = Math.max(longest, performance.now() - began)
      if (over) late++
      await bound
    }
    assert.ok(late <= 1, `${late} of 10 took longer, at most ${longest} ms`)
  })
})

describe('a long body whose Redis gives its first piece and then nothing', { skip: NO_REDIS }, () => {
  it('ends with an error within its patience, and gives no byte of anything else', { timeout: 60_000 }, async () => {
    const { archive, way } = await place()
    const body = randomBytes(3 * PIECE)
    await put(archive, 'long', body)
    const hit = await finding(archive, 'long')
    way.fault = 'no-bodies'
    const reader = hit.read(0, hit.bodyBytes)
    assert.deepEqual(Buffer.from((await reader.next())!), body.subarray(0, PIECE))
    const began = performance.now()
    await assert.rejects(reader.next(), ArchiveError)
    assert.ok(performance.now() - began < 10_000)
    reader.close()
  })

  it('holds up no lookup', { timeout: 60_000 }, async () => {
    const { archive, way } = await place()
    await put(archive, 'long', randomBytes(3 * PIECE))
    await put(archive, 'short', bytes('short'))
    const hit = await finding(archive, 'long')
    way.fault = 'no-bodies'
    const reader = hit.read(0, hit.bodyBytes)
    await reader.next()
    const reading = reader.next().then(
      () => 'read',
      () => 'not read',
    )
    for (let i = 0; i < 20; i++) await finding(archive, 'short')
    assert.equal(await reading, 'not read')
  })
})

describe('a tenant whose records are as large as they can be', { skip: NO_REDIS }, () => {
  it('with many lookups at once leaves those of others in time', { timeout: 120_000 }, async () => {
    const { archive } = await place()
    const large = (name: string): ArchiveKey => ({ ...keyOf(name), namespace: 'large' })
    for (let i = 0; i < 8; i++) await put(archive, large(`l${i}`), randomBytes(PIECE), randomBytes(PIECE))
    await put(archive, 'small', bytes('small'))
    /** How many of some lookups of the other tenant find what is there. */
    const found = async (): Promise<number> => {
      let count = 0
      for (let i = 0; i < 100; i++) {
        if ((await archive.find(keyOf('small'))).type === 'found') count++
        await pause(5)
      }
      return count
    }
    const alone = await found()
    let over = false
    const lanes = Array.from({ length: 32 }, async (_, lane) => {
      while (!over) {
        if ((await archive.find(large(`l${lane % 8}`))).type === 'away') await pause(5)
      }
    })
    const beside = await found()
    over = true
    await Promise.all(lanes)
    assert.ok(beside >= alone / 2, `${alone} of 100 found alone, ${beside} beside the other one`)
  })
})
