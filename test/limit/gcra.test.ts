import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { GcraLimiters } from '../../src/limit/gcra.ts'
import { limiterSuite } from '../suite/limiter.ts'

function rigAt(start: number, keys = 1_000) {
  let now = start
  return {
    limiters: new GcraLimiters(keys, { monotonic: () => now }),
    pass(milliseconds: number) {
      now += milliseconds
    },
  }
}

limiterSuite('by GCRA', () => rigAt(0))
limiterSuite('by GCRA, after a hundred days', () => rigAt(8_640_000_123.456))

const SLOW = { requests: 1, per: 60_000, burst: 1 }

describe('limiters by GCRA', () => {
  it('hold no more keys than their bound; of the owner with the most the one longest not used is forgotten', () => {
    const { limiters } = rigAt(0, 100)
    const calm = limiters.open({ owner: 'calm', name: 'a' }, SLOW)
    const noisy = limiters.open({ owner: 'noisy', name: 'a' }, SLOW)
    for (let i = 0; i < 10; i++) calm.take(`${i}`)
    noisy.take('keeps asking')
    for (let i = 0; i < 10_000; i++) {
      noisy.take(`${i}`)
      if (i % 50 === 0) assert.equal(noisy.take('keeps asking').allowed, false)
    }
    for (let i = 0; i < 10; i++) assert.equal(calm.take(`${i}`).allowed, false)
    assert.deepEqual(limiters.statistics(), { keys: 100, evictions: 9_911 })
  })

  it('count as forgotten only what was not at its full burst', () => {
    const { limiters, pass } = rigAt(0, 10)
    const limiter = limiters.open({ owner: 'shop', name: 'a' }, SLOW)
    for (let i = 0; i < 10; i++) limiter.take(`${i}`)
    pass(60_000)
    for (let i = 10; i < 20; i++) limiter.take(`${i}`)
    assert.deepEqual(limiters.statistics(), { keys: 10, evictions: 0 })
  })

  it('keep nothing of a key that was only refused', () => {
    const { limiters } = rigAt(0)
    limiters.open({ owner: 'shop', name: 'a' }, SLOW).take('a', 2)
    assert.equal(limiters.statistics().keys, 0)
  })
})
