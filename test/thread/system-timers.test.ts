import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { systemTimers } from '../../src/thread/system-timers.ts'

const DAY = 86_400_000

suite('timers of the system', () => {
  // Those of Node ring after a millisecond then: settings allow 99999d.
  test('wait for longer than 24.8 days', async () => {
    let rung = 0
    const cancels = [2 ** 31, 30 * DAY, 99_999 * DAY, Number.POSITIVE_INFINITY].map((time) =>
      systemTimers.after(time, () => rung++),
    )
    await delay(50)
    assert.equal(rung, 0)
    for (const cancel of cancels) cancel()
  })

  test('ring when the time has come, and not where they were cancelled on the way', (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const rung = new Map<number, number>()
    let hour = 0
    const days = [1, 24, 25, 30, 60, 99]
    const cancels = days.map((day) => systemTimers.after(day * DAY, () => rung.set(day, hour)))
    for (; hour < 100 * 24; hour++) {
      t.mock.timers.tick(DAY / 24)
      if (hour === 40 * 24) cancels[days.indexOf(60)]!()
    }
    assert.deepEqual([...rung.keys()], [1, 24, 25, 30, 99])
    // What is begun within a tick begins at its end.
    for (const [day, at] of rung) assert.ok(at + 1 >= day * 24 && at + 1 <= day * 24 + 4, `day ${day}: hour ${at + 1}`)
  })

  // As of a thread that begins on a busy machine: clocks of two workers were apart by up to 164 ms, for their lives.
  test('tell the time that all threads have, however long a thread waited for a CPU when it began', async (t) => {
    const shared = process.hrtime.bigint.bind(process.hrtime)
    let looks = 0
    t.mock.method(process.hrtime, 'bigint', () => {
      const now = shared()
      for (const until = now + (looks++ < 10 ? 20_000_000n : 0n); shared() < until; );
      return now
    })
    const from = new URL('../../src/thread/system-timers.ts?begins', import.meta.url).href
    const { systemTimers: begun } = (await import(from)) as { systemTimers: typeof systemTimers }
    assert.ok(looks > 0)
    // Of several looks the least: this thread may wait, too.
    const apart = Math.min(...Array.from({ length: 50 }, () => Math.abs(Number(shared()) / 1e6 - begun.monotonic())))
    assert.ok(apart < 1, `${apart} ms`)
  })
})
