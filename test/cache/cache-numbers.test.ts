import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  CacheFlag,
  type CacheNumbers,
  emptyNumbers,
  FLAGS_OFFSET,
  NUMBERS_BYTES,
  readNumbers,
  writeNumbers,
} from '../../src/cache/cache-numbers.ts'

const time = fc.double({ min: -6e13, max: 3e14, noNaN: true })
const span = fc.integer({ min: 0, max: 2 ** 31 }).map((seconds) => seconds * 1_000)

const anyNumbers: fc.Arbitrary<CacheNumbers> = fc.record({
  status: fc.integer({ min: 200, max: 599 }),
  flags: fc.nat(0xffff_ffff),
  born: time,
  received: time,
  lifetime: fc.double({ min: 0, max: 3e12, noNaN: true }),
  staleWhileRevalidate: span,
  staleIfError: span,
  date: time,
  lastModified: fc.oneof(time, fc.constant(Number.NaN)),
})

describe('the numbers of a stored response', () => {
  it('are the same when they are read, and touch no byte around them', () => {
    fc.assert(
      fc.property(anyNumbers, fc.integer({ min: 0, max: 3 }), (numbers, slot) => {
        const bytes = new Uint8Array(NUMBERS_BYTES * 4).fill(0xa5)
        const view = new DataView(bytes.buffer)
        const offset = slot * NUMBERS_BYTES
        writeNumbers(view, offset, numbers)
        assert.deepEqual(readNumbers(view, offset, emptyNumbers()), { ...numbers })
        assert.ok(bytes.every((byte, i) => byte === 0xa5 || (i >= offset && i < offset + NUMBERS_BYTES)))
      }),
    )
  })

  it('keep windows in whole seconds, never longer than stated', () => {
    const view = new DataView(new ArrayBuffer(NUMBERS_BYTES))
    const stated = { staleWhileRevalidate: 1_999, staleIfError: Number.POSITIVE_INFINITY }
    writeNumbers(view, 0, { ...emptyNumbers(), ...stated })
    const { staleWhileRevalidate, staleIfError } = readNumbers(view, 0, emptyNumbers())
    assert.deepEqual([staleWhileRevalidate, staleIfError], [1_000, 0xffff_ffff * 1_000])
  })

  it('have their flags in a word of their own, for atomic changes', () => {
    const buffer = new SharedArrayBuffer(NUMBERS_BYTES)
    writeNumbers(new DataView(buffer), 0, { ...emptyNumbers(), status: 200, flags: CacheFlag.Validator })
    Atomics.or(new Int32Array(buffer), FLAGS_OFFSET / 4, CacheFlag.MarkedStale)
    const { flags, status } = readNumbers(new DataView(buffer), 0, emptyNumbers())
    assert.deepEqual([flags, status], [CacheFlag.Validator | CacheFlag.MarkedStale, 200])
  })
})
