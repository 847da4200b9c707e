import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type HeldFor, HeldMemory, Holding } from '../../src/transport/held-memory.ts'

/** An account whose turns the test makes. */
class Rig {
  readonly #turns: (() => void)[] = []
  readonly memory = new HeldMemory()
  readonly relieved: string[] = []

  constructor(limit: number) {
    this.memory.use(limit, (run) => this.#turns.push(run))
  }

  hold(of: HeldFor | null, name: string, bytes: number): Holding {
    const holding: Holding = new Holding(this.memory, of, {
      relieve: () => {
        this.relieved.push(name)
        holding.count(-holding.bytes)
      },
    })
    holding.count(bytes)
    return holding
  }

  turn(): void {
    for (const run of this.#turns.splice(0)) run()
  }
}

const client = (address: string): HeldFor => ({ address })

describe('memory that holds bodies', () => {
  it('is given up by the source that holds most, of it by the connection and the message that hold most', () => {
    const rig = new Rig(1_000)
    const [a, b, other] = [client('192.0.2.1'), client('192.0.2.1'), client('192.0.2.2')]
    rig.hold(other, 'other', 400)
    rig.hold(a, 'a1', 250)
    rig.hold(b, 'b1', 150)
    rig.hold(b, 'b2', 149)
    rig.turn()
    assert.deepEqual(rig.relieved, [], 'within the limit')
    rig.hold(other, 'small', 60)
    assert.deepEqual(rig.relieved, [], 'nothing fails within a call')
    rig.turn()
    assert.deepEqual(rig.relieved, ['b1'])
    assert.equal(rig.memory.bytes, 859)
  })

  it('counts all addresses of a site as one source, and connections by themselves', () => {
    const rig = new Rig(1_000)
    for (let i = 1; i <= 9; i++) rig.hold(client(`2001:db8::${i}`), `site${i}`, 100)
    rig.hold(client('2001:db8:1::1'), 'other', 200)
    rig.turn()
    assert.deepEqual(rig.relieved, ['site1'])
  })

  it('asks nobody twice, and goes on where one gives up nothing', () => {
    const rig = new Rig(100)
    let asked = 0
    const stubborn = new Holding(rig.memory, client('192.0.2.1'), { relieve: () => void asked++ })
    stubborn.count(90)
    rig.hold(client('192.0.2.2'), 'other', 50)
    rig.turn()
    assert.deepEqual([asked, rig.relieved, rig.memory.bytes], [1, ['other'], 90])
    stubborn.count(30)
    rig.turn()
    stubborn.count(-120)
    assert.deepEqual([asked, rig.memory.bytes], [1, 0])
  })

  it('under pressure holds nothing that can be done without; beyond twice of it no more of those that hold most', () => {
    const rig = new Rig(1_000)
    rig.memory.countDroppable(500)
    assert.ok(!rig.memory.pressed)
    rig.memory.countDroppable(1)
    assert.ok(rig.memory.pressed)
    const greedy = rig.hold(client('192.0.2.1'), 'greedy', 2_000)
    const modest = rig.hold(client('192.0.2.2'), 'modest', 100)
    assert.deepEqual([greedy.excessive, modest.excessive], [true, false])
    rig.turn()
    assert.deepEqual([rig.relieved, modest.excessive], [['greedy'], false])
  })

  it('is what its parts are, whatever is counted and given up', () => {
    const step = fc.record({ who: fc.nat({ max: 11 }), by: fc.integer({ min: -300, max: 400 }), turn: fc.boolean() })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
        const rig = new Rig(1_000)
        const clients = Array.from({ length: 6 }, (_, i) => client(`192.0.2.${i >> 1}`))
        const holdings = new Map<number, Holding>()
        for (const { who, by, turn } of steps) {
          const known = holdings.get(who)
          if (known === undefined || known.relieved)
            holdings.set(who, rig.hold(clients[who >> 1]!, `${who}`, Math.abs(by)))
          else known.count(Math.max(by, -known.bytes))
          if (!turn) continue
          rig.turn()
          assert.ok(rig.memory.bytes <= 1_000)
        }
        let sum = 0
        for (const holding of holdings.values()) sum += holding.bytes
        assert.equal(rig.memory.bytes, sum)
        for (const holding of holdings.values()) holding.count(-holding.bytes)
        assert.equal(rig.memory.bytes, 0)
      }),
    )
  })
})
