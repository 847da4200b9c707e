import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RunAllocator } from '../../../src/cache/memory/run-allocator.ts'

const FIRST = 3
const WORDS = 8

function make(units: number): RunAllocator {
  const bits = Math.ceil(units / 32) + 1
  const words = new Int32Array(new SharedArrayBuffer(((FIRST + units) * WORDS + bits) * 4))
  const runs = new RunAllocator(words, FIRST, (FIRST + units) * WORDS)
  runs.release(FIRST, units)
  return runs
}

/** The longest run of a map of free units. */
function longest(free: readonly boolean[]): number {
  let [best, now] = [0, 0]
  for (const one of free) {
    now = one ? now + 1 : 0
    best = Math.max(best, now)
  }
  return best
}

describe('runs of units', () => {
  it('gives no unit twice, and joins what is free, compared with a map of the units', () => {
    const step = fc.oneof(
      fc.record({ take: fc.integer({ min: 1, max: 300 }) }),
      fc.record({ back: fc.nat(), keep: fc.nat(40) }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000 }), fc.array(step, { maxLength: 200 }), (units, steps) => {
        const runs = make(units)
        const free = Array.from({ length: units }, () => true)
        const taken: { start: number; size: number }[] = []
        for (const what of steps) {
          if ('take' in what) {
            const start = runs.take(what.take)
            if (start === 0) {
              // Good fit: a run of the next class is found for certain.
              const step = 1 << Math.max(0, 28 - Math.clz32(what.take))
              assert.ok(longest(free) < what.take + step, `${what.take} of ${longest(free)}`)
              continue
            }
            for (let i = start - FIRST; i < start - FIRST + what.take; i++) {
              assert.equal(free[i], true)
              free[i] = false
            }
            taken.push({ start, size: what.take })
          } else if (taken.length > 0) {
            const [run] = taken.splice(what.back % taken.length, 1)
            const keep = what.keep < run!.size ? what.keep : 0
            runs.release(run!.start + keep, run!.size - keep)
            free.fill(true, run!.start - FIRST + keep, run!.start - FIRST + run!.size)
            if (keep > 0) taken.push({ start: run!.start, size: keep })
          }
          assert.equal(runs.free, free.filter((one) => one).length)
          const { largest } = runs
          assert.ok(largest <= longest(free) && largest * 9 >= longest(free) * 8)
          if (largest > 0) {
            const start = runs.take(largest)
            assert.notEqual(start, 0)
            runs.release(start, largest)
          }
        }
        for (const { start, size } of taken) runs.release(start, size)
        // All is one run again.
        assert.ok(runs.largest * 9 >= units * 8)
      }),
    )
  })
})
