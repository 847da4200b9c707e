/** Large transfers share a turn of the event loop, so that others need not wait for all of them. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { H1Connection } from '../../src/http1/downstream-h1.ts'
import { H2Connection } from '../../src/http2/downstream-h2.ts'
import { BulkTurns, bulkTurns, PIECE, SHORT } from '../../src/socket/bulk-turns.ts'
import { type OutgoingSocket, openTcp } from '../../src/socket/outgoing-socket.ts'
import { FakeSocket, PEER, world } from '../fuzz/h2-frames.ts'
import { headers, PREFACE, settings } from '../http/raw-frames.ts'

const CAREFUL_TURNS = 256
const TRANSFERS = 40
const PIECES = 6

/** A loop whose turns are counted out. */
class Loop {
  readonly turns: BulkTurns
  #due: (() => void)[] = []
  served: string[] = []

  constructor() {
    this.turns = new BulkTurns((run) => this.#due.push(run))
  }

  /** Moves so many pieces, and may throw at one. */
  transfer(name: string, pieces: number, fault = -1): void {
    this.turns.wait(() => {
      this.served.push(name)
      if (pieces > 1) this.transfer(name, pieces - 1, fault)
      if (pieces === fault) throw new Error(name)
    })
  }

  /** @returns who was served in it */
  turn(): string[] {
    this.served = []
    const due = this.#due
    this.#due = []
    assert.ok(due.length <= 1, 'it is called once a turn')
    for (const run of due) run()
    return this.served
  }
}

describe('turns of large transfers', () => {
  it('serve each once before any twice, and so many in a turn as nobody minds', () => {
    const loop = new Loop()
    const names = Array.from({ length: 40 }, (_, i) => `t${i}`)
    for (const name of names) loop.transfer(name, 2)
    const turns = [loop.turn(), loop.turn(), loop.turn()]
    assert.deepEqual(
      turns.map(({ length }) => length),
      [32, 32, 16],
    )
    assert.deepEqual(turns.flat(), [...names, ...names])
    assert.deepEqual(loop.turn(), [])
  })

  it('serve nobody twice in a turn', () => {
    const loop = new Loop()
    loop.transfer('a', 3)
    loop.transfer('b', 2)
    assert.deepEqual([loop.turn(), loop.turn(), loop.turn(), loop.turn()], [['a', 'b'], ['a', 'b'], ['a'], []])
  })

  it('serve one in a turn for a while behind a short response, and many again later', () => {
    const loop = new Loop()
    for (const name of ['a', 'b', 'c']) loop.transfer(name, 1_000)
    loop.turns.ended(SHORT + 1)
    assert.deepEqual(loop.turn(), ['a', 'b', 'c'], 'a long one changes nothing')
    loop.turns.ended(SHORT)
    const names = ['a', 'b', 'c']
    for (let turn = 0; turn < CAREFUL_TURNS; turn++) assert.deepEqual(loop.turn(), [names[turn % 3]])
    assert.equal(loop.turn().length, 3)
  })

  it('go on behind one that throws', () => {
    const loop = new Loop()
    loop.transfer('a', 1, 1)
    loop.transfer('b', 1)
    assert.throws(() => loop.turn(), /a/)
    assert.deepEqual(loop.turn(), ['b'])
    assert.deepEqual(loop.turn(), [])
  })
})

describe('a short response', () => {
  const GET = Buffer.from('GET /now HTTP/1.1\r\nhost: f.test\r\n\r\n')
  const PSEUDO = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':authority', 'f.test'],
    [':path', '/now'],
  ] as const
  const ways: readonly (readonly [how: string, answer: () => { destroy(): void }])[] = [
    [
      'over HTTP/1.1',
      () => {
        const connection = new H1Connection(() => new FakeSocket() as unknown as Socket, PEER, world().context)
        connection.receive(GET)
        return connection
      },
    ],
    [
      'that was given before',
      () => {
        const { context } = world()
        context.requests.repeat = () => 'HTTP/1.1 204 No Content\r\n\r\n'
        const connection = new H1Connection(() => new FakeSocket() as unknown as Socket, PEER, context)
        assert.ok(connection.repeat(GET, GET.length))
        return connection
      },
    ],
    [
      'over HTTP/2',
      () => {
        const connection = new H2Connection(() => new FakeSocket() as unknown as Socket, PEER, world().context)
        connection.receive(Buffer.concat([PREFACE, settings(), headers(1, PSEUDO)]))
        return connection
      },
    ],
  ]
  for (const [how, answer] of ways)
    it(`${how} has transfers go one in a turn`, async () => {
      let over = false
      let served = 0
      for (let i = 0; i < 8; i++) {
        const move = (): void => {
          served++
          if (!over) bulkTurns.wait(move)
        }
        bulkTurns.wait(move)
      }
      const inTurn = async (): Promise<number> => {
        served = 0
        await nextTurn()
        return served
      }
      try {
        for (let turn = 0; turn <= CAREFUL_TURNS; turn++) await nextTurn()
        assert.equal(await inTurn(), 8)
        const connection = answer()
        assert.equal(await inTurn(), 1)
        assert.equal(await inTurn(), 1)
        connection.destroy()
      } finally {
        over = true
      }
    })
})

describe('many endpoints that send at once', () => {
  it('are read one in a turn while short responses are sent, each to its end', async (t) => {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {})
      socket.end(Buffer.alloc(PIECES * PIECE))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const accepted = new Set<Socket>()
    server.on('connection', (socket) => accepted.add(socket))
    const opened: OutgoingSocket[] = []
    t.after(() => {
      for (const outgoing of opened) outgoing.reset()
      for (const socket of accepted) socket.destroy()
      server.close()
    })
    let turn = 0
    let left = TRANSFERS * PIECES * PIECE
    /** Whole pieces, by turn. */
    const reads: number[] = []
    for (let i = 0; i < TRANSFERS; i++) {
      const outgoing = openTcp('127.0.0.1', port)
      outgoing.receive = (_, length) => {
        left -= length
        if (length === PIECE) reads[turn] = (reads[turn] ?? 0) + 1
      }
      opened.push(outgoing)
      // All is there before anything is read.
      outgoing.socket.pause()
    }
    await Promise.all(opened.map(({ socket }) => once(socket, 'connect')))
    while (accepted.size < TRANSFERS) await nextTurn()
    for (let i = 0; i < 100; i++) await nextTurn()
    for (const { socket } of opened) socket.resume()
    while (left > 0) {
      turn++
      bulkTurns.ended(0)
      await nextTurn()
    }
    assert.equal(left, 0)
    // In the first, each reads what it has; where a read came to less than a piece, what follows is not waited for.
    const many = reads.filter((count) => count > TRANSFERS / 4).length
    assert.ok(many <= PIECES / 2, `${many} turns with more than ${TRANSFERS / 4} pieces: ${reads.join(' ')}`)
    assert.ok(reads.filter((count) => count === 1).length >= TRANSFERS, reads.join(' '))
  })
})
