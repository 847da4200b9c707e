import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type OutgoingSocket, openTcp } from '../../src/socket/outgoing-socket.ts'

const MIB = 1024 * 1024

async function pair(scope: { after(end: () => void): void }): Promise<[OutgoingSocket, Socket]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const outgoing = openTcp('127.0.0.1', port)
  const [accepted] = (await once(server, 'connection')) as [Socket]
  scope.after(() => {
    outgoing.reset()
    accepted.destroy()
    server.close()
  })
  return [outgoing, accepted]
}

describe('an endpoint that sends faster than is read', () => {
  it('is read a little in each turn of the loop, to the end', async (t) => {
    const [outgoing, accepted] = await pair(t)
    let turn = 0
    let read = 0
    const byTurn = new Map<number, number>()
    outgoing.receive = (_, length) => {
      read += length
      byTurn.set(turn, (byTurn.get(turn) ?? 0) + length)
    }
    accepted.end(Buffer.alloc(4 * MIB))
    while (read < 4 * MIB) {
      turn++
      await nextTurn()
    }
    assert.equal(read, 4 * MIB)
    // What was left of the turn before may come first.
    const most = Math.max(...byTurn.values())
    assert.ok(most <= 128 * 1024, `${most} bytes in one turn`)
  })

  it('stays paused where whoever reads has paused it', async (t) => {
    const [outgoing, accepted] = await pair(t)
    let read = 0
    outgoing.receive = (_, length) => {
      read += length
      if (read >= 64 * 1024) outgoing.socket.pause()
    }
    accepted.end(Buffer.alloc(4 * MIB))
    for (let turn = 0; turn < 100_000 && read < 64 * 1024; turn++) await nextTurn()
    const before = read
    for (let turn = 0; turn < 1_000; turn++) await nextTurn()
    assert.equal(read, before)
    outgoing.receive = (_, length) => {
      read += length
    }
    outgoing.socket.resume()
    for (let turn = 0; turn < 1_000_000 && read < 4 * MIB; turn++) await nextTurn()
    assert.equal(read, 4 * MIB)
  })
})
