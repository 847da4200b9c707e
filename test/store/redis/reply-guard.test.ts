import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, describe, it } from 'node:test'
import { RedisClient } from '../../../src/store/redis/redis-client.ts'
import { RedisFault } from '../../../src/store/redis/redis-fault.ts'
import { RedisScript } from '../../../src/store/redis/redis-script.ts'
import { ReplyGuard } from '../../../src/store/redis/reply-guard.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'

const GOOD = [
  '+OK\r\n',
  '-ERR no such thing\r\n',
  ':-12\r\n',
  '$-1\r\n',
  '*-1\r\n',
  '$0\r\n\r\n',
  '*0\r\n',
  '*4\r\n:1\r\n:99\r\n:0\r\n:600\r\n',
  '*3\r\n$6\r\nmaster\r\n:3129659\r\n*1\r\n*3\r\n$9\r\n127.0.0.1\r\n$4\r\n9001\r\n$7\r\n3129242\r\n',
  // What stands in a string is no frame.
  '$21\r\n>1\r\n_\r\n*99999999999\r\n\r\n',
]

/** What the decoder would make room for, wait for, or fail at. */
const EVIL = {
  'an array that nobody can hold': '*99999999999\r\n',
  'arrays in arrays': '*60000\r\n'.repeat(2),
  'a string that nobody can hold': '$100000000000\r\nabc',
  'a push of RESP3': '>1\r\n_\r\n',
  'a push behind half of a line': '+a\rb>1\r\n_\r\n',
  'a line of HTTP': 'HTTP/1.1 400 Bad Request\r\n\r\n',
  'a length of nothing': '*\r\n',
  'a length below null': '$-12\r\n',
  'a length with something in it': '$1e9\r\n',
}

const check = (text: string): string | undefined => new ReplyGuard().check(Buffer.from(text, 'latin1'))

describe('the guard of replies', () => {
  it('lets replies pass, wherever chunks end', () => {
    const bytes = Buffer.from(GOOD.join('') + GOOD.toReversed().join(''), 'latin1')
    for (let size = 1; size <= bytes.length; size++) {
      const guard = new ReplyGuard()
      for (let at = 0; at < bytes.length; at += size)
        assert.equal(guard.check(bytes.subarray(at, at + size)), undefined, `chunks of ${size}, at ${at}`)
    }
  })

  it('refuses what is none, or holds too much', () => {
    for (const [name, text] of Object.entries(EVIL)) assert.notEqual(check(text), undefined, name)
    assert.match(check(`*9000\r\n${'$1000\r\n'.padEnd(1_007, 'x').concat('\r\n').repeat(9_000)}`) ?? '', /bytes/)
  })

  it('counts each reply for itself', () => {
    const guard = new ReplyGuard()
    const reply = Buffer.from(`$${1_048_576}\r\n${'x'.repeat(1_048_576)}\r\n*60000\r\n${':1\r\n'.repeat(60_000)}`)
    for (let i = 0; i < 12; i++) assert.equal(guard.check(reply), undefined)
  })
})

describe('the client of a Redis that is none', () => {
  const closing: (() => unknown)[] = []
  after(() => Promise.all(closing.map((close) => close())))

  /** Greets as Redis does, and answers every script with this. */
  async function answering(reply: string): Promise<number> {
    const sockets = new Set<Socket>()
    const server = createServer((socket) => {
      sockets.add(socket.on('error', () => {}))
      socket.on('data', (chunk) => {
        const text = chunk.toString('latin1')
        if (/ping/i.test(text)) socket.write('+PONG\r\n')
        if (/role/i.test(text)) socket.write('*1\r\n$6\r\nmaster\r\n')
        if (/evalsha/i.test(text)) socket.write(reply, 'latin1')
      })
    }).listen(0, '127.0.0.1')
    closing.push(() => {
      for (const socket of sockets) socket.destroy()
      server.close()
    })
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }

  for (const [name, reply] of Object.entries(EVIL))
    it(`lets go of a connection that sends ${name}`, async () => {
      const answers = Promise.withResolvers<void>()
      const client = new RedisClient(
        { mode: 'Single', endpoints: [{ host: '127.0.0.1', port: await answering(reply) }] },
        { deadline: 10_000, inFlight: 64 },
        { time: systemTimers, random: () => 0, changed: () => answers.resolve() },
      )
      closing.push(() => client.close())
      await answers.promise
      await assert.rejects(
        client.run(new RedisScript('return 1'), ['a'], []),
        (fault: unknown) => fault instanceof RedisFault && fault.kind === 'broken',
      )
    })
})
