import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { ContentChange } from '../../../src/policy/contents.ts'
import { ContentStore } from '../../../src/policy/contents.ts'
import { Circuit } from '../../../src/store/redis/circuit.ts'
import type { RedisConfig } from '../../../src/store/redis/connection.ts'
import { RedisAccess } from '../../../src/store/redis/redis-access.ts'
import { RedisClient, type RedisClientBounds } from '../../../src/store/redis/redis-client.ts'
import { RedisFault } from '../../../src/store/redis/redis-fault.ts'
import { RedisNames } from '../../../src/store/redis/redis-names.ts'
import { RedisScript } from '../../../src/store/redis/redis-script.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { eventually, suiteScope } from '../../feature/harness.ts'
import { TestAuthority } from '../../lib/certificates.ts'
import { FaultyWay } from '../../lib/faulty-way.ts'
import { NO_REDIS, RedisServer, type RedisServerOptions } from '../../lib/redis-server.ts'
import { TcpProxy } from '../../lib/tcp-proxy.ts'

const COUNT = new RedisScript(`return redis.call('INCRBY', KEYS[1], ARGV[1])`)
const LARGE = new RedisScript(`return string.rep('x', ARGV[1])`)
/** Wide: these tests are of what happens, and a machine under test may be slow. */
const BOUNDS = { deadline: 2_000, inFlight: 64 }

interface Rig {
  readonly client: RedisClient
  readonly states: string[]
  /** Until it says so for the nth time. */
  until(state: string, times?: number): Promise<void>
}

function clientOf(config: RedisConfig, bounds: RedisClientBounds = BOUNDS): Rig {
  const states: string[] = []
  let look = (): void => {}
  const client = new RedisClient(config, bounds, {
    time: systemTimers,
    random: () => 0,
    changed(state, message) {
      states.push(`${state} ${message}`)
      look()
    },
  })
  scope.after(() => client.close())
  const until = (state: string, times = 1): Promise<void> =>
    new Promise((resolve) => {
      look = () => {
        if (states.filter((text) => text.startsWith(state)).length >= times) resolve()
      }
      look()
    })
  return { client, states, until }
}

const scope = suiteScope()
const serverOf = (options?: RedisServerOptions): Promise<RedisServer> => RedisServer.of(scope, options)

const single = ({ host, port }: { host: string; port: number }, more: Partial<RedisConfig> = {}): RedisConfig => ({
  mode: 'Single',
  endpoints: [{ host, port }],
  ...more,
})

const kindOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    (reply) => `reply ${reply}`,
    (error: unknown) => {
      assert.ok(error instanceof RedisFault, String(error))
      return error.kind
    },
  )

describe('the client of Redis', { skip: NO_REDIS }, () => {
  it('runs scripts, in order, also ones that the server does not know', async () => {
    const server = await serverOf()
    const { client, until } = clientOf(single(server))
    assert.equal(await kindOf(client.run(COUNT, ['a'], [1])), 'away', 'before it has answered')
    await until('answers')
    const first = Array.from({ length: 10 }, () => client.run(COUNT, ['a'], [1]))
    assert.deepEqual((await Promise.all(first)).toSorted(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10].toSorted())
    await server.admin.script('FLUSH')
    assert.equal(await client.run(COUNT, ['a'], [5]), 15)
  })

  it('ends every call at its deadline while Redis stands still, then asks no more, and comes back', async () => {
    const server = await serverOf()
    const { client, until } = clientOf(single(server), { deadline: 50, inFlight: 64 })
    await until('answers')
    server.pause()
    const kinds = await Promise.all(Array.from({ length: 8 }, () => kindOf(client.run(COUNT, ['late'], [1]))))
    // The fifth in a row opens the circuit, and with it goes the connection of those behind it.
    assert.deepEqual(kinds.slice(0, 5), Array(5).fill('timeout'))
    for (const kind of kinds.slice(5)) assert.ok(kind === 'timeout' || kind === 'broken', kind)
    await until('away')
    assert.equal(client.answers, false)
    assert.equal(await kindOf(client.run(COUNT, ['late'], [1])), 'away')
    server.resume()
    await until('answers', 2)
    // What had been sent ran late or never, and once at most.
    assert.ok(Number((await server.admin.get('late')) ?? 0) <= 8)
  })

  it('asks on where calls are late because of the large replies ahead of them', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const way = await FaultyWay.open(server.port)
    scope.after(() => way.close())
    const [host, port] = way.address.split(':') as [string, string]
    const { client, states, until } = clientOf(single({ host, port: Number(port) }), { deadline: 500, inFlight: 64 })
    await until('answers')
    way.fault = 'narrow'
    const kinds = await Promise.all(Array.from({ length: 16 }, () => kindOf(client.run(LARGE, [], [256 * 1_024]))))
    assert.ok(kinds.filter((kind) => kind === 'timeout').length > 5, kinds.map((kind) => kind.slice(0, 10)).join())
    assert.ok(client.answers)
    assert.equal(states.length, 1)
    // What was late has come meanwhile.
    while ((await kindOf(client.run(COUNT, ['small'], [0]))) !== 'reply 0');
    assert.equal(states.length, 1)
  })

  it('sends no more than may be in flight', async () => {
    const server = await serverOf()
    const { client, until } = clientOf(single(server), { ...BOUNDS, inFlight: 128 })
    await until('answers')
    const kinds = await Promise.all(Array.from({ length: 100 }, () => kindOf(client.run(COUNT, ['full'], [1]))))
    // 64 after a start, and one more with each reply.
    assert.equal(kinds.filter((kind) => kind === 'full').length, 36)
    for (let i = 0; i < 10; i++) await client.run(COUNT, ['full'], [1])
    const later = await Promise.all(Array.from({ length: 200 }, () => kindOf(client.run(COUNT, ['full'], [1]))))
    assert.equal(later.filter((kind) => kind === 'full').length, 72)
  })

  it('goes on with a server that was killed and started anew', async () => {
    const server = await serverOf()
    const { client, until } = clientOf(single(server))
    await until('answers')
    await client.run(COUNT, ['gone'], [7])
    await server.kill()
    await until('away')
    await server.run()
    await until('answers', 2)
    assert.equal(await client.run(COUNT, ['gone'], [1]), 1)
  })

  it('takes the address whose server is no replica', async () => {
    const master = await serverOf()
    const replica = await serverOf({ replicaOf: master.port })
    const { client, until } = clientOf({ mode: 'Single', endpoints: [replica, master] })
    await until('answers')
    assert.equal(await client.run(COUNT, ['a'], [3]), 3)
    // A failover: who was the master refuses writes from now on.
    await replica.admin.replicaof('NO', 'ONE')
    await master.admin.replicaof(replica.host, replica.port)
    for (let i = 0; i < 5; i++) assert.equal(await kindOf(client.run(COUNT, ['b'], [1])), 'refused')
    await until('answers', 2)
    assert.equal(await client.run(COUNT, ['b'], [1]), 1)
    assert.equal(await replica.admin.get('b'), '1')
  })

  it('speaks TLS with a password, and says nothing of it', async () => {
    const authority = new TestAuthority('redis')
    const { cert, key } = authority.issue({ names: { ip: ['127.0.0.1'] } })
    const server = await serverOf({ password: 'open-sesame', tls: { cert, key, ca: authority.ca } })
    const good = clientOf(single(server, { password: 'open-sesame', tls: { ca: authority.ca } }))
    await good.until('answers')
    assert.equal(await good.client.run(COUNT, ['a'], [1]), 1)
    const wrong = clientOf(single(server, { password: 'open-barley', tls: { ca: authority.ca } }))
    await wrong.until('away')
    const stranger = clientOf(single(server, { password: 'open-sesame', tls: { ca: new TestAuthority('other').ca } }))
    await stranger.until('away')
    const clear = clientOf(single(server, { password: 'open-sesame' }))
    await clear.until('away')
    for (const { states } of [good, wrong, stranger, clear]) assert.doesNotMatch(states.join(), /open-/)
    assert.match(wrong.states[0]!, /WRONGPASS|NOAUTH/)
  })

  it('dials beside a connection or a dial over which nothing comes, and takes the first that is answered', async () => {
    const server = await serverOf()
    const way = await TcpProxy.start(server.port)
    scope.after(() => way.stop())
    const [host, port] = way.address.split(':') as [string, string]
    // Without it the deadline of the call, and that of the greeting, would be waited for.
    const bounds = { ...BOUNDS, deadline: 60_000, greeting: 60_000, overlap: 50 }
    way.swallow()
    const { client, states, until } = clientOf(single({ host, port: Number(port) }), bounds)
    await eventually(() => assert.ok(way.connections > 1))
    way.pass()
    await until('answers')
    for (let i = 0; i < 3; i++) {
      way.swallow()
      const lost = kindOf(client.run(COUNT, ['a'], [1]))
      await pause(200)
      way.pass()
      // What was sent over the one that is left may run.
      assert.equal(await lost, 'broken')
      assert.match(await kindOf(client.run(COUNT, ['b'], [1])), /^reply/)
    }
    assert.deepEqual(states, ['answers Redis answers'])
    // One that answers late is not left, and none stays beside it.
    const bytes = 'return string.rep("x", 32)'
    server.pause()
    const late = kindOf(client.run(new RedisScript(bytes), [], []))
    await pause(300)
    server.resume()
    assert.match(await late, /^reply|^broken/)
    await eventually(() => assert.equal(way.connections, 1))
  })

  it('takes a Redis that is far away for one, and dials nothing beside it', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    let dialled = 0
    const far = createServer((near) => {
      dialled++
      const socket = connect(server.port, server.host)
      for (const [from, to] of [
        [near, socket],
        [socket, near],
      ] as const) {
        from.on('error', () => {})
        from.on('close', () => to.destroy())
        from.on('data', (chunk) => void setTimeout(() => to.write(chunk), 100))
      }
    }).listen(0, '127.0.0.1')
    await once(far, 'listening')
    scope.after(() => void far.close())
    const { port } = far.address() as AddressInfo
    const { client, until } = clientOf(single({ host: '127.0.0.1', port }), {
      ...BOUNDS,
      deadline: 20_000,
      overlap: 50,
    })
    await until('answers')
    for (let i = 0; i < 8; i++) await kindOf(client.run(COUNT, ['a'], [1]))
    const before = dialled
    for (let i = 0; i < 10; i++) assert.match(await kindOf(client.run(COUNT, ['a'], [1])), /^reply/)
    assert.ok(dialled - before < 10, `${dialled - before} dials beside 10 calls`)
  })

  it('is reached by a name', async () => {
    const server = await serverOf()
    const { until } = clientOf(single({ host: 'localhost', port: server.port }), { ...BOUNDS, overlap: 50 })
    await until('answers')
    const names = new RedisNames(['localhost', '127.0.0.1'], systemTimers)
    assert.equal(names.known, false)
    const asked = names.resolve()
    assert.equal(names.resolve(), asked, 'one question at a time')
    await asked
    assert.equal(names.known, true)
    assert.equal(new RedisNames(['127.0.0.1', '::1'], systemTimers).known, true, 'nothing to be asked')
  })

  it('says once that its user may not do what is asked, and that it answers when a call has been answered', {
    timeout: 60_000,
  }, async () => {
    const server = await serverOf()
    await server.admin.call('ACL', 'SETUSER', 'admin', 'on', 'nopass', '~*', '+@all')
    await server.admin.call('AUTH', 'admin', 'any')
    await server.admin.call('ACL', 'SETUSER', 'default', '-incrby')
    const { client, states, until } = clientOf(single(server), { ...BOUNDS, pauses: { first: 1, longest: 1 } })
    // Each connection answers its PING, and refuses what is asked.
    for (let refused = 0; refused < 100; ) {
      if ((await kindOf(client.run(COUNT, ['a'], [1]))) === 'refused') refused++
      else await pause(1)
    }
    const away = /^away Redis cannot be asked: .*(NOPERM|can't run)/
    assert.equal(states.length, 4, states.join('\n'))
    for (const i of [1, 3]) assert.match(states[i]!, away)
    await server.admin.call('ACL', 'SETUSER', 'default', '+incrby')
    await eventually(async () => assert.equal(await kindOf(client.run(COUNT, ['a'], [1])), 'reply 1'))
    await until('answers', 3)
    assert.equal(states.length, 5, states.join('\n'))
  })

  it('takes no server for silent while its own thread stood still', { timeout: 60_000 }, async () => {
    const server = await serverOf()
    const { states, until } = clientOf(single(server), { ...BOUNDS, greeting: 2_000 })
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_100)
    await until('answers')
    assert.deepEqual(states, ['answers Redis answers'])
  })

  it('gives up a server that accepts and says nothing', async () => {
    const sockets: Socket[] = []
    const mute = createServer((socket) => void sockets.push(socket)).listen(0, '127.0.0.1')
    scope.after(() => {
      for (const socket of sockets) socket.destroy()
      mute.close()
    })
    await once(mute, 'listening')
    const { port } = mute.address() as { port: number }
    const { client, until } = clientOf(single({ host: '127.0.0.1', port }), { ...BOUNDS, greeting: 100 })
    await until('away')
    assert.equal(await kindOf(client.run(COUNT, ['a'], [1])), 'away')
  })
})

describe('the Redis of the settings', { skip: NO_REDIS }, () => {
  it('waits for its Secret, follows a rotated password, and ends with the settings', async () => {
    const server = await serverOf({ password: 'first' })
    const reports: string[] = []
    let look = (): void => {}
    const contents = new ContentStore(() => access.contentsChanged())
    const access = new RedisAccess(BOUNDS, {
      contents,
      time: systemTimers,
      random: () => 0,
      report(level, message) {
        reports.push(`${level} ${message}`)
        look()
      },
    })
    scope.after(() => access.stop())
    const until = (text: string, times: number): Promise<void> =>
      new Promise((resolve) => {
        look = () => {
          if (reports.filter((report) => report.includes(text)).length >= times) resolve()
        }
        look()
      })
    const passwordIs = (text: string): ContentChange[] => [
      { id: 'Secret a/redis password t', bytes: Buffer.from(text) },
    ]
    assert.equal(await kindOf(access.run(COUNT, ['a'], [1])), 'absent')
    access.use({
      mode: 'Single',
      addresses: [server.address],
      keyPrefix: 'hg',
      secret: {
        username: 'Secret a/redis username t',
        password: 'Secret a/redis password t',
        sentinelUsername: 'Secret a/redis sentinel-username t',
        sentinelPassword: 'Secret a/redis sentinel-password t',
      },
    })
    assert.deepEqual(reports, ['warn redis waits for Secret a/redis'])
    contents.apply(passwordIs('first'))
    await until('answers', 1)
    assert.equal(await access.run(COUNT, ['a'], [1]), 1)
    assert.equal(await server.admin.get('hg:a'), '1')
    // The Secret is ahead of the server: the connection that is let in goes on.
    contents.apply(passwordIs('second'))
    await until('cannot be asked', 1)
    assert.equal(await access.run(COUNT, ['a'], [1]), 2)
    await server.admin.config('SET', 'requirepass', 'second')
    await until('answers', 2)
    assert.equal(await access.run(COUNT, ['a'], [1]), 3)
    access.use(null)
    assert.equal(await kindOf(access.run(COUNT, ['a'], [1])), 'absent')
    assert.doesNotMatch(reports.join(), /first|second/)
  })
})

describe('the circuit', () => {
  it('opens after five failures in a row, and begins small', () => {
    const circuit = new Circuit(100)
    assert.equal(circuit.failed(), false, 'it is open from the start')
    circuit.close()
    for (let i = 0; i < 4; i++) assert.equal(circuit.failed(), false)
    circuit.succeeded()
    assert.deepEqual(
      [1, 2, 3, 4, 5].map(() => circuit.failed()),
      [false, false, false, false, true],
    )
    assert.equal(circuit.closed, false)
    for (let i = 0; i < 100; i++) circuit.succeeded()
    assert.equal(circuit.room, 100)
    circuit.close()
    assert.equal(circuit.room, 64)
  })
})
