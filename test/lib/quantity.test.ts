import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatBytes, formatDuration, isDuration, parseBytes, parseDuration } from '../../src/lib/quantity.ts'

test('durations are parsed unit by unit', () => {
  assert.equal(parseDuration('1d2h3m4s5ms'), 93_784_005)
  assert.equal(parseDuration('30s'), 30_000)
  assert.equal(parseDuration('250ms'), 250)
  assert.equal(parseDuration('0s'), 0)
  assert.equal(parseDuration('90m'), 5_400_000)
})

for (const text of ['', 's', '5', '5S', '1 s', '-5s', '1.5s', '5s1m', '1s1s', '99999999999d', '5us', ' 5s', '5s\n'])
  test(`${JSON.stringify(text)} is not a duration`, () => {
    assert.equal(isDuration(text), false)
    assert.throws(() => parseDuration(text), TypeError)
  })

test('a duration is formatted in its shortest form', () => {
  assert.equal(formatDuration(0), '0s')
  assert.equal(formatDuration(93_784_005), '1d2h3m4s5ms')
  assert.equal(formatDuration(5_400_000), '1h30m')
  assert.throws(() => formatDuration(-1), TypeError)
  assert.throws(() => formatDuration(0.5), TypeError)
})

test('a formatted duration parses to the same value', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 86_400_000 * 99_999 }), (span) => {
      assert.equal(parseDuration(formatDuration(span)), span)
    }),
  )
})

test('byte quantities are parsed in decimal and binary units', () => {
  assert.equal(parseBytes('10Mi'), 10_485_760)
  assert.equal(parseBytes('1Gi'), 1_073_741_824)
  assert.equal(parseBytes('500k'), 500_000)
  assert.equal(parseBytes('2M'), 2_000_000)
  assert.equal(parseBytes('3G'), 3_000_000_000)
  assert.equal(parseBytes('64Ki'), 65_536)
  assert.equal(parseBytes('4096'), 4096)
  assert.equal(parseBytes(4096), 4096)
})

for (const quantity of [
  '',
  'Mi',
  '10MB',
  '10 Mi',
  '-1',
  '1.5Gi',
  '0x10',
  '10mi',
  1.5,
  -1,
  Number.NaN,
  2 ** 60,
  '999999999999Gi',
])
  test(`${JSON.stringify(quantity)} is not a byte quantity`, () => assert.throws(() => parseBytes(quantity), TypeError))

test('a formatted byte quantity parses to the same value', () => {
  assert.equal(formatBytes(10_485_760), '10Mi')
  assert.equal(formatBytes(1500), '1500')
  assert.equal(formatBytes(0), '0')
  assert.throws(() => formatBytes(-1), TypeError)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 999_999_999_999 }), (bytes) => {
      assert.equal(parseBytes(formatBytes(bytes)), bytes)
    }),
  )
})
