import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { TokenBucket } from '../../src/lib/token-bucket.ts'

describe('a token bucket', () => {
  it('gives a burst, and then tokens as they come', () => {
    let now = 0
    const bucket = new TokenBucket({ perSecond: 10, burst: 2 }, () => now)
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 100])
    now = 100
    assert.deepEqual([bucket.take(), bucket.take()], [0, 100])
    now = 10_000
    assert.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 100])
  })

  it('gives several at once or none of them', () => {
    let now = 0
    const bucket = new TokenBucket({ perSecond: 1_000, burst: 100 }, () => now)
    assert.deepEqual([bucket.take(60), bucket.take(60), bucket.take(40)], [0, 20, 0])
    now = 20
    assert.equal(bucket.take(20), 0)
    now = 10
    assert.equal(bucket.take(1), 1, 'a clock that goes back gives nothing')
  })
})
