import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { HoldOff } from '../../src/source/hold-off.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'

describe('holding off', () => {
  it('runs once for a burst, after the quiet time', async () => {
    const runs: number[] = []
    const hold = new HoldOff(systemTimers, 20, 1_000, async () => void runs.push(performance.now()))
    for (let i = 0; i < 10; i++) {
      hold.hint()
      await sleep(2)
    }
    const last = performance.now()
    await sleep(80)
    await hold.close()
    assert.equal(runs.length, 1)
    assert.ok(runs[0]! >= last)
  })

  it('is not delayed by a steady stream beyond the maximum', async () => {
    let runs = 0
    const hold = new HoldOff(systemTimers, 50, 60, async () => void runs++)
    const end = performance.now() + 400
    while (performance.now() < end) {
      hold.hint()
      await sleep(1)
    }
    await hold.close()
    assert.ok(runs >= 3, `${runs} runs in 400 ms`)
  })

  it('never runs concurrently, and runs once more for triggers during a run', async () => {
    let running = 0
    let runs = 0
    const hold = new HoldOff(systemTimers, 1, 5, async () => {
      assert.equal(++running, 1)
      runs++
      await sleep(30)
      running--
    })
    hold.now()
    for (let i = 0; i < 5; i++) {
      hold.hint()
      await sleep(1)
    }
    await sleep(120)
    await hold.close()
    assert.equal(runs, 2)
  })

  it('waits for the current run when it closes, and starts none after it', async () => {
    let ended = 0
    const hold = new HoldOff(systemTimers, 1, 5, async () => {
      await sleep(30)
      ended++
    })
    hold.now()
    hold.hint()
    await hold.close()
    assert.equal(ended, 1)
    hold.hint()
    hold.now()
    await sleep(60)
    assert.equal(ended, 1)
  })
})
