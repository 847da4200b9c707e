import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { ListenerSpec } from '../../src/api/settings.ts'
import { ListenerPorts } from '../../src/supervisor/listener-ports.ts'
import { ClaimError, type PortClaim } from '../../src/supervisor/ports.ts'
import type { ListenerFailure, ListenerSettings } from '../../src/thread/messages.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'
import { eventually } from '../feature/harness.ts'

interface World {
  readonly ports: ListenerPorts
  /** Ports that somebody else has. */
  readonly taken: Set<number>
  /** What was tried, in order. */
  readonly tried: number[]
  /** As told last, by name. */
  sockets: ReadonlyMap<string, string>
  failures: readonly ListenerFailure[]
  told: number
}

const text = ({ address, port }: ListenerSettings): string => `${address} ${port}`

function world(t: { after(end: () => void): void }, started: readonly ListenerSpec[]): World {
  const sockets = started.map(({ name, address = '::', port }) => ({ name, address, port: port || 40_000 }))
  const taken = new Set<number>()
  const tried: number[] = []
  let free = 50_000
  const claim = async (claims: readonly PortClaim[]): Promise<number[]> =>
    claims.map(({ what, address: { port } }) => {
      tried.push(port)
      if (taken.has(port)) throw new ClaimError(`${what}: ${port} is taken`, 'Choose another.')
      return port || ++free
    })
  const ports = new ListenerPorts(
    {
      everyAddress: '::',
      claim,
      time: { ...systemTimers, monotonic: () => 0 },
      changed: (open, failures) => {
        made.sockets = new Map(open.map((socket) => [socket.name, text(socket)]))
        made.failures = failures
        made.told++
      },
    },
    started,
    sockets,
  )
  const made: World = {
    ports,
    taken,
    tried,
    sockets: new Map(sockets.map((socket) => [socket.name, text(socket)])),
    failures: [],
    told: 0,
  }
  t.after(() => ports.stop())
  return made
}

const listener = (name: string, port: number, address?: string): ListenerSpec => ({
  name,
  port,
  ...(address !== undefined && { address }),
})

describe('sockets of listeners whose settings change', () => {
  it('are not tried again where another listener of ours has them', async (t) => {
    const it = world(t, [listener('a', 1), listener('b', 2)])
    // Whoever tried them would find them taken: by ourselves.
    for (const port of [1, 2]) it.taken.add(port)
    it.ports.want([listener('a', 2), listener('b', 1)])
    await eventually(() => assert.deepEqual([it.sockets.get('a'), it.sockets.get('b')], [':: 2', ':: 1']))
    it.ports.want([listener('c', 2), listener('b', 1, '127.0.0.1')])
    await eventually(() => assert.deepEqual([...it.sockets.keys()].sort(), ['b', 'c']))
    assert.deepEqual([it.sockets.get('b'), it.sockets.get('c')], ['127.0.0.1 1', ':: 2'])
    assert.deepEqual([it.tried, it.failures], [[], []])
  })

  it('keep the port that was found for 0, and get one when they come with 0', async (t) => {
    const it = world(t, [listener('a', 0)])
    it.ports.want([listener('b', 0), listener('a', 0), listener('constructor', 0)])
    await eventually(() => assert.equal(it.sockets.size, 3))
    assert.equal(it.sockets.get('a'), ':: 40000')
    assert.equal(new Set(it.sockets.values()).size, 3)
    const found = it.sockets.get('b')
    it.ports.want([listener('b', 0)])
    await eventually(() => assert.equal(it.sockets.size, 1))
    assert.equal(it.sockets.get('b'), found)
  })

  it('are told nothing when only the order is another', async (t) => {
    const it = world(t, [listener('a', 1), listener('b', 2)])
    it.ports.want([listener('b', 2), listener('a', 1)])
    it.ports.want([listener('b', 2), listener('a', 1), listener('c', 3)])
    await eventually(() => assert.equal(it.sockets.size, 3))
    assert.equal(it.told, 1)
  })

  it('stay where they are while the new one cannot be had, and follow when it can', async (t) => {
    const it = world(t, [listener('a', 1), listener('b', 2)])
    it.taken.add(9)
    it.ports.want([listener('b', 2), listener('a', 9)])
    await eventually(() => assert.equal(it.failures.length, 1))
    assert.equal(it.sockets.get('a'), ':: 1')
    assert.match(
      it.failures[0]!.message,
      /^listener a: 9 is taken; until that changes it stays at \[::\]:1\. Choose another\.$/,
    )
    it.taken.delete(9)
    await eventually(() => assert.deepEqual([it.sockets.get('a'), it.failures], [':: 9', []]))
  })

  it('stand back for a listener whose they are by the settings', async (t) => {
    const it = world(t, [listener('a', 1), listener('b', 2)])
    it.taken.add(9)
    it.ports.want([listener('a', 9), listener('b', 1)])
    await eventually(() => assert.equal(it.failures.length, 1))
    assert.deepEqual([...it.sockets], [['b', ':: 1']])
    assert.match(it.failures[0]!.message, /it is not open, and is tried again/)
  })

  it("are one listener's where two ask for them: of whoever has them, else of the first by name", async (t) => {
    const it = world(t, [listener('m', 1)])
    it.ports.want([listener('z', 5), listener('a', 1, '127.0.0.1'), listener('m', 1), listener('b', 5)])
    await eventually(() => assert.equal(it.failures.length, 2))
    assert.deepEqual([it.sockets.get('m'), it.sockets.get('b')], [':: 1', ':: 5'])
    assert.deepEqual(
      it.failures.map(({ name }) => name),
      ['a', 'z'],
    )
  })

  it('depend on the newest settings alone once nothing is taken, whatever came before and in any order', async (t) => {
    const names = ['a', 'b', 'c', 'd']
    const settings = fc
      .uniqueArray(fc.tuple(fc.constantFrom(...names), fc.integer({ min: 1, max: 6 })), {
        minLength: 1,
        selector: ([name]) => name,
      })
      .filter((list) => new Set(list.map(([, port]) => port)).size === list.length)
    await fc.assert(
      fc.asyncProperty(fc.array(settings, { minLength: 1, maxLength: 6 }), settings, async (history, last) => {
        const it = world(t, [listener('a', 1)])
        for (const list of [...history, last]) {
          it.ports.want(list.map(([name, port]) => listener(name, port)))
          if (list.length % 2 === 0) await new Promise(setImmediate)
        }
        const wanted = last.map(([name, port]) => `${name} :: ${port}`).sort()
        await eventually(() => assert.deepEqual([...it.sockets].map((socket) => socket.join(' ')).sort(), wanted))
        assert.deepEqual(it.failures, [])
      }),
    )
  })
})
