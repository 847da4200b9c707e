import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { formatGrpcTimeout, parseGrpcTimeout } from '../../src/grpc/timeout.ts'

const MILLISECONDS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1_000, m: 1, u: 0.001, n: 1e-6 }

describe('grpc-timeout', () => {
  it('is one to eight digits and a unit', () => {
    for (const [unit, length] of Object.entries(MILLISECONDS)) assert.equal(parseGrpcTimeout(`7${unit}`), 7 * length)
    assert.equal(parseGrpcTimeout('99999999S'), 99_999_999_000)
    assert.equal(parseGrpcTimeout('00000010m'), 10)
    assert.equal(parseGrpcTimeout('0n'), 0)
  })

  it('is nothing else', () => {
    const wrong = ['', '1', 'm', '1 m', ' 1m', '1m ', '+1m', '-1m', '1.5S', '1e3m', '0x1m', '1s', '1h', '1ms', '1mm']
    wrong.push('123456789m', '000000001m', '１m', '1S\n', 'Infinitym', '1m,1m')
    for (const value of wrong) assert.equal(parseGrpcTimeout(value), undefined, JSON.stringify(value))
  })

  it('goes on with what is left, never more, and in a form that is valid', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 99_999_999 * 3_600_000, noNaN: true }), (left) => {
        const text = formatGrpcTimeout(left)
        const parsed = parseGrpcTimeout(text)
        assert.ok(parsed !== undefined && parsed > 0, text)
        assert.ok(parsed <= left, `${text} for ${left}`)
        // Nothing worth mentioning is lost by rounding.
        assert.ok(left - parsed <= Math.max(1, left / 50_000), `${text} for ${left}`)
      }),
    )
  })

  it('is a microsecond where the time is over, so that servers do not read it as none', () => {
    assert.equal(formatGrpcTimeout(0), '1u')
    assert.equal(formatGrpcTimeout(-5), '1u')
    assert.equal(formatGrpcTimeout(Number.MAX_VALUE), '99999999H')
  })
})
