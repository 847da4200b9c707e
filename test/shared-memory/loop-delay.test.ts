import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { watchLoopDelay } from '../../src/shared-memory/loop-delay.ts'
import { createMetrics, WorkerMetrics } from '../../src/shared-memory/metrics.ts'
import { MetricsReader } from '../../src/shared-memory/metrics-reader.ts'

suite('loop delay', () => {
  test('the longest delay is reported for one to two windows of 15 s', () => {
    const shared = createMetrics({ workers: 1 })
    const reader = new MetricsReader(shared)
    let now = 1_000
    let tick = () => {}
    let interval = 0
    watchLoopDelay(
      new WorkerMetrics(shared, 0),
      () => now,
      (run, every) => {
        tick = run
        interval = every
      },
    )
    const shown = () => reader.cell(0, reader.layout.loopDelay)
    const pass = (time: number, late = 0) => {
      for (const end = now + time; now < end; tick()) now += interval + late
    }
    pass(1_000)
    assert.equal(shown(), 0)
    pass(1, 30)
    assert.equal(shown(), 30)
    pass(12_000, 2)
    assert.equal(shown(), 30)
    pass(14_000)
    assert.equal(shown(), 30, 'a scrape every 15 s sees it')
    pass(5_000)
    assert.ok(shown() <= 2)
  })

  test('a blocked event loop is measured', async () => {
    const shared = createMetrics({ workers: 1 })
    const reader = new MetricsReader(shared)
    const timer = watchLoopDelay(new WorkerMetrics(shared, 0), () => performance.now(), setInterval)
    for (const end = performance.now() + 120; performance.now() < end; );
    await new Promise((resolve) => setTimeout(resolve, 20))
    clearInterval(timer)
    assert.ok(reader.cell(0, reader.layout.loopDelay) >= 60)
  })
})
