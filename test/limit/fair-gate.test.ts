import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import fc from 'fast-check'
import { FairGate, type GatedWork } from '../../src/limit/fair-gate.ts'

/** A gate whose turns the test makes. */
class Rig {
  readonly #turns: (() => void)[] = []
  readonly begun: string[] = []
  readonly interrupted: string[] = []
  readonly gate: FairGate

  constructor(all: number, perSource: number, perTurn: number) {
    this.gate = new FairGate({ all, perSource, perTurn }, (run) => this.#turns.push(run))
  }

  work(source: string, name = source): GatedWork {
    return { source, begin: () => void this.begun.push(name), interrupt: () => void this.interrupted.push(name) }
  }

  turn(): boolean {
    const runs = this.#turns.splice(0)
    for (const run of runs) run()
    return runs.length > 0
  }
}

suite('a fair gate', () => {
  test('begins at once what fits, and the rest as places come free', () => {
    const rig = new Rig(2, 2, 10)
    const [a, b, c] = ['a', 'b', 'c'].map((name) => rig.work(name)) as [GatedWork, GatedWork, GatedWork]
    assert.deepEqual([rig.gate.enter(a), rig.gate.enter(b), rig.gate.enter(c)], [true, true, false])
    rig.turn()
    assert.deepEqual(rig.begun, ['a', 'b'])
    rig.gate.leave(a, true)
    rig.turn()
    assert.deepEqual(rig.begun, ['a', 'b', 'c'])
    rig.gate.leave(b, true)
    rig.gate.leave(c, true)
    assert.deepEqual([rig.gate.active, rig.gate.waiting, rig.gate.sizeOf('a')], [0, 0, 0])
  })

  test('begins no more in one turn than its bound, however many places are free', () => {
    const rig = new Rig(100, 100, 3)
    for (let i = 0; i < 8; i++) rig.gate.enter(rig.work('a', `${i}`))
    assert.equal(rig.begun.length, 3)
    rig.turn()
    assert.equal(rig.begun.length, 6)
    rig.turn()
    assert.deepEqual(rig.begun, ['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  test('takes places that are held for long from those that are in the way of others, and no others', () => {
    const rig = new Rig(4, 2, 100)
    const enter = (source: string, name: string): GatedWork => {
      const work = rig.work(source, name)
      rig.gate.enter(work)
      return work
    }
    const stalled = ['a1', 'a2', 'b1', 'b2'].map((name) => enter(name[0]!, name))
    rig.gate.relieve()
    rig.gate.relieve()
    assert.deepEqual(rig.interrupted, [], 'nobody waits')
    enter('c', 'c1')
    rig.gate.relieve()
    assert.deepEqual(rig.interrupted, ['a1'], 'one for the source that waits')
    rig.gate.leave(stalled[0]!, true)
    rig.turn()
    assert.deepEqual(rig.begun.slice(4), ['c1'])
    enter('a', 'a3')
    enter('a', 'a4')
    rig.interrupted.length = 0
    rig.gate.relieve()
    assert.deepEqual(rig.interrupted, ['a2'], 'another place for the source that waits')
  })

  test('takes places within a source that has all of its own, and from no other', () => {
    const rig = new Rig(10, 2, 100)
    for (const name of ['b1', 'a1', 'a2', 'a3']) rig.gate.enter(rig.work(name[0]!, name))
    rig.gate.relieve()
    assert.deepEqual(rig.interrupted, [], 'it has only begun')
    rig.gate.relieve()
    assert.deepEqual(rig.interrupted, ['a1'])
  })

  test('gives sources turns: who comes late does not wait for the backlog of another', () => {
    const rig = new Rig(4, 2, 100)
    for (let i = 0; i < 50; i++) rig.gate.enter(rig.work('flood', `flood${i}`))
    assert.deepEqual(rig.begun, ['flood0', 'flood1'])
    assert.equal(rig.gate.sizeOf('flood'), 50)
    rig.gate.enter(rig.work('late'))
    rig.turn()
    assert.deepEqual(rig.begun, ['flood0', 'flood1', 'late'])
  })

  test('forgets what does not wait any more', () => {
    const rig = new Rig(1, 1, 10)
    const [a, b] = [rig.work('a'), rig.work('b')]
    rig.gate.enter(a)
    rig.gate.enter(b)
    rig.gate.leave(b, false)
    rig.gate.leave(a, true)
    rig.turn()
    assert.deepEqual([rig.begun, rig.gate.waiting, rig.gate.active], [['a'], 0, 0])
  })

  test('never exceeds a bound, loses nothing and starves nobody', () => {
    const step = fc.oneof(
      fc.record({ type: fc.constant('enter'), source: fc.integer({ min: 0, max: 4 }) }),
      fc.record({ type: fc.constant('leave'), source: fc.nat() }),
      fc.record({ type: fc.constant('cancel'), source: fc.nat() }),
      fc.record({ type: fc.constant('turn'), source: fc.constant(0) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const active: GatedWork[] = []
        const waiting = new Set<GatedWork>()
        let begunInTurn = 0
        const turns: (() => void)[] = []
        const gate = new FairGate({ all: 5, perSource: 2, perTurn: 3 }, (run) => turns.push(run))
        const check = (): void => {
          assert.deepEqual([gate.active, gate.waiting], [active.length, waiting.size])
          assert.ok(active.length <= 5 && begunInTurn <= 3)
          for (const { source } of active) assert.ok(active.filter((one) => one.source === source).length <= 2)
        }
        const turn = (): void => {
          begunInTurn = 0
          for (const run of turns.splice(0)) run()
        }
        const enter = (source: string): void => {
          const work: GatedWork = {
            source,
            begin() {
              waiting.delete(work)
              active.push(work)
              begunInTurn++
            },
            interrupt() {},
          }
          waiting.add(work)
          gate.enter(work)
        }
        for (const { type, source } of steps) {
          if (type === 'enter') enter(`s${source}`)
          else if (type === 'turn') turn()
          else if (type === 'leave' && active.length > 0) gate.leave(active.splice(source % active.length, 1)[0]!, true)
          else if (type === 'cancel' && waiting.size > 0) {
            const work = [...waiting][source % waiting.size]!
            waiting.delete(work)
            gate.leave(work, false)
          }
          check()
        }
        for (let i = 0; i < 500 && (waiting.size > 0 || active.length > 0); i++) {
          for (const work of active.splice(0)) gate.leave(work, true)
          turn()
          check()
        }
        assert.deepEqual([waiting.size, active.length], [0, 0])
      }),
      { numRuns: 300 },
    )
  })
})
