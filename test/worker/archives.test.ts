import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { ContentStore } from '../../src/policy/contents.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { WorkerArchives } from '../../src/worker/archives.ts'
import { NO_REDIS, RedisServer } from '../lib/redis-server.ts'

describe('the archives of a worker', () => {
  it('ask for the files as soon as a policy needs them, so that the first request finds what is there', () => {
    let asked = 0
    const archives = new WorkerArchives({
      clock: systemTimers,
      random: Math.random,
      randomBytes: (size) => new Uint8Array(size),
      contents: { get: () => undefined },
      maxPutBytes: 1e9,
      key: () => new Uint8Array(32),
      askForFiles: () => asked++,
      count: () => {},
      problem: () => {},
      recovered: () => {},
    })
    assert.equal(archives.of('Memory'), undefined)
    assert.equal(asked, 0)
    const files = archives.of('File')
    assert.equal(archives.of('File'), files)
    assert.equal(asked, 1)
  })

  it('say that Redis does not answer, and that it answers again, but not that it does at first', {
    skip: NO_REDIS,
  }, async (t) => {
    const server = await RedisServer.of(t)
    const said: string[] = []
    const archives = new WorkerArchives({
      clock: systemTimers,
      random: Math.random,
      randomBytes: (size) => new Uint8Array(size),
      contents: new ContentStore(),
      maxPutBytes: 1e9,
      key: () => new Uint8Array(32),
      askForFiles: () => {},
      count: () => {},
      problem: (message) => said.push(`problem ${message}`),
      recovered: (message) => said.push(`recovered ${message}`),
    })
    t.after(() => archives.use(null))
    archives.use({ mode: 'Single', addresses: [`127.0.0.1:${server.port}`], keyPrefix: 'hg' })
    const archive = archives.of('Redis')!
    const until = async (type: string): Promise<void> => {
      const key = { namespace: 'shop', primary: Buffer.from('key'), variantOf: () => undefined }
      const end = Date.now() + 20_000
      while ((await archive.find(key)).type !== type) {
        assert.ok(Date.now() < end, `it is not ${type}: ${said.join()}`)
        await pause(10)
      }
    }
    await until('none')
    assert.equal(said.length, 0, said.join())
    await server.kill()
    await until('away')
    await server.run()
    await until('none')
    assert.deepEqual(
      said.map((line) => line.slice(0, line.indexOf(' '))),
      ['problem', 'recovered'],
    )
    assert.match(said[1]!, /the cache: redis 127\.0\.0\.1:\d+: Redis answers$/)
  })
})
