import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { labelOf } from '../../../src/cache/purge-labels.ts'
import { encodePurge, PLAIN, type PurgeRecord } from '../../../src/cache/purge-record.ts'
import type { TimerClock } from '../../../src/lib/clock.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import { aloneAs } from '../../../src/store/purge-store.ts'
import { PURGE_KEYS, READ } from '../../../src/store/redis/purge-scripts.ts'
import { type KnownPurges, PurgeStream } from '../../../src/store/redis/purge-stream.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { NO_REDIS, RedisServer } from '../../lib/redis-server.ts'

const scope = suiteScope()

interface Replica {
  readonly stream: PurgeStream
  /** `began 7+0`, `began 7+0 missed`, `a@1` of a tag. */
  readonly heard: string[]
  readonly failures: (string | undefined)[]
  history: number
}

let names = 0

/** @param read hears of each time that it has read, before it knows what */
function replicaOf(
  { address }: { address: string },
  known: KnownPurges = { history: 0, position: 0 },
  read: (name: string, entries: number) => Promise<void> = async () => {},
  time: TimerClock = systemTimers,
): Replica {
  const name = `replica-${++names}`
  const redis = new RedisAccess(
    { deadline: 2_000, inFlight: 64 },
    { contents: new ContentStore(), time: systemTimers, random: Math.random, report: () => {} },
  )
  redis.use({ mode: 'Single', addresses: [address], keyPrefix: 'test' })
  const run: RedisAccess['run'] = async (script, keys, args) => {
    const reply = await redis.run(script, keys, args)
    if (script === READ) await read(name, ((reply as unknown[]).length - 3) / 2)
    return reply
  }
  const reader = {
    run,
    get config() {
      return redis.config
    },
    keyPrefix: redis.keyPrefix,
  }
  const heard: string[] = []
  const failures: (string | undefined)[] = []
  const rig: Replica = {
    heard,
    failures,
    history: 0,
    stream: new PurgeStream(
      known,
      { redis: reader, time, random: Math.random, name, others: aloneAs(`r${names}`) },
      {
        began(history, floor, missed) {
          rig.history = history
          heard.push(`began ${floor}${missed ? ' missed' : ''}`)
        },
        told: ({ kind, text, position }) => heard.push(`${kind === 'everything' ? 'everything' : text}@${position}`),
        failure: (message) => {
          if (failures.at(-1) !== message || failures.length === 0) failures.push(message)
        },
      },
    ),
  }
  scope.after(() => {
    rig.stream.stop()
    redis.stop()
  })
  return rig
}

let ids = 0
const tag = (name: string): PurgeRecord => ({
  ...PLAIN,
  kind: 'label',
  namespace: 5,
  label: labelOf('tag', name),
  text: name,
  id: ++ids,
})

const settled = (rig: Replica, ...heard: string[]): Promise<void> =>
  eventually(() => assert.deepEqual(rig.heard, heard))

/** A replica may be slow to say so. */
const reaches = (rig: Replica, { id }: PurgeRecord, wanted: object): Promise<void> =>
  eventually(async () => {
    const { members, complete } = await rig.stream.reach(id)
    assert.ok(complete)
    assert.deepEqual({ replicas: members.length, reached: members.filter(({ acts }) => acts).length }, wanted)
  })

describe('the history of purges in Redis', { skip: NO_REDIS }, () => {
  it('is told to every replica in order, and to one that comes later', async () => {
    const server = await RedisServer.of(scope)
    const [a, b] = [replicaOf(server), replicaOf(server)]
    await settled(a, 'began 0')
    await settled(b, 'began 0')
    const record = tag('x')
    await a.stream.append([record, tag('y')])
    assert.deepEqual(a.heard.slice(1), ['x@1', 'y@2'], 'its own are told before it returns')
    await reaches(a, record, { replicas: 2, reached: 2 })
    await settled(b, 'began 0', 'x@1', 'y@2')
    await b.stream.append([tag('z')])
    await settled(a, 'began 0', 'x@1', 'y@2', 'z@3')
    const c = replicaOf(server)
    await settled(c, 'began 0', 'x@1', 'y@2', 'z@3')
    assert.equal(c.history, a.history)
    // A control thread that takes the place of another.
    const d = replicaOf(server, { history: a.history, position: 2 })
    await settled(d, 'began 2', 'z@3')
    assert.ok(JSON.stringify(await server.admin.keys('*')).includes('test:{purges}'))
  })

  it('tells what was missed after a lost connection, and nothing twice', async () => {
    const server = await RedisServer.of(scope)
    const a = replicaOf(server)
    await settled(a, 'began 0')
    await a.stream.append([tag('x')])
    await server.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
    await eventually(async () => a.stream.append([tag('y')]))
    await settled(a, 'began 0', 'x@1', 'y@2')
  })

  it('is another one where Redis has lost it, and what was missed cannot be known', async () => {
    const server = await RedisServer.of(scope)
    const [a, b] = [replicaOf(server), replicaOf(server)]
    await settled(a, 'began 0')
    await settled(b, 'began 0')
    await a.stream.append([tag('x')])
    await settled(b, 'began 0', 'x@1')
    const before = a.history
    await server.kill()
    await eventually(() => assert.notEqual(a.failures.at(-1), undefined))
    await assert.rejects(a.stream.append([tag('y')]))
    await server.run()
    await settled(a, 'began 0', 'x@1', 'began 0 missed')
    await settled(b, 'began 0', 'x@1', 'began 0 missed')
    assert.notEqual(a.history, before)
    assert.equal(a.history, b.history)
    await eventually(() => assert.equal(a.failures.at(-1), undefined))
  })

  it('is another one where a failover has lost its last entries, even behind newer ones', async () => {
    const master = await RedisServer.of(scope)
    const a = replicaOf(master)
    await settled(a, 'began 0')
    await a.stream.append([tag('x'), tag('y')])
    const before = a.history
    // As in a replica of Redis that was promoted without the last entry.
    await master.admin.xdel('test:{purges}:entries', '2-0')
    await eventually(() => assert.notEqual(a.history, before))
    await settled(a, 'began 0', 'x@1', 'y@2', 'began 0 missed')
    await a.stream.append([tag('z')])
    assert.equal(a.heard.at(-1), 'z@1')
    const torn = a.history
    // Another record at the place of the last one.
    await master.admin.del('test:{purges}:entries')
    const other = Buffer.from(encodePurge(tag('other'))).toString('base64')
    await master.admin.xadd('test:{purges}:entries', '1-0', 'r', other)
    await eventually(() => assert.notEqual(a.history, torn))
  })

  it('is another one where entries that were not told are gone', async () => {
    const server = await RedisServer.of(scope)
    const a = replicaOf(server)
    await settled(a, 'began 0')
    await a.stream.append([tag('x')])
    const before = a.history
    // Evicted as a whole, and written on.
    await server.admin.del('test:{purges}:entries')
    await eventually(() => assert.notEqual(a.history, before))
    assert.equal(a.heard.at(-1), 'began 0 missed')
  })

  it('wakes who waits where another one begins, though its places are below', async () => {
    const server = await RedisServer.of(scope)
    // It does not look by itself, or after half a second.
    const waits: TimerClock = {
      ...systemTimers,
      after: (duration, act) => systemTimers.after(duration === 250 ? 60_000 : duration, act),
    }
    const a = replicaOf(server)
    const b = replicaOf(server, undefined, undefined, waits)
    await settled(a, 'began 0')
    await settled(b, 'began 0')
    const took: number[] = []
    for (let i = 0; i < 7; i++) {
      const record = tag(`x${i}`)
      await a.stream.append([record, tag('y')])
      await eventually(() => assert.ok(b.heard.includes(`x${i}@1`)))
      // Into the midst of its wait.
      await new Promise((resolve) => setTimeout(resolve, 60))
      await server.admin.flushall()
      const began = performance.now()
      await a.stream.append([tag('z')])
      await eventually(() => assert.notEqual(b.heard.at(-1), 'y@2'))
      await eventually(() => assert.equal(b.history, a.history))
      took.push(performance.now() - began)
      await server.admin.flushall()
    }
    const [, , , middle] = took.toSorted((x, y) => x - y)
    assert.ok(middle! < 200, `${took.map(Math.round).join(', ')} ms`)
  })

  it('is another one where somebody else has written in its place, and goes on', async () => {
    const server = await RedisServer.of(scope)
    const keys = PURGE_KEYS.map((key) => `test:${key}`) as [string, ...string[]]
    const [entries, history, replicas, namespaces, histories] = keys
    const damages = [
      ['SET', history, 'x'],
      ['SET', entries, 'x'],
      ['SET', replicas, 'x'],
      ['SET', namespaces, 'x'],
      ['SET', histories, 'x'],
      ['HSET', history, 'id', 'x'],
      ['HSET', history, 'id', '-5'],
      ['HSET', history, 'id', '90071992547409931'],
      ['HSET', history, 'last', 'x'],
      ['HSET', history, 'last', '2.5'],
      ['HSET', history, 'last', '-3'],
      ['HSET', history, 'last', 'nan'],
      ['HSET', history, 'last', '9007199254740993'],
      ['HSET', namespaces, 'names', 'x'],
      ['HSET', namespaces, 'upto', 'x'],
      ['XADD', entries, '*', 'r', 'x'],
      ['XADD', entries, '1-1', 'r', 'x'],
      ['XSETID', entries, '1000-0'],
    ] as [string, string, ...string[]][]
    const [a, b] = [replicaOf(server), replicaOf(server)]
    await eventually(() => a.stream.append([tag('first')]))
    for (const [i, damage] of damages.entries()) {
      await eventually(() => assert.ok(b.failures.length > 0 && b.failures.at(-1) === undefined))
      const [command, ...args] = damage
      await server.admin.call(command, ...args)
      const record = tag(`behind ${i}`)
      // What was added behind the damage may have gone with it.
      await eventually(async () => {
        await a.stream.append([record])
        assert.match(a.heard.at(-1)!, new RegExp(`^behind ${i}@`), damage.join(' '))
      })
      await eventually(() => assert.match(b.heard.at(-1)!, new RegExp(`^behind ${i}@`), damage.join(' ')))
      await reaches(a, record, { replicas: 2, reached: 2 })
      // No entry wakes who waits for one while something else stands there.
      await eventually(async () => assert.notEqual(await server.admin.type(histories!), 'string'))
    }
  })

  it('is never named beside a place of the one before by a replica that says by what it acts', async () => {
    const server = await RedisServer.of(scope)
    const said = new Set<string>()
    let emptied = false
    const a = replicaOf(server, undefined, async (name, entries) => {
      const [history, position] = String(await server.admin.hget('test:{purges}:replicas', name)).split(' ')
      said.add(`${history} ${position}`)
      // It says by what it acts next, and does not know yet that it is by nothing.
      if (entries < 2 || emptied) return
      emptied = true
      await server.admin.del('test:{purges}:history')
    })
    await settled(a, 'began 0')
    const before = a.history
    await a.stream.append([tag('x'), tag('y')])
    await eventually(() => assert.ok(a.history !== before && said.has(`${a.history} 0`)))
    assert.ok(said.has(`${before} 2`))
    assert.ok(!said.has(`${a.history} 2`), 'it would count as acting by what comes next')
  })

  it('a record that this version does not know is told as a purge of everything', async () => {
    const server = await RedisServer.of(scope)
    const a = replicaOf(server)
    await settled(a, 'began 0')
    await server.admin.xadd('test:{purges}:entries', '1-0', 'r', 'AAAA')
    await server.admin.hset('test:{purges}:history', 'last', '1')
    await settled(a, 'began 0', 'everything@1')
    await a.stream.append([tag('x')])
    await settled(a, 'began 0', 'everything@1', 'x@2')
  })

  it('says which replicas act by a purge: one that stands still does not, one that has left is none', async () => {
    const server = await RedisServer.of(scope)
    const [a, b] = [replicaOf(server), replicaOf(server)]
    await settled(a, 'began 0')
    await settled(b, 'began 0')
    const first = tag('x')
    await a.stream.append([first])
    await reaches(a, first, { replicas: 2, reached: 2 })
    await server.admin.hset(
      'test:{purges}:replicas',
      'stands-still',
      `${a.history} 0 still ${Math.floor(Date.now() / 1_000) + 600}`,
    )
    const second = tag('y')
    await a.stream.append([second])
    await reaches(a, second, { replicas: 3, reached: 2 })
    await server.admin.hset('test:{purges}:replicas', 'stands-still', `${a.history} 0 still 1`)
    b.stream.stop()
    const third = tag('z')
    await a.stream.append([third])
    await reaches(a, third, { replicas: 1, reached: 1 })
  })

  it('waits for no replica for a year that has ended before the clock of Redis was set back by one', async () => {
    const server = await RedisServer.of(scope)
    const a = replicaOf(server)
    await settled(a, 'began 0')
    const now = Math.floor(Date.now() / 1_000)
    await server.admin.hset('test:{purges}:replicas', 'ended', `${a.history} 0 ended ${now + 31_536_000}`)
    const first = tag('x')
    await a.stream.append([first])
    await reaches(a, first, { replicas: 2, reached: 1 })
    const said = String(await server.admin.hget('test:{purges}:replicas', 'ended'))
    assert.match(said, new RegExp(`^${a.history} 0 ended \\d+$`))
    // From here on it is as late as any other.
    assert.ok(Number(said.split(' ').at(-1)) < now + 600, said)
  })
})
