import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { timeSince, timeWord } from '../../src/shared-memory/time-words.ts'

const DAY = 86_400_000

suite('times in words of 32 bits', () => {
  const starts = [
    0,
    0.4,
    1,
    2 ** 31 - 1,
    2 ** 31,
    2 ** 31 + 0.5,
    2 ** 32 - 1,
    2 ** 32,
    2 ** 32 + 1,
    365 * DAY,
    50_000 * DAY,
  ]

  test('tell how long ago it was, for seven weeks from any moment on', () => {
    for (const start of starts)
      for (const passed of [0, 1, 999, 2 ** 31 - 1, 2 ** 31, 2 ** 31 + 1, 30 * DAY, 49 * DAY]) {
        const since = timeSince(timeWord(start), start + passed)
        assert.ok(Math.abs(since - passed) <= 1, `${since} instead of ${passed} from ${start} on`)
      }
  })

  test('are never 0, and no time has passed for a thread that is behind', () => {
    for (const start of starts) {
      assert.notEqual(timeWord(start), 0)
      for (const behind of [1, 500, 30_000]) assert.equal(timeSince(timeWord(start + behind), start), 0)
    }
  })
})
