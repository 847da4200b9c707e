import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { closedPort, echoBackend } from '../feature/backends.ts'
import { eventually } from '../feature/harness.ts'
import { request } from '../feature/raw-client.ts'
import { InProcess, inProcess } from './in-process.ts'
import { settingsWith, toUp } from './test-plane.ts'

const at = (name: string, port: number) => ({ name, address: '127.0.0.1', port })

async function refuses(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return false
  } catch {
    return true
  } finally {
    socket.destroy()
  }
}

describe('the listeners of a worker', () => {
  it('are open but for those that cannot be, which are tried again by themselves', async (t) => {
    const [free, taken] = (await Promise.all([closedPort(), closedPort()])) as [number, number]
    const other = createServer().listen(taken, '127.0.0.1')
    await once(other, 'listening')
    t.after(() => other.close())
    const echo = await echoBackend(t)
    const gateway = await inProcess(t, { upstreams: [echo.port], rules: toUp() })
    const { listeners } = gateway
    await listeners.apply(settingsWith([at('b', taken), at('a', free)]))
    assert.deepEqual(
      listeners.failures.map(({ name }) => name),
      ['b'],
    )
    assert.match(listeners.failures[0]!.message, /EADDRINUSE/)
    assert.equal((await request(free, {})).status, 200)
    other.close()
    await eventually(() => assert.deepEqual(listeners.failures, []))
    assert.deepEqual([...listeners.ports].sort(), [
      ['a', free],
      ['b', taken],
    ])
    assert.equal((await request(taken, {})).status, 200)
  })

  it('of a worker that has no tables yet, and will have some, are open once there is something to serve', async (t) => {
    const { listeners } = new InProcess({})
    t.after(() => listeners.destroy())
    const [first, second] = (await Promise.all([closedPort(), closedPort()])) as [number, number]
    await listeners.apply(settingsWith([at('a', first)]), true)
    // Others that come meanwhile change nothing about it.
    await listeners.apply(settingsWith([at('a', second)]))
    for (const port of [first, second]) assert.ok(await refuses(port))
    assert.equal(listeners.ports.size, 0)
    listeners.open()
    await eventually(async () => assert.equal(await refuses(second), false))
    assert.ok(await refuses(first))
    // One that serves goes on, whatever comes to it.
    listeners.open()
    await listeners.apply(settingsWith([at('a', second), at('b', first)]), true)
    for (const port of [first, second]) assert.equal(await refuses(port), false)
  })

  it('are those of the newest settings, however fast they come, and nothing else stays open', async (t) => {
    const ports = await Promise.all(Array.from({ length: 5 }, () => closedPort()))
    const { listeners } = await inProcess(t, {})
    const applied: Promise<void>[] = []
    for (let round = 0; round < 40; round++) {
      const wanted = ports.filter((_, i) => (round + i) % 3 > 0).map((port, i) => at(`n${(i + round) % 5}`, port))
      applied.push(listeners.apply(settingsWith(wanted)))
      if (round % 5 === 0) await new Promise(setImmediate)
    }
    applied.push(listeners.apply(settingsWith([at('last', ports[2]!), at('other', ports[0]!)])))
    await Promise.all(applied)
    assert.deepEqual(
      new Map(listeners.ports),
      new Map([
        ['last', ports[2]],
        ['other', ports[0]],
      ]),
    )
    assert.deepEqual(listeners.failures, [])
    for (const [i, port] of ports.entries()) assert.equal(await refuses(port!), i !== 2 && i !== 0, `port ${i}`)
  })

  it('are all closed when the worker ends while it opens some', async (t) => {
    const ports = await Promise.all(Array.from({ length: 4 }, () => closedPort()))
    for (let turns = 0; turns < 8; turns++) {
      const { listeners } = await inProcess(t, {})
      const applied = listeners.apply(settingsWith(ports.map((port, i) => at(`n${i}`, port))))
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate)
      listeners.destroy()
      await applied
      for (const port of ports) await eventually(async () => assert.ok(await refuses(port)))
    }
  })

  const linux = process.platform === 'linux' ? {} : { skip: 'the system does not balance SO_REUSEPORT' }

  it('accept several in each turn of those who come at once', linux, async (t) => {
    const port = await closedPort()
    const { listeners } = await inProcess(t, { reusePort: true })
    await listeners.apply(settingsWith([at('a', port)]))
    const clients = together(t, port)
    // Turns in which the loop has accepted one at least.
    let turns = 0
    for (let before = listeners.connections; before < CLIENTS; ) {
      await new Promise(setImmediate)
      if (listeners.connections > before) turns++
      before = listeners.connections
    }
    assert.equal(clients.length, CLIENTS)
    // With one socket it is as many as there are clients, with four it would take chance more than 10^9 tries.
    assert.ok(turns <= CLIENTS / 2, `${turns} turns`)
  })

  for (const reusePort of [true, false])
    it(`serve who waits to be accepted where a listener is closed, SO_REUSEPORT ${reusePort}`, linux, async (t) => {
      const [port, other] = (await Promise.all([closedPort(), closedPort()])) as [number, number]
      const echo = await echoBackend(t)
      const { listeners } = await inProcess(t, { reusePort, upstreams: [echo.port], rules: toUp() })
      await listeners.apply(settingsWith([at('a', port)]))
      const answers = together(t, port).map(answerOf)
      const applied = listeners.apply(settingsWith([at('b', other)]))
      const texts = await Promise.all(answers)
      await applied
      assert.deepEqual(new Set(texts.map((text) => text.slice(0, 12))), new Set(['HTTP/1.1 200']))
      assert.ok(await refuses(port))
    })
})

const CLIENTS = 96

/** Connections that the kernel has for the gateway before it can accept one, each with a request. */
function together(t: { after(run: () => void): void }, port: number): Socket[] {
  const sockets = Array.from({ length: CLIENTS }, () => {
    const socket = connect(port, '127.0.0.1')
    socket.write(`GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n`)
    return socket
  })
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  return sockets
}

/** What comes until the end, or the code of the error. */
function answerOf(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.setEncoding('latin1').on('data', (part: string) => {
      text += part
    })
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code!)).on('end', () => resolve(text))
  })
}
