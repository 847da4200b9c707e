import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseGrpcPushback, parseRetryAfter } from '../../src/balance/retry-after.ts'

const NOW = Date.parse('Sun, 29 Nov 2026 10:00:00 GMT')

describe('Retry-After', () => {
  it('is seconds or a date', () => {
    assert.equal(parseRetryAfter('0', NOW), 0)
    assert.equal(parseRetryAfter('120', NOW), 120_000)
    assert.equal(parseRetryAfter('Sun, 29 Nov 2026 10:00:05 GMT', NOW), 5_000)
    assert.equal(parseRetryAfter('Sun, 29 Nov 2026 09:00:00 GMT', NOW), 0, 'it has passed')
    assert.equal(parseRetryAfter('999999999', NOW), 999_999_999_000)
  })

  it('is nothing where it is anything else', () => {
    const others = ['', '-1', '1.5', '1e3', ' 5', '9999999999', 'soon', '2026-11-29', 'Xyz, 99 Abc 2026 99:99:99 GMT']
    for (const value of [undefined, ...others]) assert.equal(parseRetryAfter(value, NOW), 0, `${value}`)
  })

  it('of gRPC is milliseconds, and a word against any retry where it is not', () => {
    assert.equal(parseGrpcPushback(undefined), 0)
    assert.equal(parseGrpcPushback('250'), 250)
    for (const value of ['-1', '', 'x', '1.5', '99999999999'])
      assert.equal(parseGrpcPushback(value), Number.POSITIVE_INFINITY, value)
  })
})
