import assert from 'node:assert/strict'
import { beforeEach, describe, it } from 'node:test'
import { HoldOff } from '../../src/source/hold-off.ts'
import { VirtualTime } from '../lib/virtual-time.ts'

describe('holding off', () => {
  let time: VirtualTime

  beforeEach(() => {
    time = new VirtualTime()
  })

  const takes = (milliseconds: number): Promise<void> => new Promise((resolve) => time.after(milliseconds, resolve))

  it('runs once for a burst, after the quiet time', async () => {
    const runs: number[] = []
    const hold = new HoldOff(time.keeper(), 20, 1_000, async () => void runs.push(time.now))
    for (let i = 0; i < 10; i++) {
      hold.hint()
      await time.pass(2)
    }
    await time.pass(80)
    await hold.close()
    assert.deepEqual(runs, [18 + 20])
  })

  it('is not delayed by a steady stream beyond the maximum', async () => {
    const runs: number[] = []
    const hold = new HoldOff(time.keeper(), 50, 60, async () => void runs.push(time.now))
    while (time.now < 400) {
      hold.hint()
      await time.pass(1)
    }
    await hold.close()
    assert.ok(runs.length >= 6, `at ${runs}`)
    for (const [i, at] of runs.entries()) assert.ok(at - (runs[i - 1] ?? 0) <= 61, `at ${runs}`)
  })

  it('never runs concurrently, and runs once more for triggers during a run', async () => {
    let running = 0
    let runs = 0
    const hold = new HoldOff(time.keeper(), 1, 5, async () => {
      assert.equal(++running, 1)
      runs++
      await takes(30)
      running--
    })
    hold.now()
    for (let i = 0; i < 5; i++) {
      hold.hint()
      await time.pass(1)
    }
    await time.pass(120)
    await hold.close()
    assert.equal(runs, 2)
  })

  it('waits for the current run when it closes, and starts none after it', async () => {
    let ended = 0
    const hold = new HoldOff(time.keeper(), 1, 5, async () => {
      await takes(30)
      ended++
    })
    hold.now()
    hold.hint()
    let closed = false
    const closing = hold.close().then(() => (closed = true))
    await time.pass(29)
    assert.equal(closed, false)
    await time.pass(1)
    await closing
    assert.equal(ended, 1)
    hold.hint()
    hold.now()
    await time.pass(60)
    assert.equal(ended, 1)
  })
})
